"""Pipeline runs over a real store: claimed, streamed while a reader follows, taken over, and at what speed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pipeline_kit import Ctx, Runs, flow

from axiom.runtime import events
from axiom.runtime.clock import Clock, SystemClock, VirtualClock, run_virtual
from axiom.runtime.events import Event
from axiom.runtime.pipeline import Finished, LostClaim, PipelineRun
from axiom.runtime.pipeline_layout import Frames
from axiom.runtime.pipeline_log import unpack
from axiom.runtime.store.base import Append, Create, Fence, Frame, Ok, Store
from axiom.runtime.store.memory import MemoryStore

Stream = AsyncGenerator[Any, None]
RUN = "00010000000000000000000000000001"


async def count(ctx: Ctx, frames: Frames) -> Stream:
    async for n in frames:
        for i in range(n):
            yield {"n": i}


async def ticks(ctx: Ctx, frames: Frames) -> Stream:
    async for n in frames:
        for i in range(n):
            await asyncio.sleep(0.01)
            yield {"n": i}


async def double(ctx: Ctx, frames: Frames) -> Stream:
    async for frame in frames:
        yield {"n": frame["n"] * 2}


async def begin(store: Store, session: str) -> Fence:
    """A new execution that ``session`` owns."""
    store.beater().beat(session, 60_000, {}, {})
    now = store.now()
    line = events.encode(Event(events.ACCEPTED, now))
    create = Create("default", "t/flow", "g" * 32, "pipeline", "default", session=session, epoch=now)
    item = Append(RUN, (line,), (events.crc(RUN, line),), now, after=0, status="RUNNING", create=create)
    assert await store.append([item]) == [Ok(1)]
    return Fence(session, now)


def run_of(runs: Runs, store: Store, fence: Fence, clock: Clock) -> PipelineRun:
    async def call(node: Any, value: Any, iteration: tuple[int, ...]) -> Any:
        raise AssertionError("no unary nodes here")

    return PipelineRun(
        execution_id=RUN,
        pipeline=runs.pipeline,
        input=runs.value,
        fence=fence,
        store=store,
        clock=clock,
        make_context=Ctx,
        call=call,
    )


def test_a_reader_that_follows_sees_every_frame_once_and_a_takeover_not_at_all() -> None:
    async def main() -> None:
        clock = VirtualClock()
        store = MemoryStore(clock)
        await store.open()
        runs = Runs(flow({"a": ticks, "b": double}, [("a", "b")]), 100)
        fence = await begin(store, "first")
        seen: list[Frame] = []

        async def read() -> None:
            while len(seen) < 100:
                seen.extend(await store.frames(RUN, "b", after=len(seen) - 1, limit=7))
                await asyncio.sleep(0.004)

        reader = asyncio.ensure_future(read())
        first = asyncio.ensure_future(run_of(runs, store, fence, clock).run())
        await asyncio.sleep(0.4)
        assert 0 < len(seen) < 100
        await store.end_session("first")
        store.beater().beat("second", 60_000, {}, {})
        (claimed,) = await store.claim("second", ["default"], 1)
        second = run_of(runs, store, Fence("second", claimed.head.epoch), clock)
        assert await second.run() == Finished(100)
        with pytest.raises(LostClaim) as lost:
            await first
        assert lost.value.reason == "fenced", "the first one still ran, and could write nothing"
        await reader
        assert [frame.index for frame in seen] == list(range(100))
        assert [unpack(frame.payload) for frame in seen] == [{"n": 2 * n} for n in range(100)]
        counts = await store.frame_counts(RUN)
        assert (await store.heads([RUN]))[0].frames == sum(counts.values())  # type: ignore[union-attr]
        await store.close()

    run_virtual(main())


def test_the_cost_of_a_stored_frame_does_not_grow_with_the_length_of_the_stream() -> None:
    """In time of this process, and with room for a busy machine: what is quadratic would cost ten times as much."""
    clock = SystemClock()

    async def cost(count_: int) -> float:
        store = MemoryStore(clock)
        await store.open()
        fence = await begin(store, "s")
        runs = Runs(flow({"a": count, "b": double}, [("a", "b")]), count_)
        begun = time.process_time()
        assert await run_of(runs, store, fence, clock).run() == Finished(count_)
        seconds = time.process_time() - begun
        await store.close()
        return seconds / count_

    short = max(asyncio.run(cost(3_000)) for _ in range(3))
    assert min(asyncio.run(cost(30_000)) for _ in range(3)) < 4 * short
