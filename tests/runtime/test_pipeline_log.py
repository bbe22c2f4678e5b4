"""The frame log: order, back-pressure, what is done with each answer of the store, and what it costs."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from pipeline_kit import RUN, Ctx, Log, Runs, failure, flow, unclear_once

from axiom.runtime.clock import SystemClock, run_virtual
from axiom.runtime.limits import (
    BATCH_BYTES,
    FRAME_BUFFER,
    FRAME_BUFFER_BYTES,
    FRAMES_UNDURABLE,
    FRAMES_UNDURABLE_BYTES,
    STREAM_MARK_BYTES,
    UNCLEAR_SECONDS,
)
from axiom.runtime.pipeline import Finished, LostClaim
from axiom.runtime.pipeline_layout import Frames
from axiom.runtime.store.base import (
    Conflict,
    Final,
    Frame,
    FrameAppend,
    Missing,
    Ok,
    Outcome,
    Unavailable,
    Unusable,
)

Stream = AsyncGenerator[Any, None]


async def count(ctx: Ctx, frames: Frames) -> Stream:
    async for n in frames:
        for i in range(n):
            yield i


async def same(ctx: Ctx, frames: Frames) -> Stream:
    async for n in frames:
        yield n


CHAIN = flow({"a": count, "b": same}, [("a", "b")])


class Blackhole:
    """Answers like a store and keeps only numbers: what is left in memory is the run's own."""

    def __init__(self, clock: SystemClock) -> None:
        self.clock = clock
        self.appends = 0
        self.tail = 0

    async def append_frames(self, batch: Sequence[FrameAppend]) -> list[Outcome]:
        self.appends += 1
        assert batch[0].after == self.tail
        self.tail = batch[0].frames[-1].position
        await self.clock.sleep(0)
        return [Ok(self.tail)]

    async def frames(self, execution_id: str, node: str, after: int = -1, limit: int = 256) -> list[Frame]:
        raise AssertionError("nothing to read")

    async def frame_counts(self, execution_id: str) -> dict[str, int]:
        return {}


# --- back-pressure ------------------------------------------------------------------------------------------------


def test_what_is_made_and_not_durable_is_bounded_in_frames() -> None:
    made: list[int] = []

    async def counted(ctx: Ctx, frames: Frames) -> Stream:
        async for n in frames:
            for i in range(n):
                made.append(i)
                yield i

    async def main() -> None:
        runs = Runs(flow({"a": counted, "b": same}, [("a", "b")]), 5000)
        runs.log.seconds = 60.0
        task = asyncio.ensure_future(runs.new().run())
        await asyncio.sleep(30)
        assert runs.current is not None
        log = runs.current.log
        assert log is not None
        assert (log.made, log.durable, log.full) == (FRAMES_UNDURABLE, 0, True)
        assert len(made) <= FRAMES_UNDURABLE
        assert await task == Finished(5000)
        assert log.most_undurable <= FRAMES_UNDURABLE + 4, "and the marks"

    run_virtual(main())


def test_what_is_made_and_not_durable_is_bounded_in_bytes_and_so_is_a_batch() -> None:
    sizes: list[int] = []

    async def big(ctx: Ctx, frames: Frames) -> Stream:
        for _ in range(200):
            yield "x" * 100_000

    async def main() -> None:
        runs = Runs(flow({"a": big}, []))
        append = runs.log._append

        def watched(item: FrameAppend) -> Outcome:
            sizes.append(sum(len(frame.payload) for frame in item.frames))
            assert runs.current is not None
            assert runs.current.log is not None
            assert runs.current.log._bytes < FRAMES_UNDURABLE_BYTES + 100_010
            return append(item)

        runs.log._append = watched  # type: ignore[method-assign]
        assert await runs.whole() == Finished(200)
        assert max(sizes) <= BATCH_BYTES

    run_virtual(main())


def test_a_frame_larger_than_a_batch_goes_alone() -> None:
    async def big(ctx: Ctx, frames: Frames) -> Stream:
        yield "x"
        yield "x" * (BATCH_BYTES * 2)
        yield "x"

    async def main() -> None:
        runs = Runs(flow({"a": big, "b": same}, [("a", "b")]))
        assert await runs.whole() == Finished(3)

    run_virtual(main())


@pytest.mark.parametrize(("size", "most"), [(1, FRAME_BUFFER), (FRAME_BUFFER_BYTES // 4, 4)])
def test_a_slow_consumer_holds_its_source_back(size: int, most: int) -> None:
    made: list[int] = []

    async def source(ctx: Ctx, frames: Frames) -> Stream:
        for n in range(100):
            made.append(n)
            yield "x" * size

    async def slow(ctx: Ctx, frames: Frames) -> Stream:
        async for _ in frames:
            await asyncio.sleep(1)
            yield 1

    async def main() -> None:
        runs = Runs(flow({"a": source, "b": slow}, [("a", "b")]))
        task = asyncio.ensure_future(runs.new().run())
        for second in range(1, 20):
            await asyncio.sleep(1)
            assert len(made) <= most + second + 2
        assert await task == Finished(100)

    run_virtual(main())


def test_frames_that_are_ready_share_an_append_and_wait_for_no_others() -> None:
    async def main() -> None:
        runs = Runs(CHAIN, 2000)
        await runs.whole()
        assert runs.log.appends <= 2 + 4000 // (FRAMES_UNDURABLE // 2)

        async def rare(ctx: Ctx, frames: Frames) -> Stream:
            for n in range(5):
                await asyncio.sleep(10)
                yield n

        slow = Runs(flow({"a": rare}, []))
        task = asyncio.ensure_future(slow.new().run())
        for n in range(1, 6):
            await asyncio.sleep(10)
            await asyncio.sleep(0.01)
            assert len(slow.log.of("a")) == n, "durable at once"
        await task

    run_virtual(main())


def test_the_first_frame_is_on_its_way_before_a_burst_is_over() -> None:
    async def main() -> None:
        runs = Runs(CHAIN, 1000)
        sizes: list[int] = []
        append = runs.log._append

        def watched(item: FrameAppend) -> Outcome:
            sizes.append(len(item.frames))
            return append(item)

        runs.log._append = watched  # type: ignore[method-assign]
        await runs.whole()
        assert sizes[0] <= 2

    run_virtual(main())


# --- answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", [True, False])
def test_a_lost_answer_is_found_out_and_nothing_is_written_twice(written: bool) -> None:
    async def main() -> None:
        runs = Runs(CHAIN, 100)
        setattr(runs.log, "after" if written else "before", unclear_once(2))
        assert await runs.whole() == Finished(100)
        assert runs.log.values("b") == list(range(100))

    run_virtual(main())


def test_a_conflict_with_an_own_write_is_none() -> None:
    class Forgetful(Log):
        """Does not know a re-sent append for one."""

        def _append(self, item: FrameAppend) -> Outcome:
            if item.after != len(self.entries) and item.fence.epoch == self.epoch:
                return Conflict(len(self.entries))
            return super()._append(item)

    async def main() -> None:
        runs = Runs(CHAIN, 100)
        runs.log = Forgetful(runs.clock)
        runs.log.after = unclear_once(2)
        assert await runs.whole() == Finished(100)
        assert runs.log.values("b") == list(range(100))

    run_virtual(main())


def test_frames_that_someone_else_wrote_end_the_claim() -> None:
    async def main() -> None:
        runs = Runs(CHAIN, 5000)

        def intrude(number: int) -> None:
            if number == 3:
                tail = len(runs.log.entries)
                runs.log.entries.append(Frame(tail + 1, "a", 10**6, 0, b"\xc0"))

        runs.log.before = intrude
        with pytest.raises(LostClaim) as lost:
            await runs.new().run()
        assert lost.value.reason == "conflict"

    run_virtual(main())


def test_a_log_that_came_back_shorter_ends_the_claim_and_the_next_run_mends_it() -> None:
    async def main() -> None:
        runs = Runs(CHAIN, 5000)

        def lose(number: int) -> None:
            if number == 4:
                del runs.log.entries[-10:]

        runs.log.before = lose
        with pytest.raises(LostClaim) as lost:
            await runs.new().run()
        assert lost.value.reason == "tail_lost"
        runs.log.before = lambda n: None
        assert await runs.whole() == Finished(5000)
        assert runs.log.values("b") == list(range(5000))

    run_virtual(main())


@pytest.mark.parametrize(("outcome", "reason"), [(Final("CANCELLED"), "final"), (Missing(), "missing")])
def test_an_execution_that_is_over_ends_the_run(outcome: Outcome, reason: str) -> None:
    async def main() -> None:
        runs = Runs(CHAIN, 5000)
        append = runs.log._append
        runs.log._append = lambda item: outcome if runs.log.appends == 2 else append(item)  # type: ignore[method-assign]
        before = asyncio.all_tasks()
        with pytest.raises(LostClaim) as lost:
            await runs.new().run()
        assert lost.value.reason == reason
        assert asyncio.all_tasks() == before
        assert runs.log.appends == 2, "and nothing more is written"

    run_virtual(main())


def test_a_fenced_run_stops_and_its_frames_are_refused() -> None:
    async def main() -> None:
        runs = Runs(CHAIN, 5000)
        runs.log.before = lambda number: setattr(runs.log, "epoch", 2) if number == 2 else None
        with pytest.raises(LostClaim) as lost:
            await runs.new().run()
        assert lost.value.reason == "fenced"
        runs.log.before = lambda n: None
        assert await runs.whole() == Finished(5000)

    run_virtual(main())


@pytest.mark.parametrize(("error", "waits"), [(Unavailable("away"), True), (Unusable("read-only"), False)])
def test_a_store_that_does_not_answer_is_asked_again_for_a_while(error: Exception, waits: bool) -> None:
    async def main() -> None:
        runs = Runs(CHAIN, 10)

        def refuse(number: int) -> None:
            raise error

        runs.log.before = refuse
        with pytest.raises(LostClaim) as lost:
            await runs.new().run()
        assert lost.value.reason == "store"
        assert (runs.log.appends > 3) == waits
        assert runs.clock.monotonic() < UNCLEAR_SECONDS + 1

    run_virtual(main())


# --- size -------------------------------------------------------------------------------------------------


def test_a_run_that_makes_too_many_bytes_ends_with_its_own_code() -> None:
    async def main() -> None:
        runs = Runs(CHAIN, 10**6, max_stream_bytes=3000)
        result = await runs.whole()
        assert failure(result).code == "stream_too_large"
        payload = sum(len(frame.payload) for frame in runs.log.entries if frame.node != "@marks")
        assert 2990 <= payload <= 3000

    run_virtual(main())


def test_what_a_takeover_loses_count_of_is_bounded() -> None:
    async def big(ctx: Ctx, frames: Frames) -> Stream:
        for _ in range(100):
            yield "x" * 100_000

    async def main() -> None:
        most = 5 * STREAM_MARK_BYTES
        runs = Runs(flow({"a": big}, []), max_stream_bytes=most)
        await runs.until(4, True)
        result = await runs.whole()
        assert failure(result).code == "stream_too_large"
        payload = sum(len(frame.payload) for frame in runs.log.of("a"))
        assert most - 100_010 < payload < most + STREAM_MARK_BYTES + 100_010

    run_virtual(main())


def test_a_hundred_thousand_frames_take_no_more_memory_than_ten_thousand() -> None:
    async def most(frames: int) -> int:
        runs = Runs(CHAIN, frames)
        clock = SystemClock()
        runs.clock = clock  # type: ignore[assignment]
        tracemalloc.reset_peak()
        assert await runs.new(Blackhole(clock)).run() == Finished(frames)  # type: ignore[arg-type]
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        few, many = asyncio.run(most(10_000)), asyncio.run(most(100_000))
    finally:
        tracemalloc.stop()
    assert many < few + (256 << 10)
    assert many < 1 << 20


def test_the_cost_of_a_frame_does_not_grow_with_the_length_of_the_stream() -> None:
    """In time of this process, and with room for a busy machine: what is quadratic would cost ten times as much."""
    clock = SystemClock()

    async def cost(count: int) -> float:
        runs = Runs(CHAIN, count)
        runs.clock = clock  # type: ignore[assignment]
        begun = time.process_time()
        await runs.new(Blackhole(clock)).run()  # type: ignore[arg-type]
        return (time.process_time() - begun) / count

    short = max(asyncio.run(cost(5_000)) for _ in range(3))
    assert min(asyncio.run(cost(50_000)) for _ in range(3)) < 4 * short


def test_the_execution_is_named_in_every_append() -> None:
    async def main() -> None:
        runs = Runs(CHAIN, 3)
        seen: set[str] = set()
        append = runs.log._append

        def watched(item: FrameAppend) -> Outcome:
            seen.add(item.execution_id)
            return append(item)

        runs.log._append = watched  # type: ignore[method-assign]
        await runs.whole()
        assert seen == {RUN}

    run_virtual(main())
