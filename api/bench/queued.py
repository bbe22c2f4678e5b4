"""Many runs put into the queue at once, as doors do it, and the wait for their end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from axiom.compiler.artifact import Artifact
from axiom.runtime.clock import SystemClock
from axiom.runtime.starts import Start
from axiom.runtime.store.base import Hint, Store

from ..doors import start_execution
from .rig import ACCOUNT

AT_ONCE: Final = 256
LOOK_SECONDS: Final = 0.5
"""How long without news before the heads are looked at."""


async def enqueue(store: Store, artifact: Artifact, value: Any, count: int) -> list[str]:
    """Start so many runs and return their ids."""
    clock = SystemClock()
    start = Start(ACCOUNT, artifact.graph_id, artifact.plan, value)
    ids: list[str] = []
    while len(ids) < count:
        width = min(AT_ONCE, count - len(ids))
        begun = await asyncio.gather(*[start_execution(store, clock, start) for _ in range(width)])
        ids += [started.execution_id for started in begun]
    return ids


class Ends:
    """Counts runs that reach one of ``statuses``. To be made before they are started."""

    def __init__(self, store: Store, statuses: Sequence[str]) -> None:
        self._store: Final = store
        self._statuses: Final = frozenset(statuses)
        self._seen: set[str] = set()
        self._news: Final = asyncio.Event()
        self.stop: Final = store.watch(self._hear)

    def _hear(self, hints: Sequence[Hint]) -> None:
        self._seen |= {
            hint.subject for hint in hints if hint.kind == "moved" and hint.status in self._statuses
        }
        self._news.set()

    async def wait(self, ids: Sequence[str]) -> None:
        """Return when all of ``ids`` were seen there; by hints, and by their heads where no hint came."""
        left = set(ids)
        while left := left - self._seen:
            self._news.clear()
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                await self._look(sorted(left))

    async def _look(self, ids: list[str]) -> None:
        for first in range(0, len(ids), AT_ONCE):
            part = ids[first : first + AT_ONCE]
            heads = await self._store.heads(part)
            self._seen |= {head.execution_id for head in heads if head and head.status in self._statuses}
