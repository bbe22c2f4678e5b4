"""A run that is held: nothing new starts, what runs finishes, and its timers count on."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from graphs import graph
from rigs import Rig
from test_doors_forks import keep, starts
from test_subflows import calling, child_plan, children_of, failing, same
from test_waits import rigged, with_node

from axiom.api.doors import cancel
from axiom.api.doors_hold import NotHoldable, hold, resume
from axiom.compiler.artifact import Retry
from axiom.runtime.why import why


async def held(rig: Rig, run: str, **told: Any) -> str:
    return await hold(rig.store, rig.clock, "default", run, {"by": "ada", **told})


async def resumed(rig: Rig, run: str) -> str:
    return await resume(rig.store, rig.clock, "default", run, {"by": "ada"})


def test_what_runs_finishes_and_nothing_new_starts() -> None:
    async def scenario(rig: Rig) -> None:
        begun, go = asyncio.Event(), asyncio.Event()

        async def slow(ctx: Any, value: Any) -> Any:
            begun.set()
            await go.wait()
            return value

        run = await rig.start(await keep(rig, graph("a b c", "a>b b>c"), a=slow), {"n": 1})
        await begun.wait()
        assert await held(rig, run, comment="a look at the books") == "PAUSED"
        go.set()
        head = await rig.until(run, lambda head: head.session is None)
        assert (head.status, head.ready_at) == ("PAUSED", None)
        assert "NodeCompleted a 1" in await rig.kinds(run)
        assert starts(await rig.kinds(run)) == ["a 1"]
        told = await why(rig.store, head, rig.prepared[head.graph_id].plan, [])
        assert (told.mover, told.reasons[0].code) == ("person", "held")
        assert "ada holds the run: a look at the books" in told.text
        with pytest.raises(NotHoldable):
            await held(rig, run)
        await resumed(rig, run)
        assert (await rig.ended(run)).status == "COMPLETED"
        assert starts(await rig.kinds(run)) == ["a 1", "b 1", "c 1"]
        assert await rig.output(run) == {"n": 1}

    rigged(scenario)


def test_a_timer_that_fired_meanwhile_is_taken_when_it_resumes() -> None:
    async def scenario(rig: Rig) -> None:
        plan = with_node(graph("a s b", "a>s s>b"), "s", kind="sleep", config={"duration_ms": 60_000})
        run = await rig.start(await keep(rig, plan), {"n": 1})
        await rig.until(run, lambda head: head.status == "WAITING")
        began = rig.clock.monotonic()
        await held(rig, run)
        await rig.clock.sleep(600)
        head = await rig.until(run, lambda head: head.session is None)
        assert head.status == "PAUSED"
        await resumed(rig, run)
        assert (await rig.ended(run)).status == "COMPLETED"
        assert rig.clock.monotonic() - began < 602

    rigged(scenario)


def test_a_retry_waits_for_the_one_who_holds_it() -> None:
    async def scenario(rig: Rig) -> None:
        retry = {"a": Retry(max_attempts=3, initial_interval_ms=30_000, jitter=0)}
        run = await rig.start(await keep(rig, graph("a b", "a>b", retry=retry), a=failing(1)), {"n": 1})
        await rig.until(run, lambda head: head.status == "WAITING")
        await held(rig, run)
        await rig.clock.sleep(300)
        assert starts(await rig.kinds(run)) == ["a 1"]
        await resumed(rig, run)
        assert (await rig.ended(run)).status == "COMPLETED"

    rigged(scenario)


def test_a_run_that_is_held_before_it_started_waits_and_outlives_its_workers() -> None:
    async def scenario(rig: Rig) -> None:
        graph_id = await keep(rig, graph("a b", "a>b"))
        await rig.workers.pop().stop()
        run = await rig.start(graph_id, {"n": 1})
        assert await held(rig, run) == "PAUSED"
        first = await rig.worker()
        await rig.until(run, lambda head: head.session is None and head.seq > 2)
        await first.stop()
        rig.workers.remove(first)
        await rig.worker()
        await rig.clock.sleep(30)
        assert starts(await rig.kinds(run)) == []
        assert (await rig.head(run)).status == "PAUSED"
        await resumed(rig, run)
        assert (await rig.ended(run)).status == "COMPLETED"

    rigged(scenario)


def test_a_held_run_can_be_cancelled_and_times_out() -> None:
    async def scenario(rig: Rig) -> None:
        plan = with_node(graph("s", ""), "s", kind="sleep", config={"duration_ms": 60_000})
        graph_id = await keep(rig, plan)
        run = await rig.start(graph_id, {"n": 1})
        await rig.until(run, lambda head: head.status == "WAITING")
        await held(rig, run)
        assert await cancel(rig.store, rig.clock, "default", run) == "CANCELLED"
        late = await rig.start(graph_id, {"n": 1}, deadline=rig.store.now() + 20_000)
        await rig.until(late, lambda head: head.status == "WAITING")
        await held(rig, late)
        assert (await rig.ended(late, 100)).status == "FAILED"

    rigged(scenario)


def test_resuming_what_is_not_held_is_refused() -> None:
    async def scenario(rig: Rig) -> None:
        plan = with_node(graph("s", ""), "s", kind="sleep", config={"duration_ms": 60_000})
        run = await rig.start(await keep(rig, plan), {"n": 1})
        await rig.until(run, lambda head: head.status == "WAITING")
        with pytest.raises(NotHoldable):
            await resumed(rig, run)

    rigged(scenario)


# --- cancelling a run that compensates ------------------------------------------------------------------------------


def undoing(plan: Any, **compensate: str) -> Any:
    return replace(plan, compensate=compensate, on_cancel="compensate")


def test_a_cancel_undoes_what_completed_and_not_the_branch_that_was_cut_short() -> None:
    async def scenario(rig: Rig) -> None:
        plan = undoing(
            graph("a b c z unA unB unC", "a>b a>c b>z c>z", terminal="z"), a="unA", b="unB", c="unC"
        )
        plan = with_node(plan, "c", kind="sleep", config={"duration_ms": 600_000})
        run = await rig.start(await keep(rig, plan), {"n": 1})
        await rig.until(run, lambda head: head.status == "WAITING_ON_GATE")
        assert await cancel(rig.store, rig.clock, "default", run, "enough") == "COMPENSATING"
        head = await rig.until(run, lambda head: head.status == "COMPENSATING")
        assert (await rig.ended(run)).status == "CANCELLED"
        undone = [name for name in starts(await rig.kinds(run)) if name.startswith("un")]
        assert undone == ["unB 1", "unA 1"], "the latest first, and nothing for what was cut short"
        assert (await rig.history(run))[-1].body == {"reason": "enough"}
        assert head.execution_id == run

    rigged(scenario)


def test_a_compensation_has_its_own_retries_and_one_that_fails_does_not_stop_the_others() -> None:
    async def scenario(rig: Rig) -> None:
        retry = {"unB": Retry(max_attempts=2, initial_interval_ms=5_000)}
        plan = undoing(graph("a b s unA unB", "a>b b>s", terminal="s", retry=retry), a="unA", b="unB")
        plan = with_node(plan, "s", kind="sleep", config={"duration_ms": 600_000})
        run = await rig.start(await keep(rig, plan, unB=failing(9)), {"n": 1})
        await rig.until(run, lambda head: head.status == "WAITING")
        assert await cancel(rig.store, rig.clock, "default", run) == "COMPENSATING"
        again = await cancel(rig.store, rig.clock, "default", run)
        assert again in ("COMPENSATING", "CANCELLED")
        assert (await rig.ended(run)).status == "CANCELLED"
        undone = [name for name in starts(await rig.kinds(run)) if name.startswith("un")]
        assert undone == ["unB 1", "unB 2", "unA 1"]

    rigged(scenario)


def test_a_cancel_with_nothing_to_undo_is_a_cancel() -> None:
    async def scenario(rig: Rig) -> None:
        plan = undoing(graph("s b unB", "s>b", terminal="b"), b="unB")
        plan = with_node(plan, "s", kind="sleep", config={"duration_ms": 600_000})
        run = await rig.start(await keep(rig, plan, b=same), {"n": 1})
        await rig.until(run, lambda head: head.status == "WAITING")
        assert await cancel(rig.store, rig.clock, "default", run) == "CANCELLED"

    rigged(scenario)


def test_a_compensation_may_be_a_subflow() -> None:
    async def scenario(rig: Rig) -> None:
        child = await keep(rig, child_plan(), x=same, y=same)
        plan = undoing(graph("a s unA", "a>s", terminal="s"), a="unA")
        plan = with_node(calling(plan, "unA", child), "s", kind="sleep", config={"duration_ms": 600_000})
        run = await rig.start(await keep(rig, plan), {"n": 1})
        await rig.until(run, lambda head: head.status == "WAITING")
        assert await cancel(rig.store, rig.clock, "default", run) == "COMPENSATING"
        assert (await rig.ended(run)).status == "CANCELLED"
        (name,) = await children_of(rig, run)
        assert await rig.output(name) == {"n": 1}
        assert "NodeCompleted unA 1" in await rig.kinds(run)

    rigged(scenario)
