"""Unary or pipeline: a flow with any pipeline node is a pipeline, and one may be forced to be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..errors import Place
from ..model import Flow, Placement
from .context import Context


def mode(flow: Flow, context: Context) -> Flow:
    """Return ``flow`` with its mode."""
    wanted = flow.pipeline_mode if context.pipeline_mode is None else context.pipeline_mode
    streaming = [node for node in flow.nodes if node.declared and node.declared.type == "pipeline"]
    if streaming and wanted is False:
        place = flow.at("pipeline_mode") if context.pipeline_mode is None else streaming[0].place
        message = "a flow with a pipeline node can't run in unary mode"
        found = f"`{streaming[0].alias}` is a pipeline node"
        context.report.error("AX1510", place, message, found=found, expected="`pipeline_mode: true`, or none")
    flow = replace(flow, mode="pipeline" if streaming or wanted else "unary")
    if flow.mode == "pipeline":
        _check_gates(flow, context)
        for what, place in _unary_only(flow):
            message = f"a flow in pipeline mode has {what}; its nodes take frames as they come"
            context.report.error("AX1512", place, message, found=what, expected="a flow in unary mode")
    return flow


def _check_gates(flow: Flow, context: Context) -> None:
    """In a pipeline a node takes the frames of its inputs as they come: there is nothing to join."""
    for node in flow.nodes:
        for key, present in (("join", node.join), ("compose", node.compose)):
            if present:
                place = node.at(f"config.{key}")
                message = f"`{key}` has no meaning in pipeline mode"
                expected = "several edges without a join: frames are taken as they come"
                context.report.error("AX1511", place, message, found=key, expected=expected)


def _unary_only(flow: Flow) -> Iterator[tuple[str, Place]]:
    """What speaks of single runs of nodes: in a pipeline each runs once, for as long as there are frames."""
    for node in flow.nodes:
        if node.kind != "node":
            what = "a subflow" if node.kind == "flow" else f"`kind: {node.kind}`"
            yield what, node.at("flow" if node.kind == "flow" else "kind")
        for key, there in (("hitl", node.pause), ("map", node.fan), *_limits_of(node)):
            if there:
                yield f"`{key}`", node.at(f"config.{key}")
    for edge in flow.edges:
        if edge.loop:
            yield "a loop", edge.at("loop")
    for key, limit in (("concurrency", flow.concurrency), ("rate_limit", flow.rate_limit)):
        if limit:
            yield f"`{key}`", flow.at(key)
    if flow.compensate:
        yield "`compensate`", flow.at("compensate")


def _limits_of(node: Placement) -> list[tuple[str, object]]:
    return [
        ("concurrency", node.concurrency),
        ("rate_limit", node.rate_limit),
        ("circuit_breaker", node.breaker),
    ]
