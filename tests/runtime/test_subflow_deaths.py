"""A parent whose worker dies at each of its events: the same output, one child, on every store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from graphs import graph
from rigs import Rig
from test_subflows import CHILD, calling, child_plan, children_of, parent_of

from axiom.runtime.clock import SystemClock
from axiom.runtime.store.base import Beat, Beater, Ok, Store, Unclear
from axiom.runtime.store.opening import open_store
from axiom.runtime.worker import Worker

EVENTS = 11
"""Events of the parent below."""


class Mortal:
    """A store as one worker sees it, who dies once the parent's journal has ``last`` events: not one more word."""

    def __init__(self, store: Store, last: int) -> None:
        self.store, self.last = store, last
        self.parent = ""
        self.dead = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.store, name)
        if not asyncio.iscoroutinefunction(real):
            return real

        async def call(*args: Any, **more: Any) -> Any:
            if self.dead.is_set():
                await asyncio.get_running_loop().create_future()
            answer = await real(*args, **more)
            if name == "append" and any(self._is_last(*pair) for pair in zip(args[0], answer, strict=True)):
                self.dead.set()
                await asyncio.get_running_loop().create_future()
            return answer

        return call

    def _is_last(self, item: Any, outcome: Any) -> bool:
        return item.execution_id == self.parent and isinstance(outcome, Ok) and outcome.seq >= self.last

    def watch(self, watcher: Callable[[Sequence[Any]], None], kinds: Any = None) -> Callable[[], None]:
        return self.store.watch(lambda hints: None if self.dead.is_set() else watcher(hints), kinds)

    def beater(self) -> Beater:
        return MortalBeater(self, self.store.beater())


class MortalBeater:
    def __init__(self, mortal: Mortal, real: Beater) -> None:
        self.mortal, self.real = mortal, real

    def beat(self, *args: Any) -> Beat:
        if self.mortal.dead.is_set():
            raise Unclear("dead")
        return self.real.beat(*args)

    def close(self) -> None:
        self.real.close()


async def hired(rig: Rig, store: Any) -> Worker:
    async def find(graph_id: str) -> Any:
        return rig.prepared[graph_id]

    worker = Worker(store, rig.clock, prepare=find, performer=rig.hands, threaded=True)
    await worker.start()
    return worker


async def buried(worker: Worker) -> None:
    tasks = [*worker._tasks, *worker._reading, worker._carrier._task]
    tasks += [execution.task for execution in worker.executions.values()]
    for task in tasks:
        if task is not None:
            task.cancel()
    await worker._lease.stop()


@pytest.mark.slow
@pytest.mark.xdist_group("subflow-deaths")
def test_a_worker_may_die_at_any_event_of_a_parent(store_url: str) -> None:
    async def case() -> None:
        store = open_store(store_url)
        await store.open()
        rig = Rig(store, SystemClock(), threaded=True)
        child = rig.add(child_plan(), CHILD)
        parent = parent_of(rig, calling(graph("a b c", "a>b b>c"), "b", child))
        died = 0
        for last in range(2, EVENTS + 1):
            mortal = Mortal(store, last)
            doomed = await hired(rig, mortal)
            mortal.parent = run = await rig.start(parent, {"n": 5})
            ended = asyncio.create_task(rig.ended(run))
            dying = asyncio.create_task(mortal.dead.wait())
            await asyncio.wait((ended, dying), return_when=asyncio.FIRST_COMPLETED)
            died += mortal.dead.is_set()
            await buried(doomed)
            await store.end_session(doomed.session)  # as a supervisor does that sees its worker die
            heir = await hired(rig, store)
            assert (await ended).status == "COMPLETED"
            assert await rig.output(run) == {"n": 11}
            assert len(set(await children_of(rig, run))) == 1
            dying.cancel()
            await heir.stop()
        assert died == EVENTS - 1, "it dies at each"
        assert len(await store.scan()) == 2 * (EVENTS - 1), "one child each"
        await rig.check()
        await store.close()

    asyncio.run(case())


def test_lost_answers_of_claims_and_settlements_leave_no_order_behind(store_url: str) -> None:
    async def case() -> None:
        store = open_store(store_url)
        await store.open()
        lossy = Lossy(store)
        rig = Rig(store, SystemClock(), threaded=True)
        child = rig.add(child_plan(), CHILD)
        parent = parent_of(rig, calling(graph("a b c", "a>b b>c"), "b", child))
        worker = await hired(rig, lossy)
        run = await rig.start(parent, {"n": 5})
        assert (await rig.ended(run)).status == "COMPLETED"
        assert await rig.output(run) == {"n": 11}
        assert lossy.lost == {"claim_outbox": 2, "settle_outbox": 2}
        assert len(await store.scan()) == 2
        async with asyncio.timeout(180):
            while await store.outbox():
                await asyncio.sleep(0.05)
        await worker.stop()
        await rig.check()
        await store.close()

    asyncio.run(case())


class Lossy:
    """Does what it is told, and loses two answers of each outbox call that did something."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.lost = {"claim_outbox": 0, "settle_outbox": 0}

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.store, name)
        if name not in self.lost:
            return real

        async def call(*args: Any, **more: Any) -> Any:
            answer = await real(*args, **more)
            if self.lost[name] < 2 and (answer or name == "settle_outbox"):
                self.lost[name] += 1
                raise Unclear("the answer was lost")
            return answer

        return call
