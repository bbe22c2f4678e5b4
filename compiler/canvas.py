"""The canvas document: the same flow, as an editor holds it.

``{name, nodes: [{id | alias, node, package, position, config}], edges: [{from | source, to | target, adapter,
condition, …}]}``. Its tree is given the keys of ``flow.yaml`` and then goes the same way, so both compile to the same
artifact. Places are JSON pointers into the document.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from .errors import Place
from .parse import EDGE_KEYS, NODE_KEYS
from .report import Report
from .source import Entry, Items, Table, Tree, graft

NODE_NAMES: Final = {"id": "alias"}
EDGE_NAMES: Final = {"source": "from", "target": "to"}
NODE_VIEW: Final = frozenset(["type", "width", "height", "measured", "selected", "dragging"])
"""Keys of the editor that say nothing of the flow."""
EDGE_VIEW: Final = frozenset(
    ["id", "type", "selected", "animated", "sourceHandle", "targetHandle", "markerEnd"]
)


def canvas_tree(document: Mapping[str, Any], file: str, report: Report) -> Tree | None:
    """Return the tree of a canvas document with the keys of ``flow.yaml``."""
    try:
        tree = graft(document, file)
    except ValueError as error:
        report.error("AX1022", Place(file), f"a canvas must be plain JSON: {error}")
        return None
    if not isinstance(tree, Table):
        return tree
    entries = [
        Entry(e.key, _each(e.value, *_TABLES[e.key]), e.place) if e.key in _TABLES else e
        for e in tree.entries
    ]
    return Table(tuple(entries), tree.place)


def _each(tree: Tree, names: Mapping[str, str], view: frozenset[str], known: Collection[str]) -> Tree:
    if not isinstance(tree, Items):
        return tree
    return Items(tuple(_renamed(item, names, view, known) for item in tree.items), tree.place)


def _renamed(tree: Tree, names: Mapping[str, str], view: frozenset[str], known: Collection[str]) -> Tree:
    if not isinstance(tree, Table):
        return tree
    given = {entry.key for entry in tree.entries}
    out = []
    for entry in tree.entries:
        meant = names.get(entry.key)
        if meant and meant not in given:
            out.append(Entry(meant, entry.value, entry.place))
        elif not meant and (entry.key not in view or entry.key in known):
            out.append(entry)
    return Table(tuple(out), tree.place)


_TABLES: Final = {"nodes": (NODE_NAMES, NODE_VIEW, NODE_KEYS), "edges": (EDGE_NAMES, EDGE_VIEW, EDGE_KEYS)}
