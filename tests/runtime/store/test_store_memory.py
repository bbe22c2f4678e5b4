"""The memory store keeps every rule."""

from __future__ import annotations

import asyncio

import pytest
from conformance import RULES, Rule
from store_kit import Listener, begin, run_of

from axiom.runtime.clock import VirtualClock, run_virtual
from axiom.runtime.store.base import Claimed, Park, Query
from axiom.runtime.store.memory import MemoryStore


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_memory_keeps_the_rule_that(rule: Rule) -> None:
    async def run() -> None:
        store = MemoryStore()
        await store.open()
        try:
            await rule(store, store)
        finally:
            await store.close()

    asyncio.run(run())


def test_a_week_of_parking_passes_in_virtual_time() -> None:
    """No thread, no socket, no clock but the one handed in."""
    week_ms = 7 * 86_400_000

    async def run() -> None:
        store = MemoryStore(VirtualClock())
        await store.open()
        beater = store.beater()
        assert beater.beat("s", 2 * week_ms, {}, {}).alive
        run = run_of(store, (await claimed_run(store))[0])
        due = store.now() + week_ms
        await run.write(1, status="WAITING", park=Park("q", due))
        listener = Listener(store)
        await listener.wait(lambda hint: hint.kind == "ready" and hint.subject == "q", seconds=2 * week_ms)
        assert due <= store.now() < due + 1_000
        assert len(await store.claim("s", ["q"], 1)) == 1
        assert len((await store.find(Query("acme"))).heads) == 1
        await store.close()

    async def claimed_run(store: MemoryStore) -> list[Claimed]:
        await begin(store, queue="q")
        return await store.claim("s", ["q"], 1)

    run_virtual(run())
