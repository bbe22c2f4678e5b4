"""Retention: what ended long enough ago goes, with everything of its own.

The store decides what may go (``Store.expired``: final, past its flow's retention, nothing left to deliver) and how
(``Store.delete``: never a live run). This loop only asks, again and again, a bounded bite at a time; a ``report`` tells
what the next bites would be, and removes nothing.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple

import structlog

from . import telemetry
from .clock import Clock
from .family import forget_forks
from .store.base import Head, Store, StoreError

LOOK_SECONDS: Final = 60.0
"""Between two looks (jittered), when the last one found no more."""
BITE: Final = 100
"""Executions deleted by one call: it never holds the store for long."""
REPORT_MOST: Final = 10_000

log = structlog.get_logger("axiom.pruner")


class Expired(NamedTuple):
    """What a flow's retention would remove now."""

    flow: str
    executions: int
    oldest_at: int
    """When the one that ended first did."""
    retention_days: float


class Pruner:
    """See the top of the file. One per process that serves a store; several do no harm."""

    def __init__(self, store: Store, clock: Clock, look_seconds: float = LOOK_SECONDS) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._look_seconds: Final = look_seconds
        self._task: asyncio.Task[Any] | None = None
        self.deleted = 0
        """Since the start, for metrics."""

    async def start(self) -> None:
        """Begin to look."""
        self._task = self._clock.spawn(self._loop(), "pruner")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def prune(self) -> int:
        """Delete all that is past its retention now; how many went."""
        gone = 0
        while True:
            heads = await self._store.expired(self._store.now(), BITE)
            removed = await self._store.delete([head.execution_id for head in heads]) if heads else 0
            gone += removed
            self.deleted += removed
            telemetry.PRUNED.inc(removed)
            if removed == 0 or len(heads) < BITE:
                break
        if gone:
            await forget_forks(self._store)
        return gone

    async def _loop(self) -> None:
        while True:
            try:
                gone = await self.prune()
                if gone:
                    log.info("pruned", executions=gone)
            except StoreError as error:
                log.warning("prune_failed", error=str(error))
            await self._clock.sleep(self._look_seconds * (0.75 + self._clock.random() / 2))


async def report(store: Store, account: str | None = None, flow: str | None = None) -> list[Expired]:
    """Tell what retention would remove now, by flow; at most ``REPORT_MOST`` executions are looked at."""
    heads = await store.expired(store.now(), REPORT_MOST, account)
    by_flow: dict[str, list[Head]] = {}
    for head in heads:
        if flow is None or head.flow == flow:
            by_flow.setdefault(head.flow, []).append(head)
    return [
        Expired(
            name,
            len(found),
            min(head.completed_at or 0 for head in found),
            max(h.retention_days for h in found),
        )
        for name, found in sorted(by_flow.items())
    ]
