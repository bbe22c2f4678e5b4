"""Loops: what goes round, and that it is entered and left in one place each.

The **body** of a loop is the nodes on the ways from the target of its back edge, its **head**, to the source. Bodies
lie inside one another or apart. Edges enter a body at its head alone and leave it from its source alone: the source is
where it is decided whether to go round again, so nothing of an iteration is left behind or overtaken when it is.

Loops that lead back to one head share its count of rounds.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..lower import topological
from ..model import Edge, Flow
from ..report import Report
from .context import Context

MAX_LOOPS: Final = 500
"""Of one flow. Workers look at each loop's body when they take up an artifact."""
MAX_DEPTH: Final = 16
"""Loops inside one another: as many numbers stand in an iteration."""


class Loop(NamedTuple):
    """A back edge and the aliases of its body."""

    edge: Edge
    body: frozenset[str]

    @property
    def name(self) -> str:
        """Its ends, for messages."""
        return f"{self.edge.source} → {self.edge.target}"


def loops(flow: Flow, context: Context) -> Flow:
    """Return ``flow``; complain of loops that are entered, left or mixed as they can't be."""
    backs = [edge for edge in flow.edges if edge.loop]
    if not backs or not flow.entry:  # without an entry edges were refused, and bodies can't be told
        return flow
    if len(backs) > MAX_LOOPS:
        place, message = backs[MAX_LOOPS].place, "there are too many loops"
        context.report.error("AX1219", place, message, found=str(len(backs)), expected=f"≤ {MAX_LOOPS}")
        return flow
    found = bodies(flow)
    if sum(len(loop.body) for loop in found) > MAX_DEPTH * len(flow.nodes):
        _complain_of_depth(found[-1].edge, "more", context.report)
    elif _nested(found, context.report):
        _check_edges(flow, found, context.report)
    return flow


def bodies(flow: Flow) -> list[Loop]:
    """Return the loops of a flow, the largest first. An edge that does not lead back makes none.

    It ends early once there are so many nodes in bodies that these must lie too deep in one another.
    """
    position = {alias: number for number, alias in enumerate(topological(flow))}
    after: dict[str, list[str]] = {}
    before: dict[str, list[str]] = {}
    for edge in flow.edges:
        if edge.forward:
            after.setdefault(edge.source, []).append(edge.target)
            before.setdefault(edge.target, []).append(edge.source)
    found: list[Loop] = []
    room = MAX_DEPTH * len(flow.nodes)
    for edge in flow.edges:
        if edge.loop and room >= 0:
            window = range(position[edge.target], position[edge.source] + 1)
            ahead = _within(edge.target, after, position, window)
            body = frozenset(ahead & _within(edge.source, before, position, window))
            room -= len(body)
            if edge.source in body:
                found.append(Loop(edge, body))
    return sorted(found, key=lambda loop: (-len(loop.body), loop.edge.source, loop.edge.target))


def _within(start: str, follow: dict[str, list[str]], position: dict[str, int], window: range) -> set[str]:
    """What can be reached from ``start`` by nodes that stand in ``window`` of a topological order."""
    found, pending = {start}, [start]
    while pending:
        for alias in follow.get(pending.pop(), ()):
            if alias not in found and position[alias] in window:
                found.add(alias)
                pending.append(alias)
    return found


def _nested(found: list[Loop], report: Report) -> bool:
    """Whether bodies lie inside one another or apart, and not too deep. ``found`` has the largest first."""
    around: dict[str, tuple[Loop, int]] = {}
    sound = True
    for loop in found:
        outer = {around.get(alias) for alias in loop.body}
        if len(outer) > 1:
            other = next(pair[0] for pair in sorted(filter(None, outer), key=lambda pair: -pair[1]))
            message = (
                f"the loop {loop.name} overlaps the loop {other.name}, and neither lies inside the other"
            )
            shared = ", ".join(sorted(loop.body & other.body))
            hint = "let them share all of the smaller one, or nothing"
            report.error(
                "AX1218", loop.edge.at("loop"), message, found=f"both go through {shared}", suggestion=hint
            )
            sound = False
            continue
        parent = outer.pop()
        depth = 1 + (parent[1] if parent else 0)
        if depth > MAX_DEPTH:
            _complain_of_depth(loop.edge, str(depth), report)
            return False
        around.update(dict.fromkeys(loop.body, (loop, depth)))
    return sound


def _complain_of_depth(edge: Edge, found: str, report: Report) -> None:
    message = f"loops lie more than {MAX_DEPTH} deep in one another"
    report.error("AX1219", edge.at("loop"), message, found=found, expected=f"≤ {MAX_DEPTH}")


def _check_edges(flow: Flow, found: list[Loop], report: Report) -> None:
    around: dict[str, list[Loop]] = {}
    for loop in found:
        for alias in loop.body:
            around.setdefault(alias, []).append(loop)
    for edge in flow.edges:
        for loop in around.get(edge.target, ()):
            if edge.source not in loop.body and edge.target != loop.edge.target:
                _complain_of_entry(edge, loop, report)
        for loop in around.get(edge.source, ()):
            if edge.target not in loop.body and edge.source != loop.edge.source:
                _complain_of_exit(edge, loop, report)


def _complain_of_entry(edge: Edge, loop: Loop, report: Report) -> None:
    head = loop.edge.target
    message = f"an edge enters the loop {loop.name} at `{edge.target}`, not at its head `{head}`"
    report.error(
        "AX1216", edge.at("to"), message, found=edge.target, expected=head, suggestion=f"lead it to `{head}`"
    )


def _complain_of_exit(edge: Edge, loop: Loop, report: Report) -> None:
    source = loop.edge.source
    message = f"an edge leaves the loop {loop.name} from `{edge.source}`, not from its source `{source}`"
    hint = f"go on to `{source}` and leave from there"
    report.error("AX1217", edge.at("from"), message, found=edge.source, expected=source, suggestion=hint)


__all__ = ["Loop", "bodies", "loops"]
