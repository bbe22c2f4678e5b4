"""Joins: where several arms meet, the author says how (design §4)."""

from __future__ import annotations

from ..artifact import Join
from ..model import Edge, Flow, Placement
from ..report import Report, listed
from .context import Context


def gates(flow: Flow, context: Context) -> Flow:
    """Return ``flow``; every node of a unary flow with several forward inputs has a sound join afterwards."""
    if flow.mode == "pipeline":
        return flow
    for node in flow.nodes:
        arms = flow.arms(node.alias)
        if len(arms) > 1 and node.join is None:
            found = listed(arm.source for arm in arms)
            expected = "`config: {join: {kind: AND | OR | XOR | N_OF_M | FIRST}}`"
            message = f"`{node.alias}` has several inputs and no `join`"
            context.report.error("AX1501", node.place, message, found=found, expected=expected)
        if len(arms) <= 1 and flow.entry:  # else edges were refused, and this would be an echo
            _check_needless(node, len(arms), context.report)
        if len(arms) > 1 and node.join:
            _check_join(node, node.join, arms, context.report)
    return flow


def single_arm(join: Join) -> bool:
    """Whether a join passes on the message of one arm, and does not make one of several."""
    return join.kind in ("XOR", "FIRST")


def _check_needless(node: Placement, arms: int, report: Report) -> None:
    for key, present in (("join", node.join), ("compose", node.compose)):
        if present:
            message = f"`{node.alias}` has nothing to join"
            found = f"{arms} forward input{'' if arms == 1 else 's'}"
            report.error("AX1502", node.at(f"config.{key}"), message, found=found, expected="several")


def _check_join(node: Placement, join: Join, arms: list[Edge], report: Report) -> None:
    place = node.at("config.join")
    if join.kind == "N_OF_M" and not 1 <= join.n <= len(arms):
        message = f"`n` of the join of `{node.alias}` does not fit its arms"
        found, expected = str(join.n) if join.n else "none", f"1 to {len(arms)}"
        report.error("AX1503", place, message, found=found, expected=expected)
    if join.kind != "N_OF_M" and join.n:
        message = f"`n` is for N_OF_M, and `{node.alias}` joins by {join.kind}"
        report.error("AX1504", place, message, found=f"n: {join.n}", expected="no `n`, or `kind: N_OF_M`")
    if join.timeout_ms and (single_arm(join) or join.n == 1):
        message = f"`{node.alias}` goes with the first arm that arrives, and so never waits for another"
        hint = "leave `timeout_ms` out"
        report.warn("AX1508", place, message, found=f"timeout_ms: {join.timeout_ms}", suggestion=hint)
    if node.compose and single_arm(join):
        message = f"`{node.alias}` joins by {join.kind}, which passes one arm's message on"
        hint = "shape it with adapters on the edges"
        report.error("AX1507", node.at("config.compose"), message, expected="no `compose`", suggestion=hint)
