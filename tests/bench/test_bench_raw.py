"""The limit is an honest one: what the bare loop appends is there, complete, durable, and can be read back by run."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence

import pytest
import redis

from axiom.api.bench.beds import STORES, TINY, Bed, bed, in_memory
from axiom.api.bench.raw import CHAIN5, FAN10, ROW, Row, raw_log, raw_run
from axiom.api.bench.rounds import one_round
from axiom.api.loops import run_loop


async def append(made: Bed, shapes: Sequence[Sequence[int]]) -> None:
    async with raw_log(made) as log:
        await asyncio.gather(*[raw_run(log, shape)() for shape in shapes])


def stored(made: Bed) -> dict[bytes, list[tuple[int, bytes]]]:
    """Every run in the bare log, read by another connection."""
    if made.store == "sqlite":
        file = sqlite3.connect(made.folder / "raw.db")
        rows = file.execute("SELECT run, seq, data FROM journal ORDER BY run, seq").fetchall()
        file.close()
        return {run: [(seq, data) for other, seq, data in rows if other == run] for run, _, _ in rows}
    server = redis.Redis.from_url(made.url)
    found = {}
    for key in server.scan_iter("raw:*"):
        entries = server.xrange(key)
        found[key] = [(int(name.partition(b"-")[0]), fields[b"e"]) for name, fields in entries]
    server.close()
    return found


@pytest.mark.parametrize("store", STORES)
def test_each_run_of_the_bare_loop_can_be_read_back(store: str) -> None:
    with bed(store, TINY) as made:
        run_loop(append(made, [CHAIN5] * 5 + [FAN10]))
        runs = stored(made)
    assert sorted(len(rows) for rows in runs.values()) == [6] * 5 + [13]
    for rows in runs.values():
        assert rows == [(seq, ROW) for seq in range(1, len(rows) + 1)]


@pytest.mark.parametrize("store", STORES)
def test_an_append_is_answered_when_it_is_written(store: str) -> None:
    async def one(made: Bed) -> int:
        async with raw_log(made) as log:
            await log.append(Row(b"r" * 16, 1, ROW))
            return sum(map(len, stored(made).values()))

    with bed(store, TINY) as made:
        assert run_loop(one(made)) == 1


def test_the_bare_file_is_synced_at_each_commit() -> None:
    """The setting is a connection's own, so it is asked of the connection that writes."""

    async def settings(made: Bed) -> tuple[str, int]:
        async with raw_log(made) as log:
            file = log._db  # type: ignore[attr-defined]
            ask = ("PRAGMA journal_mode", "PRAGMA synchronous")
            return tuple(file.execute(question).fetchone()[0] for question in ask)  # type: ignore[return-value]

    with bed("sqlite", TINY) as made:
        assert run_loop(settings(made)) == ("wal", 2)


def test_the_server_is_set_as_the_limit_says() -> None:
    with bed("redis", TINY) as made:
        server = redis.Redis.from_url(made.url)
        told = server.config_get("append*", "stream-node-max-bytes")
        server.close()
    assert told["appendonly"] == "yes"
    assert told["appendfsync"] == "always"
    assert told["stream-node-max-bytes"] == "1024"


@pytest.mark.parametrize("store", STORES)
def test_nothing_of_a_bed_is_left(store: str) -> None:
    with bed(store, TINY) as made:
        run_loop(append(made, [CHAIN5]))
        assert made.folder.exists()
    assert not made.folder.exists()
    if made.store == "redis":
        with pytest.raises(redis.ConnectionError):
            redis.Redis.from_url(made.url).ping()


def test_a_round_counts_and_times_what_it_ran() -> None:
    async def nap() -> None:
        await asyncio.sleep(0.01)

    told = run_loop(one_round(nap, 4, 0.2))
    assert told.median_ms == pytest.approx(10, abs=8)
    assert told.per_second == pytest.approx(told.runs / told.seconds)
    assert 0.2 <= told.seconds < 2


def test_a_folder_in_memory_is_known(tmp_path: object) -> None:
    from pathlib import Path

    if Path("/dev/shm").is_dir():
        assert in_memory(Path("/dev/shm"))
    assert not in_memory(Path("/proc"))
