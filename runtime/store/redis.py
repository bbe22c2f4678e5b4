"""The ``redis://`` store: one stream per journal, one script per step.

Everything that changes an execution is one Lua script on its partition's slot (``lua/``); on a single server one call
of it carries a whole batch over all partitions. The script checks the head, then writes, and tells the store's time.
This file only fits the parts together:

* ``redis_wire``      connections, and what their failures mean
* ``redis_commit``    group commit: appends and frames of many callers in one call
* ``redis_layout``    names of keys and packed formats
* ``redis_lists``     pages over the partitions' indexes
* ``redis_permits``  limits and who waits for them
* ``redis_hints``     the one subscription
* ``redis_beat``      the session's own blocking connection
* ``redis_settings``  what the server's settings put at risk

Nothing is kept here that the server does not hold, but the clock's offset: any number of processes share a store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import msgpack
import structlog

from ..clock import Clock, SystemClock
from ..events import Damaged, Event, UnknownKind
from ..limits import EVENT_BYTES
from . import redis_scripts as scripts
from .base import (
    CLAIM_BYTES,
    EVEN,
    Append,
    Beater,
    Claimed,
    Document,
    Finding,
    Frame,
    FrameAppend,
    Full,
    Head,
    OutboxEntry,
    Outcome,
    Page,
    Query,
    Session,
    Settle,
    StoreError,
    Unusable,
    Watcher,
)
from .lanes import OUTSIDE
from .redis_beat import RedisBeater
from .redis_commit import Group
from .redis_hints import Hints
from .redis_layout import (
    FORMAT,
    Keys,
    check_record,
    document_of,
    events_of,
    frame_of,
    head_of,
    outbox_entry_of,
    snapshot_of,
    writable,
)
from .redis_lists import Lists
from .redis_permits import RedisPermits
from .redis_settings import (
    OLDEST,
    REFUSE_SHARE,
    copies,
    findings,
    fix,
    memory_share,
    read_info,
    read_settings,
)
from .redis_wire import ANSWER_SECONDS, Wire, read_address

CLAIM_EVENTS: Final = 64
"""A claim brings a journal's rest along if it is at most so many events."""
OUTBOX_WINDOW: Final = 200
"""Entries of one partition that a listing of the outbox reads in one go."""
MEMORY_LOOK_SECONDS: Final = 1.0
"""How old the last look at the server's memory may be while executions are started."""
COPIES_MS: Final = int(ANSWER_SECONDS * 500)
"""How long one try waits for copies: half of what an answer may take."""

_pack = msgpack.Packer(use_bin_type=False).pack
_log = structlog.get_logger(__name__)


class RedisStore(RedisPermits):
    """``Store`` on a Redis server (7.0 or later) or Valkey: ``redis[s]://host:port/db?partitions=16&replicas=1``."""

    def __init__(self, url: str, clock: Clock | None = None, partitions: int | None = None) -> None:
        self.url = url
        self._clock = clock or SystemClock()
        self._address = read_address(url, partitions)
        self.partitions = self._address.partitions
        self._keys = Keys(self.partitions)
        self._numbers = _pack(list(range(self.partitions)))
        self._wire = Wire(self._address, self._clock, self._observe)
        self._channel = f"ax:hints:{self._address.database}"
        self._appends = Group(self._wire, scripts.APPEND, self._channel, self._clock, self._observe)
        self._frames = Group(self._wire, scripts.FRAMES, self._channel, self._clock, self._observe)
        self._hints = Hints(self._wire, self._channel, self._clock)
        self._lists = Lists(self._wire, self._keys, self.heads)
        self._base_ms = self._last_ms = 0
        self._base_at = 0.0
        self._open = False
        self._full = False
        self._starting = asyncio.Event()
        """An execution was started since memory was last looked at."""
        self._memory: asyncio.Task[None] | None = None

    # --- life ---------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """See ``Store.open``. ``Unavailable`` at once if nobody listens there."""
        if self._open:
            return
        await self._wire.probe()
        settings = await read_settings(self._wire)
        if settings.version < OLDEST:
            raise Unusable(findings(settings, self._address)[0].message)
        await self._wire.ask(*[("SCRIPT", "LOAD", script.source) for script in scripts.ALL])
        _, found, written_format = await self._wire.run(scripts.OPEN, FORMAT)
        check_record(found, written_format, self.partitions)
        self._wire.copies, self._wire.wanted_copies = copies(settings, self._address, COPIES_MS)
        self._full = settings.memory_share >= REFUSE_SHARE
        self._appends.start()
        self._frames.start()
        await self._hints.start()
        self._memory = self._clock.spawn(self._watch_memory(), "redis memory")
        self._open = True

    async def close(self) -> None:
        """Stop; what is under way becomes ``Unclear``."""
        if not self._open:
            return
        self._open = False
        if self._memory is not None:
            self._memory.cancel()
            await asyncio.gather(self._memory, return_exceptions=True)
        await self._hints.stop()
        await self._appends.stop()
        await self._frames.stop()
        await self._wire.close()

    def now(self) -> int:
        """See ``Store.now``; never goes back."""
        passed = int((self._clock.monotonic() - self._base_at) * 1000)
        self._last_ms = max(self._last_ms, self._base_ms + passed)
        return self._last_ms

    def _observe(self, now_ms: int) -> None:
        self._base_ms, self._base_at = now_ms, self._clock.monotonic()

    async def findings(self) -> list[Finding]:
        """Say what the server's settings put at risk."""
        return findings(await read_settings(self._wire), self._address)

    async def fix(self) -> list[Finding]:
        """Set what can be set at run time (``doctor --fix``); returns what is left."""
        await fix(self._wire, await self.findings())
        return await self.findings()

    async def _watch_memory(self) -> None:
        while True:
            await self._starting.wait()
            self._starting.clear()
            try:
                (info,) = await self._wire.ask(("INFO", "memory"))
                self._full = memory_share(read_info(info)) >= REFUSE_SHARE
            except StoreError as error:
                _log.warning("memory_unknown", reason=str(error))
            await self._clock.sleep(MEMORY_LOOK_SECONDS)

    # --- journal ------------------------------------------------------------------------------------------------

    async def append(self, batch: Sequence[Append]) -> list[Outcome]:
        """See ``Store.append``. ``Full`` for a batch of starts while memory is short."""
        if any(item.create is not None for item in batch):
            self._starting.set()
            if self._full and all(item.create is not None for item in batch):
                raise Full("Redis is short of memory: new executions are refused until some is free")
        return await self._appends.submit([self._packed(item) for item in batch])

    def _packed(self, item: Append) -> bytes:
        """Return an item as ``append.lua`` reads it. ``StoreError`` for an event that no journal should hold."""
        packed: bytes = _pack(writable(item, self._keys))
        if len(packed) > EVENT_BYTES and max(map(len, item.events), default=0) > EVENT_BYTES:
            raise StoreError(f"an event of {item.execution_id} is larger than {EVENT_BYTES} bytes")
        return packed

    async def read(self, execution_id: str, after: int = 0, limit: int = 1_000) -> list[Event]:
        name = self._keys.of(execution_id, "j")
        (entries,) = await self._wire.ask(("XRANGE", name, f"0-{after + 1}", "+", "COUNT", limit))
        return events_of(entries, after)[:limit]

    async def snapshot(self, execution_id: str) -> tuple[int, bytes] | None:
        (raw,) = await self._wire.ask(("GET", self._keys.of(execution_id, "s")))
        return snapshot_of(raw)

    async def heads(self, ids: Sequence[str]) -> list[Head | None]:
        if not ids:
            return []
        (raws,) = await self._wire.ask(("MGET", *[self._keys.of(name, "h") for name in ids]))
        return [None if raw is None else head_of(name, raw) for name, raw in zip(ids, raws, strict=True)]

    async def find(self, query: Query) -> Page:
        return await self._lists.page(query)

    async def scan(self, after: str = "", limit: int = 500) -> list[Head]:
        return await self._lists.scan(after, limit)

    async def put_blob(self, execution_id: str, name: str, data: bytes) -> None:
        await self._wire.run(scripts.BLOB, execution_id, name, data)

    async def blob(self, execution_id: str, name: str) -> bytes | None:
        (data,) = await self._wire.ask(("HGET", self._keys.of(execution_id, "b"), name))
        return data  # type: ignore[no-any-return]

    # --- frames -------------------------------------------------------------------------------------------------

    async def append_frames(self, batch: Sequence[FrameAppend]) -> list[Outcome]:
        return await self._frames.submit([_pack(item) for item in batch])

    async def frames(self, execution_id: str, node: str, after: int = -1, limit: int = 256) -> list[Frame]:
        name = self._keys.frames(execution_id, node)
        (entries,) = await self._wire.ask(("XRANGE", name, f"0-{after + 2}", "+", "COUNT", limit))
        return [frame_of(node, entry, value) for entry, (_, value) in entries]

    async def frame_counts(self, execution_id: str) -> dict[str, int]:
        (pairs,) = await self._wire.ask(("HGETALL", self._keys.of(execution_id, "n")))
        return {pairs[n].decode(): int(pairs[n + 1]) for n in range(0, len(pairs), 2)}

    # --- ownership ----------------------------------------------------------------------------------------------

    def beater(self) -> Beater:
        return RedisBeater(self._address)

    async def claim(
        self, session: str, queues: Sequence[str], limit: int, weights: Mapping[str, float] = EVEN
    ) -> list[Claimed]:
        """See ``Store.claim``. Not repeated when the answer is lost (``Unclear``): the next beats tell what was won."""
        _, repairs, taken = await self._wire.run(
            scripts.CLAIM,
            session,
            limit,
            _pack(list(queues)),
            self._numbers,
            _pack(dict(weights)),
            again=False,
        )
        if repairs:
            _log.warning("queue_repaired", entries=repairs)
        if not taken:
            return []
        names = [execution_id.decode() for execution_id, *_ in taken]
        rest = await self._wire.ask(*[command for n, won in zip(names, taken, strict=True) for command in (
            ("GET", self._keys.of(n, "s")),
            ("XRANGE", self._keys.of(n, "j"), f"0-{won[3] + 1}", "+", "COUNT", CLAIM_EVENTS + 1),
        )])  # fmt: skip
        return [
            _claimed(name, head, former, rest[2 * n], rest[2 * n + 1])
            for n, (name, (_, head, former, _)) in enumerate(zip(names, taken, strict=True))
        ]

    async def end_session(self, session: str) -> None:
        await self._wire.run(scripts.END_SESSION, session, self._numbers)

    async def sessions(self) -> list[Session]:
        first = self._keys.prefixes[0]
        ends, infos = await self._wire.ask(
            ("ZRANGE", f"{first}ss", 0, -1, "WITHSCORES"), ("HGETALL", f"{first}si")
        )
        known = {infos[n]: msgpack.unpackb(infos[n + 1]) for n in range(0, len(infos), 2)}
        names = [name.decode() for name in ends[::2]]
        counts = await self._wire.ask(*[
            ("HLEN", f"{p}w:{name}") for name in names for p in self._keys.prefixes
        ]) if names else []  # fmt: skip
        return [
            Session(
                name,
                int(float(ends[2 * n + 1])),
                known.get(ends[2 * n], {}),
                sum(counts[n * self.partitions : (n + 1) * self.partitions]),
            )
            for n, name in enumerate(names)
        ]

    async def owned(self, session: str) -> list[str]:
        answers = await self._wire.ask(*[("HKEYS", f"{p}w:{session}") for p in self._keys.prefixes])
        return [name.decode() for names in answers for name in names]

    # --- outbox -------------------------------------------------------------------------------------------------

    async def claim_outbox(
        self, session: str, limit: int, lane: str = OUTSIDE, holding: Sequence[str] | None = None
    ) -> list[OutboxEntry]:
        first = int(self._clock.random() * self.partitions)  # so that no partition always comes last
        numbers = _pack([(first + n) % self.partitions for n in range(self.partitions)])
        kept = "" if holding is None else _pack(list(holding))
        _, taken = await self._wire.run(
            scripts.OUTBOX_CLAIM, session, limit, lane, kept, numbers, again=False
        )
        return [outbox_entry_of(name.decode(), raw) for name, raw in taken]

    async def settle_outbox(self, session: str, settled: Sequence[Settle]) -> None:
        if settled:
            await self._wire.run(scripts.OUTBOX_SETTLE, self._channel, session, _pack(list(settled)))

    async def outbox(
        self, account: str | None = None, dead: bool | None = None, limit: int = 100
    ) -> list[OutboxEntry]:
        found: list[OutboxEntry] = []
        start, more = 0, True
        while more and len(found) < limit:
            end = start + OUTBOX_WINDOW - 1
            answers = await self._wire.ask(
                *[("ZRANGE", f"{p}{'od' if dead else 'oa'}", start, end) for p in self._keys.prefixes]
            )
            more = any(len(names) == OUTBOX_WINDOW for names in answers)
            names = [name.decode() for names in answers for name in names]
            found += [entry for entry in await self._entries(names, account) if dead in (None, entry.dead)]
            start += OUTBOX_WINDOW
        found.sort(key=lambda entry: (entry.created_at, entry.execution_id, _number(entry.name)))
        return found[:limit]

    async def _entries(self, names: Sequence[str], account: str | None) -> list[OutboxEntry]:
        """Return the outbox entries of these names that are an account's."""
        heads = await self.heads(list({name[:32]: None for name in names}))
        wanted = {head.execution_id for head in heads if head is not None and account in (None, head.account)}
        names = [name for name in names if name[:32] in wanted]
        if not names:
            return []
        raws = await self._wire.ask(*[("HGET", self._keys.of(name[:32], "o"), name[33:]) for name in names])
        return [outbox_entry_of(name, raw) for name, raw in zip(names, raws, strict=True) if raw is not None]

    async def redeliver(self, name: str) -> bool:
        _, done = await self._wire.run(scripts.OUTBOX_AGAIN, self._channel, name)
        return bool(done)

    # --- retention ----------------------------------------------------------------------------------------------

    async def expired(self, now: int, limit: int = 100, account: str | None = None) -> list[Head]:
        _, found = await self._wire.run(scripts.EXPIRED, now, limit, account or "", self._numbers)
        return [head_of(execution_id.decode(), raw) for execution_id, raw in found]

    async def delete(self, ids: Sequence[str]) -> int:
        if not ids:
            return 0
        _, gone = await self._wire.run(scripts.DELETE, _pack(list(ids)))
        return int(gone)

    # --- documents ----------------------------------------------------------------------------------------------

    async def put(self, kind: str, key: str, value: bytes, expect: int | None = None) -> int | None:
        nonce = bytes.fromhex(self._clock.token(8))
        _, version = await self._wire.run(
            scripts.PUT, kind, key, value, "" if expect is None else expect, nonce
        )
        return None if version < 0 else int(version)

    async def get(self, kind: str, key: str) -> Document | None:
        (raw,) = await self._wire.ask(("GET", self._keys.document(kind, key)))
        return None if raw is None else _document(key, raw)

    async def documents(
        self, kind: str, prefix: str = "", after: str = "", limit: int = 500
    ) -> list[Document]:
        low = f"({after}".encode() if after >= prefix and after else b"[" + prefix.encode()
        high = b"(" + prefix.encode() + b"\xff" if prefix else b"+"
        (names,) = await self._wire.ask(
            ("ZRANGEBYLEX", self._keys.documents(kind), low if low != b"[" else b"-", high, "LIMIT", 0, limit)
        )
        if not names:
            return []
        keys = [name.decode() for name in names]
        (raws,) = await self._wire.ask(("MGET", *[self._keys.document(kind, key) for key in keys]))
        return [_document(key, raw) for key, raw in zip(keys, raws, strict=True) if raw is not None]

    async def remove(self, kind: str, key: str) -> bool:
        _, gone = await self._wire.run(scripts.REMOVE, kind, key)
        return bool(gone)

    # --- hints --------------------------------------------------------------------------------------------------

    def watch(self, watcher: Watcher, kinds: Collection[str] | None = None) -> Callable[[], None]:
        return self._hints.watchers.add(watcher, kinds)


def _claimed(
    name: str, head: bytes, former: bytes, snapshot: bytes | None, entries: Sequence[Any]
) -> Claimed:
    """Return what a claim gives; a journal that is long, large or written by a newer version is left to be read."""
    events: list[Event] = []
    if len(entries) <= CLAIM_EVENTS and sum(len(value) for _, (_, value) in entries) <= CLAIM_BYTES:
        try:
            events = events_of(entries)
        except (UnknownKind, Damaged):
            events = []
    return Claimed(head_of(name, head), former.decode() or None, snapshot_of(snapshot), events)


def _number(name: str) -> tuple[int, int]:
    _, seq, n = name.split("/")
    return int(seq), int(n)


def _document(key: str, raw: bytes) -> Document:
    version, updated, value = document_of(raw)
    return Document(key, version, value, updated)
