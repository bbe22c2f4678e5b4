"""Rounds: the limit and the engine in turn, A B A B, so that both see the same weather.

A machine that others use too is now quick and now slow. Two figures taken minutes apart compare two moods of it; two
rounds taken one after the other share one. So each pair of rounds gives a ratio of its own, and the median of these
is what counts.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from .figures import Figure, Target

Run = Callable[[], Awaitable[None]]
"""Does one run from start to end."""


class Round(NamedTuple):
    """What one round saw."""

    runs: int
    seconds: float
    cpu_seconds: float
    """Of this process, all threads."""
    median_ms: float
    """Of one run, from its start to its end."""

    @property
    def per_second(self) -> float:
        return self.runs / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU time of this process per run."""
        return self.cpu_seconds * 1e6 / max(1, self.runs)


async def one_round(run: Run, in_flight: int, seconds: float) -> Round:
    """Make runs one after another, ``in_flight`` at a time, for so many seconds."""
    spent: list[float] = []
    clock = time.perf_counter
    cpu = time.process_time()
    began = clock()
    until = began + seconds

    async def client() -> None:
        now = clock()
        while now < until:
            await run()
            after = clock()
            spent.append(after - now)
            now = after

    await asyncio.gather(*[client() for _ in range(in_flight)])
    took = clock() - began
    return Round(len(spent), took, time.process_time() - cpu, statistics.median(spent) * 1000)


class Pair(NamedTuple):
    """A round of the limit and the round of the engine after it."""

    limit: Round
    engine: Round


async def alternate(limit: Run, engine: Run, in_flight: int, seconds: float, rounds: int) -> list[Pair]:
    """Return ``rounds`` pairs, after a short one of each that warms up and does not count."""
    await one_round(limit, in_flight, seconds / 4)
    await one_round(engine, in_flight, seconds / 4)
    return [
        Pair(await one_round(limit, in_flight, seconds), await one_round(engine, in_flight, seconds))
        for _ in range(rounds)
    ]


def throughput(name: str, store: str, pairs: list[Pair], target: Target | None) -> Figure:
    """Return runs per second, with the CPU time that a run took here."""
    cpu = statistics.median(pair.engine.cpu_us for pair in pairs)
    bare = statistics.median(pair.limit.cpu_us for pair in pairs)
    return Figure(
        name,
        store,
        statistics.median(pair.engine.per_second for pair in pairs),
        "runs/s",
        statistics.median(pair.limit.per_second for pair in pairs),
        statistics.median(pair.engine.per_second / pair.limit.per_second for pair in pairs),
        target,
        f"{cpu:.0f} µs of CPU per run, the bare loop {bare:.0f}",
    )


def latency(name: str, store: str, pairs: list[Pair], target: Target | None) -> Figure:
    """Return the median time of one run in milliseconds."""
    return Figure(
        name,
        store,
        statistics.median(pair.engine.median_ms for pair in pairs),
        "ms",
        statistics.median(pair.limit.median_ms for pair in pairs),
        statistics.median(pair.engine.median_ms / pair.limit.median_ms for pair in pairs),
        target,
    )
