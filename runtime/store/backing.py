"""What the judge and the shell ask of the place where things are kept: point reads, pages, and one ``write``.

Reads see committed writes only. ``write`` is called with one group after the other, on the loop's thread or on the
writer's, and either keeps all of a group or raises and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from .base import Document, Finding, Frame, Head, Query
from .effects import Effect
from .entry import Entry
from .group import Group

Line = tuple[int, int, bytes]
"""A stored event: seq, check, encoded bytes."""
Waiting = tuple[str, str, str, int, int]
"""A queued execution: id, queue, account, ready_at, priority."""


class Backing(Protocol):
    """A place to keep executions."""

    inline: bool
    """A commit is quick enough to be done on the loop's thread."""
    aside: bool
    """Long reads are worth a thread of their own."""
    horizon_ms: int | None
    """Executions due later than this are asked for with ``waiting`` in time; ``None``: all are remembered."""
    resident: int | None
    """How many entries that nobody owns are kept in memory; ``None``: all."""

    def open(self) -> None: ...
    def close(self) -> None: ...
    def findings(self) -> list[Finding]: ...
    def full(self) -> str | None:
        """Why no new execution can be taken, if so."""

    # what the judge asks
    def next_rid(self) -> int: ...
    def load(self, execution_id: str) -> Entry | None: ...
    def loaded_owned(self) -> Iterable[Entry]:
        """Every execution that a session owns."""

    def ended_sessions(self) -> Iterable[str]:
        """Sessions that lived in the process that held the store before."""

    def waiting(self, after: int, until: int | None) -> Iterable[Waiting]:
        """Queued executions that are due after ``after``, and by ``until``."""

    def effects(self) -> Iterable[Effect]: ...
    def key_holder(self, account: str, subject: str, key: str) -> tuple[str, str] | None:
        """Execution and request hash."""

    def business_holder(self, account: str, flow: str, key: str) -> str | None: ...
    def dedup_seq(self, rid: int, dedup: str) -> int | None: ...
    def crc_at(self, entry: Entry, seq: int) -> int | None: ...
    def frame_at(self, rid: int, position: int) -> Frame | None: ...

    # writing
    def prepare(self, group: Group, is_local: Callable[[str], bool]) -> None:
        """Make the rows of heads, on the loop's thread. ``is_local``: whether a session lives in this process."""

    def write(self, group: Group) -> None: ...
    def put_blob(self, execution_id: str, name: str, data: bytes, now: int) -> None: ...
    def put_document(self, kind: str, key: str, value: bytes, expect: int | None, now: int) -> int | None: ...
    def remove_document(self, kind: str, key: str) -> bool: ...

    # reading
    def heads(self, ids: Sequence[str]) -> list[Head | None]: ...
    def lines(self, execution_id: str, after: int, limit: int, most_bytes: int) -> list[Line]:
        """Stored events; stops early once ``most_bytes`` are reached."""

    def snapshot(self, execution_id: str) -> tuple[int, bytes] | None: ...
    def streams(self, query: Query) -> list[Iterator[Head]]:
        """Streams of heads, each newest first, that together hold all that the query can match."""

    def scan(self, after: str, limit: int) -> list[Head]: ...
    def expired(self, now: int, limit: int, account: str | None) -> list[Head]: ...
    def blob(self, execution_id: str, name: str) -> bytes | None: ...
    def frames(self, execution_id: str, node: str, after: int, limit: int) -> list[Frame]: ...
    def frame_counts(self, execution_id: str) -> dict[str, int]: ...
    def document(self, kind: str, key: str) -> Document | None: ...
    def documents(self, kind: str, prefix: str, after: str, limit: int) -> list[Document]: ...
