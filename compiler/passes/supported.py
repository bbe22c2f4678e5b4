"""The parts of the language that this version reads and does not run yet: one clear error each, and nothing more.

``UNSUPPORTED`` holds their names; a feature that the runtime has learnt is struck from it, and that is all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..errors import Place
from ..model import Flow, Placement
from .context import Context

FEATURES: Final = {
    "circuit_breaker": "circuit breakers",
    "compensate": "compensation",
    "concurrency": "concurrency limits",
    "event": "nodes that wait for events",
    "hitl": "pauses for people",
    "join.timeout_ms": "timeouts of joins",
    "loop": "loops",
    "map": "fan-out over items",
    "rate_limit": "rate limits",
    "sleep": "sleeping nodes",
    "subflow": "subflows",
    "subflow.hitl": "pauses before subflows",
    "subflow.map": "fan-out over subflows",
}
"""What can be switched off, in words."""
LEARNT: Final = frozenset(
    {
        "circuit_breaker",
        "compensate",
        "concurrency",
        "event",
        "hitl",
        "join.timeout_ms",
        "loop",
        "map",
        "rate_limit",
        "sleep",
        "subflow",
        "subflow.hitl",
        "subflow.map",
    }
)
"""What the runtime executes."""
UNSUPPORTED: Final = frozenset(FEATURES) - LEARNT
"""What this version switches off."""


def supported(flow: Flow, context: Context) -> Flow:
    """Return ``flow``; complain about what would be accepted and never happen."""
    for feature, place in _used(flow):
        if feature in context.unsupported:
            message = f"not supported in this version: {FEATURES[feature]}"
            context.report.error("AX1901", place, message, found=feature)
    return flow


def _used(flow: Flow) -> Iterator[tuple[str, Place]]:
    for key, limit in (("concurrency", flow.concurrency), ("rate_limit", flow.rate_limit)):
        if limit:
            yield key, flow.at(key)
    if flow.compensate:
        yield "compensate", flow.at("compensate")
    for node in flow.nodes:
        yield from _used_by(node)
    for edge in flow.edges:
        if edge.loop:
            yield "loop", edge.at("loop")


def _used_by(node: Placement) -> Iterator[tuple[str, Place]]:
    subflow = node.kind == "flow"
    if node.kind != "node":
        yield ("subflow", node.at("flow")) if subflow else (node.kind, node.at("kind"))
    if node.join and node.join.timeout_ms:
        yield "join.timeout_ms", node.at("config.join")
    for key, limit in (
        ("concurrency", node.concurrency),
        ("rate_limit", node.rate_limit),
        ("circuit_breaker", node.breaker),
    ):
        if limit:
            yield key, node.at(f"config.{key}")
    for key, there in (("hitl", node.pause), ("map", node.fan)):
        if there:
            yield f"subflow.{key}" if subflow else key, node.at(f"config.{key}")
