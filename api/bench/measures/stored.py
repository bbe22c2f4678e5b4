"""What a run takes up in the store, against the sum of what its nodes gave out.

A journal keeps each output and a little more: what is allowed is 1.25 times the outputs, 200 bytes per event and 400
per run. On SQLite it is the growth of the file, its log carried over; on Redis it is ``MEMORY USAGE`` over all keys of
a run. Runs are of five nodes; once with tiny outputs, where all is overhead, once with outputs of about a kilobyte.
"""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

from redis.asyncio import Redis

from axiom.runtime import events as e

from ...loops import run_loop
from ..beds import Bed
from ..figures import Figure, Target, compared
from ..rig import Rig, artifacts, opened

IN_FLIGHT = 16
MOST = Target("≤", 1.0)
OUTPUTS_FACTOR = 1.25
EVENT_BYTES = 200
RUN_BYTES = 400
INPUTS: dict[str, dict[str, Any]] = {"small": {"n": 0}, "large": {"n": 0, "length": 1_000}}


def stored(bed: Bed) -> list[Figure]:
    """Measure ``stored.small`` and ``stored.large``."""
    return [_stored(bed, f"stored.{name}", value) for name, value in INPUTS.items()]


def _stored(bed: Bed, name: str, value: dict[str, Any]) -> Figure:
    before = run_loop(_taken_up(bed, []))
    ids = run_loop(_make(bed, Rig(), value))
    per_run = (run_loop(_taken_up(bed, ids)) - before) / len(ids)
    outputs, events = run_loop(_content(bed, ids[0]))
    allowed = OUTPUTS_FACTOR * outputs + EVENT_BYTES * events + RUN_BYTES
    note = f"{events} events with {outputs:,} bytes of outputs"
    return compared(name, bed.store, per_run, "bytes/run", allowed, MOST, note)


async def _make(bed: Bed, rig: Rig, value: dict[str, Any]) -> list[str]:
    """Make the runs and return their ids."""
    async with opened(bed.url) as store, rig.serving(store):
        prepared = await rig.prepared(store, artifacts()["chain5"])
        ids: list[str] = []

        async def some(count: int) -> None:
            for _ in range(count):
                execution_id, end = await rig.engine.start(prepared, value)
                await end
                ids.append(execution_id)

        await asyncio.gather(*[some(-(-bed.size.runs_kept // IN_FLIGHT)) for _ in range(IN_FLIGHT)])
        return ids


async def _taken_up(bed: Bed, ids: list[str]) -> int:
    """Return the bytes that the file has, or that the keys of the runs take."""
    if bed.store == "sqlite":
        async with opened(bed.url):
            pass  # makes the file, if it is not there yet
        with sqlite3.connect(bed.folder / "axiom.db") as file:
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            names = ("page_count", "freelist_count", "page_size")
            pages, free, size = [int(file.execute(f"PRAGMA {name}").fetchone()[0]) for name in names]
        file.close()
        return (pages - free) * size
    wanted = {execution_id.encode() for execution_id in ids}
    total = 0
    async with Redis.from_url(bed.url) as server:
        async for key in server.scan_iter(count=1_000):
            if any(part in wanted for part in key.split(b":")):
                total += await server.memory_usage(key, samples=0) or 0
    return total


async def _content(bed: Bed, execution_id: str) -> tuple[int, int]:
    """Return the bytes of a run's outputs, and its events."""
    async with opened(bed.url) as store:
        return _outputs(found := await store.read(execution_id)), len(found)


def _outputs(events: list[e.Event]) -> int:
    completed = [event for event in events if event.kind == e.NODE_COMPLETED]
    return sum(len(e.pack_value(event.body["output"]["value"])) for event in completed)
