"""The file of an embedded store: one writing connection, two reading ones, one transaction per group.

The writing connection commits with ``synchronous=FULL``: a commit is on disk when it returns. Checkpoints, which carry
the log into the file, run in a thread of their own with a connection of their own and stop nobody; what is written
meanwhile is carried over by the writer between two commits, so that the log starts again at its beginning.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from ..clock import Clock
from .base import Finding, Full, Unusable
from .entry import Entry
from .group import Group
from .sqlite_open import connect, open_file
from .sqlite_reading import SqliteReading
from .sqlite_rows import (
    DEDUPS,
    EVENTS,
    FRAMES,
    HEADS,
    NAMES,
    Names,
    flat,
    pack_id,
    row_of,
)

INLINE_SECONDS: Final = 0.002
"""If a commit takes less on average, it is done on the loop's thread."""
CHECKPOINT_COMMITS: Final = 400
"""Commits between two checkpoints: a log of a few MiB."""
HORIZON_MS: Final = 30_000
RESIDENT: Final = 10_000
FREE_BYTES: Final = 32 << 20
"""With less room on the disk no new execution is taken; those that live may use it up."""
LOOK_SECONDS: Final = 1.0
"""Between two looks at the free room."""
BLOB_ORPHAN_MS: Final = 86_400_000
"""A blob whose execution was never made is removed after so long."""
VACUUM_PAGES: Final = 1_000
"""Pages given back to the file system after one deletion at most."""


class SqliteBacking(SqliteReading):
    """A ``Backing`` over one SQLite file, which this process alone writes."""

    aside = True
    horizon_ms: int | None = HORIZON_MS
    resident: int | None = RESIDENT

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path, self._clock = path, clock
        self.inline = True
        self.commits = 0
        self.commit_seconds = 0.0
        """A moving average."""
        self._since_checkpoint = 0
        self._checkpointing: threading.Thread | None = None
        self._carry_over = False
        self._full: str | None = None
        self._looked = -LOOK_SECONDS
        self._recorded: set[str] = set()
        self._connections: list[sqlite3.Connection] = []
        """All that are open, the writing one last: closing it may carry the log into the file."""

    # --- opening ----------------------------------------------------------------------------------------------

    def open(self) -> None:
        self._write = open_file(self.path)
        self._connections = [self._write]
        try:
            self._connect()
        except sqlite3.Error as error:
            raise Unusable(f"{self.path} can't be used: {error}") from error

    def _connect(self) -> None:
        self._read = connect(self.path, read_only=True)
        self._connections.insert(0, self._read)
        self._page = connect(self.path, read_only=True)
        self._connections.insert(0, self._page)
        self._names = Names(self._write)
        self._rid = int(self._write.execute("SELECT coalesce(max(rid), 0) FROM heads").fetchone()[0])
        self._recorded = {row[0] for row in self._write.execute("SELECT session FROM local_sessions")}
        self._tidy()

    def _tidy(self) -> None:
        """Forget sessions that nothing names any more, and blobs of executions that never were."""
        self._write.execute(
            "DELETE FROM local_sessions WHERE session NOT IN (SELECT session FROM heads WHERE session IS NOT NULL)"
        )
        self._write.execute(
            "DELETE FROM blobs WHERE created_at < ? AND id NOT IN (SELECT id FROM heads)",
            (self._clock.wall_ms() - BLOB_ORPHAN_MS,),
        )

    def close(self) -> None:
        checkpointing = self._checkpointing
        if checkpointing is not None:
            checkpointing.join()
        connections, self._connections = self._connections, []
        for connection in connections:
            try:
                connection.close()
            except sqlite3.Error:
                pass  # what was acknowledged is in the log

    def findings(self) -> list[Finding]:
        findings = [
            Finding("ok", "sqlite_synchronous", "Every answer follows a commit that is on disk (FULL).")
        ]
        full = self.full()
        if full is not None:
            findings.append(
                Finding("danger", "sqlite_full", full, "Free some room, or shorten the retention.")
            )
        if not self.inline:
            slow = f"A commit takes {self.commit_seconds * 1000:.1f} ms."
            findings.append(Finding("warning", "sqlite_slow_disk", slow, "Put the file on a faster disk."))
        return findings

    def full(self) -> str | None:
        now = self._clock.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            place = os.statvfs(self.path.parent)
            free = place.f_bavail * place.f_frsize
            self._full = (
                f"only {free >> 20} MiB are left under {self.path.parent}: no new execution is taken"
                if free < FREE_BYTES
                else None
            )
        return self._full

    def next_rid(self) -> int:
        self._rid += 1
        return self._rid

    def ended_sessions(self) -> Iterable[str]:
        return list(self._recorded)

    # --- writing ----------------------------------------------------------------------------------------------

    def prepare(self, group: Group, is_local: Callable[[str], bool]) -> None:
        names = self._names
        changed = group.created | group.dirty if group.dirty else group.created
        heads = flat(row_of(entry, names) for entry in changed)
        local = {entry.session for entry in changed if entry.session is not None and is_local(entry.session)}
        local -= self._recorded
        self._recorded |= local
        for place in range(2, len(group.frames), 6):
            group.frames[place] = names.number(group.frames[place])
        group.rows = (names.take_new(), heads, list(local))

    def write(self, group: Group) -> None:
        connection = self._write
        if group.empty:
            return
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._rows(connection, group)
            began = self._clock.monotonic()
            connection.execute("COMMIT")
            self._count(self._clock.monotonic() - began)
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if "full" in str(error):
                self._looked = -LOOK_SECONDS
                raise Full(f"{self.path.parent} is full: nothing of this was written") from error
            raise
        if group.deleted:
            connection.executescript(
                f"PRAGMA incremental_vacuum({VACUUM_PAGES})"
            )  # which takes every step of it
        self._checkpoint()

    def _rows(self, connection: sqlite3.Connection, group: Group) -> None:
        execute = connection.execute
        if group.deleted:
            self._delete(group.deleted)
        new_names, heads, local = group.rows
        if new_names:
            NAMES.insert(execute, new_names)
        if heads:
            HEADS.insert(execute, heads)
        if group.events:
            EVENTS.insert(execute, group.events)
        if local:
            connection.executemany("INSERT OR IGNORE INTO local_sessions VALUES (?)", [(s,) for s in local])
        if group.dedups:
            DEDUPS.insert(execute, group.dedups)
        if group.snapshots:
            rows = [(rid, seq, data) for rid, (seq, data) in group.snapshots.items()]
            connection.executemany("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?)", rows)
        if group.frames:
            FRAMES.insert(execute, group.frames)
        if group.effects or group.settled or group.changed_effects:
            self._write_effects(connection, group)
        for job in group.jobs:
            job.answer = job.call()

    def _write_effects(self, connection: sqlite3.Connection, group: Group) -> None:
        connection.executemany(
            "INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, 0, NULL)",
            [
                (e.rid, e.seq, e.n, e.kind, e.destination, e.payload, e.created_at, e.created_at)
                for e in group.effects
            ],
        )
        place = "WHERE rid = ? AND seq = ? AND n = ?"
        for effect, settled in group.settled:
            at = (effect.rid, effect.seq, effect.n)
            if settled.due_at is None and not settled.dead:
                connection.execute(f"DELETE FROM outbox {place}", at)
            else:
                connection.execute(
                    "UPDATE outbox SET attempts = attempts + 1, due_at = coalesce(?, due_at), dead = ?, error = ? "
                    + place,
                    (settled.due_at, settled.dead, settled.error, *at),
                )
        for effect in group.changed_effects:
            connection.execute(
                f"UPDATE outbox SET dead = 0, due_at = ? {place}",
                (effect.due_at, effect.rid, effect.seq, effect.n),
            )

    def _delete(self, entries: Sequence[Entry]) -> None:
        rids = [(entry.rid,) for entry in entries]
        for table in ("events", "dedups", "snapshots", "frames", "outbox", "heads"):
            self._write.executemany(f"DELETE FROM {table} WHERE rid = ?", rids)
        self._write.executemany(
            "DELETE FROM blobs WHERE id = ?", [(pack_id(e.execution_id),) for e in entries]
        )

    def put_blob(self, execution_id: str, name: str, data: bytes, now: int) -> None:
        self._write.execute(
            "INSERT OR REPLACE INTO blobs (id, name, created_at, data) VALUES (?, ?, ?, ?)",
            (pack_id(execution_id), name, now, data),
        )

    def put_document(self, kind: str, key: str, value: bytes, expect: int | None, now: int) -> int | None:
        found = self._write.execute(
            "SELECT version FROM documents WHERE kind = ? AND key = ?", (kind, key)
        ).fetchone()
        version = found[0] if found else 0
        if expect is not None and expect != version:
            return None
        self._write.execute(
            "INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?, ?)", (kind, key, version + 1, value, now)
        )
        return int(version + 1)

    def remove_document(self, kind: str, key: str) -> bool:
        return (
            self._write.execute("DELETE FROM documents WHERE kind = ? AND key = ?", (kind, key)).rowcount > 0
        )

    def _count(self, seconds: float) -> None:
        """Watch the disk: a slow one is written to by a thread."""
        self.commits += 1
        self._since_checkpoint += 1
        self.commit_seconds += (min(seconds, 0.05) - self.commit_seconds) * 0.1
        self.inline = self.commit_seconds < (INLINE_SECONDS if self.inline else INLINE_SECONDS / 2)

    def _checkpoint(self) -> None:
        if self._carry_over:
            self._carry_over = False
            self._write.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        elif self._since_checkpoint >= CHECKPOINT_COMMITS and self._checkpointing is None:
            self._since_checkpoint = 0
            self._checkpointing = threading.Thread(
                target=self._checkpoint_aside, name="axiom-store-checkpoint"
            )
            self._checkpointing.start()

    def _checkpoint_aside(self) -> None:
        try:
            connection = connect(self.path)
            try:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            finally:
                connection.close()
        except sqlite3.Error:
            pass  # the log grows until the next one
        self._carry_over = True
        self._checkpointing = None
