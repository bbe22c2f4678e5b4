"""Waiting for executions: one subscription to the store's hints per process, however many wait.

A hint only says that it is worth a look; the journal says what is true. Whoever waits first **listens**, then
**looks**, then waits: whatever was written before the look is seen by it, and whatever is written after is hinted, so
there is no gap between the two. Hints can be lost with a connection: each listener looks again every
``WAITER_LOOK_SECONDS`` (jittered) all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from axiom.runtime.clock import Clock
from axiom.runtime.limits import WAITER_LOOK_SECONDS
from axiom.runtime.store.base import FINAL, Hint, Store, StoreError


class Ended(NamedTuple):
    """An execution's final event: its number, and the status it gave."""

    seq: int
    status: str


class Listener:
    """What has been heard of one execution since ``clear``."""

    __slots__ = ("_future", "ended", "missed", "stirred")

    def __init__(self) -> None:
        self.stirred = False
        """Something moved: look."""
        self.ended: Ended | None = None
        """It ended, as a hint said."""
        self.missed = False
        """Hints may have been lost: only the store knows."""
        self._future: asyncio.Future[None] | None = None

    def clear(self) -> None:
        self.stirred = self.missed = False

    def hear(self, hint: Hint | None) -> None:
        """Note a hint; ``None``: hints may have been missed."""
        self.stirred = True
        if hint is None:
            self.missed = True
        elif hint.kind == "moved" and hint.status in FINAL:
            self.ended = Ended(hint.seq, hint.status)
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def wait(self, seconds: float) -> bool:
        """Wait until something moved, ``seconds`` at most; whether it did."""
        if self.stirred or seconds <= 0:
            return self.stirred
        loop = asyncio.get_running_loop()
        self._future = future = loop.create_future()
        alarm = loop.call_later(seconds, _ring, future)
        try:
            await future
        finally:
            alarm.cancel()
            self._future = None
        return self.stirred


def _ring(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Waiters:
    """See the top of the file."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._listeners: Final[dict[str, list[Listener]]] = {}
        self._unwatch: Callable[[], None] | None = None

    @contextmanager
    def listen(self, execution_id: str) -> Iterator[Listener]:
        """Hear of an execution for the length of the block."""
        if self._unwatch is None:
            self._unwatch = self._store.watch(self._on_hints, ("moved", "frames"))
        listener = Listener()
        self._listeners.setdefault(execution_id, []).append(listener)
        try:
            yield listener
        finally:
            group = self._listeners[execution_id]
            group.remove(listener)
            if not group:
                del self._listeners[execution_id]

    def look_seconds(self) -> float:
        """How long to wait before looking without a hint; jittered, so that waiters don't look in step."""
        return WAITER_LOOK_SECONDS * (0.75 + self._clock.random() / 2)

    async def ended(self, listener: Listener, execution_id: str, seconds: float, look: bool) -> Ended | None:
        """Wait for the end, ``seconds`` at most. ``look``: it may have ended before the listening began."""
        until = self._clock.monotonic() + seconds
        while listener.ended is None:
            if look:
                try:
                    head = (await self._store.heads((execution_id,)))[0]
                except StoreError:
                    pass  # the run goes on without us; the next look may tell
                else:
                    if head is None:
                        return None
                    if head.status in FINAL:
                        return Ended(head.seq, head.status)
            left = until - self._clock.monotonic()
            if left <= 0:
                return None
            listener.clear()
            look = not await listener.wait(min(left, self.look_seconds())) or listener.missed
        return listener.ended

    def close(self) -> None:
        """Hear no more."""
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None

    def _on_hints(self, hints: Sequence[Hint]) -> None:
        for hint in hints:
            if hint.kind not in ("moved", "frames"):
                continue
            subject = hint.subject or hint.execution_id
            if not subject:
                for group in self._listeners.values():
                    for listener in group:
                        listener.hear(None)
                continue
            for listener in self._listeners.get(subject, ()):
                listener.hear(hint)
