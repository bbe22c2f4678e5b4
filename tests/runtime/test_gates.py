"""Gates: when each kind goes, what a timeout makes of it, and that it outlives its worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from graphs import Play, graph
from rigs import Rig

from axiom.compiler.artifact import Join, Plan
from axiom.runtime import events as e
from axiom.runtime.clock import Clock, SystemClock, VirtualClock, run_virtual
from axiom.runtime.snapshot import dump, load
from axiom.runtime.store.base import Store
from axiom.runtime.store.memory import MemoryStore
from axiom.runtime.store.opening import open_store

FAST, TOLERATE = "FAIL_FAST", "TOLERATE_FAILURES"
ARROWS = "s>a s>b s>c a>j b>j c>j"
MINUTE = 60_000


def three(kind: str, policy: str = FAST, timeout_ms: int | None = MINUTE, n: int = 0) -> Plan:
    """``s`` opens three arms that meet in ``j``."""
    return graph("s a b c j", ARROWS, {"j": Join(kind, policy, n, timeout_ms)})  # type: ignore[arg-type]


def kinds(play: Play) -> list[str]:
    return [event.kind for event in play.events if event.kind in (e.GATE_WAITING, e.GATE_TIMED_OUT)]


# --- when a gate goes, without a timeout ----------------------------------------------------------------------------

WENT = {
    # (kind, policy): what is done, arm by arm, until j runs or the run ends; and how that is
    ("AND", FAST): ("+a +b +c", "j"),
    ("AND", TOLERATE): ("+a +b +c", "j"),
    ("OR", FAST): ("+a +b +c", "j"),
    ("OR", TOLERATE): ("-a +b -c", "j"),
    ("XOR", FAST): ("+b", "b c j"),
    ("XOR", TOLERATE): ("-a +b", "c j"),
    ("FIRST", FAST): ("+c", "a b j"),
    ("FIRST", TOLERATE): ("-a -b +c", "j"),
    ("N_OF_M", FAST): ("+a +c", "b j"),
    ("N_OF_M", TOLERATE): ("-a +b +c", "j"),
}
FAILS = {
    ("AND", FAST): ("+a -b", "boom"),
    ("AND", TOLERATE): ("+a -b +c", "boom"),
    ("OR", FAST): ("+a -b", "boom"),
    ("OR", TOLERATE): ("-a -b -c", "boom"),
    ("XOR", FAST): ("-a", "boom"),
    ("XOR", TOLERATE): ("-a -b -c", "boom"),
    ("FIRST", FAST): ("-a", "boom"),
    ("FIRST", TOLERATE): ("-a -b -c", "boom"),
    ("N_OF_M", FAST): ("+a -b", "boom"),
    ("N_OF_M", TOLERATE): ("+a -b -c", "gate_unreachable"),
}


def arms(play: Play, steps: str) -> Play:
    for step in steps.split():
        (play.done if step[0] == "+" else play.fails)(step[1])
    return play


@pytest.mark.parametrize(("kind", "policy"), WENT)
def test_a_gate_goes_with_the_arm_that_makes_it_full_and_not_before(kind: str, policy: str):
    steps, running = WENT[kind, policy]
    play = Play(three(kind, policy, None, 2 if kind == "N_OF_M" else 0)).done("s")
    *before, _ = steps.split()
    assert arms(play, " ".join(before)).phase("j") is None
    if kind == "XOR" and policy == FAST:
        running = "a c j"
    if kind == "FIRST" and policy == FAST:
        running = "a b j"
    assert arms(play, steps.split()[-1]).running == running
    assert play.done("j").ending == ("COMPLETED", None)


@pytest.mark.parametrize(("kind", "policy"), FAILS)
def test_a_gate_that_can_not_go_any_more_ends_the_run_with_the_arms_error(kind: str, policy: str):
    steps, code = FAILS[kind, policy]
    play = Play(three(kind, policy, None, 2 if kind == "N_OF_M" else 0)).done("s")
    assert arms(play, steps).ending == ("FAILED", code)
    assert not play.state.gates


# --- timeouts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "policy"), [*WENT])
def test_a_gate_whose_time_is_up(kind: str, policy: str):
    """Only an OR that tolerates failures goes with fewer arms than all; XOR and FIRST never wait."""
    play = Play(three(kind, policy, n=3 if kind == "N_OF_M" else 0)).done("s").later(5).done("a")
    if kind in ("XOR", "FIRST"):
        assert "j" in play.running
        assert kinds(play) == []
        return
    assert [event.body for event in play.events if event.kind == e.GATE_WAITING] == [{"due": 1_005 + MINUTE}]
    assert play.later(MINUTE - 1).running == "b c"
    play.later(1)
    if (kind, policy) == ("OR", TOLERATE):
        assert play.running == "b c j"
        assert play.state.joined[4, ()] == (3,), "it goes with what has arrived, and with nothing else"
        assert play.done("b").running == "c j", "an arm that comes late is recorded, and starts nothing"
        assert play.state.arms[4, ()] == "arrived"
        assert play.done("j").ending == ("COMPLETED", None)
    else:
        assert play.ending == ("FAILED", "gate_timeout")
        assert play.state.outcome["node"] == "j"
        assert play.state.outcome["message"] == "1 of 3 arms arrived within 60000 ms"
    assert kinds(play) == [e.GATE_WAITING, e.GATE_TIMED_OUT]


def test_time_counts_from_the_first_arrival_and_an_arm_that_is_not_taken_is_none():
    plan = graph("s a b c j", "s>a s>b s?c a>j b>j c>j", {"j": Join("OR", FAST, 0, MINUTE)})
    play = Play(plan).done("s", skipped=(2,)).later(10 * MINUTE)
    assert play.running == "a b"
    assert kinds(play) == []
    assert play.done("a").later(MINUTE).ending == ("FAILED", "gate_timeout")


def test_an_arm_that_arrives_at_the_last_moment_is_in_time():
    play = Play(three("AND")).done("s").done("a").done("b")
    play.at += MINUTE
    play.done("c")
    assert play.running == "j"
    assert kinds(play) == [e.GATE_WAITING]


def test_a_gate_that_has_gone_has_no_timer_left():
    play = Play(three("AND")).done("s").done("a").done("b").done("c")
    assert not play.state.gates
    assert not play.state.gate_dues
    assert play.later(10 * MINUTE).running == "j"
    assert play.done("j").ending == ("COMPLETED", None)


def test_an_error_branch_of_a_gate_takes_its_timeout():
    plan = graph(
        "s a b j r z",
        "s>a s>b a>j b>j j!r j>z r>z",
        {"j": Join("AND", FAST, 0, MINUTE), "z": Join("XOR")},
    )
    play = Play(plan).done("s").done("a").later(MINUTE)
    assert play.running == "r", "the other arm is of no use any more"
    assert play.phase("b") == "cancelled"
    assert play.done("r").done("z").ending == ("COMPLETED", None)


def test_two_gates_that_are_due_at_once_both_act():
    plan = graph(
        "s a b c d j k z",
        "s>a s>b s>c s>d a>j b>j c>k d>k j>z k>z",
        {"j": Join("OR", TOLERATE, 0, MINUTE), "k": Join("OR", TOLERATE, 0, MINUTE), "z": Join("AND")},
    )
    play = Play(plan).done("s").done("a").done("c").later(MINUTE)
    assert play.running == "b d j k"
    assert play.done("j").done("k").done("z").ending == ("COMPLETED", None)


def test_a_gate_inside_a_branch_that_failed_fast_waits_no_more():
    plan = graph(
        "s a b c i j",
        "s>a s>b s>c a>i b>i i>j c>j",
        {"i": Join("AND", FAST, 0, MINUTE), "j": Join("AND", FAST)},
    )
    play = Play(plan).done("s").done("a")
    assert len(play.state.gate_dues) == 1
    play.fails("c")
    assert play.ending == ("FAILED", "boom")
    assert not play.state.gate_dues
    assert not play.state.gates


def test_a_snapshot_keeps_the_time_of_a_gate():
    play = Play(three("AND")).done("s").done("a")
    again = load(dump(play.state))
    assert again == play.state
    assert again is not None
    assert again.gate_dues[4, ()] == 1_000 + MINUTE


# --- through the engine ---------------------------------------------------------------------------------------------


async def echo(ctx: Any, value: Any) -> Any:
    return value


def slow_arm(policy: str, sleep_ms: int, timeout_ms: int = MINUTE) -> Plan:
    """An arm that is there at once, and one that sleeps."""
    plan = graph("s a w j", "s>a s>w a>j w>j", {"j": Join("OR", policy, 0, timeout_ms)})  # type: ignore[arg-type]
    nodes = tuple(
        replace(node, kind="sleep", config={"duration_ms": sleep_ms}) if node.alias == "w" else node
        for node in plan.nodes
    )
    return replace(plan, nodes=nodes)


HANDLERS: dict[str, Callable[..., Any]] = dict.fromkeys("sawj", echo)


def virtual(scenario: Callable[[Rig], Any]) -> None:
    async def run() -> None:
        clock = VirtualClock(seed=1)
        store = MemoryStore(clock)
        await store.open()
        await played(store, clock, scenario)

    run_virtual(run())


async def played(store: Store, clock: Clock, scenario: Callable[[Rig], Any]) -> None:
    rig = Rig(store, clock)
    try:
        await rig.worker()
        await scenario(rig)
        await rig.check()
    finally:
        await rig.stop()
        await store.close()


def test_a_parked_run_wakes_for_its_gate_and_the_late_arm_changes_nothing():
    async def scenario(rig: Rig) -> None:
        execution_id = await rig.start(rig.add(slow_arm(TOLERATE, 5 * MINUTE), HANDLERS), {"n": 1})
        head = await rig.until(execution_id, lambda head: head.session is None and head.seq > 3)
        assert head.status == "WAITING_ON_GATE"
        assert not rig.workers[0].executions
        await rig.ended(execution_id, 1_000)
        assert await rig.output(execution_id) == {"a": {"n": 1}}
        assert 60 <= rig.clock.monotonic() < 70

    virtual(scenario)


def test_a_gate_waits_no_longer_than_its_time_while_the_other_arm_runs():
    async def scenario(rig: Rig) -> None:
        async def never(ctx: Any, value: Any) -> Any:
            await asyncio.Event().wait()

        plan = graph("s a b j", "s>a s>b a>j b>j", {"j": Join("AND", FAST, 0, MINUTE)})
        handlers = {"s": echo, "a": echo, "b": never, "j": echo}
        execution_id = await rig.start(rig.add(plan, handlers), {"n": 1})
        await rig.ended(execution_id, 1_000)
        last = (await rig.history(execution_id))[-1]
        assert (last.body["code"], last.body["node"]) == ("gate_timeout", "j")
        assert 60 <= rig.clock.monotonic() < 70

    virtual(scenario)


@pytest.mark.parametrize("die_at", range(3, 11))
def test_a_gates_time_outlives_its_worker_whenever_that_dies(die_at: int):
    async def scenario(rig: Rig) -> None:
        first = rig.workers[0]
        execution_id = await rig.start(rig.add(slow_arm(TOLERATE, 5 * MINUTE), HANDLERS), {"n": 1})
        await rig.until(execution_id, lambda head: head.seq >= die_at or head.status == "WAITING_ON_GATE")
        for task in [*first._tasks, first._lease._task]:
            if task is not None:
                task.cancel()
        for execution in list(first.executions.values()):
            execution.kill()
        rig.workers.remove(first)
        await rig.clock.sleep(20)
        await rig.worker()
        await rig.ended(execution_id, 1_000)
        assert await rig.output(execution_id) == {"a": {"n": 1}}
        events = await rig.history(execution_id)
        (waiting,) = [event for event in events if event.kind == e.GATE_WAITING]
        (timed_out,) = [event for event in events if event.kind == e.GATE_TIMED_OUT]
        assert timed_out.at >= waiting.body["due"] == waiting.at + MINUTE

    virtual(scenario)


def test_a_gate_times_out_on_every_store(store_url: str):
    async def run() -> None:
        clock = SystemClock()
        store = open_store(store_url)
        await store.open()
        await played(store, clock, scenario)

    async def scenario(rig: Rig) -> None:
        execution_id = await rig.start(rig.add(slow_arm(TOLERATE, 10 * MINUTE, 1_500), HANDLERS), {"n": 1})
        await rig.ended(execution_id)
        assert await rig.output(execution_id) == {"a": {"n": 1}}

    asyncio.run(run())
