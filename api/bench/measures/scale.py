"""Scale: what a run costs two worker processes, against what it costs one, and how many more they do.

Runs are put into the queue all at once; a round lasts until the last has ended. The second worker is started for its
rounds and asked to go after them, so rounds of one and of two take turns.
"""

from __future__ import annotations

import os
import statistics
import time
from typing import NamedTuple

from axiom.runtime.store.base import Status, Store

from ...loops import run_loop
from ..beds import Bed
from ..figures import Figure, Target
from ..processes import Child, aside, usage, worker
from ..queued import Ends, enqueue
from ..rig import artifacts, opened, publish

MOST = Target("≤", 1.15)
CORES_FOR_MORE = 4
LEAST = {False: Target("≥", 1.0), True: Target("≥", 1.6)}
"""Of the throughput of one: on few cores, and where there are enough."""
WARM_SHARE = 5


class Round(NamedTuple):
    per_second: float
    cpu_us: float
    """Of the workers, per run."""
    server_us: float
    """Of the Redis server, per run."""


def scale(bed: Bed) -> list[Figure]:
    """Measure ``scale.cpu`` and ``scale.throughput``."""
    return run_loop(_scale(bed))


async def _scale(bed: Bed) -> list[Figure]:
    rounds = max(1, bed.size.rounds // 2)
    async with opened(bed.url) as store:
        await publish(store, artifacts()["chain5"])
        async with aside(worker(bed.url, "one")) as first:
            await _round(bed, store, [first], warm=True)
            pairs = [await _pair(bed, store, first) for _ in range(rounds)]
    enough = (os.cpu_count() or 1) >= CORES_FOR_MORE
    cpu = [(pair[0].cpu_us, pair[1].cpu_us) for pair in pairs]
    rates = [(pair[0].per_second, pair[1].per_second) for pair in pairs]
    servers = [statistics.median(pair[place].server_us for pair in pairs) for place in (0, 1)]
    note = f"the Redis server's own: {servers[0]:.0f} µs with one, {servers[1]:.0f} with two"
    return [
        _figure("scale.cpu", bed, cpu, "µs/run", MOST, note),
        _figure("scale.throughput", bed, rates, "runs/s", LEAST[enough], "limit: one worker process"),
    ]


async def _pair(bed: Bed, store: Store, first: Child) -> tuple[Round, Round]:
    """Do a round with one worker and one with two."""
    alone = await _round(bed, store, [first])
    async with aside(worker(bed.url, "two")) as second:
        await _round(bed, store, [first, second], warm=True)
        return alone, await _round(bed, store, [first, second])


async def _round(bed: Bed, store: Store, workers: list[Child], warm: bool = False) -> Round:
    count = bed.size.queued // WARM_SHARE if warm else bed.size.queued
    assert bed.server_pid is not None
    ends = Ends(store, [Status.COMPLETED])
    before = [usage(child.pid).cpu_seconds for child in workers]
    served = usage(bed.server_pid).cpu_seconds
    began = time.perf_counter()
    await ends.wait(await enqueue(store, artifacts()["chain5"], {"n": 0}, count))
    took = time.perf_counter() - began
    ends.stop()
    spent = sum(usage(child.pid).cpu_seconds for child in workers) - sum(before)
    served = usage(bed.server_pid).cpu_seconds - served
    return Round(count / took, spent / count * 1e6, served / count * 1e6)


def _figure(
    name: str, bed: Bed, pairs: list[tuple[float, float]], unit: str, target: Target, note: str
) -> Figure:
    return Figure(
        name,
        bed.store,
        statistics.median(two for _, two in pairs),
        unit,
        statistics.median(one for one, _ in pairs),
        statistics.median(two / one for one, two in pairs),
        target,
        note,
    )
