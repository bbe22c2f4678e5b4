"""A process of its own that works on a store until it is killed: ``python store_child.py MODE URL``.

``load``: appends to many executions at once, and prints ``execution_id seq`` after each answer.
``own``: beats from a thread, owns three executions, prints their ids, and ``lost`` if a beat says that it is not alive.
``lapse``: the same, with a lease that a test may wait for.
``hold``: opens the store, prints ``open`` and waits.
Each prints ``ready`` first, and takes its parent's ``stop`` on stdin for an orderly end.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import uuid

from store_kit import Run, begin

from axiom.runtime.store.base import Ok
from axiom.runtime.store.sqlite import SqliteStore


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


LEASES_MS = {"lapse": 4_000}
LONG_MS = 3_600_000


def beat_for_ever(store: SqliteStore, session: str, lease_ms: int, first: threading.Event) -> None:
    beater = store.beater()
    while True:
        answer = beater.beat(session, lease_ms, {"worker": session}, {})
        first.set()
        if not answer.alive:
            say("lost", session)
        threading.Event().wait(0.1)


async def with_session(store: SqliteStore, lease_ms: int) -> str:
    session, first = uuid.uuid4().hex, threading.Event()
    threading.Thread(target=beat_for_ever, args=(store, session, lease_ms, first), daemon=True).start()
    await asyncio.to_thread(first.wait)
    return session


async def append_for_ever(run: Run) -> None:
    while True:
        item = run.step(run.seq)
        (outcome,) = await run.store.append([item])
        assert outcome == Ok(run.seq + 1), outcome
        run.seq += 1
        say(run.id, run.seq)


async def main(mode: str, url: str) -> None:
    store = SqliteStore(url, role="client" if mode in ("own", "lapse") else "auto")
    await store.open()
    if mode == "hold":
        say("open")
    else:
        session = await with_session(store, LEASES_MS.get(mode, LONG_MS))
        count = 24 if mode == "load" else 3
        runs = [
            await begin(store, session=session, epoch=1, queue="child", status="RUNNING")
            for _ in range(count)
        ]
        say("session", session)
        for run in runs:
            say("owns", run.id)
        if mode == "load":
            await asyncio.gather(*(append_for_ever(run) for run in runs))
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
