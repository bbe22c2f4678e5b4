"""The store protocol over a port: whoever answers the calls works on stored bytes, and events are made of them here.

The port is an ``Embedded`` in the same process, or a client of one (``client.py``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from ..events import Damaged, Event, UnknownKind, decode
from ..limits import BATCH_BYTES, BATCH_EXECUTIONS
from .backing import Line
from .base import (
    EVEN,
    Append,
    Beat,
    Claimed,
    Document,
    Fence,
    Finding,
    Frame,
    FrameAppend,
    Head,
    OutboxEntry,
    Outcome,
    Page,
    Park,
    Query,
    Session,
    Settle,
    Watcher,
)
from .embedded import RawClaim
from .lanes import OUTSIDE
from .permits import Ask, Given, Limit, PermitStore, Rate, Turn

UNREADABLE_MS = 60_000
"""An execution whose events this version can't read is looked at again after so long, by whoever can."""


class Port(PermitStore, Protocol):
    """The calls of the store protocol, on stored bytes."""

    def now(self) -> int: ...
    async def findings(self) -> list[Finding]: ...
    async def append(self, batch: Sequence[Append]) -> list[Outcome]: ...
    async def lines(self, execution_id: str, after: int, limit: int) -> list[Line]: ...
    async def snapshot(self, execution_id: str) -> tuple[int, bytes] | None: ...
    async def heads(self, ids: Sequence[str]) -> list[Head | None]: ...
    async def find(self, query: Query) -> Page: ...
    async def scan(self, after: str, limit: int) -> list[Head]: ...
    async def put_blob(self, execution_id: str, name: str, data: bytes) -> None: ...
    async def blob(self, execution_id: str, name: str) -> bytes | None: ...
    async def append_frames(self, batch: Sequence[FrameAppend]) -> list[Outcome]: ...
    async def frames(self, execution_id: str, node: str, after: int, limit: int) -> list[Frame]: ...
    async def frame_counts(self, execution_id: str) -> dict[str, int]: ...
    async def claim(
        self, session: str, queues: Sequence[str], limit: int, weights: Mapping[str, float]
    ) -> list[RawClaim]: ...
    async def end_session(self, session: str) -> None: ...
    async def sessions(self) -> list[Session]: ...
    async def owned(self, session: str) -> list[str]: ...
    async def claim_outbox(
        self, session: str, limit: int, lane: str, holding: Sequence[str] | None
    ) -> list[OutboxEntry]: ...
    async def settle_outbox(self, session: str, settled: Sequence[Settle]) -> None: ...
    async def outbox(self, account: str | None, dead: bool | None, limit: int) -> list[OutboxEntry]: ...
    async def redeliver(self, name: str) -> bool: ...
    async def expired(self, now: int, limit: int, account: str | None) -> list[Head]: ...
    async def delete(self, ids: Sequence[str]) -> int: ...
    async def put(self, kind: str, key: str, value: bytes, expect: int | None) -> int | None: ...
    async def get(self, kind: str, key: str) -> Document | None: ...
    async def documents(self, kind: str, prefix: str, after: str, limit: int) -> list[Document]: ...
    async def remove(self, kind: str, key: str) -> bool: ...
    def watch(self, watcher: Watcher, kinds: Collection[str] | None) -> Callable[[], None]: ...


class PortedStore(ABC):
    """A ``Store`` whose calls go to ``port``; opening, closing and the beater are the subclass's."""

    url: str
    partitions = 1

    @property
    @abstractmethod
    def port(self) -> Port:
        """Who answers now."""

    def now(self) -> int:
        return self.port.now()

    async def findings(self) -> list[Finding]:
        return await self.port.findings()

    async def append(self, batch: Sequence[Append]) -> list[Outcome]:
        if len(batch) == 1 or (len(batch) <= BATCH_EXECUTIONS and _size(batch) <= BATCH_BYTES):
            return await self.port.append(batch)
        outcomes: list[Outcome] = []
        for part in parts(batch):
            outcomes += await self.port.append(part)
        return outcomes

    async def read(self, execution_id: str, after: int = 0, limit: int = 1_000) -> list[Event]:
        return [
            decode(data, seq, check) for seq, check, data in await self.port.lines(execution_id, after, limit)
        ]

    async def snapshot(self, execution_id: str) -> tuple[int, bytes] | None:
        return await self.port.snapshot(execution_id)

    async def heads(self, ids: Sequence[str]) -> list[Head | None]:
        return await self.port.heads(ids)

    async def find(self, query: Query) -> Page:
        return await self.port.find(query)

    async def scan(self, after: str = "", limit: int = 500) -> list[Head]:
        return await self.port.scan(after, limit)

    async def put_blob(self, execution_id: str, name: str, data: bytes) -> None:
        await self.port.put_blob(execution_id, name, data)

    async def blob(self, execution_id: str, name: str) -> bytes | None:
        return await self.port.blob(execution_id, name)

    async def append_frames(self, batch: Sequence[FrameAppend]) -> list[Outcome]:
        return await self.port.append_frames(batch)

    async def frames(self, execution_id: str, node: str, after: int = -1, limit: int = 256) -> list[Frame]:
        return await self.port.frames(execution_id, node, after, limit)

    async def frame_counts(self, execution_id: str) -> dict[str, int]:
        return await self.port.frame_counts(execution_id)

    async def claim(
        self, session: str, queues: Sequence[str], limit: int, weights: Mapping[str, float] = EVEN
    ) -> list[Claimed]:
        claimed: list[Claimed] = []
        for raw in await self.port.claim(session, queues, limit, weights):
            try:
                events = [decode(data, seq, check) for seq, check, data in raw[3]]
            except (UnknownKind, Damaged):
                await self._give_back(raw[0])
            else:
                claimed.append(Claimed(raw[0], raw[1], raw[2], events))
        return claimed

    async def _give_back(self, head: Head) -> None:
        """Not for this version: someone else may take it, later."""
        assert head.session is not None
        park = Park(head.queue, self.now() + UNREADABLE_MS)
        fence = Fence(head.session, head.epoch)
        await self.append([Append(head.execution_id, (), (), head.updated_at, head.seq, fence, park=park)])

    async def end_session(self, session: str) -> None:
        await self.port.end_session(session)

    async def sessions(self) -> list[Session]:
        return await self.port.sessions()

    async def owned(self, session: str) -> list[str]:
        return await self.port.owned(session)

    async def claim_outbox(
        self, session: str, limit: int, lane: str = OUTSIDE, holding: Sequence[str] | None = None
    ) -> list[OutboxEntry]:
        return await self.port.claim_outbox(session, limit, lane, holding)

    async def settle_outbox(self, session: str, settled: Sequence[Settle]) -> None:
        await self.port.settle_outbox(session, settled)

    async def outbox(
        self, account: str | None = None, dead: bool | None = None, limit: int = 100
    ) -> list[OutboxEntry]:
        return await self.port.outbox(account, dead, limit)

    async def redeliver(self, name: str) -> bool:
        return await self.port.redeliver(name)

    async def acquire(self, asks: Sequence[Ask]) -> list[bool]:
        return await self.port.acquire(asks)

    async def release(self, given: Sequence[Given]) -> list[Turn]:
        return await self.port.release(given)

    async def turns(self) -> list[Turn]:
        return await self.port.turns()

    async def take(self, rates: Sequence[Rate]) -> list[int]:
        return await self.port.take(rates)

    async def limits(self, prefix: str = "", after: str = "", limit: int = 500) -> list[Limit]:
        return await self.port.limits(prefix, after, limit)

    async def expired(self, now: int, limit: int = 100, account: str | None = None) -> list[Head]:
        return await self.port.expired(now, limit, account)

    async def delete(self, ids: Sequence[str]) -> int:
        return await self.port.delete(ids)

    async def put(self, kind: str, key: str, value: bytes, expect: int | None = None) -> int | None:
        return await self.port.put(kind, key, value, expect)

    async def get(self, kind: str, key: str) -> Document | None:
        return await self.port.get(kind, key)

    async def documents(
        self, kind: str, prefix: str = "", after: str = "", limit: int = 500
    ) -> list[Document]:
        return await self.port.documents(kind, prefix, after, limit)

    async def remove(self, kind: str, key: str) -> bool:
        return await self.port.remove(kind, key)

    def watch(self, watcher: Watcher, kinds: Collection[str] | None = None) -> Callable[[], None]:
        return self.port.watch(watcher, kinds)


class LocalBeater:
    """Beats straight into the memory of the process that holds the store."""

    def __init__(self, beat: Callable[..., Beat]) -> None:
        self._beat = beat

    def beat(self, session: str, lease_ms: int, info: Mapping[str, Any], seen: Mapping[str, int]) -> Beat:
        return self._beat(session, lease_ms, info, seen, True)

    def close(self) -> None:
        return None


def _size(batch: Sequence[Append]) -> int:
    return sum(len(data) for item in batch for data in item.events)


def parts(batch: Sequence[Append]) -> list[list[Append]]:
    """Cut a long batch into bounded ones; an item larger than the bound goes alone."""
    cut: list[list[Append]] = [[]]
    size = 0
    for item in batch:
        more = _size([item])
        if cut[-1] and (len(cut[-1]) == BATCH_EXECUTIONS or size + more > BATCH_BYTES):
            cut.append([])
            size = 0
        cut[-1].append(item)
        size += more
    return cut
