"""What sources say, as immutable values: a ``Package`` of declared nodes, a ``Flow`` of placed ones.

Each element knows its place and those of its keys. The second half of an element's fields is filled by the
passes, one after the other; ``lower`` turns a flow that went through all of them into a plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from .artifact import Expression, Join, Plan, Retry, Schema
from .errors import Place
from .source import Scalar, Table, Tree

FLOW_INPUT: Final = "@flow_input"
FLOW_OUTPUT: Final = "@flow_output"
Places = Mapping[str, Place]


@dataclass(frozen=True, kw_only=True)
class Element:
    """Something that stands in a source. Places are no part of its meaning: they don't count in comparisons."""

    place: Place = field(compare=False, repr=False)
    places: Places = field(default_factory=dict, compare=False, repr=False)

    def at(self, key: str) -> Place:
        """Return the place of the value of ``key``, or of the element where it is left out."""
        return self.places.get(key, self.place)


@dataclass(frozen=True)
class FlowRef:
    """A compiled flow, as another one pins it."""

    graph_id: str
    plan: Plan


@dataclass(frozen=True, kw_only=True)
class NodeType(Element):
    """A node that a package declares."""

    name: str
    input: str
    output: str
    entry: str
    """``path/in/package.py:function``."""
    description: str = ""
    type: Literal["unary", "pipeline"] = "unary"
    timeout_seconds: float = 300.0
    retry: Retry = field(default_factory=Retry)
    required_secrets: tuple[str, ...] = ()
    isolation: Literal["process", "thread", "async", ""] = ""
    pool: str = "default"
    pure: bool = False
    on_resume: Literal["skip", "continue", "fail"] = "skip"


@dataclass(frozen=True, kw_only=True)
class Message(Element):
    """A declared message; its references to others are not yet followed."""

    name: str
    schema: Schema


@dataclass(frozen=True, kw_only=True)
class Import(Element):
    """Messages of another package that this one speaks of by their names."""

    package: str
    version: str
    messages: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class EnvVar(Element):
    """A variable that a package's handlers read."""

    name: str
    default: str = ""
    description: str = ""
    required: bool = False
    secret: bool = False


@dataclass(frozen=True)
class FlowFile:
    """The source of a flow that lies in a package's folder."""

    file: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Package(Element):
    """A package of nodes, whether read from its folder or from a manifest that a worker published."""

    name: str
    version: str
    digest: str
    description: str = ""
    author: str = ""
    license: str = ""
    tags: tuple[str, ...] = ()
    nodes: Mapping[str, NodeType] = field(default_factory=dict)
    messages: Mapping[str, Message] = field(default_factory=dict)
    imports: tuple[Import, ...] = ()
    env: tuple[EnvVar, ...] = ()
    folder: Path | None = None
    """Where the code lies; ``None`` for a package that came as a manifest."""
    flows: tuple[FlowFile, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """Texts by file, for snippets."""

    @property
    def id(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    def manifest(self) -> dict[str, Any]:
        """Return the package as plain data: an ``axiom.yaml`` with nothing left out, and the digest of the code."""
        return {
            "name": self.name,
            "version": self.version,
            "language": "python",
            "digest": self.digest,
            "description": self.description,
            "author": self.author,
            "license": self.license,
            "tags": list(self.tags),
            "messages": {name: message.schema for name, message in sorted(self.messages.items())},
            "nodes": [_node_as_data(node) for _, node in sorted(self.nodes.items())],
            "imports": [
                {"package": item.package, "version": item.version, "messages": list(item.messages)}
                for item in self.imports
            ],
            "env": [_own_fields(item) for item in self.env],
        }

    @staticmethod
    def from_manifest(manifest: Mapping[str, Any]) -> Package:
        """Return the package of a manifest; ``CompileFailed`` where it is not sound."""
        from .package import package_from_manifest  # the parser imports this module

        return package_from_manifest(manifest)


@dataclass(frozen=True)
class MessageId:
    """A message by the package that declares it, by the flow and ``graph_id`` that pin it, or made by a flow ('')."""

    package: str
    version: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Pause(Element):
    """``hitl``: the node waits for people before it runs, and their answer becomes its input."""

    message: Tree | None = None
    resume_input: str = ""
    timeout_ms: int = 0
    timeout_policy: str = ""
    resume_with: Any = None
    escalate_to: tuple[str, ...] = ()
    remind_every_ms: int = 0
    quorum: int = 1
    assignees: tuple[str, ...] = ()
    notify: str = ""
    answer: MessageId | None = None
    """By ``resolve``: the message that may resume it."""


@dataclass(frozen=True, kw_only=True)
class Fan(Element):
    """``map``: the node runs once for each of several items."""

    items: Tree | None = None
    max_concurrency: int = 10
    failure_policy: str = "FAIL_FAST"


@dataclass(frozen=True, kw_only=True)
class Throttle(Element):
    """``concurrency`` or ``rate_limit``: ``settings`` for each value of ``key``."""

    key: Tree | None = None
    settings: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Breaker(Element):
    """``circuit_breaker``: when a node is not called any more, and for how long."""

    failures: int
    window_ms: int
    open_ms: int
    on_open: Literal["WAIT", "FAIL"] = "WAIT"


@dataclass(frozen=True, kw_only=True)
class Awaited(Element):
    """What a node without a handler waits for: ``duration``, or an event by its ``name``."""

    duration: Tree | None = None
    name: str = ""
    correlate: Tree | None = None
    message: str = ""
    timeout_ms: int = 0


@dataclass(frozen=True, kw_only=True)
class Placement(Element):
    """A node as a flow places it."""

    alias: str
    kind: str = "node"
    package: str = ""
    version: str = ""
    node: str = ""
    flow: str = ""
    retry: Retry | None = None
    timeout_seconds: float | None = None
    join: Join | None = None
    compose: Table | None = None
    pause: Pause | None = None
    fan: Fan | None = None
    concurrency: Throttle | None = None
    rate_limit: Throttle | None = None
    breaker: Breaker | None = None
    awaited: Awaited | None = None
    wait: bool = True
    """Of a subflow: whether its result is waited for."""
    pin: tuple[int, int] | None = None
    """The column and row that the author gave it on the canvas."""
    declared: NodeType | None = None
    """By ``resolve``."""
    digest: str = ""
    input: MessageId | None = None
    output: MessageId | None = None
    gives: MessageId | None = None
    """What its followers see: its output; an array of them behind a ``map``."""
    subflow: FlowRef | None = None
    composed: Mapping[str, Expression] | None = None
    """By ``expressions``: ``compose`` as checked trees."""
    joined: Schema | None = None
    """By ``expressions``: the input that a join makes of several arms."""
    arrives: Schema | None = None
    """By ``expressions``, where the node is ``open``: what its edges bring."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """By ``waits``: the node's ``config`` in the plan."""

    @property
    def open(self) -> bool:
        """Whether its edges may bring anything, because what they bring is not its input."""
        return self.kind in ("sleep", "event") or self.pause is not None or self.fan is not None


@dataclass(frozen=True, kw_only=True)
class Edge(Element):
    """An arrow between two aliases."""

    source: str
    target: str
    adapter: Table | None = None
    condition: Tree | None = None
    on_error: bool = False
    check: bool = False
    loop: bool = False
    max_iterations: int = 0
    adapted: Mapping[str, Expression] | None = None
    """By ``expressions``: the adapter as checked trees."""
    decided: Expression | None = None
    """By ``expressions``: the condition as a checked tree."""
    writes: Mapping[str, Schema] | None = None
    """By ``expressions``: the schema of each field that the adapter makes."""
    carries: Schema | None = None
    """By ``expressions``: what arrives at the target; ``None`` where it could not be made out."""

    @property
    def forward(self) -> bool:
        """Whether it leads from node to node and not back."""
        return not self.loop and self.source != FLOW_INPUT and self.target != FLOW_OUTPUT


@dataclass(frozen=True, kw_only=True)
class Compensation(Element):
    """``alias: by``: after a failure the node ``by`` undoes what ``alias`` did. Its place is the key's."""

    alias: str
    by: str


@dataclass(frozen=True, kw_only=True)
class Flow(Element):
    """A flow: what its source says, then what the passes found."""

    name: str
    version: str = "0.0.0"
    description: str = ""
    input: Scalar | None = None
    output: Scalar | None = None
    pipeline_mode: bool | None = None
    """``None`` where the source says nothing."""
    timeout_seconds: float | None = None
    retention_days: float | None = None
    on_cancel: Literal["stop", "compensate"] = "stop"
    priority: int = 0
    nodes: tuple[Placement, ...] = ()
    edges: tuple[Edge, ...] = ()
    compensate: tuple[Compensation, ...] = ()
    concurrency: Throttle | None = None
    rate_limit: Throttle | None = None
    entry: str = ""
    """By ``shape``."""
    terminal: str = ""
    mode: Literal["unary", "pipeline"] = "unary"
    """By ``mode``."""
    limits: Mapping[str, Any] = field(default_factory=dict)
    """By ``limits``: ``concurrency`` and ``rate_limit`` as the plan says them."""
    input_message: MessageId | None = None
    """By ``resolve``."""
    output_message: MessageId | None = None

    @cached_property
    def by_alias(self) -> Mapping[str, Placement]:
        """Nodes by alias."""
        return {node.alias: node for node in self.nodes}

    @cached_property
    def compensating(self) -> frozenset[str]:
        """The nodes that stand outside of the graph, because they undo what others did."""
        return frozenset(item.by for item in self.compensate)

    @cached_property
    def _into(self) -> Mapping[str, list[Edge]]:
        into: dict[str, list[Edge]] = {}
        for edge in self.edges:
            if edge.forward:
                into.setdefault(edge.target, []).append(edge)
        return into

    def arms(self, alias: str) -> list[Edge]:
        """Return the forward edges into a node."""
        return self._into.get(alias, [])


def _own_fields(element: Element) -> dict[str, Any]:
    return {f.name: getattr(element, f.name) for f in fields(element) if f.name not in ("place", "places")}


def _node_as_data(node: NodeType) -> dict[str, Any]:
    data = _own_fields(node)
    data["handler"] = data.pop("entry")
    data["retry"] = {f.name: getattr(node.retry, f.name) for f in fields(node.retry)}
    return {key: _listed(value) for key, value in data.items() if value != ""}


def _listed(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return value
