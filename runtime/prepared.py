"""A plan made ready to run, once per artifact and worker: handlers bound, expressions and validators compiled.

Nothing in here depends on a run. Workers keep these by ``graph_id``, so that a run costs no graph work at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import jsonschema_rs

from axiom.compiler.artifact import Edge, Node, Plan, Schema
from axiom.compiler.expressions import EvaluationError, closure

from .failures import Failure
from .limiting import limits_of_node, limits_of_run
from .pipeline_layout import Pipe, Pipeline, Stage, lay_out
from .topology import Topology

Expression = Callable[[Any, Any], Any]
"""``(message, inputs) -> value``."""
VIOLATIONS_SHOWN: Final = 5


class Handler(Protocol):
    """What ``handlers.py`` makes of a node's function."""

    @property
    def function(self) -> Callable[..., Any]: ...
    @property
    def isolation(self) -> str: ...
    @property
    def decode(self) -> Callable[[Any], Any] | None: ...
    @property
    def encode(self) -> Callable[[Any], Any]: ...


class BadMessage(Exception):
    """A message could not be made or does not fit its schema."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Arm(NamedTuple):
    """One way into a node."""

    edge: int
    source: int
    """Node number, or ``FLOW_INPUT``."""
    alias: str
    name: str
    """``source → target``, for messages."""
    adapter: tuple[tuple[str, Expression], ...] | None
    check: Callable[[Any], bool] | None
    on_error: bool

    def carry(self, message: Any) -> Any:
        """Return what arrives when the source sends ``message``. ``BadMessage`` if it can't."""
        if self.adapter is not None:
            try:
                message = {field: expression(message, None) for field, expression in self.adapter}
            except EvaluationError as error:
                raise BadMessage(
                    Failure("edge_adapter", f"edge {self.name}: {error}", retryable=False)
                ) from error
        if self.check is not None and not self.check(message):
            text = f"edge {self.name}: the message is not what its target takes"
            raise BadMessage(Failure("edge_check", text, retryable=False))
        return message


class Step:
    """One node, bound."""

    __slots__ = (
        "arms",
        "backs",
        "bounds",
        "compose",
        "conditions",
        "error_conditions",
        "handler",
        "items_of",
        "join_keyed",
        "key_arms",
        "limits",
        "node",
        "paused_with",
        "settings",
        "single",
        "validator",
    )

    def __init__(self, plan: Plan, node: Node, handler: Handler | None) -> None:
        self.node: Final = node
        self.limits: Final = limits_of_node(node)
        self.handler: Final = handler
        """``None`` for a node of a pool that this worker doesn't serve."""
        incoming = [edge for edge in plan.incoming[node.number] if not edge.loop]
        self.arms: Final = tuple(_arm(plan, edge) for edge in incoming)
        self.single: Final = self.arms[0] if len(self.arms) == 1 else None
        self.key_arms: Final = {arm.edge: arm for arm in self.arms}
        single_arm = node.join is not None and node.join.kind in ("XOR", "FIRST")
        self.join_keyed: Final = not single_arm
        """Whether a joined input is an object keyed by the arms' aliases (XOR and FIRST take one arm's message)."""
        self.compose: Final = _adapter(node.compose)
        self.backs: Final = {
            edge.number: _arm(plan, edge) for edge in plan.incoming[node.number] if edge.loop
        }
        """Loops' back edges into this node, by number."""
        follows = plan.outgoing[node.number]
        self.bounds: Final = {edge.number: edge.max_iterations for edge in follows if edge.loop}
        """Loops' back edges out of this node: how often each may be taken."""
        self.settings: Final = {
            name: closure(node.config[name]) for name in ("duration", "correlate") if name in node.config
        }
        items, hitl = node.config.get("map"), node.config.get("hitl")
        self.items_of: Final = closure(items["items"]) if items else None
        self.paused_with: Final = closure(hitl["message"]) if hitl and "message" in hitl else None
        self.conditions: Final = _conditions(edge for edge in follows if not edge.on_error)
        self.error_conditions: Final = _conditions(edge for edge in follows if edge.on_error)
        self.validator: Final = _validator(plan.messages, node.output)

    def violations(self, value: Any) -> str | None:
        """Return what is wrong with an output, in words, or ``None``."""
        if self.validator is None:
            return None
        try:
            if self.validator.is_valid(value):
                return None
            errors = [
                error
                for error, _ in zip(self.validator.iter_errors(value), range(VIOLATIONS_SHOWN), strict=False)
            ]
        except (TypeError, ValueError) as error:
            return str(error)
        return "; ".join(
            f"/{'/'.join(map(str, error.instance_path))}: {error.message}"[:500] for error in errors
        )

    def items(self, message: Any) -> Any:
        """Return the items of a mapped node."""
        assert self.items_of is not None
        return self.items_of(message, None)

    def pause_message(self, message: Any) -> Any:
        """Return what a pause says to people."""
        return None if self.paused_with is None else self.paused_with(message, None)

    def skipped(self, output: Any) -> list[int]:
        """Return the numbers of the normal edges whose condition is false. ``EvaluationError`` if one can't be told."""
        return [number for number, condition in self.conditions if condition(output, None) is not True]

    def merge(self, arrived: Sequence[tuple[Arm, Any]]) -> Any:
        """Return a join's input from the messages of the arms that arrived. ``BadMessage`` if it can't be made."""
        if not self.join_keyed:
            return arrived[0][1]
        if self.compose is not None:
            inputs = {arm.alias: message for arm, message in arrived}
            try:
                return {field: expression(None, inputs) for field, expression in self.compose}
            except EvaluationError as error:
                raise BadMessage(
                    Failure("edge_adapter", f"compose of {self.node.alias}: {error}", retryable=False)
                ) from error
        merged: dict[str, Any] = {}
        for arm, message in arrived:
            if arm.adapter is not None:
                merged.update(message)
            else:
                merged[arm.alias] = message
        return merged


class Prepared:
    """A plan with its steps; ``missing`` names the packages that this worker lacks for its pools."""

    def __init__(
        self,
        graph_id: str,
        plan: Plan,
        bind: Callable[[Node], Handler | None],
        missing: Sequence[str] = (),
        drifted: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        self.graph_id: Final = graph_id
        self.plan: Final = plan
        self.topology: Final = Topology(plan)
        self.steps: Final = tuple(Step(plan, node, bind(node)) for node in plan.nodes)
        self.coded: Final = next((step.handler for step in self.steps if step.node.type == "coded"), None)
        """The workflow whose coroutine is to be driven, of a coded plan."""
        bound = [step.node for step in self.steps if step.handler is not None]
        self.secrets: Final = tuple(sorted({name for node in bound for name in node.required_secrets}))
        """What the nodes that this worker runs declare."""
        self.missing: Final = missing
        self.drifted: Final = drifted if drifted is not None else {}
        """Package (``name@version``) → the digest it was compiled with, and the one that runs."""
        edge = plan.output_edge
        shaped = edge is not None and (edge.adapter is not None or edge.check)
        self.limits: Final = limits_of_run(plan)
        self.limited: Final = self.limits is not None or any(step.limits is not None for step in self.steps)
        self.output: Final = _arm(plan, edge) if edge is not None and shaped else None
        """How the terminal's output becomes the flow's, if not as it is."""
        self.pipeline: Final = self._lay_out() if plan.mode == "pipeline" else None

    def _lay_out(self) -> Pipeline:
        """The steps as stages and pipes of a stream."""
        stages = [_stage(step) for step in self.steps]
        pipes = [
            _pipe(edge, self.plan)
            for edge in self.plan.edges
            if edge.condition is not None or edge.adapter is not None or edge.check
        ]
        return lay_out(self.plan, stages, pipes)


def _stage(step: Step) -> Stage:
    handler = step.handler if step.node.type == "pipeline" else None
    if handler is None:
        return Stage(step.node, None, step.violations)
    return Stage(step.node, handler.function, step.violations, handler.decode, handler.encode)


def _pipe(edge: Edge, plan: Plan) -> Pipe:
    condition = None if edge.condition is None else closure(edge.condition)
    carry = None
    if edge.adapter is not None or edge.check:
        carry = _arm(plan, edge).carry
    return Pipe(edge, None if condition is None else lambda message: condition(message, None), carry)


def _arm(plan: Plan, edge: Edge) -> Arm:
    source = plan.nodes[edge.source].alias if edge.source >= 0 else "@flow_input"
    target, message = "@flow_output", plan.output
    if edge.target >= 0:
        target, message = plan.nodes[edge.target].alias, plan.nodes[edge.target].input
    check = None
    if edge.check:
        validator = _validator(plan.messages, message)
        check = validator.is_valid if validator is not None else None
    name = f'"{source}" → "{target}"'
    return Arm(edge.number, edge.source, source, name, _adapter(edge.adapter), check, edge.on_error)


def _adapter(fields: Mapping[str, Any] | None) -> tuple[tuple[str, Expression], ...] | None:
    if fields is None:
        return None
    return tuple((name, closure(expression)) for name, expression in fields.items())


def _conditions(edges: Any) -> tuple[tuple[int, Expression], ...]:
    return tuple((edge.number, closure(edge.condition)) for edge in edges if edge.condition is not None)


def _validator(messages: Mapping[str, Schema], name: str) -> Any:
    schema = messages.get(name, True)
    if schema is True or schema == {}:
        return None
    return jsonschema_rs.Draft202012Validator(schema if isinstance(schema, bool) else dict(schema))


__all__ = ["Arm", "BadMessage", "Handler", "Prepared", "Step"]
