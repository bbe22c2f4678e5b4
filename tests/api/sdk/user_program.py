"""A user's own program: runs workflows on an SQLite file and tells, line by line, what it did."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from axiom.sdk import Engine, Retry, Run, current, task, workflow

STORE, EFFECTS, COUNT = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])


@task(retry=Retry.never())
def charge(order: str, part: int) -> str:
    with EFFECTS.open("a") as effects:
        effects.write(f"{current().idempotency_key} {order} {part}\n")
    time.sleep(0.02)
    return f"{order}/{part}"


@workflow(name="orders", version="1")
async def orders(run: Run, order: str) -> list[str]:
    first = await charge(order, 0)
    both = await run.gather(charge(order, 1), charge(order, 2))
    await run.sleep(0.05)
    return [first, *both, await charge(order, 3)]


async def main() -> None:
    async with Engine(f"sqlite:///{STORE}", [orders]) as engine:
        handles = [await engine.enqueue(orders, f"o{n}", idempotency_key=f"o{n}") for n in range(COUNT)]
        print("begun", flush=True)
        for n, handle in enumerate(handles):
            assert await handle.wait() == [f"o{n}/{part}" for part in range(4)]
        print("done", flush=True)


asyncio.run(main())
