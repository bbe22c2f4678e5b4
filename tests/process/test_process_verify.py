"""``axiom verify`` fails on what is wrong in a real file and a real Redis: damaged from outside, by other clients.

Scenario 6: a missing checkpoint, a duplicated effect, an orphan lease, a gap in the sequence, and whatever else someone
may do to a journal. Each damage is done to a finished run that ``verify`` has just found to be clean.
"""

from __future__ import annotations

import asyncio
import sqlite3
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import redis
from process_kit import Bed

from axiom.runtime import events as e
from axiom.runtime.catalog import load_plan
from axiom.runtime.store.base import Store
from axiom.runtime.store.redis_layout import Keys
from axiom.runtime.topology import Topology
from axiom.runtime.verify import ORPHAN_MS, Violation, verify

pytestmark = pytest.mark.slow
ENTRY = struct.Struct(">II")
"""How an entry of a Redis journal holds an event: its check, its length, then its bytes."""


class Row(NamedTuple):
    """An event as it is stored."""

    seq: int
    check: int
    data: bytes


class File:
    """The journal of one run in an SQLite file, as ``sqlite3`` shows it."""

    def __init__(self, bed: Bed, run: str) -> None:
        self._path, self._id = bed.folder / "axiom.db", bytes.fromhex(run)

    def read(self) -> list[Row]:
        found = self._do("SELECT seq, check_, data FROM events WHERE rid = {rid} ORDER BY seq")
        return [Row(*row) for row in found]

    def write(self, rows: list[Row]) -> None:
        self._do("DELETE FROM events WHERE rid = {rid}")
        for row in rows:
            self._do("INSERT INTO events (rid, seq, check_, data) VALUES ({rid}, ?, ?, ?)", row)

    def _do(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with sqlite3.connect(self._path) as file:
            (rid,) = file.execute("SELECT rid FROM heads WHERE id = ?", (self._id,)).fetchone()
            found = file.execute(sql.format(rid=rid), values).fetchall()
        file.close()
        return found


class Stream:
    """The journal of one run in Redis, as any client shows it."""

    def __init__(self, bed: Bed, run: str) -> None:
        assert bed.redis is not None
        self._redis = redis.Redis(port=bed.redis.port)
        self._name = Keys(16).of(run, "j")

    def read(self) -> list[Row]:
        found: list[Row] = []
        for name, fields in self._redis.xrange(self._name):
            ((self._field, value),) = fields.items()
            parts, at = [], 0
            while at < len(value):
                check, size = ENTRY.unpack_from(value, at)
                at += ENTRY.size + size
                parts.append((check, value[at - size : at]))
            last = int(name.partition(b"-")[2])
            found += [Row(last - len(parts) + n, *part) for n, part in enumerate(parts, 1)]
        return found

    def write(self, rows: list[Row]) -> None:
        self._redis.delete(self._name)
        for row in rows:
            value = ENTRY.pack(row.check, len(row.data)) + row.data
            self._redis.xadd(self._name, {self._field: value}, id=f"0-{row.seq}")


def numbered(rows: list[Row]) -> list[Row]:
    return [row._replace(seq=seq) for seq, row in enumerate(rows, 1)]


def chained(run: str, rows: list[Row]) -> list[Row]:
    """As a forger who knows how checks are made would leave it."""
    check, found = 0, []
    for row in numbered(rows):
        check = e.chain(check, (e.crc(run, row.data),))
        found.append(row._replace(check=check))
    return found


def kind_of(row: Row) -> str:
    event = e.decode(row.data, row.seq, row.check)
    return f"{event.kind} {event.node}" if event.node else event.kind


def place(rows: list[Row], kind: str) -> int:
    return next(number for number, row in enumerate(rows) if kind_of(row) == kind)


def removed(run: str, rows: list[Row]) -> list[Row]:
    return rows[:4] + rows[5:]


def removed_and_renumbered(run: str, rows: list[Row]) -> list[Row]:
    return numbered(removed(run, rows))


def cut_off(run: str, rows: list[Row]) -> list[Row]:
    return rows[:-1]


def reordered(run: str, rows: list[Row]) -> list[Row]:
    return numbered([*rows[:4], rows[5], rows[4], *rows[6:]])


def duplicated(run: str, rows: list[Row]) -> list[Row]:
    return numbered([*rows[:5], rows[4], *rows[5:]])


def altered(run: str, rows: list[Row]) -> list[Row]:
    at = place(rows, "NodeCompleted b")
    event = e.decode(rows[at].data, rows[at].seq, rows[at].check)
    forged = e.encode(event._replace(body={**event.body, "ms": event.body["ms"] + 1}))
    return [*rows[:at], rows[at]._replace(data=forged), *rows[at + 1 :]]


def garbled(run: str, rows: list[Row]) -> list[Row]:
    return [*rows[:4], rows[4]._replace(data=rows[4].data[:-1]), *rows[5:]]


def without_a_checkpoint(run: str, rows: list[Row]) -> list[Row]:
    """A missing checkpoint, hidden well: only the order of things can tell."""
    at = place(rows, "NodeCompleted b")
    return chained(run, rows[:at] + rows[at + 1 :])


def with_an_effect_twice(run: str, rows: list[Row]) -> list[Row]:
    """One node completes twice under one key, hidden well."""
    at = place(rows, "NodeCompleted b")
    return chained(run, [*rows[: at + 1], rows[at], *rows[at + 1 :]])


DAMAGES: dict[Callable[[str, list[Row]], list[Row]], str] = {
    removed: "gap",
    removed_and_renumbered: "check",
    cut_off: "cut_off",
    reordered: "check",
    duplicated: "check",
    altered: "check",
    garbled: "damaged",
    without_a_checkpoint: "order",
    with_an_effect_twice: "order",
}


def test_verify_finds_every_damage_and_names_its_place(bed: Bed) -> None:
    """Removed, reordered, altered, duplicated events, a missing checkpoint, a doubled effect: each is found by itself,
    and a journal that is put back as it was is clean again."""
    api = bed.serve()
    bed.worker("w1")
    run, other = api.start("chain", bed.task()), api.start("chain", bed.task())
    assert api.all_ended([run, other]) == {"COMPLETED": 2}
    for process in bed.processes:
        process.terminate()
    bed.check(2)
    journal = File(bed, run) if bed.kind == "sqlite" else Stream(bed, run)
    whole = journal.read()
    assert [row.seq for row in whole] == list(range(1, len(whole) + 1))
    for damage, code in DAMAGES.items():
        journal.write(damage(run, whole))
        told = bed.with_store(found)
        assert told, f"{damage.__name__} went unnoticed"
        assert {violation.execution_id for violation in told} == {run}, "and the other run is clean"
        assert code in {violation.code for violation in told}, f"{damage.__name__}: {told}"
    said = bed.verify()
    assert not said["ok"]
    assert {row["execution_id"] for row in said["violations"]} == {run}
    journal.write(whole)
    bed.check(2)


def test_verify_finds_a_run_whose_owner_is_gone_and_that_nobody_took_over(bed: Bed) -> None:
    """An orphan lease: its worker was killed and there is no other; seen long enough after that."""
    api, gate = bed.serve(), bed.gate()
    worker = bed.worker("w1")
    run = api.start("chain", bed.task(b=gate))
    bed.begun(run, "b")
    worker.kill()
    assert bed.with_store(found) == [], "it may still be taken over"

    async def later(store: Store) -> list[Violation]:
        expires = max(session.expires_at for session in await store.sessions())
        now = max(expires, store.now()) + ORPHAN_MS + 1
        store.now = lambda: now  # type: ignore[method-assign]
        return await found(store)

    assert [(one.execution_id, one.code) for one in bed.with_store(later)] == [(run, "orphan_lease")]
    gate.unlink()
    bed.worker("w2")
    assert api.ended(run) == "COMPLETED"
    assert bed.with_store(later) == []


async def found(store: Store) -> list[Violation]:
    """What ``verify`` finds in an open store."""

    async def topology_of(graph_id: str) -> Topology:
        return Topology(await load_plan(store, graph_id))

    async with asyncio.timeout(180):
        return [violation async for violation in verify(store, topology_of)]
