"""Conditions, adapters and ``compose``: texts to checked trees, and what they make of the messages they read.

Both spellings of a condition become the same tree. After this pass every edge knows what it ``carries``, every join
what it makes of its arms, and every node that takes what comes, what ``arrives`` there. Nodes are visited in their
order, because a node that sleeps gives what it was given. At the head of a loop that is what enters it: what comes
round again must fit that (``types``); other heads see what enters and what comes round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from ..artifact import Expression, Schema
from ..containment import contained
from ..expressions import ExpressionError, check, comparison, parse
from ..expressions import Tree as Parsed
from ..lower import topological
from ..messages import ANYTHING
from ..model import FLOW_INPUT, Edge, Flow, MessageId, Placement
from ..parse import expression_text
from ..report import Report
from ..schemas import any_of, object_of
from ..source import Scalar, Table, Tree, plain, within
from .context import Context
from .gates import single_arm

ERROR: Final[Schema] = {
    "type": "object",
    "properties": {
        "code": {"type": "string"},
        "message": {"type": "string"},
        "node": {"type": "string"},
        "attempt": {"type": "integer", "minimum": 1},
    },
    "required": ["attempt", "code", "message", "node"],
    "additionalProperties": False,
}
"""What an ``on_error`` edge carries."""
NOTHING: Final[Schema] = {"type": "object", "properties": {}, "additionalProperties": False}
"""The message that ``compose`` sees: it has only ``inputs``."""
BOOLEAN: Final[Schema] = {"type": "boolean"}


Nodes = Mapping[str, Placement]


def expressions(flow: Flow, context: Context) -> Flow:
    """Return ``flow`` with the expressions of its edges and joins checked."""
    entry = flow.by_alias.get(flow.entry)
    if entry and entry.open and not entry.pause and not flow.input:
        flow = replace(flow, input_message=ANYTHING)
    nodes, edges = dict(flow.by_alias), list(flow.edges)
    into: dict[str, list[int]] = {}
    behind = []
    for index, edge in enumerate(edges):
        if edge.forward or edge.source == FLOW_INPUT:
            into.setdefault(edge.target, []).append(index)
        else:
            behind.append(index)
    order = topological(flow)
    for alias in [*order, *sorted(nodes.keys() - set(order))]:
        for index in into.get(alias, ()):
            edges[index] = _checked(edges[index], nodes, flow, context)
        nodes[alias] = _reached(nodes[alias], [edges[i] for i in into.get(alias, ())], flow, context)
    for index in behind:
        edges[index] = _checked(edges[index], nodes, flow, context)
    for index in behind:
        _come_round(edges[index], nodes)
    done = (_with_input(nodes[node.alias], context) for node in flow.nodes)
    return replace(flow, edges=tuple(edges), nodes=tuple(done))


def given(edge: Edge, nodes: Nodes, flow: Flow, context: Context) -> Schema | None:
    """Return what the source of ``edge`` gives, before any adapter; ``None`` where that is not known."""
    if edge.on_error:
        return ERROR
    if edge.source == FLOW_INPUT:
        entry = nodes.get(edge.target)
        message = flow.input_message or (entry.input if entry else None)
    else:
        source = nodes.get(edge.source)
        message = source.gives if source else None
    return context.library.schema(message) if message else None


def checked_expression(
    tree: Tree, source: Schema | None, inputs: Mapping[str, Schema] | None, report: Report
) -> tuple[Expression, Schema] | None:
    """Return the tree and the schema of an expression; ``None`` if it is wrong, or ``source`` is not known."""
    parsed = _parsed(tree, report)
    if parsed is None or source is None:
        return None
    try:
        return check(parsed, source, inputs)
    except ExpressionError as error:
        _complain("AX1402", tree, error, report)
        return None


def kind_shown(schema: Schema) -> str:
    """Return the type of an expression, for messages."""
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    return kind if isinstance(kind, str) else "a value of any type"


def _reached(node: Placement, into: list[Edge], flow: Flow, context: Context) -> Placement:
    """Return ``node`` with what its edges bring: joined, and where it takes what comes, as that."""
    arms = [edge for edge in into if edge.forward]
    several = flow.mode == "unary" and len(arms) > 1 and node.join is not None
    if several and node.join and not single_arm(node.join):
        node = _joined(node, arms, context)
    if not node.open:
        return node
    arrives = _arriving(node, into, flow, context)
    if arrives is None or node.kind != "sleep":
        return replace(node, arrives=arrives)
    message = context.library.named(arrives, MessageId("", "", f"{node.alias}.message"))
    return replace(node, arrives=arrives, input=message, output=message, gives=message)


def _arriving(node: Placement, into: list[Edge], flow: Flow, context: Context) -> Schema | None:
    if not into and node.alias == flow.entry:
        message = flow.input_message or node.input
        return context.library.schema(message) if message else None
    if node.joined is not None or len(into) == 1:
        return into[0].carries if node.joined is None else node.joined
    carried = [edge.carries for edge in into if edge.carries is not None]
    if len(carried) < len(into) or not carried or node.join is None or not single_arm(node.join):
        return None
    return any_of(carried)


def _come_round(edge: Edge, nodes: dict[str, Placement]) -> None:
    """Add what a back edge brings to what arrives at its head."""
    head = nodes.get(edge.target)
    if head is None or head.kind == "sleep" or head.arrives is None:
        return
    arrives = None if edge.carries is None else any_of([head.arrives, edge.carries])
    nodes[edge.target] = replace(head, arrives=arrives)


def _with_input(node: Placement, context: Context) -> Placement:
    """An event has no input of its own: what arrives."""
    if node.kind != "event" or node.arrives is None:
        return node
    message = context.library.named(node.arrives, MessageId("", "", f"{node.alias}.input"))
    return replace(node, input=message)


def _checked(edge: Edge, nodes: Nodes, flow: Flow, context: Context) -> Edge:
    source, report = given(edge, nodes, flow, context), context.report
    if source is None:
        for entry in edge.adapter.entries if edge.adapter else ():
            _parsed(entry.value, report)
        if edge.condition:
            _parsed(edge.condition, report)
        return edge
    decided = _condition(edge.condition, source, report) if edge.condition else None
    if edge.adapter is None:
        return replace(edge, decided=decided, carries=source)
    made = _fields(edge.adapter, source, None, report)
    if made is None:
        return replace(edge, decided=decided)
    adapted, writes = made
    return replace(edge, decided=decided, adapted=adapted, writes=writes, carries=object_of(writes, writes))


def _condition(tree: Tree, source: Schema, report: Report) -> Expression | None:
    checked = checked_expression(tree, source, None, report)
    if checked is None:
        return None
    code, result = checked
    if contained(result, BOOLEAN):
        message, found = "a condition must be true or false", kind_shown(result)
        report.error("AX1403", tree.place, message, found=found, expected="boolean")
    return None if code == ["const", True] else code


def _fields(
    table: Table, source: Schema, inputs: Mapping[str, Schema] | None, report: Report
) -> tuple[dict[str, Expression], dict[str, Schema]] | None:
    """Return the trees of a mapping of fields to expressions, and the schemas of what they make."""
    trees: dict[str, Expression] = {}
    schemas: dict[str, Schema] = {}
    for entry in table.entries:
        checked = checked_expression(entry.value, source, inputs, report)
        if checked:
            trees[entry.key], schemas[entry.key] = checked
    if len(trees) < len(table.entries):
        return None
    return dict(sorted(trees.items())), schemas


def _parsed(tree: Tree, report: Report) -> Parsed | None:
    try:
        if isinstance(tree, Table):
            data = plain(tree)
            return comparison(str(data.get("op")), str(data.get("field")), data.get("value"))
        return parse(expression_text(tree))
    except ExpressionError as error:
        _complain("AX1401", tree, error, report)
        return None


def _complain(code: str, tree: Tree, error: ExpressionError, report: Report) -> None:
    place = tree.place
    if isinstance(tree, Scalar):
        place = within(tree, error.offset, report)
        found = expression_text(tree)[error.offset : error.offset + error.length]
    else:
        field = tree.entry("field") if isinstance(tree, Table) else None
        place = field.value.place if field else place
        found = str(plain(tree).get("field", "")) if isinstance(tree, Table) else ""
    report.error(code, place, error.message, found=found[:80], suggestion=error.suggestion)


def _joined(node: Placement, arms: list[Edge], context: Context) -> Placement:
    join = node.join
    inputs = {arm.source: arm.carries for arm in arms if arm.carries is not None}
    if join is None or len(inputs) < len(arms):
        return node
    certain = join.kind == "AND" or join.n == len(arms)
    if node.compose is not None:
        return _composed(node, node.compose, inputs, certain, context)
    merged: dict[str, Schema] = {}
    for arm in arms:
        for name, schema in _contribution(arm, inputs).items():
            if name in merged:
                message = f"two arms of the join at `{node.alias}` write `{name}`"
                hint = "rename it, or say `compose`"
                context.report.error("AX1306", arm.at("adapter"), message, found=name, suggestion=hint)
            merged[name] = schema
    return replace(node, joined=object_of(merged, merged if certain else ()))


def _contribution(arm: Edge, inputs: Mapping[str, Schema]) -> Mapping[str, Schema]:
    """What an arm adds to a joined input: the fields of its adapter, or its message under its alias."""
    return {arm.source: inputs[arm.source]} if arm.writes is None else arm.writes


def _composed(
    node: Placement, compose: Table, inputs: Mapping[str, Schema], certain: bool, context: Context
) -> Placement:
    made = _fields(compose, NOTHING, inputs, context.report)
    if made is None:
        return node
    trees, writes = made
    for name, tree in trees.items():
        entry = compose.entry(name)
        place = entry.value.place if entry else compose.place
        if _reads(tree, "message"):
            message, hint = "`compose` has no `value`: a join has several inputs", "name an arm: inputs.ALIAS"
            context.report.error("AX1402", place, message, found="value", suggestion=hint)
        for alias in () if certain else sorted(_reads(tree, "input") - _reads(tree, "arrived")):
            message = f"the arm `{alias}` may be missing when `{node.alias}` goes"
            hint = f"guard it: has(inputs.{alias}) ? … : …"
            context.report.error("AX1402", place, message, found=f"inputs.{alias}", suggestion=hint)
    return replace(node, composed=trees, joined=object_of(writes, writes))


def _reads(tree: Expression, op: str) -> set[str]:
    """Return what a checked tree reads by ``op``: aliases of ``input`` and ``arrived``, or the ``message``."""
    if not isinstance(tree, list) or tree[:1] == ["const"]:
        return set()
    own = {str(tree[-1])} if tree[:1] == [op] and all(isinstance(part, str) for part in tree) else set()
    return own.union(*(_reads(part, op) for part in tree))
