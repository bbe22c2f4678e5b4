"""One rich flow, compiled from YAML and run: a pause, a gate, a map, a loop, a sleep, an event, an error branch.

The second test takes the run's worker away at every event of its journal: whatever the point, the replacement finishes
with the same outputs, and what had a checkpoint never runs again.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from rigs import Rig, bound

from axiom.compiler.compile import compile_flow
from axiom.compiler.package import load_package
from axiom.runtime import events as e
from axiom.runtime.clock import VirtualClock, run_virtual
from axiom.runtime.events import Event
from axiom.runtime.failures import NodeFailure
from axiom.runtime.prepared import Prepared
from axiom.runtime.store.base import FINAL, Append
from axiom.runtime.store.memory import MemoryStore

PACKAGE = """
name: test/rich
version: 1.0.0
language: python
messages:
  Order:
    type: object
    required: [order_id, lines]
    properties: {order_id: {type: string}, lines: {type: array, items: {$ref: Line}}}
  Line: {type: object, required: [price], properties: {price: {type: number}}}
  Price: {type: object, required: [total], properties: {total: {type: number}}}
  Decision: {type: object, required: [approved], properties: {approved: {type: boolean}}}
  Draft: {type: object, required: [round], properties: {round: {type: integer}}}
  Settled: {type: object, required: [amount], properties: {amount: {type: number}}}
  Note: {type: object, required: [text], properties: {text: {type: string}}}
  End:
    type: object
    required: [prices, approved, rounds, amount]
    properties:
      prices: {type: array, items: {$ref: Price}}
      approved: {type: boolean}
      rounds: {type: integer}
      amount: {type: number}
nodes:
  - {name: Open, input: Order, output: Order}
  - {name: Price, input: Line, output: Price, retry: {max_attempts: 2, delays_ms: [2000]}}
  - {name: Approve, input: Decision, output: Decision}
  - {name: Draft, input: Draft, output: Draft}
  - {name: Close, input: End, output: End}
"""
FLOW = """
name: test/rich
version: 1.0.0
nodes:
  - {alias: open, node: Open}
  - {alias: price, node: Price, config: {map: {items: lines, max_concurrency: 2, failure_policy: FAIL_FAST}}}
  - alias: approve
    node: Approve
    config: {hitl: {message: "'Take ' + order_id + '?'", resume_input: Decision}}
  - {alias: draft, node: Draft}
  - {alias: nap, kind: sleep, config: {duration_ms: 5000}}
  - {alias: paid, kind: event, config: {name: settled, correlate: order_id, message: Settled}}
  - alias: close
    node: Close
    config:
      join: {kind: AND, failure_policy: FAIL_FAST}
      compose:
        prices: inputs.price
        approved: inputs.approve.approved
        rounds: inputs.nap.round
        amount: inputs.paid.amount
edges:
  - {from: open, to: price}
  - {from: open, to: approve}
  - {from: open, to: draft, adapter: {round: "0"}}
  - {from: open, to: paid}
  - {from: draft, to: draft, loop: true, max_iterations: 5, condition: "round < 3"}
  - {from: draft, to: nap}
  - {from: price, to: close}
  - {from: approve, to: close}
  - {from: nap, to: close}
  - {from: paid, to: close}
"""
ORDER = {"order_id": "o-1", "lines": [{"price": 1.0}, {"price": 2.5}, {"price": 4.0}]}
END = {
    "prices": [{"total": 2.0}, {"total": 5.0}, {"total": 8.0}],
    "approved": True,
    "rounds": 3,
    "amount": 7.5,
}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("rich")
    (folder / "axiom.yaml").write_text(PACKAGE)
    (folder / "nodes").mkdir()
    for name in ("open", "price", "approve", "draft", "close"):
        (folder / "nodes" / f"{name}.py").write_text(f"async def {name}(ctx, input): ...\n")
    package = load_package(folder)
    return compile_flow(FLOW, "flow.yaml", [package], home=package).require()


class World:
    """The rig, the flow's handlers, and how often each ran."""

    def __init__(self, rig: Rig, artifact: Any) -> None:
        self.rig, self.ran = rig, {}
        handlers = {
            name: getattr(self, f"_{name}") for name in ("open", "price", "approve", "draft", "close")
        }
        prepared = Prepared(
            artifact.graph_id,
            artifact.plan,
            lambda node: bound(handlers[node.alias]) if node.alias in handlers else None,
        )
        rig.prepared[artifact.graph_id] = prepared
        self.graph_id = artifact.graph_id

    def _count(self, ctx: Any, iteration: tuple[int, ...]) -> None:
        key = (ctx.node, iteration, ctx.attempt)
        self.ran[key] = self.ran.get(key, 0) + 1

    async def _open(self, ctx: Any, value: Any) -> Any:
        self._count(ctx, ())
        return value

    async def _price(self, ctx: Any, value: Any) -> Any:
        self._count(ctx, (int(value["price"] * 2),))
        await asyncio.sleep(0.5)
        if value["price"] == 2.5 and ctx.attempt == 1:
            raise NodeFailure("try again")
        return {"total": value["price"] * 2}

    async def _approve(self, ctx: Any, value: Any) -> Any:
        self._count(ctx, ())
        return value

    async def _draft(self, ctx: Any, value: Any) -> Any:
        self._count(ctx, (value["round"],))
        await asyncio.sleep(0.1)
        return {"round": value["round"] + 1}

    async def _close(self, ctx: Any, value: Any) -> Any:
        self._count(ctx, ())
        return value

    async def write(self, execution_id: str, kind: str, body: dict[str, Any], dedup: str | None) -> None:
        """Write until it is written, as doors do."""
        while True:
            head = await self.rig.head(execution_id)
            if head.status in FINAL:
                return
            data = e.encode(Event(kind, self.rig.store.now(), body=body))
            item = Append(
                execution_id,
                (data,),
                (e.crc(execution_id, data),),
                self.rig.store.now(),
                None if dedup else head.seq,
                dedup=dedup,
            )
            if type((await self.rig.store.append([item]))[0]).__name__ == "Ok":
                return

    async def outside(self, execution_id: str) -> None:
        """What people and other systems do."""
        await self.rig.clock.sleep(2.2)
        payload = {"name": "settled", "key": "o-1", "id": "x", "payload": {"value": {"amount": 7.5}}}
        await self.write(execution_id, e.SIGNAL_RECEIVED, payload, "x")
        while not any(
            x.kind == e.NODE_WAITING and x.body["for"] == "pause"
            for x in await self.rig.history(execution_id)
        ):
            await self.rig.clock.sleep(0.3)
        answer = {"pause_id": "approve", "input": {"value": {"approved": True}}, "by": "ada"}
        await self.write(execution_id, e.PAUSE_ANSWERED, answer, None)


def play(artifact: Any, die_at: int | None) -> tuple[list[Event], Any, dict[Any, int]]:
    """Run the flow; take its worker away when the journal has reached ``die_at``."""

    async def run() -> Any:
        clock = VirtualClock(seed=3)
        store = MemoryStore(clock)
        await store.open()
        rig = Rig(store, clock)
        world = World(rig, artifact)
        first = await rig.worker()
        execution_id = await rig.start(world.graph_id, ORDER)
        people = asyncio.ensure_future(world.outside(execution_id))
        if die_at is not None:
            await rig.until(execution_id, lambda head: head.seq >= die_at or head.status in FINAL)
            for task in [*first._tasks, first._lease._task]:
                if task is not None:
                    task.cancel()
            for execution in list(first.executions.values()):
                execution.kill()
            rig.workers.remove(first)
            await rig.worker()
        await rig.ended(execution_id, 1_000)
        await rig.check()
        people.cancel()
        result = await rig.history(execution_id), await rig.output(execution_id), world.ran
        await rig.stop()
        await store.close()
        return result

    found: tuple[list[Event], Any, dict[Any, int]] = run_virtual(run())
    return found


def test_a_rich_flow_from_yaml_to_its_output(artifact: Any):
    events, output, ran = play(artifact, None)
    assert output == END
    assert set(ran.values()) == {1}
    kinds = {event.kind for event in events}
    assert {e.NODE_WAITING, e.NODE_WOKEN, e.MAP_OPENED, e.SIGNAL_RECEIVED, e.PAUSE_ANSWERED} <= kinds


def test_whatever_event_the_worker_dies_at_the_end_is_the_same(artifact: Any):
    undisturbed, output, _ = play(artifact, None)
    for die_at in range(1, len(undisturbed) + 1):
        events, again, ran = play(artifact, die_at)
        assert again == output, f"died at event {die_at}"
        completed = [(x.node, x.iteration) for x in events if x.kind == e.NODE_COMPLETED]
        assert len(completed) == len(set(completed))
        assert max(ran.values()) <= 2, "only what was in flight runs again"
        assert sum(count - 1 for count in ran.values()) <= 4, f"died at event {die_at}: {ran}"
