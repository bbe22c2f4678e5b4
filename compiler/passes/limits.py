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
    entry = flow.by_alias.get(flow.entry)
    message = flow.input_message or (entry.input if entry else None)
    settings = {
        name: _settings(limit, message, "the flow", context)
        for name, limit in (("concurrency", flow.concurrency), ("rate_limit", flow.rate_limit))
        if limit is not None
    }
    return replace(flow, nodes=tuple(_limited(node, context) for node in flow.nodes), limits=settings)


def _limited(node: Placement, context: Context) -> Placement:
    settings: dict[str, Any] = {
        name: _settings(limit, node.input, f"`{node.alias}`", context)
        for name, limit in (("concurrency", node.concurrency), ("rate_limit", node.rate_limit))
        if limit is not None
    }
    if node.breaker is not None:
        breaker = node.breaker
        settings["circuit_breaker"] = {
            "failures": breaker.failures,
            "window_ms": breaker.window_ms,
            "open_ms": breaker.open_ms,
            "on_open": breaker.on_open,
        }
    return replace(node, settings={**node.settings, **settings}) if settings else node


def _settings(limit: Throttle, message: MessageId | None, whose: str, context: Context) -> dict[str, Any]:
    settings: dict[str, Any] = dict(limit.settings)
    if limit.key is None or message is None:
        return settings
    seen = object_of({"input": context.library.schema(message)}, ["input"])
    made = checked_expression(limit.key, seen, None, context.report)
    if made is None:
        return settings
    code, schema = made
    if contained(schema, KEY):
        text, expected = f"the `key` of a limit of {whose} must yield {WANTED}", WANTED
        context.report.error("AX1404", limit.key.place, text, found=kind_shown(schema), expected=expected)
    return {**settings, "key": code}


WANTED: Final = "a string or a whole number"
