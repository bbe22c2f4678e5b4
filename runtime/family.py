"""Whom an execution belongs to: the parent that started it, and the children that it started."""

from __future__ import annotations

from typing import Any, Final

from axiom.compiler.artifact import Plan

from . import events as e
from .events import Event
from .orders import started_by
from .store.base import Head, Store

CHILDREN_MOST: Final = 1_000
"""Children that are named; ``more_children`` says that there are others."""
BITE: Final = 1_000


async def family(store: Store, head: Head, plan: Plan | None) -> dict[str, Any]:
    """Return ``{"parent": {…} | None, "children": [{…}], "more_children": bool}``.

    A parent is ``{execution_id, node, iteration, attempt, waits}``, a child the same with its ``status``, ``None``
    where it is ordered and not there yet. ``plan`` spares a look at the journal where no node starts children.
    """
    accepted = (await store.read(head.execution_id, 0, 1))[0].body
    found: list[dict[str, Any]] = []
    more = False
    if plan is not None and any(node.kind == "flow" for node in plan.nodes):
        found, more = await _children(store, head)
    heads = await store.heads([child["execution_id"] for child in found])
    children = [
        {**child, "status": None if at is None else at.status} for child, at in zip(found, heads, strict=True)
    ]
    return {"parent": accepted.get("parent"), "children": children, "more_children": more}


async def _children(store: Store, head: Head) -> tuple[list[dict[str, Any]], bool]:
    found: list[dict[str, Any]] = []
    seq = 0
    while events := await store.read(head.execution_id, seq, BITE):
        seq = events[-1].seq
        for event in events:
            child = started_by(event)
            if child is not None and len(found) == CHILDREN_MOST:
                return found, True
            if child is not None:
                found.append(_child(child, event))
    return found, False


def _child(execution_id: str, event: Event) -> dict[str, Any]:
    return {
        "execution_id": execution_id,
        "node": event.node,
        "iteration": list(event.iteration),
        "attempt": event.attempt,
        "waits": event.kind == e.NODE_WAITING,
    }
