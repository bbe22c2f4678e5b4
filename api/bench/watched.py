"""A store that counts what is read from it, and can hold runs back at a checkpoint.

A run is held **before** its append goes out: it costs nothing while it waits, and goes on as if nothing had been.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from axiom.runtime import events as e
from axiom.runtime.events import Event
from axiom.runtime.store.base import EVEN, Append, Claimed, Outcome, Store


class Moment(NamedTuple):
    """When an append was answered."""

    wall_ns: int
    cpu_ns: int
    """Of the loop's thread."""


class Watched:
    """Hands everything on to ``store``; see the top of the file. Counts one append as one checkpoint."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._barriers: dict[str, int] = {}
        self._gates: dict[str, asyncio.Event] = {}
        self._reached = asyncio.Event()
        self.checkpoints: Counter[str] = Counter()
        """Of each execution."""
        self.moments: list[Moment] = []
        self.events_read = 0
        self.bytes_read = 0
        """Of events and snapshots."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def as_store(self) -> Store:
        """The same, for those who ask for a store."""
        return cast(Store, self)

    # --- holding back ---------------------------------------------------------------------------------------------

    async def go(self, execution_id: str, to: int) -> None:
        """Let a run go on, and return when it has ``to`` checkpoints and is held there."""
        self._barriers[execution_id] = to
        self._gates.setdefault(execution_id, asyncio.Event()).set()
        while self.checkpoints[execution_id] < to:
            self._reached.clear()
            await self._reached.wait()

    async def append(self, batch: Sequence[Append]) -> list[Outcome]:
        for item in batch:
            await self._pass(item)
        outcomes = await self._store.append(batch)
        self.moments.append(Moment(time.perf_counter_ns(), time.thread_time_ns()))
        for item in batch:
            self.checkpoints[item.execution_id] += 1
        self._reached.set()
        return outcomes

    async def _pass(self, item: Append) -> None:
        name = item.execution_id
        first = (
            1 if item.create is not None else 0
        )  # it has no name before its first append: it may make that
        while self.checkpoints[name] >= self._barriers.get(name, first):
            gate = self._gates.setdefault(name, asyncio.Event())
            gate.clear()
            await gate.wait()

    # --- counting -------------------------------------------------------------------------------------------------

    async def read(self, execution_id: str, after: int = 0, limit: int = 1_000) -> list[Event]:
        found = await self._store.read(execution_id, after, limit)
        self._count(found)
        return found

    async def snapshot(self, execution_id: str) -> tuple[int, bytes] | None:
        found = await self._store.snapshot(execution_id)
        self.bytes_read += len(found[1]) if found else 0
        return found

    async def claim(
        self, session: str, queues: Sequence[str], limit: int, weights: Mapping[str, float] = EVEN
    ) -> list[Claimed]:
        found = await self._store.claim(session, queues, limit, weights)
        for claimed in found:
            self._count(claimed.events)
            self.bytes_read += len(claimed.snapshot[1]) if claimed.snapshot else 0
        return found

    def _count(self, events: list[Event]) -> None:
        self.events_read += len(events)
        self.bytes_read += sum(len(e.encode(event)) for event in events)
