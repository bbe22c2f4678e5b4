"""A long chain: does a node cost at its end what it costs at its beginning, and what does a resume in its middle read?

One run goes to the last nodes of the chain and is held there. Then it takes a few steps, a fresh run of the same chain
takes a few at the beginning, and so on in turn: both see the same weather. A window of such steps gives the median time
of one and the CPU time of all; what is compared are pairs of windows.

Then the long run is left where it is, as when a worker is told to go, and another worker takes it up: what it reads
before it goes on is a snapshot and the events behind that, and not the outputs of thousands of nodes.
"""

from __future__ import annotations

import statistics
from itertools import pairwise
from typing import NamedTuple

from axiom.compiler.artifact import Artifact
from axiom.runtime import events as e
from axiom.runtime.prepared import Prepared
from axiom.runtime.store.base import Store

from ...loops import run_loop
from ..beds import Bed
from ..figures import Figure, Target, compared
from ..rig import Rig, opened
from ..rig import long_chain as compiled
from ..watched import Watched

MOST = Target("≤", 1.1)
LITTLE = Target("≤", 0.25)
WINDOW = 10
"""Nodes of a window."""
PAIRS = 15
EARLY = 5
"""Checkpoints before an early window, so that it lies around node 10."""
INPUT = {"n": 0, "length": 300}


class Window(NamedTuple):
    wall_us: float
    """Median per node."""
    cpu_us: float
    """Mean per node, of the loop's thread."""


class Pair(NamedTuple):
    early: Window
    late: Window


def long_chain(bed: Bed) -> list[Figure]:
    """Measure ``long.cost``, ``long.cpu`` and ``long.resume``."""
    artifact = compiled(bed.size.nodes)
    first, second = Rig(), Rig()
    return run_loop(_long(bed, first, second, artifact))


async def _long(bed: Bed, first: Rig, second: Rig, artifact: Artifact) -> list[Figure]:
    async with opened(bed.url) as store:
        watched = Watched(store)
        async with first.serving(watched.as_store()):
            prepared = await first.prepared(store, artifact)
            long, _ = await first.engine.start(prepared, INPUT)
            await watched.go(long, bed.size.nodes - (PAIRS + 1) * (WINDOW + 1))
            pairs = [await _pair(first, prepared, watched, long) for _ in range(PAIRS)]
        return [*_costs(bed, pairs), await _resume(bed, second, store, long)]


async def _pair(rig: Rig, prepared: Prepared, watched: Watched, long: str) -> Pair:
    early, _ = await rig.engine.start(prepared, INPUT)
    await watched.go(early, EARLY)
    return Pair(await _window(watched, early), await _window(watched, long))


async def _window(watched: Watched, run: str) -> Window:
    """Let a run make so many checkpoints; the first of them, behind a held one, only starts the clock."""
    watched.moments.clear()
    await watched.go(run, watched.checkpoints[run] + WINDOW + 1)
    moments = watched.moments
    spans = [(after.wall_ns - before.wall_ns) / 1000 for before, after in pairwise(moments)]
    return Window(statistics.median(spans), (moments[-1].cpu_ns - moments[0].cpu_ns) / 1000 / len(spans))


def _costs(bed: Bed, pairs: list[Pair]) -> list[Figure]:
    note = f"around node {bed.size.nodes:,}; limit: around node 10"
    wall = [(pair.early.wall_us, pair.late.wall_us) for pair in pairs]
    cpu = [(pair.early.cpu_us, pair.late.cpu_us) for pair in pairs]
    return [_figure("long.cost", bed, wall, note), _figure("long.cpu", bed, cpu, note)]


def _figure(name: str, bed: Bed, pairs: list[tuple[float, float]], note: str) -> Figure:
    return Figure(
        name,
        bed.store,
        statistics.median(late for _, late in pairs),
        "µs/node",
        statistics.median(early for early, _ in pairs),
        statistics.median(late / early for early, late in pairs),
        MOST,
        note,
    )


async def _resume(bed: Bed, rig: Rig, store: Store, long: str) -> Figure:
    watched = Watched(store)
    async with rig.serving(watched.as_store()):
        await watched.go(long, 1)
        read, number = watched.bytes_read, watched.events_read
    whole, events = await _journal(store, long)
    note = f"a snapshot and {number:,} of {events:,} events"
    return compared("long.resume", bed.store, read, "bytes", whole, LITTLE, note)


async def _journal(store: Store, execution_id: str) -> tuple[int, int]:
    """Return a journal's bytes and events."""
    total, after = 0, 0
    while found := await store.read(execution_id, after):
        total += sum(len(e.encode(event)) for event in found)
        after = found[-1].seq
    return total, after
