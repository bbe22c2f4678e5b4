"""What a node does beside its handler: sleep, wait for an event or for people, run once per item.

Their expressions are over what ``arrives``. After this pass a node's ``settings`` are what the plan says of it:

* ``kind: sleep``: ``duration_ms``, or ``duration`` (an expression);
* ``kind: event``: ``name``, and if given ``correlate`` (an expression) and ``timeout_ms``;
* ``kind: flow``: ``graph_id`` and ``wait``;
* ``hitl``: ``resume_input`` and ``quorum``; if given ``message`` (an expression), ``timeout_ms`` with
  ``timeout_policy``, ``resume_with``, ``escalate_to``, ``remind_every_ms``, ``assignees`` and ``notify``. ``lower``
  writes the message's key;
* ``map``: ``items`` (an expression), ``max_concurrency`` and ``failure_policy``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import jsonschema_rs

from ..artifact import Expression, Schema
from ..configs import MAX_MS
from ..containment import contained
from ..model import Awaited, Fan, Flow, MessageId, Pause, Placement
from ..report import Report
from ..schemas import embed
from ..source import Tree
from .context import Context
from .expressions import checked_expression, kind_shown
from .refusal import refuse

WHOLE: Final[Schema] = {"type": "integer"}
KEY: Final[Schema] = {"type": ["string", "integer"]}
LIST: Final[Schema] = {"type": "array"}


def waits(flow: Flow, context: Context) -> Flow:
    """Return ``flow`` with the settings of its nodes."""
    failing = {edge.source for edge in flow.edges if edge.on_error}
    return replace(flow, nodes=tuple(_settled(node, failing, context) for node in flow.nodes))


def _settled(node: Placement, failing: set[str], context: Context) -> Placement:
    settings: dict[str, Any] = {}
    if node.kind == "sleep" and node.awaited:
        settings |= _sleep(node, node.awaited, context.report)
    elif node.kind == "event" and node.awaited:
        settings |= _event(node, node.awaited, context.report)
    elif node.kind == "flow" and node.subflow:
        settings |= {"graph_id": node.subflow.graph_id, "wait": node.wait}
        if node.timeout_seconds and node.wait:
            settings["timeout_ms"] = int(node.timeout_seconds * 1000)
    if node.pause:
        settings["hitl"] = _pause(node, node.pause, failing, context)
    if node.fan:
        settings["map"] = _fan(node, node.fan, context)
    return replace(node, settings=settings) if settings else node


def _sleep(node: Placement, awaited: Awaited, report: Report) -> dict[str, Any]:
    tree = awaited.duration
    what = f"`duration_ms` of `{node.alias}`"
    code = _typed(tree, node, WHOLE, what, "a whole number of milliseconds", report)
    if tree is None or code is None:
        return {}
    if code[0] != "const":
        return {"duration": code}
    if not 1 <= code[1] <= MAX_MS:
        message, expected = "`duration_ms` is out of range", f"≥ 1 and ≤ {MAX_MS} (ten years)"
        report.error("AX1024", tree.place, message, found=str(code[1]), expected=expected)
    return {"duration_ms": code[1]}


def _event(node: Placement, awaited: Awaited, report: Report) -> dict[str, Any]:
    what = f"`correlate` of `{node.alias}`"
    code = _typed(awaited.correlate, node, KEY, what, "a string or a whole number", report)
    settings: dict[str, Any] = {"name": awaited.name}
    if code is not None:
        settings["correlate"] = code
    if awaited.timeout_ms:
        settings["timeout_ms"] = awaited.timeout_ms
    return settings


def _pause(node: Placement, pause: Pause, failing: set[str], context: Context) -> dict[str, Any]:
    report = context.report
    message = checked_expression(pause.message, node.arrives, None, report) if pause.message else None
    if pause.timeout_policy == "BRANCH" and node.alias not in failing:
        text = f"`timeout_policy: BRANCH` goes along an `on_error` edge, and `{node.alias}` has none"
        hint = f"add {{from: {node.alias}, to: …, on_error: true}}; its `code` is `pause_timeout`"
        report.error(
            "AX1601", pause.at("timeout_policy"), text, expected="an `on_error` edge", suggestion=hint
        )
    if pause.answer and node.input:
        _check_answer(node, pause, pause.answer, node.input, context)
    settings: dict[str, Any] = {
        "message": message[0] if message else None,
        "timeout_ms": pause.timeout_ms or None,
        "timeout_policy": pause.timeout_policy or None,
        "resume_with": pause.resume_with,
        "escalate_to": list(pause.escalate_to) or None,
        "remind_every_ms": pause.remind_every_ms or None,
        "quorum": pause.quorum,
        "assignees": list(pause.assignees) or None,
        "notify": pause.notify or None,
    }
    return {key: value for key, value in settings.items() if value is not None}


def _check_answer(
    node: Placement, pause: Pause, answer: MessageId, takes: MessageId, context: Context
) -> None:
    """An answer becomes the node's input, so it must be one; and so must the value that stands in for it."""
    schema, library = context.library.schema(answer), context.library
    refusal = contained(schema, library.schema(takes)) if answer != takes else None
    if refusal:
        text = f"the `resume_input` of `{node.alias}` is not proved to be its input `{takes.name}`"
        refuse("AX1308", pause.at("resume_input"), text, refusal, context.report)
    if "resume_with" not in pause.places:
        return
    for error in _violations(schema, pause.resume_with):
        where = "/".join(str(step) for step in error.instance_path)
        text = f"`resume_with` is no `{answer.name}`: {error.message[:200]}"
        context.report.error("AX1602", pause.at("resume_with"), text, found=where, expected=answer.name)


def _violations(schema: Schema, value: Any) -> list[Any]:
    validator = jsonschema_rs.Draft202012Validator(dict(schema) if isinstance(schema, Mapping) else schema)
    return list(validator.iter_errors(value))


def _fan(node: Placement, fan: Fan, context: Context) -> dict[str, Any]:
    made = checked_expression(fan.items, node.arrives, None, context.report) if fan.items else None
    settings = {"max_concurrency": fan.max_concurrency, "failure_policy": fan.failure_policy}
    if made is None or fan.items is None:
        return settings
    code, schema = made
    if contained(schema, LIST):
        _complain_of_type(fan.items, schema, "a list", f"`items` of `{node.alias}`", context.report)
    elif node.input:
        target = {"type": "array", "items": embed(context.library.schema(node.input), "#/items")}
        refusal = contained(schema, target)
        if refusal:
            text = f"an item for `{node.alias}` is not proved to be its input `{node.input.name}`"
            refuse("AX1310", fan.items.place, text, refusal, context.report)
    return {"items": code, **settings}


def _typed(
    tree: Tree | None, node: Placement, wanted: Schema, what: str, expected: str, report: Report
) -> Expression | None:
    """Return the checked tree of an expression over what arrives, if its values are ``wanted``."""
    made = checked_expression(tree, node.arrives, None, report) if tree else None
    if made is None or tree is None:
        return None
    code, schema = made
    if contained(schema, wanted):
        _complain_of_type(tree, schema, expected, what, report)
        return None
    return code


def _complain_of_type(tree: Tree, schema: Schema, expected: str, what: str, report: Report) -> None:
    message = f"{what} must yield {expected}"
    report.error("AX1404", tree.place, message, found=kind_shown(schema), expected=expected)
