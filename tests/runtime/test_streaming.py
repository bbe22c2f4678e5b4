"""A worker's side of a pipeline run: drained, taken over again and again, given up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from graphs import graph
from rigs import Rig

from axiom.compiler.artifact import Plan
from axiom.runtime import events as e
from axiom.runtime.clock import VirtualClock, run_virtual
from axiom.runtime.limits import POISON_TAKEOVERS
from axiom.runtime.store.memory import MemoryStore
from axiom.runtime.worker import Worker


def rigged(scenario: Callable[[Rig], Any]) -> None:
    async def run() -> None:
        clock = VirtualClock(seed=1)
        store = MemoryStore(clock)
        await store.open()
        rig = Rig(store, clock)
        try:
            await scenario(rig)
            await rig.check()
        finally:
            await rig.stop()
            await store.close()

    run_virtual(run())


def pipeline() -> Plan:
    plan = graph("a", "", mode="pipeline")
    return replace(plan, nodes=(replace(plan.nodes[0], type="pipeline"),))


def dies(rig: Rig, worker: Worker) -> None:
    """It ends without a word: no beat, no release."""
    for task in [*worker._tasks, worker._lease._task]:
        assert task is not None
        task.cancel()
    for execution in list(worker.executions.values()):
        execution.kill()
    rig.workers.remove(worker)


async def frames_of(rig: Rig, run: str) -> list[int]:
    from axiom.runtime.pipeline_log import unpack

    return [unpack(frame.payload)["n"] for frame in await rig.store.frames(run, "a")]


def test_a_drained_stream_is_parked_where_it_stands_and_goes_on_elsewhere_without_a_takeover() -> None:
    async def scenario(rig: Rig) -> None:
        async def ticks(ctx: Any, frames: Any) -> Any:
            async for _ in frames:
                for n in range(20):
                    yield {"n": n}
                    await asyncio.sleep(1)

        first = await rig.worker()
        run = await rig.start(rig.add(pipeline(), {"a": ticks}))
        await rig.until(run, lambda head: head.frames >= 5)
        await first.drain()
        rig.workers.remove(first)
        head = await rig.head(run)
        assert (head.session, head.status) == (None, "RUNNING")
        await rig.worker()
        await rig.ended(run)
        assert e.TAKEN_OVER not in await rig.kinds(run)
        assert await frames_of(rig, run) == list(range(20))

    rigged(scenario)


def test_an_order_to_drain_that_comes_before_anyone_can_hear_it_is_obeyed() -> None:
    async def scenario(rig: Rig) -> None:
        async def endless(ctx: Any, frames: Any) -> Any:
            await asyncio.sleep(10**6)
            yield {"n": 0}

        worker = await rig.worker()
        adopt = worker.adopt

        def adopt_while_leaving(*claim: Any) -> Any:
            worker._draining = True  # the order comes while the claim is on its way
            return adopt(*claim)

        worker.adopt = adopt_while_leaving  # type: ignore[method-assign]
        run = await rig.start(rig.add(pipeline(), {"a": endless}))
        await rig.until(run, lambda head: head.epoch > 0)
        began = rig.clock.monotonic()
        await worker.drain()
        rig.workers.remove(worker)
        assert rig.clock.monotonic() - began < 1
        assert (await rig.head(run)).session is None

    rigged(scenario)


def test_a_stream_that_kills_its_workers_and_makes_no_frame_is_poisoned() -> None:
    async def scenario(rig: Rig) -> None:
        begun = asyncio.Event()

        async def deadly(ctx: Any, frames: Any) -> Any:
            yield {"n": 0}
            begun.set()
            await asyncio.sleep(10**6)

        run = await rig.start(rig.add(pipeline(), {"a": deadly}))
        deaths = 0
        while (await rig.head(run)).status not in ("FAILED", "COMPLETED"):
            begun.clear()
            worker = await rig.worker()
            done = asyncio.ensure_future(rig.ended(run))
            await asyncio.wait((done, asyncio.ensure_future(begun.wait())), return_when="FIRST_COMPLETED")
            if done.done():
                break
            done.cancel()
            dies(rig, worker)
            deaths += 1
        last = (await rig.history(run))[-1]
        assert (last.body["code"], last.body["frames"]) == ("poisoned", 1)
        assert deaths == POISON_TAKEOVERS

    rigged(scenario)


def test_a_stream_that_gets_on_outlives_any_number_of_workers() -> None:
    async def scenario(rig: Rig) -> None:
        made = asyncio.Event()
        total = 2 * POISON_TAKEOVERS

        async def slow(ctx: Any, frames: Any) -> Any:
            known = len(await frames_of(rig, ctx.execution_id))
            for n in range(total):
                yield {"n": n}
                if n == known:
                    made.set()
                    await asyncio.sleep(30)

        run = await rig.start(rig.add(pipeline(), {"a": slow}))
        for deaths in range(total):
            made.clear()
            worker = await rig.worker()
            await made.wait()
            await rig.until(run, lambda head, least=deaths + 1: head.frames >= least)
            dies(rig, worker)
        await rig.worker()
        assert (await rig.ended(run)).status == "COMPLETED"
        assert await frames_of(rig, run) == list(range(total))

    rigged(scenario)
