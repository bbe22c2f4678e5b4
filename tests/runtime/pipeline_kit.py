"""Flows, a store and a runner for the tests of the pipeline mode."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from axiom.compiler.artifact import FLOW_INPUT, FLOW_OUTPUT, Edge, Node, Plan
from axiom.runtime.clock import Clock, VirtualClock
from axiom.runtime.failures import Failure, failure_of
from axiom.runtime.pipeline import Broken, Finished, PipelineEvent, PipelineRun, ResumeAfter
from axiom.runtime.pipeline_layout import Handler, Pipe, Pipeline, Stage, lay_out
from axiom.runtime.pipeline_log import MARKS, unpack
from axiom.runtime.store.base import Conflict, Fence, Fenced, Frame, FrameAppend, Ok, Outcome, Store, Unclear

RUN = "0" * 31 + "1"


class Log:
    """A frame log of one execution that is as strict as a store, slow as told, and fails where told."""

    def __init__(self, clock: Clock, seconds: float = 0.002) -> None:
        self.clock = clock
        self.seconds = seconds
        self.entries: list[Frame] = []
        self.epoch = 1
        self.appends = 0
        self.under_way = 0
        self.before: Callable[[int], None] = lambda n: None
        """Called with the number of an append before it is written."""
        self.after: Callable[[int], None] = lambda n: None
        """The same, between the write and its answer."""
        self.reads: list[tuple[str, int, int]] = []

    async def append_frames(self, batch: Sequence[FrameAppend]) -> list[Outcome]:
        self.under_way += 1
        assert self.under_way == 1, "one append at a time"
        try:
            self.appends += 1
            number = self.appends
            await self.clock.sleep(self.seconds)
            self.before(number)
            outcomes = [self._append(item) for item in batch]
            self.after(number)
            return outcomes
        finally:
            self.under_way -= 1

    def _append(self, item: FrameAppend) -> Outcome:
        if item.fence.epoch != self.epoch:
            return Fenced(self.epoch)
        first, last = item.frames[0].position, item.frames[-1].position
        if self.entries[first - 1 : last] == list(item.frames):
            return Ok(last)
        if item.after != len(self.entries):
            return Conflict(len(self.entries))
        for frame in item.frames:
            assert frame.position == len(self.entries) + 1, "positions are dense"
            self.entries.append(frame)
        return Ok(last)

    async def frames(self, execution_id: str, node: str, after: int = -1, limit: int = 256) -> list[Frame]:
        self.reads.append((node, after, limit))
        await self.clock.sleep(self.seconds / 4)
        return self.of(node)[after + 1 : after + 1 + limit]

    async def frame_counts(self, execution_id: str) -> dict[str, int]:
        counts: dict[str, int] = {}
        for frame in self.entries:
            counts[frame.node] = counts.get(frame.node, 0) + 1
        return counts

    def of(self, node: str) -> list[Frame]:
        return [frame for frame in self.entries if frame.node == node]

    def values(self, node: str) -> list[Any]:
        return [unpack(frame.payload) for frame in self.of(node)]

    def streams(self) -> dict[str, list[Any]]:
        """What each node made."""
        return {node: self.values(node) for node in {frame.node for frame in self.entries} - {MARKS}}

    def marks(self, kind: str) -> list[Any]:
        return [mark[1] for mark in self.values(MARKS) if mark[0] == kind]

    def check(self) -> None:
        """Positions and indexes are dense, and nothing was made from what stands behind it."""
        assert [frame.position for frame in self.entries] == list(range(1, len(self.entries) + 1))
        for node in {frame.node for frame in self.entries}:
            mine = self.of(node)
            assert [frame.index for frame in mine] == list(range(len(mine)))
            assert all(a.taken <= b.taken for a, b in pairwise(mine))


class Ctx:
    """What the kit's handlers get."""

    def __init__(self, node: Node, resume_after: ResumeAfter | None) -> None:
        self.node = node
        self.resume_after = resume_after


def flow(
    handlers: Mapping[str, Handler | None],
    edges: Sequence[tuple[Any, ...]],
    *,
    terminal: str | None = None,
    resume: Mapping[str, str] | None = None,
    timeout_seconds: float = 300.0,
    stages: Mapping[str, dict[str, Any]] | None = None,
    output: dict[str, Any] | None = None,
) -> Pipeline:
    """A pipeline: the first node is the entry, the last the terminal; ``None`` for a handler: unary.

    An edge is ``(source, target)`` or ``(source, target, {"on_error", "condition", "carry"})``.
    """
    aliases = list(handlers)
    number = {alias: n for n, alias in enumerate(aliases)}
    nodes = tuple(
        Node(
            n, alias, "p", "1.0.0", "", alias, "", "M", "M",
            type="unary" if handlers[alias] is None else "pipeline",
            on_resume=(resume or {}).get(alias, "skip"),  # type: ignore[arg-type]
            timeout_seconds=timeout_seconds,
        )
        for n, alias in enumerate(aliases)
    )  # fmt: skip
    made: list[Edge] = [Edge(0, FLOW_INPUT, 0)]
    pipes: list[Pipe] = []
    for source, target, *options in edges:
        extra = dict(options[0]) if options else {}
        edge = Edge(len(made), number[source], number[target], on_error=extra.pop("on_error", False))
        made.append(edge)
        if extra:
            pipes.append(Pipe(edge, **extra))
    end = number[terminal or aliases[-1]]
    if output is not None:
        edge = Edge(len(made), end, FLOW_OUTPUT)
        made.append(edge)
        pipes.append(Pipe(edge, **output))
    plan = Plan("t/flow", "1.0.0", "pipeline", "M", "M", {"M": True}, nodes, tuple(made), 0, end)
    bound = [Stage(node, handlers[node.alias], **(stages or {}).get(node.alias, {})) for node in nodes]
    return lay_out(plan, bound, pipes)


class Runs:
    """One execution, and the runs that own it one after the other."""

    def __init__(self, pipeline: Pipeline, value: Any = None, log: Log | None = None, **options: Any) -> None:
        self.pipeline = pipeline
        self.value = value
        self.clock = VirtualClock()
        self.log = log or Log(self.clock)
        self.options = options
        self.events: list[PipelineEvent] = []
        self.contexts: dict[str, Ctx] = {}
        self.calls: list[tuple[str, Any, tuple[int, ...]]] = []
        self.unary: dict[str, Callable[[Any], Any]] = {}
        self.current: PipelineRun | None = None

    def new(self, store: Store | None = None) -> PipelineRun:
        """The next owner's run."""
        self.current = PipelineRun(
            execution_id=RUN,
            pipeline=self.pipeline,
            input=self.value,
            fence=Fence("s", self.log.epoch),
            store=store or self.log,  # type: ignore[arg-type]
            clock=self.clock,
            make_context=self._context,
            call=self._call,
            on_event=self.events.append,
            **self.options,
        )
        return self.current

    def _context(self, node: Node, resume_after: ResumeAfter | None) -> Ctx:
        self.contexts[node.alias] = Ctx(node, resume_after)
        return self.contexts[node.alias]

    async def _call(self, node: Node, value: Any, iteration: tuple[int, ...]) -> Any:
        self.calls.append((node.alias, value, iteration))
        await self.clock.sleep(0)
        try:
            return self.unary[node.alias](value)
        except Exception as error:
            return failure_of(error)

    async def whole(self) -> Finished | Broken:
        """A run from here to its end; nothing of it may be left."""
        before = asyncio.all_tasks()
        result = await self.new().run()
        assert asyncio.all_tasks() == before, "no task is left"
        self.log.check()
        return result

    async def until(self, append: int, written: bool) -> None:
        """A run whose worker dies at that append, before or after it is written."""
        dying: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def die(number: int) -> None:
            if number == append:
                dying.set_result(None)
                raise asyncio.CancelledError

        start = self.log.appends
        append += start
        hook = "after" if written else "before"
        setattr(self.log, hook, die)
        before = asyncio.all_tasks()
        task = asyncio.ensure_future(self.new().run())
        await asyncio.wait((task, dying), return_when=asyncio.FIRST_COMPLETED)
        task.cancel()
        await asyncio.wait((task,))
        assert asyncio.all_tasks() == before, "no task is left"
        setattr(self.log, hook, lambda n: None)
        self.log.epoch += 1
        self.log.check()


def unclear_once(at: int) -> Callable[[int], None]:
    """A hook: the answer of that append is lost."""

    def hook(number: int) -> None:
        if number == at:
            raise Unclear("the answer was lost")

    return hook


def failure(result: Finished | Broken) -> Failure:
    """The failure of a run that must have one."""
    assert isinstance(result, Broken), result
    return result.failure
