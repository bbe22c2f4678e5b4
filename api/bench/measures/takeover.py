"""Takeover: a worker is killed (SIGKILL) with a run in flight; how long until another one has finished the run.

Two workers share the store; the node of the run hangs on the one that took it, and is done at once when it is run
again. On Redis nobody tells that the worker is dead, as when its machine is gone: the others find out by its lease. (A
supervisor that sees its child die ends the lease at once, which is quicker.) On SQLite the process that holds the file
sees the worker's socket close.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import AsyncExitStack
from pathlib import Path

from axiom.runtime.clock import SystemClock
from axiom.runtime.starts import Start
from axiom.runtime.store.base import Status, Store

from ...doors import start_execution
from ...loops import run_loop
from ..beds import Bed
from ..figures import Figure, Target
from ..processes import Child, aside, worker
from ..rig import ACCOUNT, artifacts, opened, publish

MOST = Target("≤", 2.0, "value", "s")
LOOK_SECONDS = 0.002
WAIT_SECONDS = 30.0


def takeover(bed: Bed) -> list[Figure]:
    """Measure ``takeover.longest``."""
    return [run_loop(_takeover(bed))]


async def _takeover(bed: Bed) -> Figure:
    spent = []
    async with opened(bed.url) as store:  # an SQLite file is held by this process, as by a server
        await publish(store, artifacts()["hold"])
        async with AsyncExitStack() as stack:
            workers = [await stack.enter_async_context(aside(worker(bed.url, "w0")))]
            for number in range(bed.size.kills):
                spare = worker(bed.url, f"w{number + 1}")
                workers.append(await stack.enter_async_context(aside(spare)))
                spent.append(await _one(store, bed.folder / f"marker{number}", workers))
    note = f"median of {len(spent)} kills {statistics.median(spent):.2f} s"
    return Figure("takeover.longest", bed.store, max(spent), "s", target=MOST, note=note)


async def _one(store: Store, marker: Path, workers: list[Child]) -> float:
    """Start a run, kill the worker that has it, and return the seconds until the run is done."""
    artifact = artifacts()["hold"]
    start = Start(ACCOUNT, artifact.graph_id, artifact.plan, {"marker": str(marker)})
    execution_id = (await start_execution(store, SystemClock(), start)).execution_id
    async with asyncio.timeout(WAIT_SECONDS):
        while (pid := _told(marker)) is None:
            await asyncio.sleep(LOOK_SECONDS)
    busy = next(child for child in workers if child.pid == pid)
    workers.remove(busy)
    began = time.perf_counter()
    busy.kill()
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            head = (await store.heads([execution_id]))[0]
            assert head is not None
            if head.status == Status.COMPLETED:
                return time.perf_counter() - began
            await asyncio.sleep(LOOK_SECONDS)


def _told(marker: Path) -> int | None:
    """Return the process that the node says it runs on."""
    return int(marker.read_text()) if marker.exists() else None
