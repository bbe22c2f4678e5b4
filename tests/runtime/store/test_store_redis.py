"""The Redis store keeps every rule that all stores keep, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from conformance import RULES, Rule
from redis_server import RedisServer, running

from axiom.runtime.store.redis import RedisStore


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running() as server:
        yield server


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_redis_keeps_the_rule(rule: Rule, server: RedisServer) -> None:
    server.command("FLUSHALL")

    async def keep() -> None:
        store, other = RedisStore(server.url), RedisStore(server.url)
        await store.open()
        await other.open()
        try:
            await rule(store, other)
        finally:
            await store.close()
            await other.close()

    asyncio.run(keep())
