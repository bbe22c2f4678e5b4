"""The plan of a flow, and the artifact that freezes it.

A **plan** is a graph with numbers for names: what the runtime executes. An **artifact** is its canonical bytes
(MessagePack, map keys sorted, one spelling for every value); the first 160 bits of their SHA-256, in lower-case
base32, are its ``graph_id``. Same meaning, same id, whatever the YAML looked like; a changed meaning changes it.

Decoding one imports and calls nothing. Descriptions and canvas positions are no meaning and live beside it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Final, Literal

import msgpack

from .errors import ArtifactDamaged

FORMAT: Final = 1
FLOW_INPUT: Final = -1
"""The number of ``@flow_input`` as an edge's source."""
FLOW_OUTPUT: Final = -2
"""The number of ``@flow_output`` as an edge's target."""

Expression = Any
"""A checked CEL tree as nested lists; ``expressions.closure`` makes a function of it."""
Schema = Mapping[str, Any] | bool


@dataclass(frozen=True, slots=True)
class Retry:
    """When a failed attempt is followed by another. Without one in the source: a single attempt."""

    max_attempts: int = 1
    initial_interval_ms: int = 200
    backoff_coefficient: float = 2.0
    max_interval_ms: int = 30_000
    jitter: float = 0.1
    """The delay is multiplied by a random factor in ``1 ± jitter``."""
    delays_ms: tuple[int, ...] = ()
    """Explicit delays before attempt 2, 3, …; the last one repeats. Takes the place of the backoff."""
    non_retryable: tuple[str, ...] = ()
    """Exception class names (their bases count) and failure codes that end the node at once."""


@dataclass(frozen=True, slots=True)
class Join:
    """How a node with several forward inputs waits for its arms."""

    kind: Literal["AND", "OR", "XOR", "N_OF_M", "FIRST"] = "AND"
    failure_policy: Literal["FAIL_FAST", "TOLERATE_FAILURES"] = "FAIL_FAST"
    n: int = 0
    timeout_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One placed node."""

    number: int
    alias: str
    package: str
    version: str
    digest: str
    """Of the package's code; '' where it isn't pinned."""
    name: str
    """The node's name in its package, e.g. ``ReserveStock``."""
    entry: str
    """``path/in/package.py:function``."""
    input: str
    """A key of ``Plan.messages``."""
    output: str
    kind: str = "node"
    type: Literal["unary", "pipeline", "coded"] = "unary"
    isolation: Literal["process", "thread", "async", ""] = ""
    """'' until the handler is seen: ``def`` → process, ``async def`` → async."""
    pool: str = "default"
    timeout_seconds: float = 300.0
    retry: Retry = Retry()
    on_resume: Literal["skip", "continue", "fail"] = "skip"
    required_secrets: tuple[str, ...] = ()
    pure: bool = False
    join: Join | None = None
    compose: Mapping[str, Expression] | None = None
    """Destination field → expression over ``inputs``; shapes a joined input."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """What waiting, subflows and maps need, plain data and expressions: ``passes/waits.py`` lists it. The messages of
    a node with ``map`` are those of one item."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One arrow. ``source`` may be ``FLOW_INPUT``, ``target`` may be ``FLOW_OUTPUT``."""

    number: int
    source: int
    target: int
    adapter: Mapping[str, Expression] | None = None
    """Destination field → expression over the source message; ``None`` passes it through."""
    condition: Expression | None = None
    on_error: bool = False
    check: bool = False
    """Validate at run time what could not be proved."""
    loop: bool = False
    max_iterations: int = 0


@dataclass(frozen=True)
class Plan:
    """A whole flow, ready to run. Node and edge numbers are their places in the tuples."""

    name: str
    version: str
    mode: Literal["unary", "pipeline"]
    input: str
    """The message of the flow's input: a key of ``messages``."""
    output: str
    messages: Mapping[str, Schema]
    """Self-contained JSON Schemas (2020-12), by key."""
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    entry: int
    terminal: int
    timeout_seconds: float | None = None
    retention_days: float | None = None
    """Counted from the end of the run; ``None``: as the server keeps runs by default."""
    on_cancel: Literal["stop", "compensate"] = "stop"
    priority: int = 0
    concurrency: Mapping[str, Any] | None = None
    rate_limit: Mapping[str, Any] | None = None
    compensate: Mapping[str, str] = field(default_factory=dict)
    drift: bool = False
    """Made by ``dev`` or ``demo``: a worker with other code may run it, and an event says so."""

    @cached_property
    def outgoing(self) -> tuple[tuple[Edge, ...], ...]:
        """Edges by source node, in number order."""
        out: list[list[Edge]] = [[] for _ in self.nodes]
        for edge in self.edges:
            if edge.source >= 0:
                out[edge.source].append(edge)
        return tuple(map(tuple, out))

    @cached_property
    def incoming(self) -> tuple[tuple[Edge, ...], ...]:
        """Edges by target node, in number order; ``@flow_input``'s among them."""
        into: list[list[Edge]] = [[] for _ in self.nodes]
        for edge in self.edges:
            if edge.target >= 0:
                into[edge.target].append(edge)
        return tuple(map(tuple, into))

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Node numbers by alias."""
        return {node.alias: node.number for node in self.nodes}

    @cached_property
    def output_edge(self) -> Edge | None:
        """The edge from the terminal node to ``@flow_output``, if it was written (it may adapt the output)."""
        return next((edge for edge in self.edges if edge.target == FLOW_OUTPUT), None)

    @cached_property
    def packages(self) -> dict[str, str]:
        """``name@version`` → digest of every package that a worker needs."""
        return {f"{node.package}@{node.version}": node.digest for node in self.nodes if node.package}


@dataclass(frozen=True, slots=True)
class Artifact:
    """A frozen plan."""

    graph_id: str
    content: bytes
    plan: Plan


def freeze(plan: Plan) -> Artifact:
    """Return the artifact of ``plan``.

    >>> freeze(p).graph_id == freeze(thaw(freeze(p).graph_id, freeze(p).content)).graph_id  # doctest: +SKIP
    True
    """
    content = canonical({"format": FORMAT, "plan": _plain(plan)})
    return Artifact(graph_id(content), content, plan)


def thaw(expected: str, content: bytes) -> Plan:
    """Return the plan of an artifact's bytes; ``ArtifactDamaged`` unless they hash to ``expected``."""
    if graph_id(content) != expected:
        raise ArtifactDamaged(f"artifact {expected} is damaged: its bytes hash to {graph_id(content)}")
    try:
        document = msgpack.unpackb(content, use_list=True)
        if document["format"] != FORMAT:
            raise ArtifactDamaged(
                f"artifact {expected} has format {document['format']}, this version reads {FORMAT}"
            )
        return _revive(document["plan"])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, ArtifactDamaged):
            raise
        raise ArtifactDamaged(f"artifact {expected} can't be read: {error}") from error


def graph_id(content: bytes) -> str:
    """Return the id of an artifact's bytes: 160 bits of SHA-256 as 32 characters of lower-case base32."""
    return base64.b32encode(hashlib.sha256(content).digest()[:20]).decode().lower()


def canonical(value: Any) -> bytes:
    """Return the one MessagePack spelling of plain data: keys sorted, tuples as lists, whole floats as floats."""
    return msgpack.packb(_sorted(value), use_bin_type=True)  # type: ignore[no-any-return]


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [_sorted(item) for item in value]
    return value


def _plain(value: Any) -> Any:
    """Dataclasses as maps without their defaults, so that a later field with a default changes no older id."""
    if isinstance(value, (Plan, Node, Edge, Retry, Join)):
        blank = _DEFAULTS[type(value)]
        return {
            f.name: _plain(getattr(value, f.name))
            for f in fields(value)
            if f.name not in blank or getattr(value, f.name) != blank[f.name]
        }
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _revive(data: Mapping[str, Any]) -> Plan:
    nodes = tuple(
        Node(
            **{
                **node,
                "retry": _revive_retry(node.get("retry", {})),
                "required_secrets": tuple(node.get("required_secrets", ())),
                "join": Join(**node["join"]) if node.get("join") is not None else None,
            }
        )
        for node in data["nodes"]
    )
    return Plan(**{**data, "nodes": nodes, "edges": tuple(Edge(**edge) for edge in data["edges"])})


def _revive_retry(data: Mapping[str, Any]) -> Retry:
    return Retry(
        **{
            **data,
            "delays_ms": tuple(data.get("delays_ms", ())),
            "non_retryable": tuple(data.get("non_retryable", ())),
        }
    )


def _defaults(cls: type) -> dict[str, Any]:
    from dataclasses import MISSING

    out: dict[str, Any] = {}
    for f in fields(cls):
        if f.default is not MISSING:
            out[f.name] = f.default
        elif f.default_factory is not MISSING:
            out[f.name] = f.default_factory()
    return out


_DEFAULTS: Final = {cls: _defaults(cls) for cls in (Plan, Node, Edge, Retry, Join)}
