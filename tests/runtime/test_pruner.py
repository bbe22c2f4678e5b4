"""Retention: what is past its time goes, nothing else, and a report removes nothing."""

from __future__ import annotations

from typing import Any

from axiom.runtime import events as e
from axiom.runtime.clock import VirtualClock, run_virtual
from axiom.runtime.events import Event
from axiom.runtime.pruner import Expired, Pruner, report
from axiom.runtime.store.base import Append, Create, Ok, Outgoing, Settle, Unavailable
from axiom.runtime.store.memory import MemoryStore

DAY = 86_400


async def run_of(
    store: MemoryStore, clock: VirtualClock, flow: str, days: float, *, final: bool = True, **more: Any
) -> str:
    """An execution with a retention of ``days``, ended at once if ``final``."""
    execution_id = clock.token(16)
    create = Create("default", flow, "g", "unary", "default", retention_days=days)
    first = Event(e.ACCEPTED, store.now(), body={"input": {"value": 1}})
    last = Event(e.COMPLETED, store.now(), body={"output": {"value": 1}})
    for after, event, extra in ((0, first, {"create": create}), (1, last, {"status": "COMPLETED", **more})):
        if after and not final:
            break
        data = e.encode(event)
        item = Append(
            execution_id,
            (data,),
            (e.crc(execution_id, data),),
            event.at,
            after,
            **extra,  # type: ignore[arg-type]
        )
        assert isinstance((await store.append([item]))[0], Ok)
    return execution_id


async def left(store: MemoryStore) -> set[str]:
    return {head.execution_id for head in await store.scan()}


def test_each_flow_keeps_its_own_time_and_live_runs_stay() -> None:
    async def case() -> None:
        clock = VirtualClock()
        store = MemoryStore(clock)
        await store.open()
        pruner = Pruner(store, clock)
        await run_of(store, clock, "short", 1)
        long = await run_of(store, clock, "long", 30)
        live = await run_of(store, clock, "short", 1, final=False)
        assert await pruner.prune() == 0
        await clock.sleep(2 * DAY)
        assert await pruner.prune() == 1
        assert await left(store) == {long, live}
        await clock.sleep(30 * DAY)
        assert await pruner.prune() == 1
        assert await left(store) == {live}
        assert pruner.deleted == 2

    run_virtual(case())


def test_more_than_one_bite_goes_in_one_pass() -> None:
    async def case() -> None:
        clock = VirtualClock()
        store = MemoryStore(clock)
        await store.open()
        for _ in range(250):
            await run_of(store, clock, "many", 1)
        await clock.sleep(2 * DAY)
        assert await Pruner(store, clock).prune() == 250
        assert await left(store) == set()

    run_virtual(case())


def test_undelivered_webhooks_hold_a_run_back() -> None:
    async def case() -> None:
        clock = VirtualClock()
        store = MemoryStore(clock)
        await store.open()
        held = await run_of(store, clock, "a", 1, outbox=(Outgoing("webhook", "https://x", b"{}"),))
        await clock.sleep(2 * DAY)
        assert await Pruner(store, clock).prune() == 0
        store.beater().beat("s", 1_000, {}, {})
        (entry,) = await store.claim_outbox("s", 10)
        await store.settle_outbox("s", [Settle(entry.name, None)])
        assert await left(store) == {held}
        assert await Pruner(store, clock).prune() == 1

    run_virtual(case())


def test_a_report_tells_by_flow_and_removes_nothing() -> None:
    async def case() -> None:
        clock = VirtualClock()
        store = MemoryStore(clock)
        await store.open()
        began = store.now()
        for _ in range(3):
            await run_of(store, clock, "a", 1)
        await run_of(store, clock, "b", 2)
        await run_of(store, clock, "c", 90)
        await clock.sleep(3 * DAY)
        assert await report(store) == [Expired("a", 3, began, 1.0), Expired("b", 1, began, 2.0)]
        assert await report(store, flow="b") == [Expired("b", 1, began, 2.0)]
        assert await report(store, account="other") == []
        assert len(await left(store)) == 5

    run_virtual(case())


def test_the_loop_prunes_by_itself_and_outlives_a_store_that_is_away() -> None:
    class Flaky(MemoryStore):
        away = 3

        async def expired(self, *args: Any, **more: Any) -> Any:
            if self.away:
                self.away -= 1
                raise Unavailable("not now")
            return await super().expired(*args, **more)

    async def case() -> None:
        clock = VirtualClock()
        store = Flaky(clock)
        await store.open()
        await run_of(store, clock, "a", 1)
        pruner = Pruner(store, clock)
        await pruner.start()
        await clock.sleep(1.5 * DAY)
        await pruner.stop()
        assert await left(store) == set()
        assert store.away == 0

    run_virtual(case())
