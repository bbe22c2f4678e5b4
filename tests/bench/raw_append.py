"""What the machine sets as the limit: raw durable appends to a store, grouped, with no engine above.

``python tests/bench/raw_append.py [sqlite:///path | memory: | redis://…] [in flight] [seconds]`` prints one JSON line:
single-event appends per second with so many executions in flight, and the latency of six chained appends alone.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
import uuid
from typing import Any

from axiom.runtime import events
from axiom.runtime.events import Event
from axiom.runtime.store.base import Append, Create, Fence, Ok, Store
from axiom.runtime.store.opening import open_store

STEPS = 6


def lines_of(execution_id: str) -> list[tuple[tuple[bytes, ...], tuple[int, ...]]]:
    """Events like those of a run of five nodes with small outputs."""
    body = {"output": {"value": {"order": 17, "total": 99.5, "text": "x" * 40}}, "skipped": [], "ms": 3}
    data = events.encode(
        Event(events.NODE_COMPLETED, 1_700_000_000_000, "charge", (), 1, 1_700_000_000_000, body)
    )
    crc = events.crc(execution_id, data)
    return [((data,), (crc,))] * STEPS


async def one_run(store: Store, session: str) -> None:
    execution_id = uuid.uuid4().hex
    now = store.now()
    fence = Fence(session, now)
    create: Create | None = Create(
        "default", "bench/chain5", "g" * 32, "unary", "default", session=session, epoch=now
    )
    for seq, (data, crcs) in enumerate(lines_of(execution_id)):
        status = "RUNNING" if seq == 0 else "COMPLETED" if seq == STEPS - 1 else None
        after_fence = None if seq == 0 else fence
        item = Append(execution_id, data, crcs, now, seq, after_fence, status=status, create=create)
        (outcome,) = await store.append([item])
        assert outcome == Ok(seq + 1), outcome
        create = None


async def measure(url: str, in_flight: int, seconds: float) -> dict[str, Any]:
    store = open_store(url)
    await store.open()
    session = uuid.uuid4().hex
    beater = store.beater()
    await asyncio.to_thread(beater.beat, session, 600_000, {}, {})
    end = time.perf_counter() + seconds
    runs = 0

    async def keep_going() -> None:
        nonlocal runs
        while time.perf_counter() < end:
            await one_run(store, session)
            runs += 1

    began = time.perf_counter()
    await asyncio.gather(*(keep_going() for _ in range(in_flight)))
    took = time.perf_counter() - began
    alone: list[float] = []
    for _ in range(300):
        start = time.perf_counter()
        await one_run(store, session)
        alone.append((time.perf_counter() - start) * 1000)
    beater.close()
    await store.close()
    return {
        "store": url.partition(":")[0],
        "in_flight": in_flight,
        "appends_per_second": round(runs * STEPS / took),
        "runs_per_second": round(runs / took),
        "chain_p50_ms": round(statistics.median(alone), 3),
        "chain_p99_ms": round(statistics.quantiles(alone, n=100)[98], 3),
    }


def main() -> None:
    in_flight = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 3.0
    with tempfile.TemporaryDirectory() as folder:
        url = sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{folder}/raw.db"
        print(json.dumps(asyncio.run(measure(url, in_flight, seconds))))


if __name__ == "__main__":
    main()
