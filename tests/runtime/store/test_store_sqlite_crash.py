"""What was acknowledged survives kill -9 and a torn log; what is damaged is refused, not dropped."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path

import pytest
from child_process import Child
from store_kit import Run, begin, one

from axiom.runtime import events
from axiom.runtime.store.base import Ok, Unusable
from axiom.runtime.store.sqlite import SqliteStore

FRAME = 24 + 4096
WAL_HEADER = 32


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


async def chain_is_whole(store: SqliteStore, execution_id: str) -> int:
    """Walk a journal as ``verify`` does; its length."""
    check, seq = 0, 0
    while part := await store.read(execution_id, after=seq):
        for event in part:
            line = events.encode(event._replace(seq=0, check=0))
            check = events.chain(check, [events.crc(execution_id, line)])
            seq += 1
            assert (event.seq, event.check) == (seq, check)
    return seq


@pytest.mark.slow
@pytest.mark.parametrize("lines", [50, 3_000])
def test_every_acknowledged_append_survives_kill_9(lines: int, tmp_path: Path) -> None:
    """Lessons A 1: acknowledge, kill -9, a fresh process finds everything."""
    path = tmp_path / "x.db"

    async def run() -> None:
        async with Child("load", url_of(path)) as child:
            await child.until("owns")
            said = [await child.line() for _ in range(lines)]
            await child.kill()
            said += await child.rest()
        acknowledged: dict[str, int] = {}
        for execution_id, seq in (line.split() for line in said if line[:4] not in ("owns", "read")):
            acknowledged[execution_id] = int(seq)
        store = SqliteStore(url_of(path))
        await store.open()
        assert len(acknowledged) > 0
        for execution_id, seq in acknowledged.items():
            assert await chain_is_whole(store, execution_id) >= seq
            (head,) = await store.heads([execution_id])
            assert head is not None
            assert head.seq >= seq
            assert await one(store, Run(store, execution_id, None, head.seq).door(1)) == Ok(head.seq + 1)
        await store.close()
        again = SqliteStore(url_of(path))
        await again.open()
        for execution_id, seq in acknowledged.items():
            assert await chain_is_whole(again, execution_id) > seq
        await again.close()

    asyncio.run(run())


def image(folder: Path, appends: int) -> tuple[Path, str, list[int]]:
    """The files of a store as a crash leaves them, its only execution, and the log's length after each commit."""
    lengths: list[int] = []
    copy = folder / "copy"
    copy.mkdir()

    async def run() -> str:
        store = SqliteStore(url_of(folder / "x.db"))
        await store.open()
        run = await begin(store)
        for n in range(appends):
            run.seq = (await store.append([run.door(n)]))[0].seq  # type: ignore[union-attr]
            lengths.append((folder / "x.db-wal").stat().st_size)
        for name in ("x.db", "x.db-wal"):
            shutil.copy(folder / name, copy / name)
        await store.close()
        return run.id

    return copy, asyncio.run(run()), lengths


def reopened(copy: Path, place: Path, log: bytes, execution_id: str) -> int:
    """Open the copy with that log, check the journal, append, open again; how much of the journal was there."""
    place.mkdir(exist_ok=True)
    for old in place.iterdir():
        old.unlink()
    shutil.copy(copy / "x.db", place / "x.db")
    (place / "x.db-wal").write_bytes(log)

    async def run() -> int:
        store = SqliteStore(url_of(place / "x.db"))
        await store.open()
        found = await chain_is_whole(store, execution_id)
        if found:
            assert await one(store, Run(store, execution_id, None, found).door(77)) == Ok(found + 1)
        await store.close()
        again = SqliteStore(url_of(place / "x.db"))
        await again.open()
        assert await chain_is_whole(again, execution_id) == found + bool(found)
        await again.close()
        return found

    return asyncio.run(run())


def test_a_log_cut_anywhere_in_its_last_commit_loses_that_commit_only(tmp_path: Path) -> None:
    """Lessons A 2: at every 97th byte, and at every byte around the frames' edges."""
    copy, execution_id, lengths = image(tmp_path, 4)
    log = (copy / "x.db-wal").read_bytes()
    start, end = lengths[-2], lengths[-1]
    edges = {at + d for at in range(start, end, FRAME) for d in (0, 1, 8, 23, 24, 25)}
    cuts = sorted(edges | set(range(start, end, 97)) | {end - 1, end})
    for cut in cuts:
        found = reopened(copy, tmp_path / "cut", log[:cut], execution_id)
        assert found == (5 if cut == end else 4), cut


def test_a_log_damaged_before_its_last_commit_is_refused(tmp_path: Path) -> None:
    """Acknowledged commits behind the damage must not vanish without a word."""
    copy, execution_id, lengths = image(tmp_path, 5)
    log = (copy / "x.db-wal").read_bytes()
    header = list(range(WAL_HEADER))
    frames = [
        at + d for at in range(WAL_HEADER, lengths[-2], FRAME) for d in (0, 5, 9, 17, 24, 2_000, FRAME - 1)
    ]
    for place in header + frames:
        flipped = bytearray(log)
        flipped[place] ^= 0xFF
        for _ in range(2):  # it stays refused
            with pytest.raises(Unusable, match="damaged"):
                reopened(copy, tmp_path / "cut", bytes(flipped), execution_id)


def test_damage_in_the_last_commit_loses_that_commit_at_most(tmp_path: Path) -> None:
    copy, execution_id, lengths = image(tmp_path, 4)
    log = (copy / "x.db-wal").read_bytes()
    for place in range(lengths[-2], lengths[-1], 331):
        flipped = bytearray(log)
        flipped[place] ^= 0x01
        assert reopened(copy, tmp_path / "cut", bytes(flipped), execution_id) == 4


def test_a_damaged_page_of_the_file_is_refused_or_found_by_the_check(tmp_path: Path) -> None:
    path = tmp_path / "x.db"

    async def fill() -> str:
        store = SqliteStore(url_of(path))
        await store.open()
        run = await begin(store, numbers=tuple(range(200)))
        await store.close()
        return run.id

    execution_id = asyncio.run(fill())
    sound = path.read_bytes()
    place = sound.index(b"node") + 40
    path.write_bytes(sound[:place] + bytes([sound[place] ^ 0xFF]) + sound[place + 1 :])

    async def walk() -> None:
        store = SqliteStore(url_of(path))
        await store.open()
        try:
            await chain_is_whole(store, execution_id)
        finally:
            await store.close()

    with pytest.raises((AssertionError, events.Damaged, Unusable)):
        asyncio.run(walk())
    path.write_bytes(b"\xff" * 100 + sound[100:])
    with pytest.raises(Unusable):
        asyncio.run(walk())


def test_the_file_can_be_read_by_people(tmp_path: Path) -> None:
    path = tmp_path / "x.db"

    async def fill() -> Run:
        store = SqliteStore(url_of(path))
        await store.open()
        run = await begin(store, status="RUNNING")
        await one(store, run.door(1, status="CANCELLED"))
        await store.close()
        return run

    run = asyncio.run(fill())
    with sqlite3.connect(path) as connection:
        row = connection.execute("SELECT execution_id, status, account, flow, seq FROM executions").fetchone()
        kinds = connection.execute("SELECT seq, kind FROM journal ORDER BY seq").fetchall()
    assert row == (run.id, "CANCELLED", "acme", "acme/flow", 2)
    assert kinds == [(1, events.NODE_STARTED), (2, events.NODE_STARTED)]
