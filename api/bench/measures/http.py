"""Chain of five over HTTP with ``wait``: a server, a worker and a client, each in a process of its own.

The client's process invokes while the bare loop of this one rests, and the other way round.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from typing import Any, NamedTuple

from axiom.runtime.clock import SystemClock

from ...auth import create_key
from ...loops import run_loop
from ..beds import Bed
from ..figures import Figure, Target
from ..processes import Client, client, server, usage, worker
from ..raw import CHAIN5, raw_log, raw_run
from ..rig import artifacts, opened, publish
from ..rounds import Round, Run, one_round

CONNECTIONS = 64
MOST = Target("≤", 4.0)


Pids = tuple[int, int]
"""Of the server and of the worker."""


class Pair(NamedTuple):
    """The bare loop in this process, then the client's answer from its own."""

    here: Round
    there: dict[str, Any]
    cpu_us: list[float]
    """Of the server and of the worker, per run."""


def http(bed: Bed) -> list[Figure]:
    """Measure ``http.throughput`` and ``http.latency``."""
    artifact = artifacts()["chain5"]
    with ExitStack() as stack:
        serving, port = stack.enter_context(server(bed.url))
        key = run_loop(_set_up(bed))
        working = stack.enter_context(worker(bed.url))
        order = {"do": "invoke", "port": port, "key": key, "graph_id": artifact.graph_id, "input": {"n": 0}}
        caller = stack.enter_context(client())
        return run_loop(_http(bed, caller, order, (serving.pid, working.pid)))


async def _set_up(bed: Bed) -> str:
    async with opened(bed.url) as store:
        await publish(store, artifacts()["chain5"])
        return await create_key(store, SystemClock())


async def _http(bed: Bed, caller: Client, order: dict[str, Any], pids: Pids) -> list[Figure]:
    async with raw_log(bed) as log:
        limit = raw_run(log, CHAIN5)

        async def pairs(at_once: int) -> list[Pair]:
            return [
                await _pair(bed, caller, order | {"connections": at_once}, limit, pids)
                for _ in range(bed.size.rounds + 1)
            ][1:]

        many, alone = await pairs(CONNECTIONS), await pairs(1)
    p50 = statistics.median(pair.there["median_ms"] for pair in many)
    p99 = statistics.median(pair.there["p99_ms"] for pair in many)
    rates = [(pair.there["runs"] / pair.there["seconds"], pair.here.per_second) for pair in many]
    spans = [(pair.there["median_ms"], pair.here.median_ms) for pair in alone]
    served, worked = [statistics.median(pair.cpu_us[place] for pair in many) for place in (0, 1)]
    note = f"p50 {p50:.0f} ms, p99 {p99:.0f} ms; CPU per run: server {served:.0f} µs, worker {worked:.0f} µs"
    return [
        _figure("http.throughput", bed, rates, "runs/s", None, note),
        _figure("http.latency", bed, spans, "ms", MOST, "server, worker and client are three processes"),
    ]


async def _pair(bed: Bed, caller: Client, order: dict[str, Any], limit: Run, pids: Pids) -> Pair:
    here = await one_round(limit, order["connections"], bed.size.round_seconds)
    before = [usage(pid).cpu_seconds for pid in pids]
    there = await caller.ask(**order, seconds=bed.size.round_seconds)
    spent = [usage(pid).cpu_seconds - former for pid, former in zip(pids, before, strict=True)]
    return Pair(here, there, [seconds * 1e6 / there["runs"] for seconds in spent])


def _figure(
    name: str, bed: Bed, pairs: list[tuple[float, float]], unit: str, target: Target | None, note: str
) -> Figure:
    return Figure(
        name,
        bed.store,
        statistics.median(there for there, _ in pairs),
        unit,
        statistics.median(here for _, here in pairs),
        statistics.median(there / here for there, here in pairs),
        target,
        note,
    )
