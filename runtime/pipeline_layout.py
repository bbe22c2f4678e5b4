"""A plan in pipeline mode, laid out once per artifact: stages, the pipes between them, and who waits for whom.

A pipeline's graph has no loops and no gates. A node with several forward inputs takes their frames as they come; a
``join`` has no meaning here. Conditions drop frames, adapters change them, one by one, on their way into the target.

Nothing in here depends on a run.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from axiom.compiler.artifact import FLOW_INPUT, Edge, Node, Plan

from .failures import Failure

NOT_TAKEN: Final = object()
"""What a pipe gives for a frame that its condition drops."""

Frames = AsyncIterator[Any]
Handler = Callable[[Any, Frames], AsyncGenerator[Any, None]]
"""``f(ctx, frames)``: an async generator function."""


class Refused(Exception):
    """A message can't go on: the node that it was for, or that made it, fails with ``failure``."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Pipe:
    """An edge, compiled. Both functions must give the same for the same message: a resume asks them again."""

    edge: Edge
    condition: Callable[[Any], Any] | None = None
    """``message -> True`` if it passes."""
    carry: Callable[[Any], Any] | None = None
    """``message -> what arrives``: adapter and run-time check. Raises if it can't; an error's ``failure`` is used."""

    @property
    def plain(self) -> bool:
        """Whether every message arrives as it is."""
        return self.condition is None and self.carry is None

    def pass_on(self, message: Any) -> Any:
        """Return what arrives, or ``NOT_TAKEN``. ``Refused`` if that can't be told."""
        code = "edge_condition"
        try:
            if self.condition is not None and self.condition(message) is not True:
                return NOT_TAKEN
            code = "edge_adapter"
            return message if self.carry is None else self.carry(message)
        except Exception as error:
            known = getattr(error, "failure", None)
            if isinstance(known, Failure):
                raise Refused(known) from error
            text = f"edge {self.edge.number}: {type(error).__name__}: {error}"
            raise Refused(Failure(code, text, retryable=False)) from error


@dataclass(frozen=True, slots=True)
class Stage:
    """One node, bound."""

    node: Node
    handler: Handler | None = None
    """``None``: a unary node, called once for each frame through the run's ``call``."""
    violations: Callable[[Any], str | None] | None = None
    """What is wrong with an output, in words, or ``None``."""
    decode: Callable[[Any], Any] | None = None
    """Makes a frame of plain data what the handler is annotated with."""
    encode: Callable[[Any], Any] | None = None
    """The way back."""


@dataclass(frozen=True)
class Pipeline:
    """A whole plan, ready to be run as a pipeline; by node number where nothing else is said."""

    plan: Plan
    stages: tuple[Stage, ...]
    order: tuple[int, ...]
    """Node numbers, sources before targets."""
    into: tuple[tuple[Pipe, ...], ...]
    """Pipes from other nodes."""
    out: tuple[tuple[Pipe, ...], ...]
    """Normal pipes to other nodes: the ones that frames take."""
    rescues: tuple[tuple[Pipe, ...], ...]
    """``on_error`` pipes: the ones that a failure takes, as a single frame."""
    reaches: frozenset[int]
    """The nodes from which the terminal can be reached."""
    entry: Pipe
    output: Pipe | None
    """From the terminal to ``@flow_output``: what it gives is what the log holds and readers see."""

    @property
    def terminal(self) -> str:
        """The alias whose frames readers see."""
        return self.plan.nodes[self.plan.terminal].alias

    def unneeded(self, number: int, done: Callable[[int], bool]) -> bool:
        """Whether everyone who takes a node's frames is over, and there is someone."""
        return bool(self.out[number]) and all(done(pipe.edge.target) for pipe in self.out[number])

    def lazy(self, number: int) -> bool:
        """Whether a node is only there for failures: it starts when one comes, else never."""
        return bool(self.into[number]) and all(pipe.edge.on_error for pipe in self.into[number])


def lay_out(plan: Plan, stages: Sequence[Stage], pipes: Sequence[Pipe]) -> Pipeline:
    """Return the pipeline of ``plan``. ``stages`` by node number; ``pipes`` for all edges that do more than pass on.

    ``ValueError`` for a plan that no pipeline can be made of (a loop).
    """
    if any(edge.loop for edge in plan.edges):
        raise ValueError(f"{plan.name}: a pipeline flow has no loops")
    known = {pipe.edge.number: pipe for pipe in pipes}
    every = [known.get(edge.number) or Pipe(edge) for edge in plan.edges]
    inner = [pipe for pipe in every if pipe.edge.source >= 0 and pipe.edge.target >= 0]
    numbers = range(len(plan.nodes))
    into = tuple(tuple(pipe for pipe in inner if pipe.edge.target == n) for n in numbers)
    leaving = [[pipe for pipe in inner if pipe.edge.source == n] for n in numbers]
    start = (pipe for pipe in every if pipe.edge.source == FLOW_INPUT)
    return Pipeline(
        plan=plan,
        stages=tuple(stages),
        order=_order(plan, into),
        into=into,
        out=tuple(tuple(pipe for pipe in pipes if not pipe.edge.on_error) for pipes in leaving),
        rescues=tuple(tuple(pipe for pipe in pipes if pipe.edge.on_error) for pipes in leaving),
        reaches=_reaching(plan, into),
        entry=next(start, Pipe(Edge(-1, FLOW_INPUT, plan.entry))),
        output=None if plan.output_edge is None else every[plan.output_edge.number],
    )


def _order(plan: Plan, into: Sequence[Sequence[Pipe]]) -> tuple[int, ...]:
    """Kahn's algorithm, lowest number first."""
    missing = [len(pipes) for pipes in into]
    ready = [node.number for node in plan.nodes if not missing[node.number]]
    order: list[int] = []
    while ready:
        number = ready.pop(0)
        order.append(number)
        for edge in plan.outgoing[number]:
            if edge.target >= 0:
                missing[edge.target] -= 1
                if not missing[edge.target]:
                    ready.append(edge.target)
    if len(order) != len(plan.nodes):
        raise ValueError(f"{plan.name}: a pipeline flow has no loops")
    return tuple(order)


def _reaching(plan: Plan, into: Sequence[Sequence[Pipe]]) -> frozenset[int]:
    found: set[int] = set()
    work = [plan.terminal]
    while work:
        number = work.pop()
        if number not in found:
            found.add(number)
            work.extend(pipe.edge.source for pipe in into[number])
    return frozenset(found)
