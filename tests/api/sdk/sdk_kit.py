"""An engine on a store in memory, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from axiom.runtime.clock import VirtualClock, VirtualLoop
from axiom.runtime.store.base import FINAL
from axiom.runtime.store.memory import MemoryStore
from axiom.runtime.topology import Topology
from axiom.runtime.verify import verify
from axiom.sdk import Engine, Workflow

T = TypeVar("T")


class World:
    """A store, a clock, and engines that come and go."""

    def __init__(self) -> None:
        self.clock = VirtualClock(seed=7)
        self.store = MemoryStore(self.clock)

    def engine(self, *workflows: Workflow[Any, Any], **more: Any) -> Engine:
        return Engine(self.store, workflows, clock=self.clock, **more)

    async def kinds(self, execution_id: str) -> list[str]:
        return [event.kind for event in await self.store.read(execution_id)]

    async def check(self) -> None:
        async def topology_of(graph_id: str) -> Topology | None:
            from axiom.runtime.catalog import load_plan

            return Topology(await load_plan(self.store, graph_id))

        broken = [violation async for violation in verify(self.store, topology_of)]
        assert broken == []

    async def moved_to(self, execution_id: str, seq: int) -> bool:
        """Wait until the journal has ``seq`` events; false if it ended before."""
        stirred = asyncio.Event()
        stop = self.store.watch(lambda hints: stirred.set(), ("moved",))
        try:
            while True:
                stirred.clear()
                head = (await self.store.heads((execution_id,)))[0]
                assert head is not None
                if head.seq >= seq:
                    return True
                if head.status in FINAL:
                    return False
                await stirred.wait()
        finally:
            stop()


def play(scenario: Callable[[World], Awaitable[T]]) -> T:
    """Run a scenario and check its store."""

    async def run() -> T:
        world = World()
        await world.store.open()
        result = await scenario(world)
        await world.check()
        await world.store.close()
        return result

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(run())
