"""Maps in the fold: a node whose items run as iterations of their own, so many at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .settling import make_ready
from .state import CANCELLED, MAPPING, Key, Run, State
from .state import Mapping as Items


def open_map(draft: State, key: Key, opened: Mapping[str, Any], attempt: int) -> None:
    """A node becomes as many items as ``opened`` says; the first of them may start."""
    count, bound = opened["count"], opened["bound"]
    draft.nodes = draft.nodes.set(key, Run(MAPPING, attempt, draft.seq))
    begun = min(count, bound)
    draft.mapping = draft.mapping.set(key, Items(count, begun, 0, bound, opened["tolerant"]))
    for index in range(begun):
        make_ready(draft, (key[0], (*key[1], index)))


def item_done(draft: State, key: Key) -> None:
    """One item has ended: the next may start."""
    parent = (key[0], key[1][:-1])
    mapping = draft.mapping[parent]
    begun = mapping.begun
    if begun < mapping.total:
        make_ready(draft, (key[0], (*parent[1], begun)))
        begun += 1
    draft.mapping = draft.mapping.set(parent, mapping._replace(begun=begun, done=mapping.done + 1))


def close_map(draft: State, parent: Key) -> None:
    """Stop the items that are alive."""
    mapping = draft.mapping[parent]
    draft.mapping = draft.mapping.delete(parent)
    for index in range(mapping.begun):
        key = (parent[0], (*parent[1], index))
        for phase in ("ready", "running", "retrying", "waiting"):
            group = getattr(draft, phase)
            if key in group:
                setattr(draft, phase, group.delete(key))
                draft.nodes = draft.nodes.set(key, Run(CANCELLED, draft.nodes[key].attempt, draft.seq))
