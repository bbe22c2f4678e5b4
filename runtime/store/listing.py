"""One page of a list, from streams of heads: pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from ..limits import PAGE_HEADS
from .base import Head, Page, Query


def place(head: Head) -> tuple[int, str]:
    """Where a head stands in a list; greater is newer."""
    return head.created_at, head.execution_id


def matches(query: Query, head: Head) -> bool:
    """Whether the head passes every filter of the query, the cursor left out."""
    return (
        head.account == query.account
        and (not query.statuses or head.status in query.statuses)
        and (query.flow is None or head.flow == query.flow)
        and (query.graph_id is None or head.graph_id == query.graph_id)
        and (query.created_from is None or head.created_at >= query.created_from)
        and (query.created_to is None or head.created_at < query.created_to)
        and (query.q is None or found(query.q, head))
    )


def found(q: str, head: Head) -> bool:
    """Whether a search finds the head."""
    return head.execution_id.startswith(q.lower()) or q in (head.flow, head.key, head.business_key)


def page(query: Query, streams: Sequence[Iterator[Head]]) -> Page:
    """Merge streams, each newest first, and stop at the limit or after ``PAGE_HEADS`` heads."""
    heads: list[Head] = []
    merged = heapq.merge(*streams, key=place, reverse=True) if len(streams) != 1 else streams[0]
    before: tuple[int, str] | None = None
    for looked, head in enumerate(merged, 1):
        if place(head) == before:
            continue
        before = place(head)
        if query.cursor is not None and before >= tuple(query.cursor):
            continue
        if query.created_from is not None and head.created_at < query.created_from:
            break
        if matches(query, head):
            heads.append(head)
            if len(heads) > query.limit:
                heads.pop()
                return Page(heads, place(heads[-1]))
        if looked >= PAGE_HEADS:
            return Page(heads, place(head))
    return Page(heads, None)
