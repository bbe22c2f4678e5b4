"""The ready queues: ids of executions that nobody owns, by priority and time, and those that are due soon.

A step of priority is a head start of ``PRIORITY_MS``: the oldest run goes at last, whatever keeps coming.

An id has at most one valid ticket; an entry of a heap whose ticket is not the id's is stale and skipped. Ids are kept
instead of heads, so that a long queue costs little. What is due beyond ``horizon_ms`` is left to the file's index.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence

from ..limits import PRIORITY_MS


class Queues:
    """Ready and soon ready."""

    def __init__(self, horizon_ms: int | None) -> None:
        self.horizon_ms = horizon_ms
        self._tickets: dict[str, int] = {}
        self._ready: dict[str, list[tuple[int, int, int, str]]] = {}
        self._later: list[tuple[int, int, str, str, int]] = []
        self._numbers = itertools.count(1)

    def add(self, execution_id: str, queue: str, ready_at: int, priority: int, now: int) -> bool:
        """Queue an execution; true if it is ready already."""
        ticket = self._tickets[execution_id] = next(self._numbers)
        if ready_at <= now:
            heap = self._ready.setdefault(queue, [])
            heapq.heappush(heap, (ready_at - priority * PRIORITY_MS, ready_at, ticket, execution_id))
            return True
        if self.horizon_ms is None or ready_at <= now + self.horizon_ms:
            heapq.heappush(self._later, (ready_at, ticket, execution_id, queue, priority))
        else:
            del self._tickets[execution_id]
        return False

    def drop(self, execution_id: str) -> None:
        self._tickets.pop(execution_id, None)

    def waits(self, execution_id: str) -> bool:
        return execution_id in self._tickets

    def due(self, now: int) -> set[str]:
        """Move what has become due to its queue; the queues that got something."""
        moved: set[str] = set()
        while self._later and self._later[0][0] <= now:
            ready_at, ticket, execution_id, queue, priority = heapq.heappop(self._later)
            if self._tickets.get(execution_id) == ticket:
                place = (ready_at - priority * PRIORITY_MS, ready_at, ticket, execution_id)
                heapq.heappush(self._ready.setdefault(queue, []), place)
                moved.add(queue)
        return moved

    def next_due(self) -> int | None:
        """When something becomes ready next, as far as is known here."""
        while self._later and self._tickets.get(self._later[0][2]) != self._later[0][1]:
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else None

    def pop(self, queues: Sequence[str]) -> str | None:
        """Take the first id over the named queues."""
        best: list[tuple[int, int, int, str]] | None = None
        for queue in queues:
            heap = self._ready.get(queue)
            while heap and self._tickets.get(heap[0][3]) != heap[0][2]:
                heapq.heappop(heap)
            if heap and (best is None or heap[0] < best[0]):
                best = heap
        if best is None:
            return None
        execution_id = heapq.heappop(best)[3]
        del self._tickets[execution_id]
        return execution_id
