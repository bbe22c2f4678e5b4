"""Waiting without a gap: whatever is written before, during or after the listening is seen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from axiom.api import doors
from axiom.api.waiters import Ended, Waiters
from axiom.runtime import events as e
from axiom.runtime.clock import VirtualClock, run_virtual
from axiom.runtime.events import Event
from axiom.runtime.limits import WAITER_LOOK_SECONDS
from axiom.runtime.starts import Start
from axiom.runtime.store.base import Append, Hint, Ok, Unavailable
from axiom.runtime.store.memory import MemoryStore


class Scene:
    def __init__(self, store: MemoryStore | None = None) -> None:
        self.clock = VirtualClock(seed=2)
        self.store = store or MemoryStore(self.clock)
        self.waiters = Waiters(self.store, self.clock)

    async def start(self) -> str:
        from http_kit import plan

        await self.store.open()
        start = Start("default", "g" * 32, plan(), {"x": 1})
        return (await doors.start_execution(self.store, self.clock, start)).execution_id

    async def end(self, execution_id: str) -> None:
        event = Event(e.COMPLETED, self.store.now(), body={"output": {"value": 5}})
        data = e.encode(event)
        item = Append(execution_id, (data,), (e.crc(execution_id, data),), event.at, 1, status="COMPLETED")
        assert (await self.store.append([item]))[0] == Ok(2)

    async def wait(self, execution_id: str, seconds: float = 60) -> Any:
        return await doors.wait_for(self.store, self.waiters, execution_id, seconds)


def scene(play: Callable[[Scene], Awaitable[None]]) -> None:
    async def work() -> None:
        await play(Scene())

    run_virtual(work())


def test_an_end_before_during_and_after_the_listening_is_seen() -> None:
    async def play(at: Scene) -> None:
        execution_id = await at.start()
        early = asyncio.create_task(at.wait(execution_id))
        await at.clock.sleep(0.5)
        with at.waiters.listen(execution_id) as listener:
            await at.end(execution_id)
            assert await at.waiters.ended(listener, execution_id, 5, look=False) == Ended(2, "COMPLETED")
        assert (await early).output == 5
        assert (await at.wait(execution_id, 0)).output == 5, "at once, without waiting"

    scene(play)


def test_a_hint_wakes_long_before_the_next_look() -> None:
    async def play(at: Scene) -> None:
        execution_id = await at.start()
        waiting = asyncio.create_task(at.wait(execution_id))
        await at.clock.sleep(0.01)
        began = at.clock.monotonic()
        await at.end(execution_id)
        await waiting
        assert at.clock.monotonic() - began < 0.1

    scene(play)


def test_without_any_hint_the_next_look_finds_it() -> None:
    async def play(at: Scene) -> None:
        execution_id = await at.start()
        at.waiters._unwatch = lambda: None  # it believes that it is subscribed
        waiting = asyncio.create_task(at.wait(execution_id))
        await at.clock.sleep(0.01)
        await at.end(execution_id)
        began = at.clock.monotonic()
        assert (await waiting).output == 5
        assert at.clock.monotonic() - began <= WAITER_LOOK_SECONDS * 1.25

    scene(play)


def test_a_hint_that_names_nobody_makes_everybody_look() -> None:
    """A store that has reconnected says so: hints may have been missed."""

    async def play(at: Scene) -> None:
        execution_id = await at.start()
        at.waiters._unwatch = lambda: None
        waiting = asyncio.create_task(at.wait(execution_id))
        await at.clock.sleep(0.01)
        await at.end(execution_id)
        at.waiters._on_hints([Hint("moved", "")])
        began = at.clock.monotonic()
        await waiting
        assert at.clock.monotonic() - began < 0.1

    scene(play)


def test_a_wait_ends_in_time_and_leaves_nothing_behind() -> None:
    async def play(at: Scene) -> None:
        execution_id = await at.start()
        began = at.clock.monotonic()
        assert await at.wait(execution_id, 3) is None
        assert 3 <= at.clock.monotonic() - began < 3.1
        task = asyncio.create_task(at.wait(execution_id))
        await at.clock.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert at.waiters._listeners == {}
        assert await at.wait("0" * 32, 3) is None, "of what isn't there nothing will come"

    scene(play)


def test_a_store_that_is_away_for_a_while_ends_no_wait() -> None:
    class Away(MemoryStore):
        looks = 0

        async def heads(self, ids: Any) -> Any:
            self.looks += 1
            if self.looks in (1, 2):
                raise Unavailable("away")
            return await super().heads(ids)

    async def work() -> None:
        at = Scene()
        at.store = Away(at.clock)
        at.waiters = Waiters(at.store, at.clock)
        execution_id = await at.start()
        at.waiters._unwatch = lambda: None
        await at.end(execution_id)
        assert (await at.wait(execution_id, 30)).output == 5

    run_virtual(work())


def test_one_subscription_serves_any_number() -> None:
    async def play(at: Scene) -> None:
        execution_id = await at.start()
        watches = 0
        watch = at.store.watch

        def counted(watcher: Any, kinds: Any) -> Any:
            nonlocal watches
            watches += 1
            return watch(watcher, kinds)

        at.store.watch = counted  # type: ignore[method-assign]
        waiting = [asyncio.create_task(at.wait(execution_id)) for _ in range(50)]
        await at.clock.sleep(0.01)
        await at.end(execution_id)
        assert {result.output for result in await asyncio.gather(*waiting)} == {5}
        assert watches == 1

    scene(play)


@pytest.mark.parametrize("seconds", [0, -1])
def test_no_time_to_wait_is_one_look(seconds: float) -> None:
    async def play(at: Scene) -> None:
        assert await at.wait(await at.start(), seconds) is None

    scene(play)
