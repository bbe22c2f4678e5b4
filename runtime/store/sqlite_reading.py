"""What is asked of a store file: point reads for the judge and for readers, pages for lists.

Two connections, so that a long page, read by a thread, does not stand in the way of the loop's point reads. Both see
committed writes only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..events import CHECK_FACTOR, CHECK_MASK
from ..limits import PAGE_HEADS
from .backing import Line, Waiting
from .base import Document, Frame, Head, Outgoing, Query
from .effects import Effect
from .entry import Entry
from .sqlite_open import STATUS_CODES
from .sqlite_rows import COLUMNS, Names, head_of, pack_id, unpack_id


class SqliteReading:
    """The reading half of a ``Backing``."""

    _read: sqlite3.Connection
    """Point reads, on the loop's thread."""
    _page: sqlite3.Connection
    """Pages, on the reader's."""
    _names: Names

    # --- what the judge asks ----------------------------------------------------------------------------------

    def load(self, execution_id: str) -> Entry | None:
        row = self._row(execution_id)
        return None if row is None else self._entry(row)

    def _row(self, execution_id: str) -> tuple[Any, ...] | None:
        found = self._read.execute(f"SELECT {COLUMNS} FROM heads WHERE id = ?", (pack_id(execution_id),))
        row: tuple[Any, ...] | None = found.fetchone()
        return row

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        return Entry(row[0], head_of(row, self._names, self._read), row[21])

    def loaded_owned(self) -> Iterable[Entry]:
        rows = self._read.execute(f"SELECT {COLUMNS} FROM heads WHERE session IS NOT NULL").fetchall()
        return [self._entry(row) for row in rows]

    def waiting(self, after: int, until: int | None) -> Iterable[Waiting]:
        rows = self._read.execute(
            "SELECT id, queue, account, ready_at, priority FROM heads WHERE ready_at > ? AND ready_at <= ? "
            "ORDER BY ready_at",
            (after, until),
        )
        text = self._names.text
        return [(unpack_id(row[0]), text(row[1]), text(row[2]), row[3], row[4]) for row in rows]

    def effects(self) -> Iterable[Effect]:
        rows = self._read.execute(
            "SELECT o.rid, h.id, h.account, o.seq, o.n, o.kind, o.destination, o.payload, o.attempts, o.created_at, "
            "o.due_at, o.dead, o.error FROM outbox o JOIN heads h ON h.rid = o.rid ORDER BY o.rid, o.seq, o.n"
        )
        for (
            rid,
            packed,
            account,
            seq,
            n,
            kind,
            destination,
            payload,
            attempts,
            created,
            due,
            dead,
            error,
        ) in rows:
            outgoing = Outgoing(kind, destination, payload, n)
            effect = Effect(rid, unpack_id(packed), self._names.text(account), seq, created, outgoing)
            effect.attempts, effect.due_at, effect.dead, effect.error = attempts, due, bool(dead), error
            yield effect

    def key_holder(self, account: str, subject: str, key: str) -> tuple[str, str] | None:
        names = self._names
        found = self._read.execute(
            "SELECT id, request_hash FROM heads WHERE key = ? AND account = ? "
            "AND (flow = ? OR (flow = ? AND graph = ?))",
            (key, names.known(account), names.known(subject), names.known(""), names.known(subject)),
        ).fetchone()
        return None if found is None else (unpack_id(found[0]), found[1])

    def business_holder(self, account: str, flow: str, key: str) -> str | None:
        found = self._read.execute(
            "SELECT id FROM heads WHERE business_key = ? AND account = ? AND flow = ? AND completed_at IS NULL",
            (key, self._names.known(account), self._names.known(flow)),
        ).fetchone()
        return None if found is None else unpack_id(found[0])

    def dedup_seq(self, rid: int, dedup: str) -> int | None:
        found = self._read.execute(
            "SELECT seq FROM dedups WHERE rid = ? AND dedup = ?", (rid, dedup)
        ).fetchone()
        return None if found is None else int(found[0])

    def crc_at(self, entry: Entry, seq: int) -> int | None:
        rows = self._read.execute(
            "SELECT seq, check_ FROM events WHERE rid = ? AND seq BETWEEN ? AND ? ORDER BY seq",
            (entry.rid, seq - 1, seq),
        ).fetchall()
        if not rows or rows[-1][0] != seq or (seq > 1 and len(rows) != 2):
            return None
        before = rows[0][1] if seq > 1 else 0
        return int(rows[-1][1] - before * CHECK_FACTOR) & CHECK_MASK

    def frame_at(self, rid: int, position: int) -> Frame | None:
        found = self._read.execute(
            "SELECT position, node, idx, taken, payload FROM frames WHERE rid = ? AND position = ?",
            (rid, position),
        ).fetchone()
        return None if found is None else Frame(found[0], self._names.text(found[1]), *found[2:])

    # --- reading ----------------------------------------------------------------------------------------------

    def heads(self, ids: Sequence[str]) -> list[Head | None]:
        rows = [self._row(execution_id) for execution_id in ids]
        return [None if row is None else head_of(row, self._names, self._read) for row in rows]

    def lines(self, execution_id: str, after: int, limit: int, most_bytes: int) -> list[Line]:
        rows = self._read.execute(
            "SELECT seq, check_, data FROM events WHERE rid = (SELECT rid FROM heads WHERE id = ?) AND seq > ? "
            "ORDER BY seq LIMIT ?",
            (pack_id(execution_id), after, limit),
        )
        found: list[Line] = []
        for row in rows:
            found.append(row)
            most_bytes -= len(row[2])
            if most_bytes <= 0:
                break
        return found

    def snapshot(self, execution_id: str) -> tuple[int, bytes] | None:
        found: tuple[int, bytes] | None = self._read.execute(
            "SELECT seq, data FROM snapshots WHERE rid = (SELECT rid FROM heads WHERE id = ?)",
            (pack_id(execution_id),),
        ).fetchone()
        return found

    def streams(self, query: Query) -> list[Iterator[Head]]:
        names = self._names
        if query.q is not None:
            flow = ("flow = ?", names.known(query.q))
            key, business = ("key = ?", query.q), ("business_key = ?", query.q)
            return [self._with_prefix(query), *(self._stream(query, *by) for by in (flow, key, business))]
        if query.graph_id is not None:
            return [self._stream(query, "graph = ?", names.known(query.graph_id))]
        if query.flow is not None:
            return [self._stream(query, "flow = ?", names.known(query.flow))]
        if query.statuses:
            codes = {STATUS_CODES[status] for status in query.statuses if status in STATUS_CODES}
            return [self._stream(query, "status = ?", code) for code in codes]
        return [self._stream(query, "1 = ?", 1)]

    def _stream(self, query: Query, condition: str, value: object) -> Iterator[Head]:
        created, after = query.cursor or (query.created_to, None)
        cursor, place = "", []
        if after is not None:
            cursor, place = "AND (created_at, id) < (?, ?)", [created, pack_id(after)]
        elif created is not None:
            cursor, place = "AND created_at < ?", [created]
        rows = self._page.execute(
            f"SELECT {COLUMNS} FROM heads WHERE account = ? AND {condition} {cursor} "
            f"ORDER BY created_at DESC, id DESC LIMIT {PAGE_HEADS + 1}",
            (self._names.known(query.account), value, *place),
        )
        return (head_of(row, self._names, self._page) for row in rows)

    def _with_prefix(self, query: Query) -> Iterator[Head]:
        """Executions whose id begins with the search, newest first; of very many, some."""
        assert query.q is not None
        digits = query.q.lower()
        if not digits or len(digits) > 32 or any(digit not in "0123456789abcdef" for digit in digits):
            return iter(())
        rows = self._page.execute(
            f"SELECT {COLUMNS} FROM heads WHERE id BETWEEN ? AND ? LIMIT {PAGE_HEADS + 1}",
            (bytes.fromhex(digits.ljust(32, "0")), bytes.fromhex(digits.ljust(32, "f"))),
        ).fetchall()
        if len(rows) > PAGE_HEADS:
            return self._stream(query, "1 = ?", 1)
        heads = [head_of(row, self._names, self._page) for row in rows]
        return iter(sorted(heads, key=lambda head: (head.created_at, head.execution_id), reverse=True))

    def scan(self, after: str, limit: int) -> list[Head]:
        rows = self._page.execute(
            f"SELECT {COLUMNS} FROM heads WHERE id > ? ORDER BY id LIMIT ?",
            (pack_id(after) if after else b"", limit),
        ).fetchall()
        return [head_of(row, self._names, self._page) for row in rows]

    def expired(self, now: int, limit: int, account: str | None) -> list[Head]:
        rows = self._page.execute(
            f"SELECT {COLUMNS} FROM heads WHERE expires_at <= ? AND (? OR account = ?) AND NOT EXISTS "
            "(SELECT 1 FROM outbox o WHERE o.rid = heads.rid AND NOT o.dead) ORDER BY expires_at LIMIT ?",
            (now, account is None, self._names.known(account or ""), limit),
        ).fetchall()
        return [head_of(row, self._names, self._page) for row in rows]

    def blob(self, execution_id: str, name: str) -> bytes | None:
        found = self._read.execute(
            "SELECT data FROM blobs WHERE id = ? AND name = ?", (pack_id(execution_id), name)
        ).fetchone()
        return None if found is None else bytes(found[0])

    def frames(self, execution_id: str, node: str, after: int, limit: int) -> list[Frame]:
        rows = self._read.execute(
            "SELECT position, idx, taken, payload FROM frames WHERE rid = (SELECT rid FROM heads WHERE id = ?) "
            "AND node = ? AND idx > ? ORDER BY idx LIMIT ?",
            (pack_id(execution_id), self._names.known(node), after, limit),
        )
        return [Frame(row[0], node, *row[1:]) for row in rows]

    def frame_counts(self, execution_id: str) -> dict[str, int]:
        rows = self._read.execute(
            "SELECT node, count(*) FROM frames WHERE rid = (SELECT rid FROM heads WHERE id = ?) GROUP BY node",
            (pack_id(execution_id),),
        )
        return {self._names.text(node): count for node, count in rows}

    def document(self, kind: str, key: str) -> Document | None:
        found = self._read.execute(
            "SELECT key, version, value, updated_at FROM documents WHERE kind = ? AND key = ?", (kind, key)
        ).fetchone()
        return None if found is None else Document(*found)

    def documents(self, kind: str, prefix: str, after: str, limit: int) -> list[Document]:
        rows = self._read.execute(
            "SELECT key, version, value, updated_at FROM documents WHERE kind = ? AND key >= ? AND key > ? "
            "AND substr(key, 1, ?) = ? ORDER BY key LIMIT ?",
            (kind, prefix, after, len(prefix), prefix, limit),
        )
        return [Document(*row) for row in rows]
