"""Subflows: a name to the artifact that it stands for now, pinned by its ``graph_id``.

The node takes the subflow's input. It gives the subflow's output, or, where that isn't waited for, the id of the
execution that was started. An artifact can't contain itself; a name can, and is refused.
"""

from __future__ import annotations

from dataclasses import replace

from ..messages import STARTED
from ..model import Flow, FlowRef, MessageId, Placement
from .context import Context, FlowCycle, FlowRefused
from .resolve import given


def subflows(flow: Flow, context: Context) -> Flow:
    """Return ``flow`` with the artifact and the messages of each subflow."""
    return replace(flow, nodes=tuple(_pinned(node, flow, context) for node in flow.nodes))


def _pinned(node: Placement, flow: Flow, context: Context) -> Placement:
    found = _found(node, flow, context) if node.flow and node.kind == "flow" else None
    if found is None:
        return node
    plan = found.plan
    takes, gives = (MessageId(plan.name, found.graph_id, key) for key in (plan.input, plan.output))
    context.library.add(takes, plan.messages[plan.input])
    context.library.add(gives, plan.messages[plan.output])
    pause = node.pause and (node.pause if node.pause.resume_input else replace(node.pause, answer=takes))
    node = replace(node, subflow=found, input=takes, output=gives if node.wait else STARTED, pause=pause)
    return replace(node, gives=given(node, context))


def _found(node: Placement, flow: Flow, context: Context) -> FlowRef | None:
    place, report = node.at("flow"), context.report
    try:
        if node.flow == flow.name:
            raise FlowCycle(flow.name, flow.name)
        found = context.flows(node.flow)
    except FlowCycle as cycle:
        message = f"`{flow.name}` contains itself"
        report.error(
            "AX1126", place, message, found=str(cycle), expected="a flow that does not lead back here"
        )
        return None
    except FlowRefused as refused:
        report.error("AX1125", place, str(refused), found=node.flow, expected="a flow that compiles")
        return None
    if found is None:
        hint = "compile it first; an alias names the artifact that it stands for"
        message = f"there is no flow `{node.flow}`"
        report.error(
            "AX1125", place, message, found=node.flow, expected="an alias or a graph_id", suggestion=hint
        )
        return None
    if found.plan.mode == "pipeline":
        message = f"`{node.flow}` is a pipeline, and a subflow has one result"
        report.error("AX1127", place, message, found="pipeline mode", expected="a flow in unary mode")
        return None
    return found
