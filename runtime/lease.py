"""Keeping a session alive: a thread of its own, with a connection of its own, so that a busy loop loses no lease.

Each beat renews every execution of the session at once and brings back the mailbox. The thread also watches the event
loop: one that has not ticked for ``stall_seconds`` is blocked by a handler; the thread stops renewing and calls
``stalled`` (a worker process ends itself), so that the session's other executions go on elsewhere.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from .clock import Clock
from .limits import BEAT_MS, LEASE_MS, LOOP_STALL_SECONDS
from .store.base import Beat, Store, StoreError


class Lease:
    """The renewal of one session. ``start`` returns after the first beat was answered."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        session: str,
        info: Callable[[], Mapping[str, Any]],
        on_beat: Callable[[Beat], None],
        stalled: Callable[[], None],
        lease_ms: int = LEASE_MS,
        threaded: bool = True,
        stall_seconds: float = LOOP_STALL_SECONDS,
    ) -> None:
        self.seen: dict[str, int] = {}
        """Mailbox entries dealt with, told to the store by the next beat."""
        self._store: Final = store
        self._clock: Final = clock
        self._session: Final = session
        self._info: Final = info
        self._on_beat: Final = on_beat
        self._stalled: Final = stalled
        self._lease_ms: Final = lease_ms
        self._beat_seconds: Final = BEAT_MS / 1000 * lease_ms / LEASE_MS
        self._stall_seconds: Final = max(stall_seconds, 2 * self._beat_seconds)  # it is seen at beats only
        self._threaded: Final = threaded
        self._beater = store.beater()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[None] | None = None
        self._ticked = 0.0

    async def start(self) -> None:
        """Open the session and begin to renew it."""
        loop = asyncio.get_running_loop()
        if not self._threaded:
            self._on_beat(self._once())
            self._task = self._clock.spawn(self._in_loop(), f"lease {self._session}")
            return
        opened: asyncio.Future[None] = loop.create_future()
        self._ticked = self._clock.monotonic()
        self._thread = threading.Thread(
            target=self._in_thread, args=(loop, opened), name="lease", daemon=True
        )
        self._thread.start()
        await opened

    async def stop(self) -> None:
        """Stop renewing. The session itself is ended by its owner."""
        self._stop.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._thread is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join, 5)
        self._beater.close()

    def _once(self) -> Beat:
        seen, self.seen = self.seen, {}
        try:
            return self._beater.beat(self._session, self._lease_ms, self._info(), seen)
        except StoreError:
            self.seen = {**seen, **self.seen}
            raise

    async def _in_loop(self) -> None:
        while True:
            await self._clock.sleep(self._beat_seconds)
            try:
                self._on_beat(self._once())
            except StoreError:
                continue

    def _in_thread(self, loop: asyncio.AbstractEventLoop, opened: asyncio.Future[None]) -> None:
        first = True
        while not self._stop.is_set():
            try:
                beat = self._once()
            except StoreError as error:
                if first:
                    loop.call_soon_threadsafe(_settle, opened, error)
                    return
            else:
                try:
                    loop.call_soon_threadsafe(self._tick, beat)
                    if first:
                        loop.call_soon_threadsafe(_settle, opened, None)
                except RuntimeError:
                    return  # the loop is closed
                first = False
            if self._clock.monotonic() - self._ticked > self._stall_seconds:
                self._stalled()
                return
            self._stop.wait(self._beat_seconds)

    def _tick(self, beat: Beat) -> None:
        self._ticked = self._clock.monotonic()
        self._on_beat(beat)


def _settle(future: asyncio.Future[None], error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(None)
