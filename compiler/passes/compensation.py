"""Compensation: for a node that did something, the one that undoes it.

A node that compensates stands outside of the graph: no edge leads there or away. It takes what the other node gave.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..containment import contained
from ..model import Compensation, Flow, Placement
from ..report import listed, suggest
from .context import Context
from .refusal import refuse


def compensation(flow: Flow, context: Context) -> Flow:
    """Return ``flow``; complain of nodes that can't undo others."""
    used: dict[str, Compensation] = {}
    touched = {alias: edge for edge in flow.edges for alias in (edge.source, edge.target)}
    for item in flow.compensate:
        node, by = (_known(item, key, flow, context) for key in ("alias", "by"))
        if by and item.by in touched:
            message = f"`{item.by}` compensates, and an edge leads to it or away"
            place = touched[item.by].place
            context.report.error("AX1221", place, message, found=item.by, expected="a node of its own")
        if by:
            _check_kind(item, by, context)
        if node and by:
            _check_roles(item, used, flow, context)
            _check_message(item, node, by, context)
        used.setdefault(item.by, item)
    return flow


def _known(item: Compensation, key: str, flow: Flow, context: Context) -> Placement | None:
    alias = item.by if key == "by" else item.alias
    nodes: Mapping[str, Placement] = flow.by_alias
    if alias not in nodes:
        message, near = f"no node has the alias `{alias}`", suggest(alias, nodes)
        context.report.error(
            "AX1202", item.at(key), message, found=alias, expected=listed(nodes), suggestion=near
        )
    return nodes.get(alias)


def _check_roles(item: Compensation, used: Mapping[str, Compensation], flow: Flow, context: Context) -> None:
    if item.by in used:
        message = f"`{item.by}` compensates `{used[item.by].alias}` already"
        hint = "place the same node once more under another alias"
        context.report.error("AX1220", item.at("by"), message, found=item.by, suggestion=hint)
    if item.alias in flow.compensating:
        message = f"`{item.alias}` is there to compensate, and can't be undone itself"
        context.report.error(
            "AX1220", item.at("alias"), message, found=item.alias, expected="a node with edges"
        )


def _check_kind(item: Compensation, by: Placement, context: Context) -> None:
    kind = "hitl" if by.pause else "map" if by.fan else by.kind
    if kind not in ("node", "flow") or not by.wait:
        message = (
            f"`{item.by}` can't compensate, because it is more than a handler or a subflow that is waited for"
        )
        context.report.error("AX1221", item.at("by"), message, found=kind, expected="a handler or a subflow")


def _check_message(item: Compensation, node: Placement, by: Placement, context: Context) -> None:
    if node.gives is None or by.input is None or by.open or node.gives == by.input:
        return
    refusal = contained(context.library.schema(node.gives), context.library.schema(by.input))
    if refusal:
        text = f"what `{item.alias}` gives is not proved to be the input `{by.input.name}` of `{item.by}`"
        refuse("AX1309", item.at("by"), text, refusal, context.report)
