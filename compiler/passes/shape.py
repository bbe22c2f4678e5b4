"""The graph itself: aliases, edges, one entry, one terminal, no cycle but a loop that says so.

**Forward** edges lead from node to node and don't say ``loop: true``. The entry is the target of ``@flow_input``, or
the one node without forward inputs. A terminal is a node that normal edges reach and none leave: where an
``on_error`` branch ends, the run ends as failed, so its end is none. Nodes that compensate stand outside of the graph.
Consequences of an edge that was already refused are not reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ..model import FLOW_INPUT, FLOW_OUTPUT, Edge, Flow, Placement
from ..report import Report, listed, suggest
from .context import Context


def shape(flow: Flow, context: Context) -> Flow:
    """Return ``flow`` without what makes no sense, with its entry and terminal."""
    report = context.report
    if not flow.nodes:
        if flow.at("nodes") is not flow.place:
            report.error("AX1213", flow.at("nodes"), "a flow needs at least one node", expected="a node")
        return replace(flow, edges=())
    nodes = _unique_nodes(flow, report)
    edges = _unique_edges(_known_edges(flow, nodes, report), report)
    refused = len(edges) < len(flow.edges) or len(nodes) < len(flow.nodes)
    flow = replace(flow, nodes=tuple(nodes.values()), edges=tuple(edges))
    cyclic = _check_cycles(flow, report)
    _check_loops(flow, report)
    if cyclic or refused:
        return flow
    entry = _entry(flow, report)
    if not entry or _check_sinks(flow, entry, report):
        return flow
    _check_reach(flow, entry, report)
    return replace(flow, entry=entry, terminal=_terminal(flow, entry, report))


_ODD = {
    FLOW_INPUT: ("condition", "on_error", "loop"),
    FLOW_OUTPUT: ("condition", "on_error", "loop", "check"),
}


def successors(edges: Iterable[Edge]) -> dict[str, list[str]]:
    """Return targets by source."""
    out: dict[str, list[str]] = {}
    for edge in edges:
        out.setdefault(edge.source, []).append(edge.target)
    return out


def reached(start: str, follow: Mapping[str, list[str]]) -> set[str]:
    """Return what can be reached from ``start``, itself included."""
    found, pending = {start}, [start]
    while pending:
        for target in follow.get(pending.pop(), ()):
            if target not in found:
                found.add(target)
                pending.append(target)
    return found


def _unique_nodes(flow: Flow, report: Report) -> dict[str, Placement]:
    nodes: dict[str, Placement] = {}
    for node in flow.nodes:
        if not node.alias:
            continue
        if node.alias in nodes:
            first = nodes[node.alias].place
            message = f"the alias `{node.alias}` is given to two nodes"
            report.error("AX1201", node.place, message, found=f"first in line {first.line}")
        nodes.setdefault(node.alias, node)
    return nodes


def _known_edges(flow: Flow, nodes: Mapping[str, Placement], report: Report) -> list[Edge]:
    known = []
    for edge in flow.edges:
        ends = [_known(edge, key, nodes, report) for key in ("from", "to")]
        if (edge.source, edge.target) == (FLOW_INPUT, FLOW_OUTPUT):
            report.error("AX1212", edge.place, "an edge leads past all nodes", expected="an alias at one end")
        elif all(ends):
            known.append(edge)
    return known


def _known(edge: Edge, key: str, nodes: Mapping[str, Placement], report: Report) -> bool:
    name, own, other = (
        (edge.source, FLOW_INPUT, FLOW_OUTPUT) if key == "from" else (edge.target, FLOW_OUTPUT, FLOW_INPUT)
    )
    if name == other:
        role = "source" if key == "from" else "target"
        message = f"`{other}` can't be the {role} of an edge"
        report.error("AX1212", edge.at(key), message, found=other, expected=f"an alias or `{own}`")
        return False
    if name == own:
        odd = [k for k in _ODD[own] if k in edge.places]
        if odd:
            message = f"an edge of `{own}` can't have `{odd[0]}`"
            report.error("AX1214", edge.at(odd[0]), message, found=odd[0], expected="from, to and adapter")
        return not odd
    if name not in nodes:
        near = suggest(name, [*nodes, own])
        message = f"no node has the alias `{name}`"
        report.error("AX1202", edge.at(key), message, found=name, expected=listed(nodes), suggestion=near)
        return False
    return True


def _unique_edges(edges: list[Edge], report: Report) -> list[Edge]:
    found: dict[tuple[str, str, bool], Edge] = {}
    for edge in edges:
        key = (edge.source, edge.target, edge.loop)
        if key in found:
            message = f"there is a second edge from `{edge.source}` to `{edge.target}`"
            first = f"first in line {found[key].place.line}"
            hint = "merge their conditions with `||`, or put a node between"
            report.error("AX1209", edge.place, message, found=first, expected="one edge", suggestion=hint)
        found.setdefault(key, edge)
    return list(found.values())


def _check_cycles(flow: Flow, report: Report) -> bool:
    """Report each forward edge that closes a cycle, with the way round."""
    follow: dict[str, list[Edge]] = {}
    for edge in flow.edges:
        if edge.forward:
            follow.setdefault(edge.source, []).append(edge)
    done: set[str] = set()
    cyclic = False
    for node in flow.nodes:
        if node.alias in done:
            continue
        path, on_path = [node.alias], {node.alias}
        stack = [iter(follow.get(node.alias, ()))]
        while stack:
            step = next(stack[-1], None)
            if step is None:
                done.add(path[-1])
                on_path.discard(path.pop())
                stack.pop()
            elif step.target in on_path:
                cyclic = True
                way = " → ".join([*path[path.index(step.target) :], step.target])
                hint = "give this edge `loop: true` and `max_iterations`"
                report.error("AX1203", step.place, "nodes form a cycle", found=way, suggestion=hint)
            elif step.target not in done:
                path.append(step.target)
                on_path.add(step.target)
                stack.append(iter(follow.get(step.target, ())))
    return cyclic


def _check_loops(flow: Flow, report: Report) -> None:
    follow = successors(edge for edge in flow.edges if edge.forward)
    for edge in flow.edges:
        if not edge.loop:
            continue
        if not edge.max_iterations:
            expected = "`max_iterations`"
            report.error("AX1210", edge.place, "a loop has no bound", found="none", expected=expected)
        if edge.on_error:
            message = "an edge can't be both `loop` and `on_error`"
            hint = "lead the error to a node, and go back from there"
            report.error("AX1026", edge.at("on_error"), message, expected="one of them", suggestion=hint)
        if edge.source not in reached(edge.target, follow):
            message = f"`loop: true` from `{edge.source}` to `{edge.target}` does not lead back"
            hint = "leave `loop` out"
            report.error("AX1211", edge.at("loop"), message, expected="a way forward", suggestion=hint)


def _entry(flow: Flow, report: Report) -> str:
    given = [edge for edge in flow.edges if edge.source == FLOW_INPUT]
    if given:
        for edge in given[1:]:
            message = "a flow has one entry, and this is another one"
            found = f"`{given[0].target}` and `{edge.target}`"
            report.error(
                "AX1205", edge.at("to"), message, found=found, expected="one edge from `@flow_input`"
            )
        return given[0].target if len(given) == 1 else ""
    targets = {edge.target for edge in flow.edges if edge.forward} | flow.compensating
    roots = [node for node in flow.nodes if node.alias not in targets]
    rounds = {edge.target for edge in flow.edges if edge.loop}
    roots = [node for node in roots if node.alias not in rounds] or roots
    for node in roots[1:]:
        message = f"`{node.alias}` waits for nothing, so the flow has another entry than `{roots[0].alias}`"
        hint = "give it an edge, or put one node in front of both"
        found = listed(root.alias for root in roots)
        report.error("AX1205", node.place, message, found=found, expected="one entry", suggestion=hint)
    return roots[0].alias if len(roots) == 1 else ""


def _check_sinks(flow: Flow, entry: str, report: Report) -> bool:
    """Complain of nodes that only back edges enter, and which can't be where the flow begins."""
    backs = {edge.target: edge for edge in flow.edges if edge.loop}
    sinks = [alias for alias in backs if alias != entry and not flow.arms(alias)]
    for alias in sinks:
        message = f"only a back edge leads to `{alias}`, so it never runs a first time"
        hint = "lead a forward edge into it, or go back to a node further up"
        report.error(
            "AX1215", backs[alias].at("to"), message, found=alias, expected="a way in", suggestion=hint
        )
    return bool(sinks)


def _check_reach(flow: Flow, entry: str, report: Report) -> None:
    found = reached(entry, successors(edge for edge in flow.edges if edge.forward)) | flow.compensating
    for node in flow.nodes:
        if node.alias not in found:
            message = f"`{node.alias}` can't be reached from the entry `{entry}`"
            report.error("AX1208", node.place, message, expected="a way from the entry")


def _terminal(flow: Flow, entry: str, report: Report) -> str:
    follow = successors(edge for edge in flow.edges if edge.forward and not edge.on_error)
    ends = {alias for alias in reached(entry, follow) if not follow.get(alias)}
    outputs = {edge.source: edge for edge in flow.edges if edge.target == FLOW_OUTPUT}
    terminals = sorted(ends | set(outputs))
    if len(terminals) == 1:
        return terminals[0]
    first = min(outputs) if outputs else terminals[0]
    for alias in terminals:
        node = flow.by_alias.get(alias)
        if alias != first and node:
            message = f"the flow also ends at `{alias}`, not only at `{first}`"
            hint = "lead both into one node with a `join`"
            found = listed(terminals)
            report.error("AX1206", node.place, message, found=found, expected="one terminal", suggestion=hint)
    return ""
