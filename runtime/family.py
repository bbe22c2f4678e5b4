"""Whom an execution belongs to: its parent and its children, its origin and its forks.

Parents, children and origins stand in journals. Which forks an execution has is a document beside it, since a journal
that has ended takes nothing more.
"""

from __future__ import annotations

from typing import Any, Final

from axiom.compiler.artifact import Plan

from . import events as e
from .events import Event, pack_value, unpack_value
from .forks import Origin
from .orders import started_by
from .store.base import Head, Store

CHILDREN_MOST: Final = 1_000
"""Children that are named; ``more_children`` says that there are others."""
BITE: Final = 1_000
FORKS: Final = "forks"
FORKS_KEPT: Final = 200
"""Forks that an execution names, the latest; all name their origin."""


async def family(store: Store, head: Head, plan: Plan | None) -> dict[str, Any]:
    """Return ``{"parent", "children", "more_children", "origin", "forks"}``: objects or ``None``, lists of them.

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
    return {
        "parent": accepted.get("parent"),
        "children": children,
        "more_children": more,
        "origin": accepted.get("origin"),
        "forks": await forks_of(store, head),
    }


async def link_fork(store: Store, origin: Origin, fork_id: str) -> None:
    """Note in an origin's list that it has a fork; before that is made, so that none is missed."""
    while True:
        found = await store.get(FORKS, origin.execution_id)
        told = [] if found is None else unpack_value(found.value)
        told = [*told, {"execution_id": fork_id, "kind": origin.kind, "seq": origin.seq}][-FORKS_KEPT:]
        version = found.version if found is not None else 0
        if await store.put(FORKS, origin.execution_id, pack_value(told), expect=version) is not None:
            return


async def forks_of(store: Store, head: Head) -> list[dict[str, Any]]:
    """Return ``{execution_id, kind, seq, status}`` of what was forked from an execution, as far as it is there."""
    found = await store.get(FORKS, head.execution_id)
    told = [] if found is None else unpack_value(found.value)
    heads = await store.heads([one["execution_id"] for one in told])
    return [{**one, "status": at.status} for one, at in zip(told, heads, strict=True) if at is not None]


async def forget_forks(store: Store) -> None:
    """Remove the lists of executions that are gone."""
    after = ""
    while documents := await store.documents(FORKS, "", after):
        heads = await store.heads([document.key for document in documents])
        for document, head in zip(documents, heads, strict=True):
            if head is None:
                await store.remove(FORKS, document.key)
        after = documents[-1].key


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
