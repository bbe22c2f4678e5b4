"""Heads as rows, and ids and names as the file keeps them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgpack

from .base import Head
from .entry import Entry
from .sqlite_open import STATUS_CODES, STATUS_TEXTS

COLUMNS: Final = (
    "rid, id, account, flow, graph, mode, queue, status, epoch, session, ready_at, priority, seq, check_, created_at, "
    "started_at, updated_at, completed_at, expires_at, retention_days, key, request_hash, business_key, frames"
)
CHANGING: Final = (
    "queue",
    "status",
    "epoch",
    "session",
    "ready_at",
    "seq",
    "check_",
    "started_at",
    "updated_at",
    "completed_at",
    "expires_at",
    "frames",
)
WIDTH: Final = COLUMNS.count(",") + 1
LARGEST: Final = 128
"""Rows of one statement at most."""


def pack_id(execution_id: str) -> bytes | str:
    """An id as it is stored: 16 bytes, or as it is if it is not 32 lower-case hex digits."""
    if len(execution_id) == 32:
        try:
            packed = bytes.fromhex(execution_id)
        except ValueError:
            return execution_id
        if packed.hex() == execution_id:
            return packed
    return execution_id


def unpack_id(stored: bytes | str) -> str:
    return stored if isinstance(stored, str) else stored.hex()


def last_at(data: bytes) -> int:
    """When an event happened, without decoding its body."""
    unpacker = msgpack.Unpacker()
    unpacker.feed(data[:32])
    unpacker.read_array_header()
    unpacker.skip()
    return int(unpacker.unpack())


class Names:
    """Texts that many rows share, as small numbers. New ones are written with the rows that first use them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute("SELECT id, text FROM names").fetchall()
        self._texts: dict[int, str] = dict(rows)
        self._numbers: dict[str, int] = {text: number for number, text in rows}
        self._new: list[Any] = []
        self._last: int = max(self._texts, default=0)

    def number(self, text: str) -> int:
        found = self._numbers.get(text)
        if found is None:
            self._last = found = self._last + 1
            self._numbers[text] = found
            self._texts[found] = text
            self._new += (found, text)
        return found

    def known(self, text: str) -> int:
        """The number, or 0 (which no row has) if the text was never used."""
        return self._numbers.get(text, 0)

    def text(self, number: int) -> str:
        return self._texts[number]

    def take_new(self) -> list[Any]:
        """Flat rows of names that are not written yet."""
        new, self._new = self._new, []
        return new


def row_of(entry: Entry, names: Names) -> tuple[Any, ...]:
    """The head's row, in the order of ``COLUMNS``."""
    number = names.number
    return (
        entry.rid,
        pack_id(entry.execution_id),
        number(entry.account),
        number(entry.flow),
        number(entry.graph_id),
        number(entry.mode),
        number(entry.queue),
        STATUS_CODES[entry.status],
        entry.epoch,
        entry.session,
        entry.ready_at,
        entry.priority,
        entry.seq,
        entry.check,
        entry.created_at,
        entry.started_at,
        entry.updated_at,
        entry.completed_at,
        entry.expires_at(),
        entry.retention_days,
        entry.key,
        entry.request_hash,
        entry.business_key,
        entry.frames,
    )


def head_of(row: tuple[Any, ...], names: Names, connection: sqlite3.Connection) -> Head:
    """The head of a row. A live one's tail is looked up, because the row may be older than it."""
    seq, check, updated_at, frames = row[12], row[13], row[16], row[23]
    if row[17] is None:
        found = connection.execute(
            "SELECT seq, check_, data FROM events WHERE rid = ? AND seq > ? ORDER BY seq DESC LIMIT 1",
            (row[0], seq),
        ).fetchone()
        if found is not None:
            seq, check, updated_at = found[0], found[1], last_at(found[2])
        latest = connection.execute("SELECT max(position) FROM frames WHERE rid = ?", row[:1]).fetchone()[0]
        frames = max(frames, latest or 0)
    text = names.text
    return Head(
        unpack_id(row[1]),
        seq,
        check,
        STATUS_TEXTS[row[7]],
        row[8],
        row[9],
        text(row[2]),
        text(row[3]),
        text(row[4]),
        text(row[5]),
        text(row[6]),
        row[10],
        row[11],
        row[14],
        row[15],
        updated_at,
        row[17],
        float(row[19]),
        row[20],
        row[22],
        frames,
    )


class ManyRows:
    """``INSERT`` of many rows as few statements.

    The interpreter's lock is given up and taken again for each step of a statement, so many rows go into one: powers of
    two up to ``LARGEST``, which keeps the number of different statements small.
    """

    def __init__(self, into: str, width: int, behind: str = "") -> None:
        self._width = width
        one = "(" + ", ".join("?" * width) + ")"
        sizes = [1 << power for power in range(LARGEST.bit_length())]
        self._statements = {n: f"INSERT INTO {into} VALUES {', '.join([one] * n)} {behind}" for n in sizes}

    def insert(self, execute: Callable[[str, Any], object], values: list[Any]) -> None:
        """Insert the rows that lie flat in ``values``."""
        width = self._width
        start, left = 0, len(values) // width
        if left == 1:
            execute(self._statements[1], values)
            return
        while left:
            rows = min(LARGEST, 1 << (left.bit_length() - 1))
            end = start + rows * width
            execute(self._statements[rows], values[start:end] if rows != left or start else values)
            start, left = end, left - rows


def flat(rows: Iterable[tuple[Any, ...]]) -> list[Any]:
    return [value for row in rows for value in row]


HEADS: Final = ManyRows(
    f"heads ({COLUMNS})",
    WIDTH,
    "ON CONFLICT (rid) DO UPDATE SET " + ", ".join(f"{column} = excluded.{column}" for column in CHANGING),
)
EVENTS: Final = ManyRows("events (rid, seq, check_, data)", 4)
DEDUPS: Final = ManyRows("dedups (rid, dedup, seq)", 3)
FRAMES: Final = ManyRows("frames (rid, position, node, idx, taken, payload)", 6)
NAMES: Final = ManyRows("names (id, text)", 2)
