"""One pipeline run, from the log that it finds to the frames that it leaves: frames in, frames through, frames kept.

Every node is a task; frames go from one to the next in memory, and in the order made into the execution's frame log
(``pipeline_log``). Readers read that log and nothing else, so that they see a frame when it is durable, see the same
frames whatever worker made them, and cost the run nothing.

The run is over when every node is. A node is over when

* its handler has returned: its consumers get the end of their input behind its last frame;
* all that take its frames are over, whether it has more or not: then it is stopped (an endless source behind a node
  that takes ten frames ends with it);
* it fails. The failure travels behind the frames made before it, and what it reaches ends with it; if it reaches an
  end of the graph, the run is ``Broken``. A terminal that needed less than that has finished all the same. An
  ``on_error`` pipe takes a failure out: its target gets it as one frame and, if it leads back to the terminal, the
  node counts as ended.

After a crash the same is worked out again from the log: nodes whose end it holds don't run, nor those that nobody
needs any more; the others do what their ``on_resume`` says (``pipeline_node``).

Nothing here writes the journal. The engine is told of nodes that begin and end (ends once they are durable, and once
more by each later owner), and makes the final event of what ``run`` returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple

from axiom.compiler.artifact import Node

from .clock import Clock
from .context import redacted_failure
from .failures import Failure
from .limits import CANCEL_GRACE_SECONDS, FAILURE_DRAIN_SECONDS, STREAM_BYTES
from .pipeline_input import Break
from .pipeline_layout import NOT_TAKEN, Pipe, Pipeline, Refused
from .pipeline_log import ENDED, FAILED, FrameLog, LogReader, LostClaim, pack
from .pipeline_node import NodeRun, ResumeAfter, Stuck
from .pipeline_takeup import NodeEnded, take_up
from .store.base import Fence, Store

MakeContext = Callable[[Node, ResumeAfter | None], Any]
"""Returns the ``ctx`` of a node's handler."""
NOTHING_OPENED: Final[Mapping[str, str]] = {}
Call = Callable[[Node, Any, tuple[int, ...]], Awaitable[Any]]
"""``call(node, input, iteration)``: one attempt or several of a unary node; its output, or a ``Failure``."""


class Finished(NamedTuple):
    """The stream is complete and durable."""

    frames: int
    """Of the terminal: what readers see."""


class Broken(NamedTuple):
    """The run has failed. What it made before is durable."""

    failure: Failure
    node: str
    frames: int


class NodeBegan(NamedTuple):
    """A node's handler starts, in this worker."""

    node: str
    resumes: bool
    """It has frames in the log."""


class NodeStopped(NamedTuple):
    """A node's handler was closed because nobody takes its frames any more."""

    node: str
    frames: int


PipelineEvent = NodeBegan | NodeEnded | NodeStopped


class PipelineRun:
    """See the top of the file."""

    def __init__(
        self,
        *,
        execution_id: str,
        pipeline: Pipeline,
        input: Any,
        fence: Fence,
        store: Store,
        clock: Clock,
        make_context: MakeContext,
        call: Call,
        on_event: Callable[[PipelineEvent], None] = lambda event: None,
        max_stream_bytes: int = STREAM_BYTES,
        opened: Mapping[str, str] = NOTHING_OPENED,
        timeout_of: Callable[[Node], float] = attrgetter("timeout_seconds"),
    ) -> None:
        self._execution_id: Final = execution_id
        self._pipeline: Final = pipeline
        self._input: Final = input
        self._fence: Final = fence
        self._store: Final = store
        self._clock: Final = clock
        self._make_context: Final = make_context
        self._call: Final = call
        self._on_event: Final = on_event
        self._max_stream_bytes: Final = max_stream_bytes
        self.opened: Final = opened
        """The values of the run's secrets, which may stand in no frame and no failure."""
        self.timeout_of: Final = timeout_of
        self._reader: Final = LogReader(store, clock, execution_id)
        self._nodes: list[NodeRun] = []
        self._left = 0
        """Nodes that are not over."""
        self._failures = 0
        self._fatal: Break | None = None
        self._over: asyncio.Future[None] | None = None
        self._closing = False
        self._stuck = False
        self._cut: asyncio.TimerHandle | None = None
        self._writer: asyncio.Task[None] | None = None
        self.log: FrameLog | None = None

    async def run(self) -> Finished | Broken:
        """Run to the end. ``LostClaim`` if the run is no longer this owner's; ``Stuck`` if a handler won't stop.

        When it is cancelled, or raises, everything of the run has been stopped; what wasn't durable is dropped.
        """
        self._over = asyncio.get_running_loop().create_future()
        try:
            former = await self._reader.recall()
            self.log = log = FrameLog(self._store, self._clock, self._execution_id, self._fence, former)
            self._writer = self._clock.spawn(log.write(), "frame log")
            self._writer.add_done_callback(self._writer_ended)
            taken = await take_up(
                self._pipeline,
                former,
                self._input,
                self._reader,
                lambda stage, pipes: NodeRun(self, stage, log, self._clock, pipes, self._max_stream_bytes),
            )
            self._nodes, self._failures = taken.nodes, taken.failures
            for event in taken.ended:
                self._on_event(event)
            if taken.refused is None:
                self._begin_all()
            else:
                self.fatal(*taken.refused)
            await self._over
            await self._stop_nodes()
            await self._settled()
            return self._result()
        finally:
            await self._close()

    # --- beginning ------------------------------------------------------------------------------------------------

    def _begin_all(self) -> None:
        """Start the nodes that have something to do."""
        for node in self._nodes:
            node.out = [
                (self._nodes[pipe.edge.target].input, pipe) for pipe in self._pipeline.out[node.number]
            ]
        self._left = sum(not node.done for node in self._nodes)
        if not self._left:
            self._end()
        for number in self._pipeline.order:
            self._begin(self._nodes[number])

    def _begin(self, node: NodeRun) -> None:
        """Start a node, unless it only waits for a failure that may still come, or can't come any more."""
        if node.done or node.task is not None:
            return
        if self._pipeline.lazy(node.number) and node.input.fed is None and not node.input.pending:
            if node.input.open <= 0:
                self._settle_end(node)
            return
        self._on_event(NodeBegan(node.alias, bool(node.known or node.resume_after)))
        node.start(self._make_context, self._call)
        assert node.task is not None
        node.task.add_done_callback(lambda task: self._task_ended(node, task))

    # --- what nodes tell ------------------------------------------------------------------------------------------

    def finished(self, node: NodeRun) -> None:
        """Pass a node's end on to those behind it and those before it."""
        if node.done or self._closing:
            return
        assert self.log is not None
        if node.failure is not None:
            node.failure = redacted_failure(node.failure, self.opened)
        if node.stopped:
            self._on_event(NodeStopped(node.alias, node.made))
        elif node.broken is not None:
            self._pass_break(node)
        elif node.failure is not None:
            self._failed(node, node.failure)
        else:
            self._note_end(node, None, ENDED, node.alias)
        self._settle_end(node)

    def fatal(self, alias: str, failure: Failure) -> None:
        """End the run with ``failure``, at once."""
        if self._fatal is None:
            self._fatal = self._next_break(alias, redacted_failure(failure, self.opened))
        self._end()

    def lost(self, error: BaseException) -> None:
        """End the run with an exception: nothing more may be written."""
        self._stuck = self._stuck or isinstance(error, Stuck)
        assert self._over is not None
        if not self._over.done():
            self._over.set_exception(error)

    def _settle_end(self, node: NodeRun) -> None:
        node.done = True
        node.input.close()
        number = node.number
        for pipe in self._pipeline.out[number] + self._pipeline.rescues[number]:
            target = self._nodes[pipe.edge.target]
            target.input.end_pipe()
            if target.task is None:
                self._begin(target)
        for pipe in self._pipeline.into[number]:
            source = self._nodes[pipe.edge.source]
            if (
                not source.done
                and not source.stopped
                and self._pipeline.unneeded(source.number, self._is_done)
            ):
                self._stop(source)
        self._left -= 1
        if not self._left:
            self._end()

    def _is_done(self, number: int) -> bool:
        return self._nodes[number].done

    def _stop(self, node: NodeRun) -> None:
        node.stop()
        if node.task is None:
            self._settle_end(node)

    def _failed(self, node: NodeRun, failure: Failure) -> None:
        """Give a failure to those who asked for it; the others meet it behind the node's last frame."""
        assert self.log is not None
        rescues = self._pipeline.rescues[node.number]
        handled = False
        if rescues:
            error = {"code": failure.code, "message": failure.message, "node": node.alias, "attempt": 1}
            taken = [pipe for pipe in rescues if _takes(pipe, error)]
            handled = any(pipe.edge.target in self._pipeline.reaches for pipe in taken)
            self._note_end(node, failure, FAILED, node.alias, error, handled)
            for pipe in taken:
                target = self._nodes[pipe.edge.target]
                target.input.push(pipe, 0, pack(error))
                self._begin(target)
        if not handled:
            node.broken = self._next_break(node.alias, failure)
            self._pass_break(node)
            if self._cut is None:
                self._cut = self._clock.later(FAILURE_DRAIN_SECONDS, self._cut_off)

    def _pass_break(self, node: NodeRun) -> None:
        assert node.broken is not None
        for target, _ in node.out:
            target.push_break(node.broken)

    def _note_end(self, node: NodeRun, failure: Failure | None, kind: str, *what: Any) -> None:
        assert self.log is not None
        self.log.mark(kind, *what)
        event = NodeEnded(node.alias, node.made, failure)
        self.log.at_durable(lambda: self._on_event(event))

    def _next_break(self, alias: str, failure: Failure) -> Break:
        self._failures += 1
        return Break(self._failures - 1, alias, failure)

    def _cut_off(self) -> None:
        """The nodes before the terminal had their time to work on what was made before a failure."""
        first = _first(self._nodes)
        for node in self._nodes:
            if not node.done and node.number in self._pipeline.reaches:
                node.broken = node.broken or first
                node.interrupt()
                if node.task is None:
                    self._settle_end(node)

    def _task_ended(self, node: NodeRun, task: asyncio.Task[None]) -> None:
        """Catch what a node's task can't tell itself: it was cancelled before it began, or has a defect."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self.lost(error)
        elif task.cancelled() and not node.stopped and not node.done:
            self.lost(asyncio.CancelledError())
        elif not node.done:
            self.finished(node)

    def _writer_ended(self, writer: asyncio.Task[None]) -> None:
        if not writer.cancelled() and (error := writer.exception()) is not None:
            self.lost(error)

    # --- ending ---------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        assert self._over is not None
        if not self._over.done():
            self._over.set_result(None)

    async def _settled(self) -> None:
        """Wait until everything is durable, or the writer says that it can't be."""
        assert self.log is not None
        assert self._writer is not None
        if self.log.durable == self.log.made:
            return
        settling = self._clock.spawn(self.log.settle(), "frame log settles")
        try:
            await asyncio.wait((settling, self._writer), return_when=asyncio.FIRST_COMPLETED)
            if not settling.done():
                self._writer.result()
        finally:
            settling.cancel()

    def _result(self) -> Finished | Broken:
        frames = self._nodes[self._pipeline.plan.terminal].visible
        sinks = [node for node in self._nodes if not self._pipeline.out[node.number]]
        broken = self._fatal or _first(sinks)
        return Finished(frames) if broken is None else Broken(broken.failure, broken.node, frames)

    async def _stop_nodes(self) -> None:
        """Stop what still runs and wait for it. ``Stuck`` if that doesn't help."""
        self._closing = True
        if self._cut is not None:
            self._cut.cancel()
        tasks = {
            node.task: node.alias for node in self._nodes if node.task is not None and not node.task.done()
        }
        for node in self._nodes:
            if not node.done:
                node.stop()
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=CANCEL_GRACE_SECONDS)
            if pending:
                self._stuck = True
                raise Stuck([tasks[task] for task in pending])

    async def _close(self) -> None:
        writer = self._writer
        if writer is not None:
            writer.cancel()
        if not self._stuck:
            await self._stop_nodes()
        if writer is not None:
            await asyncio.wait((writer,))
        if self._over is not None and self._over.done() and not self._over.cancelled():
            self._over.exception()


def _first(nodes: Sequence[NodeRun]) -> Break | None:
    """The oldest failure that reached one of these."""
    return min(
        (node.broken for node in nodes if node.broken is not None), key=lambda b: b.order, default=None
    )


def _takes(pipe: Pipe, error: dict[str, Any]) -> bool:
    try:
        return pipe.pass_on(error) is not NOT_TAKEN
    except Refused:
        return True


__all__ = [
    "Broken",
    "Finished",
    "LostClaim",
    "NodeBegan",
    "NodeEnded",
    "NodeStopped",
    "Pipeline",
    "PipelineEvent",
    "PipelineRun",
    "ResumeAfter",
    "Stuck",
]
