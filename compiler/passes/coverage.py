"""Conditions that leave a gap, and joins that wait for what can't be.

What each node's conditions can do together is judged by their checked trees: an edge without a condition, ``c`` beside
``!c``, ``<`` beside ``>=``, or equalities that exhaust an enum; going round a loop again counts. What a gap means for
the run is found by walking the graph with those edges not taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any, Final

from ..artifact import Expression
from ..model import FLOW_OUTPUT, Edge, Flow
from ..schemas import pointed
from .context import Context
from .expressions import given

MAX_VISITS: Final = 1_000_000
"""Edges looked at for one flow; a warning is not worth more."""
MAX_CONDITIONS: Final = 64
"""Behind one node; more are not compared with each other."""
OPPOSITES: Final = {"eq": "ne", "lt": "ge", "gt": "le", "ne": "eq", "ge": "lt", "le": "gt"}


def coverage(flow: Flow, context: Context) -> Flow:
    """Return ``flow``; warn where a run may end with no path taken."""
    if context.report.failed or flow.mode == "pipeline":
        return flow
    paths = _Paths(flow)
    for node in flow.nodes:
        leaving = paths.leaving.get(node.alias, [])
        normal = [edge for edge in leaving if not edge.on_error]
        rescues = [edge for edge in leaving if edge.on_error]
        _check_gaps(normal, rescues, flow, paths, context)
        _check_exclusive(flow, paths, [normal, rescues], context)
        if 1 < len(normal) <= MAX_CONDITIONS and all(_exclude(a, b) for a, b in combinations(normal, 2)):
            _check_exclusive(flow, paths, [[edge] for edge in normal], context)
    return flow


def _check_gaps(normal: list[Edge], rescues: list[Edge], flow: Flow, paths: _Paths, context: Context) -> None:
    """Warn if conditions of one node may be false in such a way that the terminal doesn't run."""
    again = paths.again.get(normal[0].source, []) if normal else []
    open_ends = [edge for edge in normal if not (again and _covers([edge, *again], flow, context))]
    choices = [[edge] for edge in open_ends if edge.decided is not None]
    if normal and not _covers(normal + again, flow, context):
        choices.insert(0, normal)
    for choice in choices:
        if not paths.arrives(flow.terminal, choice + rescues):
            message = (
                f"if this is false behind `{choice[0].source}`, no path to `{flow.terminal}` may be taken"
            )
            hint = "give one edge no condition, add the opposite, or join by OR or XOR"
            context.report.warn("AX1505", choice[0].at("condition"), message, suggestion=hint)
            return


class _Paths:
    """Which nodes run when some edges are not taken, all else going well."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.visits = 0
        self.leaving: dict[str, list[Edge]] = {}
        self.again: dict[str, list[Edge]] = {}
        """Back edges that are not always taken."""
        for edge in flow.edges:
            if not edge.loop and edge.source in flow.by_alias:
                self.leaving.setdefault(edge.source, []).append(edge)
            elif edge.loop and edge.decided is not None:
                self.again.setdefault(edge.source, []).append(edge)

    def arrives(self, alias: str, off: Iterable[Edge]) -> bool:
        """Whether ``alias`` still runs without the edges ``off``."""
        return alias not in self.lost(off)

    def lost(self, off: Iterable[Edge]) -> set[str]:
        """Return the nodes that don't run without the edges ``off``."""
        missing: dict[str, int] = {}
        lost: set[str] = set()
        pending = list(off)
        while pending and self.visits < MAX_VISITS:
            edge = pending.pop()
            self.visits += 1
            node = self.flow.by_alias.get(edge.target)
            if node is None or edge.target in lost:
                continue
            missing[edge.target] = missing.get(edge.target, 0) + 1
            arms = len(self.flow.arms(edge.target))
            kind = node.join.kind if node.join else "AND"
            needed = {"AND": arms, "N_OF_M": node.join.n if node.join else 1}.get(kind, 1)
            if arms - missing[edge.target] < needed:
                lost.add(edge.target)
                pending.extend(self.leaving.get(edge.target, ()))
        return lost


def _check_exclusive(flow: Flow, paths: _Paths, choices: list[list[Edge]], context: Context) -> None:
    """Complain about joins that each of ``choices``, of which only one can be, leaves without an arm."""
    choices = [choice for choice in choices if choice]
    if len(choices) < 2:
        return
    lost = [paths.lost(e for other in choices if other is not choice for e in other) for choice in choices]
    for alias in sorted(set.intersection(*lost)):
        node = flow.by_alias[alias]
        if node.join and len(flow.arms(alias)) > 1 and not paths.visits >= MAX_VISITS:
            source = choices[0][0].source
            message = f"the arms of the join at `{alias}` exclude each other behind `{source}`"
            hint = "join by XOR or OR"
            found = node.join.kind
            place = node.at("config.join")
            context.report.error("AX1506", place, message, found=found, expected="XOR or OR", suggestion=hint)
            return


def _covers(edges: list[Edge], flow: Flow, context: Context) -> bool:
    if any(edge.decided is None or edge.target == FLOW_OUTPUT for edge in edges):
        return True
    trees = [edge.decided for edge in edges]
    if len(trees) > MAX_CONDITIONS:
        return True
    if any(_opposite(a, b) for a, b in combinations(trees, 2)):
        return True
    return _exhausts(trees, given(edges[0], flow.by_alias, flow, context))


def _opposite(a: Expression, b: Expression) -> bool:
    return a == ["not", b] or b == ["not", a] or (_op(a) in OPPOSITES and b == [OPPOSITES[a[0]], *a[1:]])


def _exclude(a: Edge, b: Edge) -> bool:
    left, right = a.decided, b.decided
    if left is None or right is None:
        return False
    if _opposite(left, right):
        return True
    both = _equality(left), _equality(right)
    return bool(both[0] and both[1] and both[0][0] == both[1][0] and both[0][1] != both[1][1])


def _exhausts(trees: list[Expression], source: Any) -> bool:
    """Whether equalities on one path name every value of its enum."""
    pairs = [pair for tree in trees if (pair := _equality(tree))]
    for path in {repr(pair[0]): pair[0] for pair in pairs}.values():
        values = [value for found, value in pairs if found == path]
        allowed = _values(path, source)
        if allowed and all(value in values for value in allowed):
            return True
    bools = [tree for tree in trees if _op(tree) == "field"]
    return any(["not", tree] in trees for tree in bools)


def _equality(tree: Expression) -> tuple[Expression, Any] | None:
    """``path == constant`` as ``(path, constant)``; a bare boolean field counts as ``== true``."""
    if _op(tree) == "eq":
        left, right = tree[-2:]
        if _op(left) == "const":
            left, right = right, left
        return (left, right[1]) if _op(right) == "const" else None
    if _op(tree) == "not" and _op(tree[1]) == "field":
        return tree[1], False
    return (tree, True) if _op(tree) == "field" else None


def _values(path: Expression, source: Any) -> list[Any]:
    """Return all values that a path into a message may have, if they are few; else nothing."""
    steps: list[str] = []
    while _op(path) == "field":
        path, name = path[1], path[2]
        steps.insert(0, name)
    here = source
    for step in steps if path == ["message"] else ():
        here = _followed(here, source)
        here = here.get("properties", {}).get(step) if isinstance(here, Mapping) else None
    here = _followed(here, source)
    if not isinstance(here, Mapping) or here is source:
        return []
    if "enum" in here:
        return list(here["enum"])
    return [True, False] if here.get("type") == "boolean" else []


def _followed(schema: Any, root: Any) -> Any:
    for _ in range(8):
        ref = schema.get("$ref") if isinstance(schema, Mapping) else None
        path = pointed(root, ref) if isinstance(ref, str) else None
        if path is None:
            return schema
        schema = root
        for step in path:
            schema = schema[step]
    return schema


def _op(tree: Expression) -> str:
    return str(tree[0]) if isinstance(tree, (list, tuple)) and tree else ""
