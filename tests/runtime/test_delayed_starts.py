"""A start that was ordered for later happens then, and not before, whatever is written to the run meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from graphs import graph
from rigs import Rig
from test_gates import played
from test_waits import echo, rigged, signal, with_node

from axiom.api.doors import cancel, start_execution
from axiom.runtime import events as e
from axiom.runtime.clock import SystemClock
from axiom.runtime.starts import Start
from axiom.runtime.store.opening import open_store
from axiom.runtime.why import why

HOUR = 3_600_000


async def order(rig: Rig, plan: Any, in_ms: int, **more: Any) -> str:
    """Order a start for later, as a door does."""
    graph_id = rig.add(plan, {node.alias: echo for node in plan.nodes})
    start = Start("default", graph_id, plan, {"n": 1}, start_at=rig.store.now() + in_ms, **more)
    return (await start_execution(rig.store, rig.clock, start)).execution_id


def test_it_is_queued_until_then_and_why_says_when():
    async def scenario(rig: Rig) -> None:
        due = rig.store.now() + HOUR
        execution_id = await order(rig, graph("a b", "a>b"), HOUR)
        await rig.clock.sleep(3_000)
        head = await rig.head(execution_id)
        assert (head.status, head.session, head.ready_at, head.seq) == ("QUEUED", None, due, 1)
        told = await why(rig.store, head, None, await rig.store.sessions())
        assert (told.mover, told.until) == ("timer", due)
        await rig.ended(execution_id, 2 * 3_600)
        started = (await rig.history(execution_id))[1]
        assert started.kind == e.STARTED
        assert due <= started.at < due + 2_000

    rigged(scenario)


def test_a_write_to_a_run_that_has_not_begun_does_not_begin_it():
    async def scenario(rig: Rig) -> None:
        due = rig.store.now() + HOUR
        plan = with_node(graph("a w", "a>w"), "w", kind="event", config={"name": "paid"})
        execution_id = await order(rig, plan, HOUR)
        await signal(rig, execution_id, "paid", {"amount": 2})
        await rig.until(execution_id, lambda head: head.seq > 2 and head.session is None)
        assert (await rig.head(execution_id)).status == "WAITING"
        await rig.ended(execution_id, 2 * 3_600)
        begun = [event for event in await rig.history(execution_id) if event.kind == e.NODE_STARTED]
        assert begun[0].at >= due
        assert begun[0].attempt == 1
        assert await rig.output(execution_id) == {"amount": 2}, "what came early is kept"

    rigged(scenario)


def test_the_deadline_of_a_run_counts_from_its_start():
    async def scenario(rig: Rig) -> None:
        plan = with_node(graph("a s", "a>s"), "s", kind="sleep", config={"duration_ms": 10 * HOUR})
        execution_id = await order(rig, graph("a s", "a>s", timeout_seconds=60), HOUR)
        await rig.ended(execution_id, 2 * 3_600)
        assert (await rig.head(execution_id)).status == "COMPLETED"
        execution_id = await order(rig, replace(plan, timeout_seconds=60), HOUR)
        at = rig.store.now() + HOUR
        await rig.ended(execution_id, 2 * 3_600)
        last = (await rig.history(execution_id))[-1]
        assert last.body["code"] == "run_timeout"
        assert at + 60_000 <= last.at < at + 63_000

    rigged(scenario)


def test_a_run_that_is_cancelled_before_its_start_never_starts():
    async def scenario(rig: Rig) -> None:
        execution_id = await order(rig, graph("a b", "a>b"), HOUR)
        assert await cancel(rig.store, rig.clock, "default", execution_id)
        await rig.clock.sleep(2 * 3_600)
        assert [event.kind for event in await rig.history(execution_id)] == [e.ACCEPTED, e.CANCELLED]

    rigged(scenario)


def test_a_start_whose_time_passes_while_no_worker_lives_happens_when_one_comes():
    async def scenario(rig: Rig) -> None:
        await rig.workers.pop().stop()
        execution_id = await order(rig, graph("a b", "a>b"), HOUR)
        await rig.clock.sleep(3 * 3_600)
        await rig.worker()
        await rig.ended(execution_id, 60)

    rigged(scenario)


def test_every_store_holds_a_start_back(store_url: str):
    async def run() -> None:
        store = open_store(store_url)
        await store.open()
        await played(store, SystemClock(), scenario)

    async def scenario(rig: Rig) -> None:
        later = await order(rig, graph("a b", "a>b"), 1_200)
        first = await order(rig, graph("a b", "a>b"), 0)
        await rig.ended(first)
        await rig.ended(later)
        accepted, started = (await rig.history(later))[:2]
        assert started.at >= accepted.body["ready_at"] == accepted.at + 1_200

    asyncio.run(run())


@pytest.mark.parametrize("late_ms", [0, -HOUR])
def test_a_time_that_has_passed_is_now(late_ms: int):
    async def scenario(rig: Rig) -> None:
        execution_id = await order(rig, graph("a b", "a>b"), late_ms)
        await rig.ended(execution_id, 5)
        assert "ready_at" not in (await rig.history(execution_id))[0].body

    rigged(scenario)
