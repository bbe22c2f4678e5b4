"""Parked runs: many that wait for a day, and what they cost a worker that has nothing to do.

A fresh worker on an empty store idles for a while; then the runs are made, by a worker that goes again: each fails, is
to be tried again in a day, and is parked. Then a fresh worker idles on that store. On SQLite that worker is the one
that holds the file, so what the store needs for them is counted too.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from axiom.runtime.store.base import Status

from ...loops import run_loop
from ..beds import Bed
from ..figures import Figure, Target
from ..processes import aside, usage, worker
from ..queued import Ends, enqueue
from ..rig import artifacts, opened, publish

BUSY = Target("≤", 0.01, "excess", "CPU s/s")
BIG = Target("≤", 16.0, "excess", "MiB")
SETTLE_SECONDS = 0.5


class Idle(NamedTuple):
    cpu_share: float
    """CPU seconds per second."""
    rss_mib: float


def parked(bed: Bed) -> list[Figure]:
    """Measure ``parked.cpu`` and ``parked.memory``."""
    run_loop(_publish(bed))
    empty = run_loop(_idle(bed))
    run_loop(_park(bed))
    full = run_loop(_idle(bed))
    note = f"{bed.size.parked:,} runs; limit: the same worker on an empty store"
    return [
        _figure("parked.cpu", bed, full.cpu_share, empty.cpu_share, "CPU s/s", BUSY, note),
        _figure("parked.memory", bed, full.rss_mib, empty.rss_mib, "MiB", BIG, note),
    ]


def _figure(name: str, bed: Bed, value: float, limit: float, unit: str, target: Target, note: str) -> Figure:
    ratio = value / limit if limit else None
    return Figure(name, bed.store, value, unit, limit, ratio, target, note)


async def _publish(bed: Bed) -> None:
    async with opened(bed.url) as store:
        await publish(store, artifacts()["later"])


async def _park(bed: Bed) -> None:
    async with opened(bed.url) as store:
        ends = Ends(store, [Status.WAITING])
        async with aside(worker(bed.url, "parking")):
            await ends.wait(await enqueue(store, artifacts()["later"], {"n": 0}, bed.size.parked))
        ends.stop()


async def _idle(bed: Bed) -> Idle:
    """Let a fresh worker idle, and return what it used."""
    async with aside(worker(bed.url, "idle")) as child:
        await asyncio.sleep(SETTLE_SECONDS)
        before = usage(child.pid)
        await asyncio.sleep(bed.size.idle_seconds)
        after = usage(child.pid)
    share = (after.cpu_seconds - before.cpu_seconds) / bed.size.idle_seconds
    return Idle(share, after.rss_bytes / (1 << 20))
