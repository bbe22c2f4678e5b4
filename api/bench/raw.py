"""The limit: durable appends to the same kind of store by a bare loop, with no engine.

A run is a few rows (or stream entries) of about the size of an event, each durable before the next is made, under a
key of its own so that it could be read back. Appends of many runs that are ready at the same moment share one commit
(or one script call); nothing waits for company, and nothing is checked: no head, no fence, no index, no queue. So no
engine that keeps such a journal on this machine can be faster.

The **shape** of a run says how many appends go out side by side at each of its steps: a chain of five nodes is six
single ones.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, Protocol

from redis.asyncio.connection import Connection, ConnectionPool

from .beds import Bed
from .rounds import Run

ROW: Final = os.urandom(150)
"""About what an event with a small output takes."""
CHAIN5: Final = (1, 1, 1, 1, 1, 1)
FAN10: Final = (1, 1, 10, 1)

SCRIPT: Final = """
local batch = cmsgpack.unpack(ARGV[1])
for i = 1, #batch, 3 do
    redis.call('XADD', batch[i], batch[i + 1] .. '-0', 'e', batch[i + 2])
end
return #batch / 3
"""


class Row(NamedTuple):
    run: bytes
    seq: int
    data: bytes


class Log(Protocol):
    """Somewhere to append to."""

    def append(self, row: Row) -> asyncio.Future[None]:
        """Add one row; the future is done when it is durable."""


def raw_run(log: Log, shape: Sequence[int]) -> Run:
    """Return what appends one run of that shape."""

    async def run() -> None:
        name = os.urandom(16)
        seq = 0
        for width in shape:
            ready = [log.append(Row(name, seq + place, ROW)) for place in range(1, width + 1)]
            seq += width
            for durable in ready:
                await durable

    return run


@asynccontextmanager
async def raw_log(bed: Bed) -> AsyncIterator[Log]:
    """The bare log of a bed: a file beside the store's, or other keys on the same server."""
    if bed.store == "sqlite":
        log = RawSqlite(f"{bed.folder}/raw.db")
        try:
            yield log
        finally:
            log.close()
        return
    pool = ConnectionPool.from_url(bed.url, protocol=2, driver_info=None)
    link = pool.make_connection()  # type: ignore[no-untyped-call]
    await link.connect()
    redis_log = RawRedis(link)
    try:
        await redis_log.open()
        yield redis_log
    finally:
        await redis_log.close()


class RawSqlite:
    """One table, WAL, ``synchronous=FULL``; one commit per turn of the loop, on the loop."""

    def __init__(self, path: str) -> None:
        self._loop: Final = asyncio.get_running_loop()
        self._db: Final = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(
            "CREATE TABLE journal(run BLOB, seq INT, data BLOB, PRIMARY KEY(run, seq)) WITHOUT ROWID"
        )
        self._ready: list[tuple[Row, asyncio.Future[None]]] = []

    def append(self, row: Row) -> asyncio.Future[None]:
        durable: asyncio.Future[None] = self._loop.create_future()
        if not self._ready:
            self._loop.call_soon(self._commit)
        self._ready.append((row, durable))
        return durable

    def _commit(self) -> None:
        batch, self._ready = self._ready, []
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT INTO journal VALUES (?, ?, ?)", [row for row, _ in batch])
        self._db.execute("COMMIT")
        for _, durable in batch:
            durable.set_result(None)

    def close(self) -> None:
        self._db.close()


class RawRedis:
    """One script call for all that is ready, one call at a time."""

    def __init__(self, link: Connection) -> None:
        import msgpack

        self._loop: Final = asyncio.get_running_loop()
        self._link: Final = link
        self._pack: Final = msgpack.Packer(use_bin_type=False).pack
        self._sha: Any = None
        self._ready: list[tuple[Row, asyncio.Future[None]]] = []
        self._wanted: Final = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self._link.send_command("SCRIPT", "LOAD", SCRIPT)
        self._sha = await self._link.read_response()
        self._sender = asyncio.create_task(self._send())

    def append(self, row: Row) -> asyncio.Future[None]:
        durable: asyncio.Future[None] = self._loop.create_future()
        self._ready.append((row, durable))
        self._wanted.set()
        return durable

    async def _send(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._ready:
                batch, self._ready = self._ready, []
                flat = [part for row, _ in batch for part in (b"raw:" + row.run, row.seq, row.data)]
                packed = self._link.pack_commands([("EVALSHA", self._sha, 0, self._pack(flat))])
                await self._link.send_packed_command(packed, check_health=False)
                await self._link.read_response()
                for _, durable in batch:
                    durable.set_result(None)

    async def close(self) -> None:
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
        await self._link.disconnect(nowait=True)
