"""What frames go through: chains, branches, merges, adapters, the flow's output, and the ends of nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pipeline_kit import Ctx, Runs, flow

from axiom.compiler.artifact import FLOW_INPUT, Edge, Plan
from axiom.runtime.clock import run_virtual
from axiom.runtime.limits import FRAME_BUFFER
from axiom.runtime.pipeline import Finished, NodeBegan, NodeEnded, NodeStopped
from axiom.runtime.pipeline_layout import Frames, lay_out

Stream = AsyncGenerator[Any, None]


async def count(ctx: Ctx, frames: Frames) -> Stream:
    """The numbers below each input."""
    async for n in frames:
        for i in range(n):
            yield i


async def double(ctx: Ctx, frames: Frames) -> Stream:
    async for n in frames:
        yield n * 2


async def same(ctx: Ctx, frames: Frames) -> Stream:
    async for n in frames:
        yield n


async def total(ctx: Ctx, frames: Frames) -> Stream:
    found = 0
    async for n in frames:
        found += n
    yield found


def test_a_chain_makes_dense_frames_and_says_how_many() -> None:
    async def main() -> None:
        runs = Runs(flow({"a": count, "b": double}, [("a", "b")]), 200)
        assert await runs.whole() == Finished(200)
        assert runs.log.streams() == {"a": list(range(200)), "b": [2 * i for i in range(200)]}

    run_virtual(main())


def test_a_single_node_is_entry_and_terminal() -> None:
    async def main() -> None:
        runs = Runs(flow({"only": count}, []), 3)
        assert await runs.whole() == Finished(3)
        assert runs.log.values("only") == [0, 1, 2]

    run_virtual(main())


def test_the_entry_gets_the_runs_input_once() -> None:
    seen: list[Any] = []

    async def entry(ctx: Ctx, frames: Frames) -> Stream:
        async for value in frames:
            seen.append(value)
        yield "end"

    async def main() -> None:
        runs = Runs(flow({"a": entry}, []), {"order": 7})
        assert await runs.whole() == Finished(1)
        assert seen == [{"order": 7}]

    run_virtual(main())


def test_a_run_may_have_no_frames_at_all() -> None:
    async def main() -> None:
        runs = Runs(flow({"a": count, "b": double}, [("a", "b")]), 0)
        assert await runs.whole() == Finished(0)
        assert runs.log.streams() == {}

    run_virtual(main())


def test_conditions_drop_frames_and_adapters_change_them() -> None:
    async def main() -> None:
        edges = [("a", "b", {"condition": lambda n: n % 2 == 0, "carry": lambda n: n * 100})]
        runs = Runs(flow({"a": count, "b": same}, edges), 5)
        assert await runs.whole() == Finished(3)
        assert runs.log.values("b") == [0, 200, 400]
        assert [frame.taken for frame in runs.log.of("b")] == [1, 2, 3], "a dropped frame is not taken"

    run_virtual(main())


def test_a_nodes_frames_go_to_all_its_targets_and_a_merge_takes_them_in_log_order() -> None:
    async def main() -> None:
        edges = [
            ("a", "even", {"condition": lambda n: n % 2 == 0}),
            ("a", "all"),
            ("even", "m"),
            ("all", "m"),
        ]
        runs = Runs(flow({"a": count, "even": double, "all": same, "m": same}, edges), 300)
        assert await runs.whole() == Finished(450)
        fed = [frame for frame in runs.log.entries if frame.node in ("even", "all")]
        assert [frame.payload for frame in runs.log.of("m")] == [frame.payload for frame in fed]

    run_virtual(main())


def test_two_edges_between_the_same_nodes_carry_each_frame_twice() -> None:
    async def main() -> None:
        edges = [("a", "b"), ("a", "b", {"carry": lambda n: -n})]
        runs = Runs(flow({"a": count, "b": same}, edges), 3)
        assert await runs.whole() == Finished(6)
        assert runs.log.values("b") == [0, 0, 1, -1, 2, -2]

    run_virtual(main())


def test_no_consumer_sees_what_another_or_the_maker_changes_in_a_frame() -> None:
    async def reuse(ctx: Ctx, frames: Frames) -> Stream:
        async for _ in frames:
            frame = {"n": 0}
            for i in range(3):
                frame["n"] = i
                yield frame

    async def spoil(ctx: Ctx, frames: Frames) -> Stream:
        async for frame in frames:
            frame["n"] = "spoilt"
            yield frame

    async def main() -> None:
        edges = [("a", "b"), ("a", "c"), ("b", "m", {"condition": lambda n: False}), ("c", "m")]
        runs = Runs(flow({"a": reuse, "b": spoil, "c": same, "m": same}, edges), 0)
        assert await runs.whole() == Finished(3)
        assert runs.log.values("m") == runs.log.values("a") == [{"n": 0}, {"n": 1}, {"n": 2}]

    run_virtual(main())


def test_the_log_holds_what_readers_see_of_the_terminal() -> None:
    async def main() -> None:
        output = {"condition": lambda n: n > 1, "carry": lambda n: {"n": n}}
        runs = Runs(flow({"a": count, "b": same}, [("a", "b")], output=output), 4)
        assert await runs.whole() == Finished(2)
        assert runs.log.values("b") == [{"n": 2}, {"n": 3}]

    run_virtual(main())


def test_a_unary_node_is_called_once_for_each_frame() -> None:
    async def main() -> None:
        runs = Runs(flow({"a": count, "u": None, "b": same}, [("a", "u"), ("u", "b")]), 3)
        runs.unary["u"] = lambda n: n + 10
        assert await runs.whole() == Finished(3)
        assert runs.log.values("b") == [10, 11, 12]
        assert runs.calls == [("u", 0, (0,)), ("u", 1, (1,)), ("u", 2, (2,))]

    run_virtual(main())


def test_at_a_merge_a_unary_call_is_named_by_its_edge_and_its_number_there() -> None:
    """The order of a merge may come out differently after a crash; what names an effect must not."""

    async def main() -> None:
        edges = [("a", "x"), ("a", "y"), ("x", "u"), ("y", "u")]
        runs = Runs(flow({"a": count, "x": same, "y": double, "u": None}, edges), 5)
        runs.unary["u"] = lambda n: n
        assert await runs.whole() == Finished(10)
        assert {i: v for _, v, i in runs.calls} == {
            **{(3, n): n for n in range(5)},
            **{(4, n): 2 * n for n in range(5)},
        }

    run_virtual(main())


def test_typed_handlers_get_and_give_what_their_annotations_say() -> None:
    async def typed(ctx: Ctx, frames: Frames) -> Stream:
        async for pair in frames:
            assert isinstance(pair, tuple)
            yield pair + (1,)

    async def main() -> None:
        stages = {"b": {"decode": lambda n: (n,), "encode": list}}
        runs = Runs(flow({"a": count, "b": typed}, [("a", "b")], stages=stages), 2)
        assert await runs.whole() == Finished(2)
        assert runs.log.values("b") == [[0, 1], [1, 1]]

    run_virtual(main())


def test_beginnings_and_durable_ends_are_told() -> None:
    async def main() -> None:
        runs = Runs(flow({"a": count, "b": total}, [("a", "b")]), 4)
        await runs.whole()
        assert runs.events == [
            NodeBegan("a", False),
            NodeBegan("b", False),
            NodeEnded("a", 4, None),
            NodeEnded("b", 1, None),
        ]
        runs.events.clear()
        assert await runs.whole() == Finished(1)
        assert runs.events == [NodeEnded("a", 4, None), NodeEnded("b", 1, None)], (
            "told again, nothing run again"
        )

    run_virtual(main())


def test_an_endless_source_ends_with_the_node_that_took_enough() -> None:
    closed: list[str] = []

    async def endless(ctx: Ctx, frames: Frames) -> Stream:
        n = 0
        try:
            while True:
                yield n
                n += 1
        finally:
            closed.append(ctx.node.alias)

    async def take_ten(ctx: Ctx, frames: Frames) -> Stream:
        taken = 0
        async for n in frames:
            yield n
            taken += 1
            if taken == 10:
                return

    async def main() -> None:
        runs = Runs(flow({"a": endless, "b": same, "c": take_ten}, [("a", "b"), ("b", "c")]))
        assert await runs.whole() == Finished(10)
        assert closed == ["a"]
        assert runs.log.marks("ended") == ["c"], "those that were stopped have no end of their own"
        assert len(runs.log.of("a")) <= 4 * FRAME_BUFFER
        assert [event.node for event in runs.events if isinstance(event, NodeStopped)] == ["b", "a"]

    run_virtual(main())


def test_a_source_goes_on_for_as_long_as_one_of_its_targets_takes_frames() -> None:
    async def first(ctx: Ctx, frames: Frames) -> Stream:
        async for n in frames:
            yield n
            return

    async def main() -> None:
        edges = [("a", "x"), ("a", "y"), ("x", "m"), ("y", "m")]
        runs = Runs(flow({"a": count, "x": first, "y": same, "m": total}, edges), 1000)
        assert await runs.whole() == Finished(1)
        assert runs.log.values("m") == [sum(range(1000))]

    run_virtual(main())


def test_a_pull_that_timed_out_loses_no_frame() -> None:
    async def slow(ctx: Ctx, frames: Frames) -> Stream:
        for n in range(5):
            await asyncio.sleep(1)
            yield n

    async def windows(ctx: Ctx, frames: Frames) -> Stream:
        while True:
            try:
                yield await asyncio.wait_for(anext(frames), 0.3)
            except asyncio.TimeoutError:  # noqa: UP041
                yield "quiet"
            except StopAsyncIteration:
                return

    async def main() -> None:
        runs = Runs(flow({"a": slow, "b": windows}, [("a", "b")]), 0)
        await runs.whole()
        assert [n for n in runs.log.values("b") if n != "quiet"] == [0, 1, 2, 3, 4]
        assert "quiet" in runs.log.values("b")

    run_virtual(main())


def test_two_pulls_at_a_time_are_refused() -> None:
    async def slow(ctx: Ctx, frames: Frames) -> Stream:
        await asyncio.sleep(1)
        yield 1

    async def greedy(ctx: Ctx, frames: Frames) -> Stream:
        found = await asyncio.gather(anext(frames), anext(frames), return_exceptions=True)
        yield [repr(error) for error in found if isinstance(error, Exception)]

    async def main() -> None:
        runs = Runs(flow({"a": slow, "b": greedy}, [("a", "b")]), 0)
        await runs.whole()
        assert runs.log.values("b") == [["RuntimeError('frames are pulled by two tasks at once')"]]

    run_virtual(main())


@pytest.mark.parametrize("edges", [[Edge(0, 0, 0, loop=True)], [Edge(0, 0, 1), Edge(1, 1, 0)]])
def test_a_plan_with_a_loop_makes_no_pipeline(edges: list[Edge]) -> None:
    laid = flow({"a": count, "b": same}, [("a", "b")]).plan
    start = Edge(len(edges), FLOW_INPUT, 0)
    plan = Plan("t", "1.0.0", "pipeline", "M", "M", {}, laid.nodes, (*edges, start), 0, 1)
    with pytest.raises(ValueError, match="no loops"):
        lay_out(plan, [], [])
