"""A tree to a ``Flow``: the keys of the language, their types and their defaults.

It knows nothing of packages; what names stand for is the business of the passes. It says all that is wrong with the
text and returns what it could make of it, so that the passes can say the rest.
"""

from __future__ import annotations

from typing import Any, Final

from .configs import MAX_SECONDS, configured
from .fields import ALIAS, FLOW_NAME, NODE_NAME, PACKAGE_NAME, VERSION, Fields
from .limits import parse_concurrency, parse_rate
from .model import Compensation, Edge, Flow, Placement
from .report import Report
from .source import Scalar, Table, Tree, plain

FLOW_KEYS: Final = [
    "name",
    "version",
    "description",
    "input",
    "output",
    "pipeline_mode",
    "timeout_seconds",
    "retention_days",
    "on_cancel",
    "priority",
    "concurrency",
    "rate_limit",
    "nodes",
    "edges",
    "compensate",
]
NODE_KEYS: Final = ["alias", "package", "node", "flow", "kind", "config", "col", "row", "position"]
EDGE_KEYS: Final = ["from", "to", "adapter", "condition", "on_error", "check", "loop", "max_iterations"]
KINDS: Final = ("node", "sleep", "event")
MAX_NODES: Final = 20_000
"""Of one flow. Larger work is data, not a graph."""
CELL: Final = (240, 120)
"""Pixels of the canvas that make one column and one row."""


def parse(tree: Tree, report: Report) -> Flow:
    """Return the flow that ``tree`` describes, as far as it can be made out."""
    f = Fields(tree, report, "the flow", FLOW_KEYS)
    f.require("name", "nodes")
    nodes = f.items("nodes")
    if len(nodes) > MAX_NODES:
        report.error(
            "AX1024", f.at("nodes"), "too many nodes", found=str(len(nodes)), expected=f"≤ {MAX_NODES:,}"
        )
        nodes = ()
    return Flow(
        place=tree.place,
        places=f.places,
        name=f.text("name", "unnamed", FLOW_NAME, "acme/fulfil"),
        version=f.text("version", "0.0.0", VERSION, "1.0.0"),
        description=f.text("description"),
        input=_name(f, "input"),
        output=_name(f, "output"),
        pipeline_mode=f.flag("pipeline_mode") if "pipeline_mode" in f else None,
        timeout_seconds=f.number("timeout_seconds", 0, 0, MAX_SECONDS, above=True) or None,
        retention_days=float(f.number("retention_days", 30.0, 0, 36_600)) if "retention_days" in f else None,
        on_cancel=f.choice("on_cancel", "stop", ("stop", "compensate")),
        priority=f.integer("priority", 0, -1_000, 1_000),
        nodes=tuple(_placement(node, report) for node in nodes),
        edges=tuple(edge for item in f.items("edges") if (edge := _edge(item, report))),
        compensate=_compensations(f, report),
        concurrency=parse_concurrency(f.get("concurrency"), report),
        rate_limit=parse_rate(f.get("rate_limit"), report),
    )


def _name(f: Fields, key: str) -> Scalar | None:
    tree = f.get(key)
    return tree if f.text(key) and isinstance(tree, Scalar) else None


def _compensations(f: Fields, report: Report) -> tuple[Compensation, ...]:
    table = f.table("compensate")
    out = []
    for entry in table.entries if table else ():
        value = entry.value.value if isinstance(entry.value, Scalar) else None
        if isinstance(value, str):
            places = {"by": entry.value.place}
            out.append(Compensation(place=entry.place, places=places, alias=entry.key, by=value))
        else:
            f.wrong(entry.value, "an alias", f"`{entry.key}`")
    if f.text("on_cancel") == "compensate" and not out:
        message = "`on_cancel: compensate` needs `compensate`, which says how"
        report.error("AX1026", f.at("on_cancel"), message, expected="`compensate: {ALIAS: ALIAS}`")
    return tuple(out)


def _placement(tree: Tree, report: Report) -> Placement:
    f = Fields(tree, report, "a node", NODE_KEYS)
    f.require("alias")
    kind = f.choice("kind", "node", KINDS)
    named = [key for key in ("node", "flow") if key in f]
    if kind == "node" and len(named) != 1 and isinstance(tree, Table):
        message = "a node names both `node` and `flow`" if named else "a node names neither `node` nor `flow`"
        report.error("AX1026", f.place, message, expected="one of them, or `kind: sleep` or `kind: event`")
    _check_handlerless(f, kind, report)
    package, _, version = f.text("package").partition("@")
    if package and not PACKAGE_NAME.fullmatch(package):
        expected = "like `acme/payments@1.2.0`"
        report.error(
            "AX1025", f.at("package"), "a package is not spelled so", found=package, expected=expected
        )
        package = ""
    if version and not VERSION.fullmatch(version):
        report.error(
            "AX1025", f.at("package"), "a version is not spelled so", found=version, expected="like `1.2.0`"
        )
    placement = Placement(
        place=f.at("alias") if "alias" in f else f.place,
        places=f.places,
        alias=f.text("alias", "", ALIAS, "reserve_stock"),
        kind="flow" if "flow" in f else kind,
        package=package,
        version=version,
        node=f.text("node", "", NODE_NAME, "ReserveStock"),
        flow=f.text("flow"),
        pin=_pin(f, report),
    )
    return configured(placement, f.get("config"), report)


def _check_handlerless(f: Fields, kind: str, report: Report) -> None:
    """A node that sleeps, waits for an event or is a flow has no handler, and so none of a package."""
    what = f"`kind: {kind}`" if kind != "node" else "`flow`" if "flow" in f else ""
    for key in ("node", "flow", "package") if kind != "node" else ("package",):
        if what and key in f:
            message = f"a node with {what} has no `{key}`"
            report.error("AX1026", f.at(key), message, found=key, expected=f"{what} alone")


def _pin(f: Fields, report: Report) -> tuple[int, int] | None:
    position = f.table("position")
    if position:
        p = Fields(position, report, "`position`", ("x", "y"))
        x, y = (p.number(axis, 0, -1e6, 1e6) for axis in ("x", "y"))
        return round(x / CELL[0]), round(y / CELL[1])
    if "col" not in f and "row" not in f:
        return None
    if "col" not in f or "row" not in f:
        report.error(
            "AX1026", f.place, "a pinned node needs both `col` and `row`", expected="both or neither"
        )
        return None
    return f.integer("col", 0, 0, 100_000), f.integer("row", 0, 0, 100_000)


def _edge(tree: Tree, report: Report) -> Edge | None:
    f = Fields(tree, report, "an edge", EDGE_KEYS)
    f.require("from", "to")
    source, target = f.text("from"), f.text("to")
    check = f.choice("check", "", ("runtime",))
    adapter = f.table("adapter")
    edge = Edge(
        place=f.place,
        places=f.places,
        source=source,
        target=target,
        adapter=adapter if adapter and _expressions(adapter, f) else None,
        condition=_condition(f),
        on_error=f.flag("on_error"),
        check=check == "runtime",
        loop=f.flag("loop"),
        max_iterations=f.integer("max_iterations", 0, 1, 1_000_000),
    )
    if edge.max_iterations and not edge.loop:
        message = "`max_iterations` needs `loop: true`"
        report.error("AX1026", f.at("max_iterations"), message, expected="`loop: true`")
    return edge if source and target else None


def _expressions(table: Table, f: Fields) -> bool:
    """Whether every value of an adapter is an expression: a string of CEL, or a literal number or boolean."""
    wrong = [e for e in table.entries if not isinstance(e.value, Scalar) or e.value.value is None]
    for entry in wrong:
        f.wrong(entry.value, "an expression", f"`{entry.key}`")
    return not wrong


def _condition(f: Fields) -> Tree | None:
    tree = f.get("condition")
    if isinstance(tree, Scalar) and not isinstance(tree.value, (str, bool)):
        f.wrong(tree, "CEL or a mapping of `op`, `field` and `value`", "`condition`")
        return None
    if isinstance(tree, Table):
        c = Fields(tree, f.report, "a condition", ("op", "field", "value", "cel"))
        c.require("op")
        if c.text("op") == "CEL":
            c.require("cel")
            return c.get("cel")
        c.require("field")
        if "cel" in c:
            f.report.error("AX1026", c.at("cel"), "`cel` needs `op: CEL`", expected="`op: CEL`")
    elif tree is not None and not isinstance(tree, Scalar):
        f.wrong(tree, "CEL or a mapping of `op`, `field` and `value`", "`condition`")
        return None
    return tree


def expression_text(tree: Tree) -> str:
    """Return the CEL text of an adapter's value: literals may stand there without quotes."""
    value: Any = plain(tree)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)
