"""The ready queues: ids of executions that nobody owns, by priority and time, and those that are due soon.

Each queue has a line per account, and goes on where it is fairest: an account's next start is the later of the queue's
present one and the end of what it had last; a run takes ``1 / weight``. Who had nothing for a while starts now, owed
nothing and owing nothing. Among equals the line whose head is first in its own order goes on.

A step of priority is a head start of ``PRIORITY_MS``: the oldest run goes at last, whatever keeps coming.

An id has at most one valid ticket; an entry of a heap whose ticket is not the id's is stale and skipped. Ids are kept
instead of heads, so that a long queue costs little. What is due beyond ``horizon_ms`` is left to the file's index.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping, Sequence

from ..limits import PRIORITY_MS

Place = tuple[int, int, int, str]
"""``(when it would be its turn, ready_at, ticket, id)``."""


class Lines:
    """The accounts' lines of one queue."""

    __slots__ = ("ends", "heaps", "present")

    def __init__(self) -> None:
        self.heaps: dict[str, list[Place]] = {}
        self.ends: dict[str, float] = {}
        """Where each account's last start ended."""
        self.present = 0.0
        """Where the last start of the queue began."""

    def ahead(self, account: str) -> float:
        """How far behind the present the account's next start lies; 0 if it may start now."""
        return max(0.0, self.ends.get(account, 0.0) - self.present)

    def start(self, account: str, weight: float) -> None:
        """The account has had a turn."""
        self.present += self.ahead(account)
        self.ends[account] = self.present + 1.0 / weight
        if account not in self.heaps:
            self.ends = {name: end for name, end in self.ends.items() if end > self.present}


class Queues:
    """Ready and soon ready."""

    def __init__(self, horizon_ms: int | None) -> None:
        self.horizon_ms = horizon_ms
        self._tickets: dict[str, int] = {}
        self._ready: dict[str, Lines] = {}
        self._later: list[tuple[int, int, str, str, int, str]] = []
        self._numbers = itertools.count(1)

    def add(
        self, execution_id: str, queue: str, account: str, ready_at: int, priority: int, now: int
    ) -> bool:
        """Queue an execution; true if it is ready already."""
        ticket = self._tickets[execution_id] = next(self._numbers)
        if ready_at <= now:
            self._place(execution_id, queue, account, ready_at, priority, ticket)
            return True
        if self.horizon_ms is None or ready_at <= now + self.horizon_ms:
            heapq.heappush(self._later, (ready_at, ticket, execution_id, queue, priority, account))
        else:
            del self._tickets[execution_id]
        return False

    def _place(
        self, execution_id: str, queue: str, account: str, ready_at: int, priority: int, ticket: int
    ) -> None:
        lines = self._ready.get(queue)
        if lines is None:
            lines = self._ready[queue] = Lines()
        heap = lines.heaps.setdefault(account, [])
        heapq.heappush(heap, (ready_at - priority * PRIORITY_MS, ready_at, ticket, execution_id))

    def drop(self, execution_id: str) -> None:
        self._tickets.pop(execution_id, None)

    def waits(self, execution_id: str) -> bool:
        return execution_id in self._tickets

    def due(self, now: int) -> set[str]:
        """Move what has become due to its queue; the queues that got something."""
        moved: set[str] = set()
        while self._later and self._later[0][0] <= now:
            ready_at, ticket, execution_id, queue, priority, account = heapq.heappop(self._later)
            if self._tickets.get(execution_id) == ticket:
                self._place(execution_id, queue, account, ready_at, priority, ticket)
                moved.add(queue)
        return moved

    def next_due(self) -> int | None:
        """When something becomes ready next, as far as is known here."""
        while self._later and self._tickets.get(self._later[0][2]) != self._later[0][1]:
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else None

    def pop(self, queues: Sequence[str], weights: Mapping[str, float]) -> str | None:
        """Take the id whose turn it is, over the named queues."""
        best: tuple[float, Place, Lines, str] | None = None
        for queue in queues:
            lines = self._ready.get(queue)
            for account in () if lines is None else list(lines.heaps):
                assert lines is not None
                head = self._head(lines, account)
                if head is not None and (best is None or (lines.ahead(account), head) < best[:2]):
                    best = (lines.ahead(account), head, lines, account)
        if best is None:
            return None
        _, place, lines, account = best
        heapq.heappop(lines.heaps[account])
        if not lines.heaps[account]:
            del lines.heaps[account]
        lines.start(account, weights.get(account, 1.0))
        del self._tickets[place[3]]
        return place[3]

    def _head(self, lines: Lines, account: str) -> Place | None:
        """The first of a line that still counts; a line without one goes."""
        heap = lines.heaps[account]
        while heap and self._tickets.get(heap[0][3]) != heap[0][2]:
            heapq.heappop(heap)
        if heap:
            return heap[0]
        del lines.heaps[account]
        return None
