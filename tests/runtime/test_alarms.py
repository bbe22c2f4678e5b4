"""Time-outs on one timer: each rings at its own time, once, and never when called off."""

from __future__ import annotations

import asyncio

from axiom.runtime.alarms import Alarms
from axiom.runtime.clock import VirtualClock, VirtualLoop


def rung(scenario: list[tuple[float, float]], off: set[int] = frozenset()) -> list[tuple[int, float]]:  # type: ignore[assignment]
    """Set an alarm per ``(set at, seconds)``, call ``off`` off at once; ``(number, when it rang)`` in order."""

    async def play() -> list[tuple[int, float]]:
        clock = VirtualClock()
        alarms = Alarms(clock)
        heard: list[tuple[int, float]] = []
        for number, (at, seconds) in enumerate(scenario):
            await clock.sleep(at - clock.monotonic())
            alarm = alarms.set(seconds, lambda n=number: heard.append((n, round(clock.monotonic(), 3))))
            if number in off:
                alarms.off(alarm)
        await clock.sleep(1_000)
        alarms.stop()
        return heard

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(play())


def test_each_rings_at_its_own_time_also_when_a_later_one_was_set_first() -> None:
    assert rung([(0, 300), (1, 2), (2, 50)]) == [(1, 3.0), (2, 52.0), (0, 300.0)]


def test_one_that_was_called_off_never_rings_and_delays_nobody() -> None:
    assert rung([(0, 5), (0, 7), (0, 9)], off={0, 1}) == [(2, 9.0)]


def test_a_call_may_set_another_and_call_others_off() -> None:
    async def play() -> list[str]:
        clock = VirtualClock()
        alarms = Alarms(clock)
        heard: list[str] = []
        late = alarms.set(2, lambda: heard.append("late"))

        def first() -> None:
            heard.append("first")
            alarms.off(late)
            alarms.set(1, lambda: heard.append("next"))

        alarms.set(1, first)
        await clock.sleep(10)
        return heard

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(play()) == ["first", "next"]
