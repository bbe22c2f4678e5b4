"""What a new owner makes of the log that it finds: each node as the log has left it, ready to be started.

A node is over if the log holds its end, or its failure where an error branch took that, or if everyone who takes its
frames is over. The others get the logged part of their input, and where they stand in it (``on_resume``). A run that
is new is taken up like any other, from an empty log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from .failures import Failure
from .pipeline_input import Break, Fed, Item
from .pipeline_layout import Pipe, Pipeline, Stage
from .pipeline_log import Failed, Former, LogReader, Pages, pack
from .pipeline_node import NodeRun, ResumeAfter


class NodeEnded(NamedTuple):
    """A node's end is durable. A later owner tells it again."""

    node: str
    frames: int
    failure: Failure | None
    """If an ``on_error`` pipe took it."""


@dataclass
class TakenUp:
    """The nodes of a run before it starts, by number."""

    nodes: list[NodeRun]
    ended: list[NodeEnded] = field(default_factory=list)
    """What earlier owners have ended, sources first."""
    failures: int = 0
    """Failures among them that no error branch leads back from."""
    refused: tuple[str, Failure] | None = None
    """A node that can't be resumed, and why."""


async def take_up(
    pipeline: Pipeline,
    former: Former,
    value: Any,
    reader: LogReader,
    make: Callable[[Stage, int], NodeRun],
) -> TakenUp:
    """Return the nodes of a run whose input is ``value``; ``make(stage, pipes)`` makes a blank one."""
    taken = TakenUp([make(stage, max(1, len(pipeline.into[n]))) for n, stage in enumerate(pipeline.stages)])
    taken.nodes[pipeline.plan.terminal].output = pipeline.output
    preparing = _Preparing(pipeline, former, reader, taken)
    for number in reversed(pipeline.order):
        preparing.settle(number)
    for number in pipeline.order:
        await preparing.prepare(taken.nodes[number], value)
    return taken


class _Preparing:
    def __init__(self, pipeline: Pipeline, former: Former, reader: LogReader, taken: TakenUp) -> None:
        self._pipeline: Final = pipeline
        self._former: Final = former
        self._reader: Final = reader
        self._taken: Final = taken
        self._nodes: Final = taken.nodes

    def settle(self, number: int) -> None:
        """Say whether a node is over; its targets have been settled."""
        former, node = self._former, self._nodes[number]
        node.made = former.counts.get(node.alias, 0)
        failed = former.failed.get(node.alias)
        if failed is not None and not failed.handled:
            node.broken = Break(self._taken.failures, node.alias, _failure(failed))
            self._taken.failures += 1
        ended = failed is not None or node.alias in former.ended
        node.done = ended or self._pipeline.unneeded(number, lambda target: self._nodes[target].done)
        if ended:
            event = NodeEnded(node.alias, node.made, _failure(failed) if failed is not None else None)
            self._taken.ended.insert(0, event)

    async def prepare(self, node: NodeRun, value: Any) -> None:
        """Give a node its inputs, and its place in them."""
        if node.done:
            node.input.close()
            return
        pipes = self._pipeline.into[node.number]
        if not pipes:
            node.input.push(self._pipeline.entry, 0, pack(value))
        node.input.open = sum(not self._nodes[pipe.edge.source].done for pipe in pipes)
        await self._place(node)
        node.input.fed = self._fed(node)

    async def _place(self, node: NodeRun) -> None:
        count = node.made
        unary = node.stage.handler is None
        mode = "continue" if unary else node.node.on_resume
        if mode == "fail" and (node.alias in self._former.begun or count):
            message = f"{node.alias} had begun in a worker that is gone, and says that it can't be resumed"
            failure = Failure("stream_not_resumable", message, retryable=False)
            self._taken.refused = self._taken.refused or (node.alias, failure)
        elif count and mode == "skip":
            node.compare(self._reader.pages(node.alias, 0, count), count)
        elif count:
            last = await self._reader.last(node.alias, count)
            node.resume_after = ResumeAfter(count, last.taken)
            node.input.skip = last.taken

    def _fed(self, node: NodeRun) -> Fed | None:
        """The logged inputs of a node, ``None`` if there are none."""
        pipes = self._pipeline.into[node.number]
        first = 0
        if len(pipes) == 1 and pipes[0].plain and not pipes[0].edge.on_error:
            first = node.input.start_behind()
        by_source: dict[int, list[Pipe]] = {}
        for pipe in pipes:
            by_source.setdefault(pipe.edge.source, []).append(pipe)
        sources: list[tuple[Pages, list[Pipe]]] = []
        failures: list[tuple[int, list[Item]]] = []
        for number, those in by_source.items():
            alias = self._nodes[number].alias
            count = self._former.counts.get(alias, 0)
            normal = [pipe for pipe in those if not pipe.edge.on_error]
            if normal and count > first:
                sources.append((self._reader.pages(alias, first, count), normal))
            if alias in self._former.failed:
                failures.append((self._former.failed[alias].position, self._failure_over(number, those)))
        return Fed(sources, failures) if sources or failures else None

    def _failure_over(self, number: int, pipes: list[Pipe]) -> list[Item]:
        """What the logged failure of a source brings over ``pipes``."""
        source = self._nodes[number]
        payload = pack(self._former.failed[source.alias].error)
        items: list[Item] = [(pipe, 0, payload) for pipe in pipes if pipe.edge.on_error]
        if source.broken is not None and any(not pipe.edge.on_error for pipe in pipes):
            items.append(source.broken)
        return items


def _failure(failed: Failed) -> Failure:
    return Failure(failed.error["code"], failed.error["message"], retryable=False)
