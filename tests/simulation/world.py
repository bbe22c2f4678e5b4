"""A seeded world: one memory store, workers that die, freeze and are replaced, and a network that loses answers.

Everything that happens is drawn from one seed, and time is virtual: a schedule that breaks a promise is printed by its
seed and plays again exactly. What a store may do to its callers, and the machine to its workers, is here; what must
hold all the same is in ``test_simulation.py``.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from rigs import Rig, prepare

from axiom.compiler.artifact import Edge, Join, Node, Plan, Retry
from axiom.runtime.clock import VirtualClock
from axiom.runtime.failures import NodeFailure
from axiom.runtime.store.base import FINAL, Beat, Beater, Store, Unavailable, Unclear
from axiom.runtime.worker import Worker

WRITES = frozenset(
    {"append", "append_frames", "claim", "put_blob", "end_session", "claim_outbox", "settle_outbox"}
)
READS = frozenset({"read", "snapshot", "heads", "blob", "owned", "frames", "frame_counts"})


class Faulty:
    """A store as one worker sees it over a bad network. ``dead``: nothing goes through any more, and nobody answers."""

    def __init__(self, store: Store, clock: VirtualClock, chance: random.Random, trouble: float) -> None:
        self.store, self.clock, self.chance, self.trouble = store, clock, chance, trouble
        self.dead = False
        self.frozen = False

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.store, name)
        if name in WRITES or name in READS:
            return lambda *args, **more: self._call(name, real, args, more)
        return real

    def beater(self) -> Beater:
        return FaultyBeater(self, self.store.beater())

    def watch(self, watcher: Callable[..., None], kinds: Any = None) -> Callable[[], None]:
        def heard(hints: Any) -> None:
            if not self.dead and self.chance.random() >= self.trouble:
                watcher(hints)

        return self.store.watch(heard, kinds)

    async def _call(self, name: str, real: Callable[..., Any], args: Any, more: Any) -> Any:
        await self._pass()
        fate = self.chance.random()
        if fate < self.trouble / 2:
            raise Unavailable("the request was lost")
        answer = await real(*args, **more)
        await self._pass()
        if name in WRITES and fate < self.trouble:
            raise Unclear("the answer was lost")
        if name == "append" and fate > 1 - self.trouble / 2:
            answer = await real(*args, **more)  # the network repeats it
        return answer

    async def _pass(self) -> None:
        """Take some time; for ever if this side is dead."""
        if self.chance.random() < self.trouble:
            await self.clock.sleep(self.chance.random() * 0.3)
        if self.dead:
            await asyncio.get_running_loop().create_future()


class FaultyBeater:
    def __init__(self, faulty: Faulty, real: Beater) -> None:
        self.faulty, self.real = faulty, real

    def beat(self, *args: Any) -> Beat:
        faulty = self.faulty
        if faulty.dead or faulty.frozen or faulty.chance.random() < faulty.trouble:
            raise Unavailable("the beat was lost")
        return self.real.beat(*args)

    def close(self) -> None:
        self.real.close()


class World(Rig):
    """See the top of the file."""

    def __init__(self, store: Store, clock: VirtualClock, seed: int, trouble: float) -> None:
        super().__init__(store, clock)
        self.chance = random.Random(seed)
        self.trouble = trouble
        self.sides: dict[str, Faulty] = {}
        self.ran: dict[tuple[str, str, tuple[int, ...]], int] = {}
        self.deaths = 0

    async def hire(self) -> Worker:
        """Start a worker behind its own bad network; it may take a few tries."""
        side = Faulty(self.store, self.clock, self.chance, self.trouble)

        async def find(graph_id: str) -> Any:
            return self.prepared[graph_id]

        while True:
            worker = Worker(
                side, self.clock, prepare=find, performer=self.hands, threaded=False, concurrency=8
            )
            try:
                await worker.start()
            except Unavailable:
                await self.clock.sleep(0.1)
                continue
            self.sides[worker.session] = side
            self.workers.append(worker)
            return worker

    def kill(self, worker: Worker) -> None:
        """SIGKILL: not one more word from it."""
        self.deaths += 1
        self.sides[worker.session].dead = True
        self.workers.remove(worker)
        tasks = [*worker._tasks, *worker._reading, worker._lease._task, worker._carrier._task]
        tasks += [execution.task for execution in worker.executions.values()]
        tasks += [a.task for x in worker.executions.values() for a in x._attempts.values()]
        for task in tasks:
            if task is not None:
                task.cancel()

    async def quiet(self) -> None:
        """Wait until all that executions order of one another is done, and every execution has ended."""
        for _ in range(3_000):
            heads = await self.store.scan()
            if not await self.store.outbox() and all(head.status in FINAL for head in heads):
                return
            await self.clock.sleep(1)
        raise AssertionError("orders are never carried, or children never end")

    async def mischief(self, until: float) -> None:
        """Kill, freeze and replace workers until that time."""
        while self.clock.monotonic() < until:
            await self.clock.sleep(self.chance.expovariate(1 / 3))
            fate = self.chance.random()
            if not self.workers:
                pass
            elif fate < 0.5:
                self.kill(self.chance.choice(self.workers))
            elif fate < 0.8:  # it stops renewing but goes on working: a zombie
                side = self.sides[self.chance.choice(self.workers).session]
                side.frozen = True
                self.clock.later(self.chance.random() * 6, lambda side=side: setattr(side, "frozen", False))
            else:
                self.clock.jump_ms += self.chance.randrange(0, 20_000)
            while len(self.workers) < 2:
                await self.hire()


def random_plan(chance: random.Random) -> Plan:
    """A plan whose outcome does not depend on timing: AND and OR joins, retries, error branches that rejoin."""
    count = chance.randrange(2, 9)
    pairs: set[tuple[int, int]] = set()
    for target in range(1, count):
        for _ in range(chance.choice((1, 1, 2, 3))):
            pairs.add((chance.randrange(target), target))
    for source in range(count - 1):
        if not any(pair[0] == source for pair in pairs):
            pairs.add((source, chance.randrange(source + 1, count)))
    nodes = tuple(
        Node(
            number,
            f"n{number}",
            "sim/pkg",
            "1.0.0",
            "",
            f"N{number}",
            "n.py:n",
            "Any",
            "Any",
            timeout_seconds=20,
            join=Join(chance.choice(("AND", "OR")), "TOLERATE_FAILURES"),
            retry=Retry(chance.choice((1, 3)), delays_ms=(chance.choice((50, 900, 4_000)),)),
        )
        for number in range(count)
    )
    edges = tuple(Edge(number, *pair) for number, pair in enumerate(sorted(pairs)))
    return Plan("sim/flow", "1", "unary", "Any", "Any", {"Any": True}, nodes, edges, 0, count - 1)


def mesh_handlers(world: World, plan: Plan, seed: int) -> dict[str, Any]:
    """Handlers whose results depend on their input alone; some fail on their first attempts, some always."""

    async def handler(ctx: Any, value: Any) -> Any:
        key = (ctx.execution_id, ctx.node, ctx.iteration)
        world.ran[key] = world.ran.get(key, 0) + 1
        dice = random.Random(f"{seed}/{ctx.node}")
        await asyncio.sleep(dice.choice((0, 0.01, 0.5, 3)) * random.Random(ctx.fencing_token).random() * 2)
        if dice.random() < 0.25 and ctx.attempt <= dice.choice((1, 1, 9)):
            raise NodeFailure(f"{ctx.node} fails attempt {ctx.attempt}")
        return {"node": ctx.node, "from": value}

    return {node.alias: handler for node in plan.nodes}


__all__ = ["World", "mesh_handlers", "prepare", "random_plan"]
