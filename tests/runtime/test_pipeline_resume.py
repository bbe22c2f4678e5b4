"""A worker dies at any append; its replacement goes on from the log, and no reader can tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_kit import Ctx, Runs, failure, flow

from axiom.runtime.clock import run_virtual
from axiom.runtime.limits import FRAME_PAGE
from axiom.runtime.pipeline import Broken, Finished, NodeBegan, ResumeAfter
from axiom.runtime.pipeline_layout import Frames, Handler, Pipeline
from axiom.runtime.pipeline_log import MARKS, unpack

Stream = AsyncGenerator[Any, None]


# --- kinds of deterministic nodes, as functions of what came and as handlers ------------------------------


@dataclass(frozen=True)
class Kind:
    step: Callable[[Any, int], tuple[Any, list[int]]]
    """``(state, input) -> (state, outputs)``"""
    end: Callable[[Any], list[int]] = lambda state: []
    most: int | None = None
    """Returns after so many inputs."""
    stateless: bool = False

    def outputs(self, inputs: list[int]) -> list[int]:
        state: Any = 0
        found: list[int] = []
        for value in inputs[: self.most]:
            state, out = self.step(state, value)
            found += out
        return found + self.end(state)

    def handler(self, delays: list[int]) -> Handler:
        async def handle(ctx: Ctx, frames: Frames) -> Stream:
            state: Any = 0
            taken = 0
            async for value in frames:
                if delay := delays[value % len(delays)]:
                    await asyncio.sleep(delay / 1000)
                state, out = self.step(state, value)
                for output in out:
                    yield output
                taken += 1
                if taken == self.most:
                    break
            for output in self.end(state):
                yield output

        return handle


KINDS = {
    "map": Kind(lambda s, n: (s, [n + 1]), stateless=True),
    "twice": Kind(lambda s, n: (s, [n, -n])),
    "odd": Kind(lambda s, n: (s, [n] if n % 2 else []), stateless=True),
    "sums": Kind(lambda s, n: ((s * 31 + n) % 1009, [(s * 31 + n) % 1009])),
    "total": Kind(lambda s, n: (s + n, []), lambda s: [s]),
    "some": Kind(lambda s, n: (s, [n]), most=5),
    "unary": Kind(lambda s, n: (s, [n * 3]), stateless=True),
}


@dataclass(frozen=True)
class Graph:
    kinds: list[str]
    edges: list[tuple[int, int, bool]]
    """``(source, target, only even numbers)``"""
    resume: list[str]
    delays: list[int]
    size: int

    def pipeline(self) -> Pipeline:
        def numbers(ctx: Ctx, frames: Frames) -> Stream:
            return _numbers(frames, self.delays)

        handlers: dict[str, Handler | None] = {"n0": numbers}
        for n, kind in enumerate(self.kinds, 1):
            handlers[f"n{n}"] = None if kind == "unary" else KINDS[kind].handler(self.delays)
        edges: list[Any] = [
            (f"n{s}", f"n{t}", {"condition": _even}) if even else (f"n{s}", f"n{t}")
            for s, t, even in self.edges
        ]
        return flow(handlers, edges, resume={f"n{n}": how for n, how in enumerate(self.resume, 1)})

    def runs(self) -> Runs:
        runs = Runs(self.pipeline(), self.size)
        for n in range(1, len(self.kinds) + 1):
            runs.unary[f"n{n}"] = lambda value: value * 3
        return runs

    def audit(self, runs: Runs) -> None:
        """Each node's frames are what it makes of its sources' frames, in log order; ended nodes made all of them."""
        ended = runs.log.marks("ended")
        assert f"n{len(self.kinds)}" in ended
        for n, kind in enumerate(self.kinds, 1):
            fed: list[int] = []
            for frame in runs.log.entries:
                if frame.node != MARKS:
                    value = unpack(frame.payload)
                    fed += [
                        value
                        for s, t, even in self.edges
                        if t == n and frame.node == f"n{s}" and (not even or _even(value))
                    ]
            made, could = runs.log.values(f"n{n}"), KINDS[kind].outputs(fed)
            if f"n{n}" in ended:
                assert made == could, f"{kind} n{n}"
            else:
                assert made == could[: len(made)], f"{kind} n{n}"


def _even(value: int) -> bool:
    return value % 2 == 0


async def _numbers(frames: Frames, delays: list[int]) -> Stream:
    async for size in frames:
        for n in range(size):
            if delay := delays[n % len(delays)]:
                await asyncio.sleep(delay / 1000)
            yield n


@st.composite
def graphs(draw: st.DrawFn, merges: bool = True) -> Graph:
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5))
    edges: set[tuple[int, int]] = set()
    for target in range(1, len(kinds) + 1):
        most = 2 if merges else 1
        sources = draw(st.lists(st.integers(0, target - 1), min_size=1, max_size=most, unique=True))
        edges |= {(source, target) for source in (sources if merges else [target - 1])}
    for source in range(len(kinds)):
        if not any(s == source for s, _ in edges):
            edges.add((source, len(kinds)))
    return Graph(
        kinds,
        [(s, t, draw(st.booleans())) for s, t in sorted(edges)],
        [draw(st.sampled_from(["skip", "continue"] if KINDS[k].stateless else ["skip"])) for k in kinds],
        draw(st.lists(st.sampled_from([0, 0, 0, 1, 3, 7]), min_size=1, max_size=7)),
        draw(st.sampled_from([0, 1, 7, 70, 200])),
    )


crashes = st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=4)


@settings(max_examples=250, deadline=None)
@given(graphs(), crashes)
def test_whatever_the_graph_and_wherever_workers_die_the_log_is_that_of_one_run(
    graph: Graph, crashes: list[tuple[int, bool]]
) -> None:
    """With merges the order may differ from an undisturbed run's; it must be the order of some undisturbed run."""

    async def main() -> None:
        runs = graph.runs()
        for append, written in crashes:
            await runs.until(append, written)
        result = await runs.whole()
        graph.audit(runs)
        assert result == Finished(len(runs.log.of(f"n{len(graph.kinds)}")))

    run_virtual(main())


@settings(max_examples=100, deadline=None)
@given(graphs(merges=False), crashes)
def test_without_merges_the_terminals_frames_are_those_of_the_undisturbed_run(
    graph: Graph, crashes: list[tuple[int, bool]]
) -> None:
    async def main() -> None:
        undisturbed, runs = graph.runs(), graph.runs()
        await undisturbed.whole()
        for append, written in crashes:
            await runs.until(append, written)
        await runs.whole()
        terminal = f"n{len(graph.kinds)}"
        assert runs.log.values(terminal) == undisturbed.log.values(terminal)

    run_virtual(main())


# --- one by one -------------------------------------------------------------------------------------------


async def count(ctx: Ctx, frames: Frames) -> Stream:
    async for n in frames:
        for i in range(n):
            if i % 50 == 0:
                await asyncio.sleep(0.01)
            yield i


async def double(ctx: Ctx, frames: Frames) -> Stream:
    async for n in frames:
        yield n * 2


def test_a_crash_at_every_append_of_a_chain_changes_nothing() -> None:
    async def main() -> None:
        whole = Runs(flow({"a": count, "b": double, "c": double}, [("a", "b"), ("b", "c")]), 300)
        await whole.whole()
        assert whole.log.appends > 5
        for append in range(1, whole.log.appends + 1):
            for written in (False, True):
                runs = Runs(whole.pipeline, 300)
                await runs.until(append, written)
                assert await runs.whole() == Finished(300)
                assert runs.log.streams() == whole.log.streams()

    run_virtual(main())


def test_a_merge_is_fed_in_the_same_order_again() -> None:
    fed: list[list[Any]] = []

    async def merge(ctx: Ctx, frames: Frames) -> Stream:
        mine: list[Any] = []
        fed.append(mine)
        async for n in frames:
            mine.append(n)
            yield n

    async def sleepy(ctx: Ctx, frames: Frames) -> Stream:
        async for n in frames:
            if n % 7 == 0:
                await asyncio.sleep(0.003)
            yield -n

    async def main() -> None:
        edges = [("a", "x"), ("a", "y"), ("x", "m"), ("y", "m")]
        runs = Runs(flow({"a": count, "x": sleepy, "y": double, "m": merge}, edges), 400)
        await runs.until(20, True)
        durable = len(runs.log.of("m"))
        assert 100 < durable < 800
        assert await runs.whole() == Finished(800)
        assert fed[0][:durable] == fed[1][:durable], "what had come of it is the same"
        assert len(fed[1]) == 800
        assert runs.log.values("m") == fed[1]

    run_virtual(main())


def test_skip_runs_the_handler_again_and_drops_what_is_known() -> None:
    made: list[int] = []

    async def effect(ctx: Ctx, frames: Frames) -> Stream:
        assert ctx.resume_after is None
        async for n in frames:
            made.append(n)
            yield n

    async def main() -> None:
        runs = Runs(flow({"a": count, "b": effect}, [("a", "b")]), 200)
        await runs.until(3, True)
        first = len(made)
        assert await runs.whole() == Finished(200)
        assert made[first:] == list(range(200))
        assert runs.log.values("b") == list(range(200))
        assert NodeBegan("b", True) in runs.events

    run_virtual(main())


def test_skip_with_other_output_ends_the_run_and_splices_nothing() -> None:
    lives = 0

    async def moody(ctx: Ctx, frames: Frames) -> Stream:
        nonlocal lives
        lives += 1
        async for n in frames:
            yield {"n": n, "life": lives if n == 40 else 0}

    async def main() -> None:
        runs = Runs(flow({"a": count, "b": moody}, [("a", "b")]), 200)
        await runs.until(3, True)
        known = runs.log.values("b")
        assert len(known) > 41
        result = await runs.whole()
        assert isinstance(result, Broken)
        assert (result.failure.code, result.node, result.frames) == ("stream_diverged", "b", len(known))
        assert "frame 40" in result.failure.message
        assert runs.log.values("b") == known

    run_virtual(main())


def test_skip_that_ends_before_the_log_does_has_diverged() -> None:
    lives = 0

    async def shorter(ctx: Ctx, frames: Frames) -> Stream:
        nonlocal lives
        lives += 1
        async for n in frames:
            if lives > 1 and n == 10:
                return
            yield n

    async def main() -> None:
        runs = Runs(flow({"a": count, "b": shorter}, [("a", "b")]), 200)
        await runs.until(3, True)
        known = len(runs.log.of("b"))
        result = await runs.whole()
        assert failure(result).code == "stream_diverged"
        assert result.frames == known

    run_virtual(main())


def test_the_order_of_an_objects_keys_is_no_divergence() -> None:
    lives = 0

    async def keys(ctx: Ctx, frames: Frames) -> Stream:
        nonlocal lives
        lives += 1
        async for n in frames:
            yield {"n": n, "m": 1} if lives == 1 else {"m": 1, "n": n}

    async def main() -> None:
        runs = Runs(flow({"a": count, "b": keys}, [("a", "b")]), 200)
        await runs.until(3, True)
        assert await runs.whole() == Finished(200)

    run_virtual(main())


def test_continue_goes_on_behind_its_last_durable_frame() -> None:
    class Tokens:
        """What no second run would make again."""

        made = 0

    async def sample(ctx: Ctx, frames: Frames) -> Stream:
        async for n in frames:
            if n % 2:
                Tokens.made += 1
                yield [n, Tokens.made]

    async def main() -> None:
        runs = Runs(flow({"a": count, "b": sample}, [("a", "b")], resume={"b": "continue"}), 300)
        await runs.until(4, True)
        known = runs.log.values("b")
        taken = runs.log.of("b")[-1].taken
        assert 0 < len(known) < 150
        assert await runs.whole() == Finished(150)
        assert runs.contexts["b"].resume_after == ResumeAfter(len(known), taken)
        assert runs.log.values("b")[: len(known)] == known
        assert [n for n, _ in runs.log.values("b")] == list(range(1, 300, 2)), "no gap, no repeat"

    run_virtual(main())


def test_continue_begins_like_any_other_when_it_has_no_frames() -> None:
    async def main() -> None:
        runs = Runs(flow({"a": count, "b": double}, [("a", "b")], resume={"b": "continue"}), 3)
        await runs.until(1, False)
        assert await runs.whole() == Finished(3)
        assert runs.contexts["b"].resume_after is None

    run_virtual(main())


@pytest.mark.parametrize("silent", [False, True])
def test_fail_ends_the_run_if_it_had_begun_with_or_without_a_frame(silent: bool) -> None:
    effects: list[int] = []

    async def once(ctx: Ctx, frames: Frames) -> Stream:
        async for n in frames:
            effects.append(n)
            await asyncio.sleep(0.01)
            if not silent or n > 250:
                yield n

    async def main() -> None:
        runs = Runs(flow({"a": count, "b": once}, [("a", "b")], resume={"b": "fail"}), 300)
        await runs.until(4, True)
        assert effects
        before = list(effects)
        result = await runs.whole()
        assert failure(result).code == "stream_not_resumable"
        assert effects == before, "it was not run again"

    run_virtual(main())


def test_fail_begins_when_its_beginning_is_durable_and_not_before() -> None:
    effects: list[int] = []

    async def once(ctx: Ctx, frames: Frames) -> Stream:
        async for n in frames:
            effects.append(n)
            yield n

    async def main() -> None:
        runs = Runs(flow({"a": once}, [], resume={"a": "fail"}), 1)
        await runs.until(1, False)
        assert effects == []
        assert await runs.whole() == Finished(1)
        assert await runs.whole() == Finished(1), "one that has ended needs no resuming"
        assert effects == [1]

    run_virtual(main())


def test_a_unary_node_recomputes_nothing_that_is_logged() -> None:
    async def main() -> None:
        runs = Runs(flow({"a": count, "u": None, "b": double}, [("a", "u"), ("u", "b")]), 150)
        runs.unary["u"] = lambda n: n
        await runs.until(5, True)
        known = len(runs.log.of("u"))
        assert 0 < known < 150
        runs.calls.clear()
        assert await runs.whole() == Finished(150)
        assert [value for _, value, _ in runs.calls] == list(range(known, 150))
        assert [iteration for *_, iteration in runs.calls] == [(n,) for n in range(known, 150)]

    run_virtual(main())


def test_a_node_that_had_ended_does_not_run_again() -> None:
    begun: list[str] = []

    async def quick(ctx: Ctx, frames: Frames) -> Stream:
        begun.append("a")
        for i in range(10):
            yield i

    async def slow(ctx: Ctx, frames: Frames) -> Stream:
        async for n in frames:
            await asyncio.sleep(0.1)
            yield n

    async def main() -> None:
        runs = Runs(flow({"a": quick, "b": slow}, [("a", "b")]))
        await runs.until(4, True)
        assert runs.log.marks("ended") == ["a"]
        assert await runs.whole() == Finished(10)
        assert begun == ["a"]

    run_virtual(main())


def test_a_source_that_nobody_needs_any_more_does_not_run_again() -> None:
    begun: list[str] = []

    async def endless(ctx: Ctx, frames: Frames) -> Stream:
        begun.append(ctx.node.alias)
        n = 0
        while True:
            yield n
            n += 1

    async def first(ctx: Ctx, frames: Frames) -> Stream:
        async for n in frames:
            yield n
            break

    async def slow(ctx: Ctx, frames: Frames) -> Stream:
        async for n in frames:
            await asyncio.sleep(1)
            yield n

    async def main() -> None:
        runs = Runs(flow({"a": endless, "b": first, "c": slow}, [("a", "b"), ("b", "c")]))
        await runs.until(runs.log.appends + 2, True)
        if "b" in runs.log.marks("ended"):
            assert await runs.whole() == Finished(1)
            assert begun == ["a"]

    run_virtual(main())


def test_a_resume_reads_the_log_in_pages_and_not_what_it_does_not_need() -> None:
    async def slow(ctx: Ctx, frames: Frames) -> Stream:
        async for n in frames:
            if n > 1500:
                await asyncio.sleep(1)
            yield n

    async def main() -> None:
        resume = {"b": "continue"}
        runs = Runs(flow({"a": count, "b": slow}, [("a", "b")], resume=resume), 2000)
        append = 1
        await runs.until(40, True)
        known = len(runs.log.of("b"))
        assert known >= 1000
        runs.log.reads.clear()
        assert await runs.whole() == Finished(2000), append
        assert all(limit <= FRAME_PAGE for _, _, limit in runs.log.reads)
        bs = [after for node, after, _ in runs.log.reads if node == "b"]
        assert bs == [known - 2], "of its own frames the last one only"

    run_virtual(main())
