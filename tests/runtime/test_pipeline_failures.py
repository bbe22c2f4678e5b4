"""How runs fail and stop: failures travel behind the frames before them, error branches take them, nothing is left."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pipeline_kit import Ctx, Runs, failure, flow

from axiom.runtime.clock import run_virtual
from axiom.runtime.failures import NodeFailure
from axiom.runtime.limits import CANCEL_GRACE_SECONDS, FAILURE_DRAIN_SECONDS
from axiom.runtime.pipeline import Broken, Finished, NodeEnded, Stuck
from axiom.runtime.pipeline_layout import Frames

Stream = AsyncGenerator[Any, None]


async def five_then_fail(ctx: Ctx, frames: Frames) -> Stream:
    for i in range(5):
        yield i
    raise NodeFailure("the line went dead", code="line_dead")


async def same(ctx: Ctx, frames: Frames) -> Stream:
    async for n in frames:
        yield n


async def total(ctx: Ctx, frames: Frames) -> Stream:
    found = 0
    async for n in frames:
        found += n
    yield found


async def endless(ctx: Ctx, frames: Frames) -> Stream:
    n = 0
    while True:
        yield n
        n += 1
        await asyncio.sleep(0.01)


def test_a_failure_is_met_behind_the_frames_that_were_made_before_it() -> None:
    async def main() -> None:
        runs = Runs(flow({"a": five_then_fail, "b": same, "c": same}, [("a", "b"), ("b", "c")]))
        result = await runs.whole()
        assert isinstance(result, Broken)
        assert (result.failure.code, result.node, result.frames) == ("line_dead", "a", 5)
        assert runs.log.values("c") == [0, 1, 2, 3, 4]

    run_virtual(main())


def test_a_node_behind_a_failure_does_not_take_it_for_the_end_of_its_input() -> None:
    caught: list[str] = []

    async def careless(ctx: Ctx, frames: Frames) -> Stream:
        found = 0
        try:
            async for n in frames:
                found += n
        except Exception as error:
            caught.append(repr(error))
        finally:
            caught.append("closed")
        yield found

    async def main() -> None:
        runs = Runs(flow({"a": five_then_fail, "b": careless}, [("a", "b")]))
        assert failure(await runs.whole()).code == "line_dead"
        assert runs.log.values("b") == [], "no total of half an input"
        assert caught == ["closed"]

    run_virtual(main())


def test_a_terminal_that_needed_less_has_finished_all_the_same() -> None:
    async def three(ctx: Ctx, frames: Frames) -> Stream:
        async for n in frames:
            yield n
            if n == 2:
                return

    async def main() -> None:
        runs = Runs(flow({"a": five_then_fail, "b": three}, [("a", "b")]))
        assert await runs.whole() == Finished(3)

    run_virtual(main())


def test_a_merge_ends_with_the_failure_that_reaches_it_and_its_other_sources_are_stopped() -> None:
    async def main() -> None:
        edges = [("s", "a"), ("s", "e"), ("a", "m"), ("e", "m")]
        runs = Runs(flow({"s": same, "a": five_then_fail, "e": endless, "m": same}, edges), 0)
        result = await runs.whole()
        assert failure(result).code == "line_dead"
        assert [n for n in runs.log.values("m") if n > 0]

    run_virtual(main())


def test_work_behind_a_failure_has_its_time_and_no_more() -> None:
    async def slow(ctx: Ctx, frames: Frames) -> Stream:
        async for n in frames:
            await asyncio.sleep(FAILURE_DRAIN_SECONDS / 2.5)
            yield n

    async def main() -> None:
        runs = Runs(flow({"a": five_then_fail, "b": slow}, [("a", "b")]))
        result = await runs.whole()
        assert (failure(result).code, result.frames) == ("line_dead", 2)
        assert runs.clock.monotonic() == pytest.approx(FAILURE_DRAIN_SECONDS, abs=0.1)

    run_virtual(main())


def test_an_error_branch_that_rejoins_handles_the_failure() -> None:
    async def main() -> None:
        edges = [("a", "b"), ("a", "h", {"on_error": True}), ("b", "m"), ("h", "m")]
        runs = Runs(flow({"a": five_then_fail, "b": total, "h": same, "m": same}, edges))
        assert await runs.whole() == Finished(2)
        error = {"code": "line_dead", "message": "the line went dead", "node": "a", "attempt": 1}
        assert sorted(runs.log.values("m"), key=str) == [10, error], "to the others it had just ended"
        told = next(e for e in runs.events if isinstance(e, NodeEnded) and e.node == "a")
        assert told.failure is not None
        assert told.failure.code == "line_dead"

    run_virtual(main())


def test_an_error_branch_without_an_error_never_runs() -> None:
    async def main() -> None:
        edges = [("a", "b"), ("a", "h", {"on_error": True}), ("h", "m"), ("b", "m")]
        runs = Runs(flow({"a": same, "b": same, "h": total, "m": same}, edges), 4)
        assert await runs.whole() == Finished(1)
        assert runs.log.values("m") == [4]
        assert "h" not in runs.contexts

    run_virtual(main())


def test_an_error_branch_that_ends_runs_to_its_end_and_leaves_the_run_failed() -> None:
    done: list[Any] = []

    async def clean_up(ctx: Ctx, frames: Frames) -> Stream:
        async for error in frames:
            await asyncio.sleep(4 * FAILURE_DRAIN_SECONDS)
            done.append(error["code"])
            yield "cleaned"

    async def main() -> None:
        edges = [("a", "b"), ("a", "h", {"on_error": True})]
        runs = Runs(flow({"a": five_then_fail, "h": clean_up, "b": same}, edges))
        result = await runs.whole()
        assert isinstance(result, Broken)
        assert (result.failure.code, result.node, result.frames) == ("line_dead", "a", 5)
        assert done == ["line_dead"]

    run_virtual(main())


def test_an_error_branch_whose_condition_is_false_does_not_take_the_failure() -> None:
    async def main() -> None:
        option = {"on_error": True, "condition": lambda error: error["code"] == "other"}
        edges = [("a", "b"), ("a", "h", option), ("b", "m"), ("h", "m")]
        runs = Runs(flow({"a": five_then_fail, "b": same, "h": same, "m": same}, edges))
        assert failure(await runs.whole()).code == "line_dead"
        assert "h" not in runs.contexts

    run_virtual(main())


@pytest.mark.parametrize("rejoins", [True, False])
def test_a_failure_that_a_branch_has_taken_stands_after_a_crash(rejoins: bool) -> None:
    """The failing node is not run again: it might not fail, and then the branch's frames would have come of nothing."""
    lives: list[int] = []

    async def fails(ctx: Ctx, frames: Frames) -> Stream:
        lives.append(1)
        for i in range(5):
            await asyncio.sleep(0.001)
            yield i
        raise NodeFailure("no", code="no")

    async def slow(ctx: Ctx, frames: Frames) -> Stream:
        async for error in frames:
            for step in range(3):
                await asyncio.sleep(0.01)
                yield {**error, "step": step}

    edges = [("a", "b"), ("a", "h", {"on_error": True}), ("b", "m")] + [("h", "m")] * rejoins
    pipeline = flow({"a": fails, "b": same, "h": slow, "m": same}, edges)

    async def crash_at(append: int) -> bool:
        runs = Runs(pipeline)
        await runs.until(append, True)
        taken = bool(runs.log.marks("failed"))
        before = len(lives)
        result = await runs.whole()
        assert len(lives) == before + (not taken)
        assert [frame["step"] for frame in runs.log.values("h")] == [0, 1, 2]
        assert runs.log.values("b") == [0, 1, 2, 3, 4]
        if rejoins:
            assert result == Finished(8)
        else:
            assert isinstance(result, Broken)
            assert (result.failure.code, result.node, result.frames) == ("no", "a", 5)
        return taken

    async def main() -> None:
        assert {await crash_at(append) for append in range(1, 13)} == {True, False}

    run_virtual(main())


async def wrong_type(ctx: Ctx, frames: Frames) -> Stream:
    yield {1, 2}


async def invalid(ctx: Ctx, frames: Frames) -> Stream:
    yield "good"
    yield "bad"


async def huge(ctx: Ctx, frames: Frames) -> Stream:
    yield "x" * (17 << 20)


async def raises(ctx: Ctx, frames: Frames) -> Stream:
    yield 1
    raise KeyError("price")


async def exits(ctx: Ctx, frames: Frames) -> Stream:
    yield 1
    sys.exit(3)


async def cancels_itself(ctx: Ctx, frames: Frames) -> Stream:
    yield 1
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("handler", "code", "frames"),
    [
        (wrong_type, "output_invalid", 0),
        (invalid, "output_invalid", 1),
        (huge, "payload_too_large", 0),
        (raises, "handler_error", 1),
        (exits, "child_exited", 1),
        (cancels_itself, "handler_error", 1),
    ],
)
def test_whatever_a_handler_does_wrong_is_a_failure_with_a_code(handler: Any, code: str, frames: int) -> None:
    async def main() -> None:
        stages = {"a": {"violations": lambda value: "is bad" if value == "bad" else None}}
        result = await Runs(flow({"a": handler}, [], stages=stages)).whole()
        assert (failure(result).code, result.frames) == (code, frames)

    run_virtual(main())


@pytest.mark.parametrize("kind", ["condition", "carry"])
def test_an_edge_that_cannot_be_told_fails_its_target(kind: str) -> None:
    caught: list[str] = []

    async def catches(ctx: Ctx, frames: Frames) -> Stream:
        try:
            async for n in frames:
                yield n
        except Exception as error:
            caught.append(repr(error))

    async def main() -> None:
        runs = Runs(flow({"a": same, "b": catches}, [("a", "b", {kind: lambda n: n["missing"]})]), 1)
        result = await runs.whole()
        assert isinstance(result, Broken)
        assert (result.failure.code, result.node) == (
            "edge_condition" if kind == "condition" else "edge_adapter",
            "b",
        )
        assert not caught

    run_virtual(main())


def test_a_unary_nodes_failure_ends_it_behind_its_good_frames() -> None:
    async def three(ctx: Ctx, frames: Frames) -> Stream:
        for n in (1, 2, 0):
            yield n

    async def main() -> None:
        runs = Runs(flow({"a": three, "u": None}, [("a", "u")]))
        runs.unary["u"] = lambda n: 10 // n
        result = await runs.whole()
        assert (failure(result).types[0], result.frames) == ("ZeroDivisionError", 2)

    run_virtual(main())


def test_a_silent_handler_times_out_and_one_that_waits_for_others_does_not() -> None:
    async def slow(ctx: Ctx, frames: Frames) -> Stream:
        for n in range(4):
            await asyncio.sleep(8)
            yield n
        await asyncio.sleep(1000)

    async def main() -> None:
        runs = Runs(flow({"a": slow, "b": same}, [("a", "b")], timeout_seconds=10))
        result = await runs.whole()
        assert isinstance(result, Broken)
        assert (result.failure.code, result.node, result.frames) == ("timeout", "a", 4)
        assert 42 <= runs.clock.monotonic() <= 46

    run_virtual(main())


def test_a_cancelled_run_closes_every_handler_and_leaves_no_task() -> None:
    closed: list[str] = []

    async def tidy(ctx: Ctx, frames: Frames) -> Stream:
        try:
            while True:
                yield 1
                await asyncio.sleep(0.001)
        finally:
            await asyncio.sleep(0.01)
            closed.append(ctx.node.alias)

    async def sink(ctx: Ctx, frames: Frames) -> Stream:
        try:
            async for n in frames:
                yield n
        finally:
            closed.append(ctx.node.alias)

    async def main() -> None:
        runs = Runs(flow({"a": tidy, "b": sink}, [("a", "b")]))
        before = asyncio.all_tasks()
        task = asyncio.ensure_future(runs.new().run())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sorted(closed) == ["a", "b"]
        assert asyncio.all_tasks() == before
        assert runs.clock.monotonic() < 1.1
        appends = runs.log.appends
        await asyncio.sleep(1)
        assert runs.log.appends == appends

    run_virtual(main())


@pytest.mark.parametrize("held", ["by the log", "by its target"])
def test_a_handler_that_is_held_at_a_yield_is_closed_before_the_run_is_over(held: str) -> None:
    closed: list[str] = []

    async def tidy(ctx: Ctx, frames: Frames) -> Stream:
        try:
            while True:
                yield 1
        finally:
            await asyncio.sleep(0.01)
            closed.append(ctx.node.alias)

    async def slow(ctx: Ctx, frames: Frames) -> Stream:
        async for n in frames:
            yield n
            await asyncio.sleep(1000)

    async def main() -> None:
        runs = Runs(flow({"a": tidy, "b": slow if held == "by its target" else same}, [("a", "b")]))
        runs.log.seconds = 0.001 if held == "by its target" else 1000.0
        before = asyncio.all_tasks()
        task = asyncio.ensure_future(runs.new().run())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait((task,))
        assert closed == ["a"]
        assert asyncio.all_tasks() == before

    run_virtual(main())


def test_a_handler_that_fails_while_it_is_closed_changes_nothing() -> None:
    async def untidy(ctx: Ctx, frames: Frames) -> Stream:
        try:
            while True:
                yield 1
        finally:
            raise ValueError("no matter")

    async def first(ctx: Ctx, frames: Frames) -> Stream:
        async for n in frames:
            yield n
            return

    async def main() -> None:
        assert await Runs(flow({"a": untidy, "b": first}, [("a", "b")])).whole() == Finished(1)

    run_virtual(main())


def test_a_handler_that_yields_on_though_it_was_stopped_is_closed() -> None:
    async def stubborn(ctx: Ctx, frames: Frames) -> Stream:
        while True:
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                pass
            yield 1

    async def first(ctx: Ctx, frames: Frames) -> Stream:
        async for n in frames:
            yield n
            return

    async def main() -> None:
        assert await Runs(flow({"a": stubborn, "b": first}, [("a", "b")])).whole() == Finished(1)

    run_virtual(main())


def test_a_handler_that_ignores_its_cancellation_is_told_as_stuck() -> None:
    async def deaf(ctx: Ctx, frames: Frames) -> Stream:
        yield 1
        while not over:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                pass

    async def first(ctx: Ctx, frames: Frames) -> Stream:
        async for n in frames:
            yield n
            return

    over: list[bool] = []

    async def main() -> None:
        runs = Runs(flow({"a": deaf, "b": first}, [("a", "b")]))
        with pytest.raises(Stuck) as stuck:
            await runs.new().run()
        assert stuck.value.nodes == ["a"]
        assert runs.clock.monotonic() <= CANCEL_GRACE_SECONDS + 0.1
        over.append(True)
        await asyncio.sleep(2)

    run_virtual(main())
