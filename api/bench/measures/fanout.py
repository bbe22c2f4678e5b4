"""Fan-out: one node, ten side by side, one that joins them. Each of the thirteen writes is a checkpoint of its own."""

from __future__ import annotations

from ...loops import run_loop
from ..beds import Bed
from ..figures import Figure
from ..raw import FAN10, raw_log, raw_run
from ..rig import Rig, artifacts, opened
from ..rounds import alternate, latency, throughput

IN_FLIGHT = 16


def fanout(bed: Bed) -> list[Figure]:
    """Measure ``fanout10.throughput`` and ``fanout10.latency``."""
    rig = Rig()
    return run_loop(_fanout(bed, rig))


async def _fanout(bed: Bed, rig: Rig) -> list[Figure]:
    async with opened(bed.url) as store, raw_log(bed) as log, rig.serving(store):
        prepared = await rig.prepared(store, artifacts()["fan10"])
        engine = rig.runs(prepared, {"n": 0}, lambda execution: bool(execution.output == {"n": 5}))
        limit = raw_run(log, FAN10)
        seconds, rounds = bed.size.round_seconds, bed.size.rounds
        many = await alternate(limit, engine, IN_FLIGHT, seconds, rounds)
        alone = await alternate(limit, engine, 1, seconds / 2, rounds)
    return [
        throughput("fanout10.throughput", bed.store, many, None),
        latency("fanout10.latency", bed.store, alone, None),
    ]
