"""Limits: what their keys read, and what the plan says of them.

A key is an expression over ``input``: the flow's, or the node's (of a ``map``: one item).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from ..artifact import Schema
from ..containment import contained
from ..model import Flow, MessageId, Placement, Throttle
from ..schemas import object_of
from .context import Context
from .expressions import checked_expression, kind_shown

KEY: Final[Schema] = {"type": ["string", "integer"]}


def limits(flow: Flow, context: Context) -> Flow:
    """Return ``flow`` with the settings of its limits, and of its nodes'."""
    nodes = tuple(_limited(node, context) for node in flow.nodes)
    entry = flow.by_alias.get(flow.entry)
    message = flow.input_message or (entry.input if entry else None)
    if flow.concurrency is None:
        return replace(flow, nodes=nodes)
    settings = _settings(flow.concurrency, message, "the flow", context)
    return replace(flow, nodes=nodes, limits={"concurrency": settings})


def _limited(node: Placement, context: Context) -> Placement:
    if node.concurrency is None:
        return node
    settings = _settings(node.concurrency, node.input, f"`{node.alias}`", context)
    return replace(node, settings={**node.settings, "concurrency": settings})


def _settings(limit: Throttle, message: MessageId | None, whose: str, context: Context) -> dict[str, Any]:
    settings: dict[str, Any] = {"limit": limit.limit}
    if limit.key is None or message is None:
        return settings
    seen = object_of({"input": context.library.schema(message)}, ["input"])
    made = checked_expression(limit.key, seen, None, context.report)
    if made is None:
        return settings
    code, schema = made
    if contained(schema, KEY):
        text, expected = f"the `key` of a limit of {whose} must yield a string or a whole number", "a string"
        context.report.error(
            "AX1404",
            limit.key.place,
            text,
            found=kind_shown(schema),
            expected=f"{expected} or a whole number",
        )
    return {**settings, "key": code}
