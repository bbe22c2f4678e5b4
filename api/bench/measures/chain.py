"""Chain of five, in process: runs per second with 64 in flight, and the time of one run alone.

The throughput is held against two limits: the same store's own durable appends, which the engine can't do without, and
a bare loop that keeps no promises.
"""

from __future__ import annotations

from ...loops import run_loop
from ..beds import Bed
from ..figures import Figure, Target
from ..raw import CHAIN5, raw_log, raw_run
from ..rig import Rig, artifacts, opened
from ..rounds import alternate, latency, throughput
from ..stored import stored_run

IN_FLIGHT = 64
LEAST = {"sqlite": Target("≥", 0.35), "redis": Target("≥", 0.4)}
MOST = Target("≤", 2.5)


def chain(bed: Bed) -> list[Figure]:
    """Measure ``chain5.throughput``, ``chain5.bare`` and ``chain5.latency``."""
    rig = Rig()
    return run_loop(_chain(bed, rig))


async def _chain(bed: Bed, rig: Rig) -> list[Figure]:
    async with opened(bed.url) as store, raw_log(bed) as log, rig.serving(store):
        prepared = await rig.prepared(store, artifacts()["chain5"])
        engine = rig.runs(prepared, {"n": 0}, lambda execution: bool(execution.output == {"n": 5}))
        limit = raw_run(log, CHAIN5)
        seconds, rounds = bed.size.round_seconds, bed.size.rounds
        many = await alternate(stored_run(store), engine, IN_FLIGHT, seconds, rounds)
        bare = await alternate(limit, engine, IN_FLIGHT, seconds, rounds)
        alone = await alternate(limit, engine, 1, seconds / 2, rounds)
    return [
        throughput("chain5.throughput", bed.store, many, LEAST[bed.store]),
        throughput("chain5.bare", bed.store, bare, None),
        latency("chain5.latency", bed.store, alone, MOST),
    ]
