"""Thousands of schedules of workers, store and clock with faults at every await; every promise must hold in each.

``pytest tests/simulation --seeds 100000`` runs as many as you like; ``--seed 4711`` plays one again.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import pytest
from flows import Flow, Nature, handlers_of, random_flow
from world import World, mesh_handlers, random_plan

from axiom.runtime import events as e
from axiom.runtime.clock import VirtualClock, run_virtual
from axiom.runtime.store.base import FINAL
from axiom.runtime.store.memory import MemoryStore

RUNS = 4
TROUBLE_SECONDS = 20


class Ending(NamedTuple):
    """How a run ended, and what of it can't depend on faults."""

    kind: str
    code: str | None
    output: Any
    completed: frozenset[tuple[str, tuple[int, ...]]] | None
    """The nodes that completed, where timing has no say in that."""


async def outcomes(seed: int, trouble: float) -> tuple[list[Ending | None], World]:
    """Play ``RUNS`` executions of one random flow; how each ended, ``None`` for one that someone cancelled."""
    chance = random.Random(seed)
    clock = VirtualClock(seed)
    store = MemoryStore(clock)
    await store.open()
    world = World(store, clock, seed, trouble)
    flows: dict[str, Flow] = {}
    if seed % 3 == 0:
        plan = random_plan(chance)
        flow = Flow(plan)
        graph_id = world.add(plan, mesh_handlers(world, plan, seed))
    else:
        flow = random_flow(chance)
        for one in (flow.child, flow):
            assert one is not None
            graph_id = world.add(one.plan, handlers_of(one, seed, world.ran))
            flows[graph_id] = one
    await world.hire()
    nature = Nature(world, clock, random.Random(f"nature {seed} {trouble}"), flows)
    ids = []
    for number in range(RUNS):
        ids.append(await world.start(graph_id, {"run": number}))
        if flows:
            nature.attend(ids[-1], graph_id, cancels=number == 0 and seed % 5 == 0)
    if trouble:
        await world.hire()
        await world.mischief(clock.monotonic() + TROUBLE_SECONDS)
    for execution_id in ids:
        try:
            await world.ended(execution_id, 3_000)
        except TimeoutError:
            kinds = await world.kinds(execution_id)
            raise AssertionError(
                f"{execution_id} is stuck: {await world.head(execution_id)} {kinds}"
            ) from None
    await nature.stop()
    await world.quiet()
    await world.check()
    ends = [
        None if execution_id in nature.cancelled else await ending(world, execution_id, flow.racy)
        for execution_id in ids
    ]
    trouble_was, world.trouble = world.trouble, 0
    for side in world.sides.values():
        side.trouble, side.frozen = 0, False
    await world.stop()
    world.trouble = trouble_was
    await store.close()
    return ends, world


async def ending(world: World, execution_id: str, racy: bool) -> Ending:
    history = await world.history(execution_id)
    last = history[-1]
    assert (await world.head(execution_id)).status in FINAL
    done = frozenset(
        (event.node or "", event.iteration) for event in history if event.kind == e.NODE_COMPLETED
    )
    value = await world.output(execution_id) if last.kind == e.COMPLETED else None
    return Ending(last.kind, last.body.get("code"), value, None if racy else done)


def play(seed: int) -> World:
    calm, _ = run_virtual(outcomes(seed, 0))
    rough, world = run_virtual(outcomes(seed, random.Random(seed).choice((0.02, 0.1, 0.25))))
    for number, (undisturbed, disturbed) in enumerate(zip(calm, rough, strict=True)):
        if undisturbed is None or disturbed is None or disturbed.code in ("timeout", "poisoned"):
            continue  # a frozen network may use up a node's time: another end, as lawful
        assert disturbed == undisturbed, f"run {number} ended otherwise than without faults"
    return world


@pytest.mark.timeout(3_600)  # as many as one asks for
def test_every_schedule_keeps_every_promise(seeds: list[int]):
    deaths = 0
    for seed in seeds:
        try:
            deaths += play(seed).deaths
        except BaseException as error:
            error.add_note(f"play it again with: PYTHONHASHSEED=0 pytest tests/simulation --seed {seed}")
            raise
    assert deaths or len(seeds) < 50, "a simulation in which nothing goes wrong proves nothing"


def test_the_simulation_finds_a_store_that_does_not_fence(monkeypatch: pytest.MonkeyPatch):
    """With the fence switched off, zombies write: some schedule must break a promise."""

    real = MemoryStore.append

    async def unfenced(self: Any, batch: Any) -> Any:
        patched = []
        for item in batch:
            if item.fence is not None:
                head = (await self.heads([item.execution_id]))[0]
                if head is not None and head.session is not None:
                    item = item._replace(fence=item.fence._replace(session=head.session, epoch=head.epoch))
                    item = item._replace(after=head.seq)
            patched.append(item)
        return await real(self, patched)

    monkeypatch.setattr(MemoryStore, "append", unfenced)
    broken = 0
    for seed in range(60):
        try:
            play(seed)
        except BaseException:
            broken += 1
            break
    assert broken
