"""How an owner writes to its journal: events become an append, and an unclear answer is asked about again.

What the store can't answer is never the node's failure: the owner asks for ``UNCLEAR_SECONDS``, then gives the
execution up (``Lost``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar
from zlib import crc32

from . import events as e
from .events import Event
from .limits import INLINE_VALUE_BYTES, SNAPSHOT_EVENTS, UNCLEAR_SECONDS
from .perform import Lost
from .snapshot import dump
from .state import State
from .store.base import Append, Fence, Ok, Outcome, Outgoing, Park, StoreError

if TYPE_CHECKING:
    from .engine import Host

T = TypeVar("T")

SNAPSHOT_SHARE: Final = 8
"""A snapshot is due after ``SNAPSHOT_EVENTS`` events, and not before the journal has grown by an eighth: what all the
snapshots of a run cost stays linear in its length."""
FIRST_BACKOFF_SECONDS: Final = 0.02


class Writer:
    """One owner's hand on one journal."""

    __slots__ = ("_crc", "_fence", "_host", "_id", "snapshot_seq", "status")

    def __init__(self, host: Host, execution_id: str, fence: Fence, status: str) -> None:
        self._host: Final = host
        self._id: Final = execution_id
        self._fence: Final = fence
        self._crc: Final = e.crc(execution_id, b"")
        self.status: str = status
        """What the head says."""
        self.snapshot_seq = 0
        """Of the snapshot that there is."""

    async def item(
        self,
        after: int,
        state: State,
        events: list[Event],
        leaving: Park | None,
        outbox: tuple[Outgoing, ...] = (),
        encoded: Sequence[bytes | None] | None = None,
    ) -> Append:
        """Return the append of ``events`` behind ``after``, which takes the journal to ``state``.

        ``encoded``: the events' bytes, where they are known already. A large value goes out of line first.
        """
        data, crcs = [], []
        for index, event in enumerate(events):
            written = (encoded[index] if encoded else None) or e.encode(event)
            if len(written) > INLINE_VALUE_BYTES:
                events[index] = await self._out_of_line(event)
                written = e.encode(events[index])
            data.append(written)
            crcs.append(crc32(written, self._crc))
        snapshot = None
        if not state.final and state.seq - self.snapshot_seq >= max(
            SNAPSHOT_EVENTS, state.seq // SNAPSHOT_SHARE
        ):
            snapshot = dump(state)
            self.snapshot_seq = state.seq
        return Append(
            self._id,
            tuple(data),
            tuple(crcs),
            state.at,
            after,
            self._fence,
            None,
            state.status if state.status != self.status else None,
            leaving,
            outbox,
            snapshot,
        )

    async def write(self, item: Append) -> Outcome:
        """Append; after an unclear answer send it again, which is harmless."""
        try:
            outcome = (await self._host.store.append((item,)))[0]
        except StoreError as error:
            outcome = (await self._again(lambda: self._host.store.append((item,)), error))[0]
        if item.status is not None and isinstance(outcome, Ok):
            self.status = item.status
        return outcome

    async def patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call the store, again and again while it is away or unclear; at last ``Lost``."""
        try:
            return await call()
        except StoreError as error:
            return await self._again(call, error)

    async def _again(self, call: Callable[[], Awaitable[T]], failure: StoreError) -> T:
        if not failure.retryable:
            raise Lost from failure
        clock = self._host.clock
        give_up = clock.monotonic() + UNCLEAR_SECONDS
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            await clock.sleep(backoff)
            backoff = min(backoff * 2, 0.5)
            try:
                return await call()
            except StoreError as error:
                if not error.retryable or clock.monotonic() >= give_up:
                    raise Lost from error

    async def _out_of_line(self, event: Event) -> Event:
        """Put a large value into a blob, durable before the event that names it."""
        body = dict(event.body)
        for field in ("output", "input"):
            if "value" in (body.get(field) or ()):
                data = e.pack_value(body[field]["value"])
                name = f"{event.node}.{'.'.join(map(str, event.iteration))}.{event.attempt}"
                if field == "input":
                    name += ".input"
                await self.patiently(lambda: self._host.store.put_blob(self._id, name, data))  # noqa: B023
                body[field] = {"blob": name, "size": len(data)}
        return event._replace(body=body)
