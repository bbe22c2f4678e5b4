"""The deadline of a whole run ends it wherever it stands, and once it has ended none of its timers acts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from graphs import graph
from rigs import Rig
from test_waits import echo, expression, paid_plan, rigged, signal, with_node

from axiom.api.doors import cancel
from axiom.compiler.artifact import Join, Plan, Retry
from axiom.runtime import events as e
from axiom.runtime.failures import NodeFailure
from axiom.runtime.store.base import FINAL

MINUTE = 60_000
ITEMS = {"items": expression("lines"), "max_concurrency": 2, "failure_policy": "FAIL_FAST"}


async def never(ctx: Any, value: Any) -> Any:
    await asyncio.Event().wait()


async def broken(ctx: Any, value: Any) -> Any:
    raise NodeFailure("not yet")


def _place(where: str) -> tuple[Plan, dict[str, Any]]:
    plan, handlers = graph("a b", "a>b"), {"a": echo, "b": echo}
    if where == "running alone":
        return plan, {"a": echo, "b": never}
    if where == "running side by side":
        return graph("a b c j", "a>b a>c b>j c>j", {"j": Join()}), {
            "a": echo,
            "b": never,
            "c": never,
            "j": echo,
        }
    if where == "in a retry":
        retry = Retry(max_attempts=3, delays_ms=(20 * MINUTE,))
        return graph("a b", "a>b", retry={"b": retry}), {"a": echo, "b": broken}
    if where == "asleep":
        return with_node(plan, "b", kind="sleep", config={"duration_ms": 20 * MINUTE}), handlers
    if where == "waiting for an event":
        return with_node(plan, "b", kind="event", config={"name": "paid"}), handlers
    if where == "paused":
        return with_node(plan, "b", config={"hitl": {"resume_input": "Any", "quorum": 1}}), handlers
    if where == "in a map":
        return with_node(plan, "b", config={"map": ITEMS}), {"a": echo, "b": never}
    assert where == "at a gate"
    plan = graph("a b c j", "a>b a>c b>j c>j", {"j": Join(timeout_ms=20 * MINUTE)})
    nap = {"duration_ms": 30 * MINUTE}
    return with_node(plan, "c", kind="sleep", config=nap), dict.fromkeys("abcj", echo)


PLACES = [
    "running alone",
    "running side by side",
    "in a retry",
    "asleep",
    "waiting for an event",
    "paused",
    "in a map",
    "at a gate",
]


@pytest.mark.parametrize("where", PLACES)
def test_a_run_ends_at_its_deadline_wherever_it_stands(where: str):
    async def scenario(rig: Rig) -> None:
        plan, handlers = _place(where)
        graph_id = rig.add(plan, handlers)
        deadline = rig.store.now() + 2 * MINUTE
        execution_id = await rig.start(graph_id, {"lines": [1, 2, 3]}, deadline=deadline)
        await rig.ended(execution_id, 3_600)
        last = (await rig.history(execution_id))[-1]
        assert (last.kind, last.body["code"]) == (e.FAILED, "run_timeout")
        assert deadline <= last.at < deadline + 2_000
        seq = (await rig.head(execution_id)).seq
        await rig.clock.sleep(7_200)  # past everything that it had waited for
        assert (await rig.head(execution_id)).seq == seq, "no timer of a finished run acts"
        assert not rig.workers[0].executions

    rigged(scenario)


@pytest.mark.parametrize("where", PLACES)
def test_no_timer_of_a_cancelled_run_acts_on_it_or_on_a_later_one(where: str):
    async def scenario(rig: Rig) -> None:
        plan, handlers = _place(where)
        graph_id = rig.add(plan, handlers)
        body = {"lines": [1, 2, 3]}
        execution_id = await rig.start(graph_id, body, deadline=rig.store.now() + 2 * MINUTE)
        await rig.clock.sleep(30)
        assert await cancel(rig.store, rig.clock, "default", execution_id)
        seq = (await rig.head(execution_id)).seq
        later = await rig.start(graph_id, body, deadline=rig.store.now() + 4 * MINUTE)
        await rig.clock.sleep(180)
        assert (await rig.head(later)).status not in FINAL, "it has its own deadline"
        await rig.ended(later, 3_600)
        head = await rig.head(execution_id)
        assert (head.status, head.seq, head.ready_at) == ("CANCELLED", seq, None)

    rigged(scenario)


def test_what_completed_is_undone_after_the_deadline_and_takes_the_time_it_needs():
    async def scenario(rig: Rig) -> None:
        async def slow(ctx: Any, value: Any) -> Any:
            await asyncio.sleep(200)
            return value

        plan = replace(graph("a b u", "a>b", terminal="b"), compensate={"a": "u"})
        graph_id = rig.add(plan, {"a": echo, "b": never, "u": slow})
        execution_id = await rig.start(graph_id, {}, deadline=rig.store.now() + MINUTE)
        head = await rig.until(execution_id, lambda head: head.status == "COMPENSATING", 100)
        await rig.ended(execution_id, 1_000)
        events = await rig.history(execution_id)
        assert [x.node for x in events if x.kind == e.NODE_COMPLETED] == ["a", "u"]
        assert events[-1].body["code"] == "run_timeout"
        assert events[-1].at >= head.updated_at + 200_000

    rigged(scenario)


def test_a_run_whose_deadline_passes_while_no_worker_lives_ends_when_one_comes():
    async def scenario(rig: Rig) -> None:
        plan, handlers = _place("asleep")
        graph_id = rig.add(plan, handlers)
        execution_id = await rig.start(graph_id, {}, deadline=rig.store.now() + MINUTE)
        await rig.until(execution_id, lambda head: head.status == "WAITING" and head.session is None)
        await rig.workers.pop().stop()
        await rig.clock.sleep(300)
        await rig.worker()
        await rig.ended(execution_id, 100)
        assert (await rig.history(execution_id))[-1].body["code"] == "run_timeout"

    rigged(scenario)


def test_what_is_written_behind_an_event_is_not_older_than_it():
    """The event's sender may have the faster clock, and its event may come before the run's first worker."""

    async def scenario(rig: Rig) -> None:
        begun, hold = asyncio.Event(), asyncio.Event()

        async def slow(ctx: Any, value: Any) -> Any:
            begun.set()
            await hold.wait()
            return value

        await rig.workers.pop().stop()
        execution_id = await rig.start(
            rig.add(paid_plan(), {"a": slow, "w": echo, "b": echo}), {"order": "o1"}
        )
        ahead = rig.store.now
        rig.store.now = lambda: ahead() + 5_000  # type: ignore[method-assign]
        await signal(rig, execution_id, "paid", {}, key="another", id="x")
        rig.store.now = ahead  # type: ignore[method-assign]
        await rig.worker()
        await begun.wait()
        rig.store.now = lambda: ahead() + 9_000  # type: ignore[method-assign]
        await signal(rig, execution_id, "paid", {"amount": 2}, key="o1", id="y")
        rig.store.now = ahead  # type: ignore[method-assign]
        hold.set()
        await rig.ended(execution_id)
        times = [event.at for event in await rig.history(execution_id)]
        assert times == sorted(times)

    rigged(scenario)
