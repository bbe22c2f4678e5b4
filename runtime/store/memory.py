"""``memory:``: the embedded store over dictionaries. For tests and simulation; nothing outlives it."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Sequence

from ..clock import Clock, SystemClock
from ..events import CHECK_FACTOR, CHECK_MASK
from .backing import Line, Waiting
from .base import Beater, Document, Finding, Frame, Head, Query
from .effects import Effect
from .embedded import Embedded
from .entry import Entry
from .group import Group
from .listing import place
from .ported import LocalBeater, Port, PortedStore


class Kept:
    """Everything of one execution but its head."""

    __slots__ = ("dedups", "frames", "head", "lines", "snapshot")

    def __init__(self, head: Head) -> None:
        self.head = head
        self.lines: list[Line] = []
        self.frames: list[Frame] = []
        self.dedups: dict[str, int] = {}
        self.snapshot: tuple[int, bytes] | None = None


class MemoryBacking:
    """Dictionaries. Entries are never evicted, so nothing is ever loaded."""

    inline = True
    aside = False
    horizon_ms: int | None = None
    resident: int | None = None

    def __init__(self) -> None:
        self._rids = 0
        self._kept: dict[int, Kept] = {}
        self._rid_of: dict[str, int] = {}
        self._ids: list[str] = []
        self._keys: dict[tuple[str, str, str], tuple[str, str]] = {}
        self._business: dict[tuple[str, str, str], str] = {}
        self._blobs: dict[str, dict[str, bytes]] = {}
        self._documents: dict[str, dict[str, Document]] = {}
        self._undelivered: dict[str, set[Effect]] = {}

    def open(self) -> None: ...
    def close(self) -> None: ...

    def findings(self) -> list[Finding]:
        return [
            Finding(
                "danger",
                "memory_store",
                "Everything is in the memory of this process and ends with it.",
                "Use sqlite:///path or redis:// for anything that must last.",
            )
        ]

    def full(self) -> str | None:
        return None

    # what the judge asks
    def next_rid(self) -> int:
        self._rids += 1
        return self._rids

    def load(self, execution_id: str) -> Entry | None:
        return None

    def loaded_owned(self) -> Iterable[Entry]:
        return ()

    def ended_sessions(self) -> Iterable[str]:
        return ()

    def waiting(self, after: int, until: int | None) -> Iterable[Waiting]:
        return ()

    def effects(self) -> Iterable[Effect]:
        return ()

    def key_holder(self, account: str, subject: str, key: str) -> tuple[str, str] | None:
        return self._keys.get((account, subject, key))

    def business_holder(self, account: str, flow: str, key: str) -> str | None:
        return self._business.get((account, flow, key))

    def dedup_seq(self, rid: int, dedup: str) -> int | None:
        kept = self._kept.get(rid)
        return kept.dedups.get(dedup) if kept else None

    def crc_at(self, entry: Entry, seq: int) -> int | None:
        kept = self._kept.get(entry.rid)
        if kept is None or not 0 < seq <= len(kept.lines):
            return None
        before = kept.lines[seq - 2][1] if seq > 1 else 0
        return (kept.lines[seq - 1][1] - before * CHECK_FACTOR) & CHECK_MASK

    def frame_at(self, rid: int, position: int) -> Frame | None:
        kept = self._kept.get(rid)
        return kept.frames[position - 1] if kept and 0 < position <= len(kept.frames) else None

    # writing
    def prepare(self, group: Group, is_local: Callable[[str], bool]) -> None: ...

    def write(self, group: Group) -> None:
        for entry in group.deleted:
            self._delete(entry)
        for entry in group.created:
            self._create(entry)
        for entry in group.touched | group.dirty:
            self._kept[entry.rid].head = entry.head()
            if entry.final and entry.business_key is not None:
                scope = (entry.account, entry.flow, entry.business_key)
                if self._business.get(scope) == entry.execution_id:
                    del self._business[scope]
        rows = iter(group.events)
        for rid, seq, check, data in zip(rows, rows, rows, rows, strict=True):
            self._kept[rid].lines.append((seq, check, data))
        rows = iter(group.dedups)
        for rid, dedup, seq in zip(rows, rows, rows, strict=True):
            self._kept[rid].dedups[dedup] = seq
        rows = iter(group.frames)
        for rid, position, node, index, taken, payload in zip(
            rows, rows, rows, rows, rows, rows, strict=True
        ):
            self._kept[rid].frames.append(Frame(position, node, index, taken, payload))
        for rid, snapshot in group.snapshots.items():
            self._kept[rid].snapshot = snapshot
        for effect in group.effects:
            self._undelivered.setdefault(effect.execution_id, set()).add(effect)
        for effect, settled in group.settled:
            if settled.due_at is None:
                self._undelivered[effect.execution_id].discard(effect)
        for effect in group.changed_effects:
            self._undelivered[effect.execution_id].add(effect)
        for job in group.jobs:
            job.answer = job.call()

    def _create(self, entry: Entry) -> None:
        execution_id = entry.execution_id
        self._kept[entry.rid] = Kept(entry.head())
        self._rid_of[execution_id] = entry.rid
        insort(self._ids, execution_id)
        if entry.key is not None:
            scope = (entry.account, entry.flow or entry.graph_id, entry.key)
            self._keys[scope] = (execution_id, entry.request_hash)
        if entry.business_key is not None:
            self._business[(entry.account, entry.flow, entry.business_key)] = execution_id

    def _delete(self, entry: Entry) -> None:
        execution_id = entry.execution_id
        del self._kept[entry.rid], self._rid_of[execution_id]
        self._ids.remove(execution_id)
        self._blobs.pop(execution_id, None)
        self._undelivered.pop(execution_id, None)
        if entry.key is not None:
            self._keys.pop((entry.account, entry.flow or entry.graph_id, entry.key), None)

    def put_blob(self, execution_id: str, name: str, data: bytes, now: int) -> None:
        self._blobs.setdefault(execution_id, {})[name] = bytes(data)

    def put_document(self, kind: str, key: str, value: bytes, expect: int | None, now: int) -> int | None:
        present = self._documents.setdefault(kind, {}).get(key)
        version = present.version if present else 0
        if expect is not None and expect != version:
            return None
        self._documents[kind][key] = Document(key, version + 1, value, now)
        return version + 1

    def remove_document(self, kind: str, key: str) -> bool:
        return self._documents.get(kind, {}).pop(key, None) is not None

    # reading
    def _of(self, execution_id: str) -> Kept | None:
        rid = self._rid_of.get(execution_id)
        return None if rid is None else self._kept[rid]

    def heads(self, ids: Sequence[str]) -> list[Head | None]:
        found = [self._of(execution_id) for execution_id in ids]
        return [kept.head if kept else None for kept in found]

    def lines(self, execution_id: str, after: int, limit: int, most_bytes: int) -> list[Line]:
        kept = self._of(execution_id)
        found: list[Line] = []
        for line in kept.lines[after : after + limit] if kept else ():
            found.append(line)
            most_bytes -= len(line[2])
            if most_bytes <= 0:
                break
        return found

    def snapshot(self, execution_id: str) -> tuple[int, bytes] | None:
        kept = self._of(execution_id)
        return kept.snapshot if kept else None

    def streams(self, query: Query) -> list[Iterator[Head]]:
        heads = [kept.head for kept in self._kept.values() if kept.head.account == query.account]
        if query.cursor is not None:
            cursor = tuple(query.cursor)
            heads = [head for head in heads if place(head) < cursor]
        return [iter(sorted(heads, key=place, reverse=True))]

    def scan(self, after: str, limit: int) -> list[Head]:
        start = bisect_right(self._ids, after)
        return [head for head in self.heads(self._ids[start : start + limit]) if head is not None]

    def expired(self, now: int, limit: int, account: str | None) -> list[Head]:
        found: list[Head] = []
        for kept in self._kept.values():
            head = kept.head
            if (
                head.completed_at is not None
                and account in (None, head.account)
                and head.completed_at + int(head.retention_days * 86_400_000) <= now
                and not self._undelivered.get(head.execution_id)
            ):
                found.append(head)
        return found[:limit]

    def blob(self, execution_id: str, name: str) -> bytes | None:
        return self._blobs.get(execution_id, {}).get(name)

    def frames(self, execution_id: str, node: str, after: int, limit: int) -> list[Frame]:
        kept = self._of(execution_id)
        found = [f for f in kept.frames if f.node == node and f.index > after] if kept else []
        return found[:limit]

    def frame_counts(self, execution_id: str) -> dict[str, int]:
        counts: dict[str, int] = {}
        kept = self._of(execution_id)
        for frame in kept.frames if kept else ():
            counts[frame.node] = counts.get(frame.node, 0) + 1
        return counts

    def document(self, kind: str, key: str) -> Document | None:
        return self._documents.get(kind, {}).get(key)

    def documents(self, kind: str, prefix: str, after: str, limit: int) -> list[Document]:
        found = [
            d for d in self._documents.get(kind, {}).values() if d.key.startswith(prefix) and d.key > after
        ]
        return sorted(found, key=lambda d: d.key)[:limit]


class MemoryStore(PortedStore):
    """A store in this process's memory. ``clock`` may be virtual."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.url = "memory:"
        self._embedded = Embedded(MemoryBacking(), clock or SystemClock())

    @property
    def port(self) -> Port:
        return self._embedded

    async def open(self) -> None:
        await self._embedded.open()

    async def close(self) -> None:
        await self._embedded.close()

    def beater(self) -> Beater:
        return LocalBeater(self._embedded.beat)
