"""Random flows of every kind of node, whose outcome does not depend on when anything happens; and who is outside.

A flow is a chain of **blocks**: a step, a step that can be undone, a sleep, an event, a pause under each policy, a
loop, a map, a gate of each kind, a subflow. What a node returns is a digest of what it got, so that one wrong input
anywhere is another output of the run; only behind a gate that takes whoever comes first it depends on the gate alone.

**Nature** is everybody outside: she sends events early, late and twice, answers pauses at once or much later and again
after that, holds runs for a while, and cancels now and then.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rigs import Rig

from axiom.compiler.artifact import Edge, Join, Node, Plan, Retry, freeze
from axiom.compiler.expressions import check, parse
from axiom.runtime import events as e
from axiom.runtime.cancelling import cancellation
from axiom.runtime.clock import VirtualClock
from axiom.runtime.events import Event
from axiom.runtime.failures import NodeFailure
from axiom.runtime.fold import IllegalTransition, fold
from axiom.runtime.state import State
from axiom.runtime.store.base import FINAL, Append, Conflict

MESSAGE = {
    "type": "object",
    "additionalProperties": True,
    "properties": {
        "n": {"type": "integer"},
        "order": {"type": "string"},
        "lines": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["n", "order", "lines"],
}
LONG_MS = 60_000
UNLUCKY = 3
"""An item that fails wherever items may fail."""


def expression(text: str) -> Any:
    return check(parse(text), MESSAGE)[0]


@dataclass
class Flow:
    """A plan, and what it needs from outside."""

    plan: Plan
    sends: list[str] = field(default_factory=list)
    """Names of the events that come, once each as far as their ids tell."""
    answers: dict[str, int] = field(default_factory=dict)
    """Alias of a pause that is answered → how many answers it takes."""
    first_come: set[str] = field(default_factory=set)
    """Nodes whose input depends on who came first."""
    racy: bool = False
    """Which nodes run depends on timing, the run's end does not."""
    child: Flow | None = None


class Builder:
    """Blocks one after another: each takes the node that it follows and returns the one that it ends with."""

    def __init__(self, chance: random.Random, child: Flow | None) -> None:
        self.chance, self.child = chance, child
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self.undo: dict[str, str] = {}
        self.patient = False
        """An arm waits for ever."""
        self.flow = Flow(Plan("", "", "unary", "", "", {}, (), (), 0, 0), child=child)

    def node(self, name: str, **more: Any) -> int:
        number = len(self.nodes)
        alias = f"{name}{number}"
        settings: dict[str, Any] = {"timeout_seconds": 600, **more}
        entry = f"n.py:{name}"
        self.nodes.append(
            Node(number, alias, "sim/pkg", "1.0.0", "", name.title(), entry, "Any", "Any", **settings)
        )
        return number

    def edge(self, source: int, target: int, **more: Any) -> int:
        self.edges.append(Edge(len(self.edges), source, target, **more))
        return target

    # --- blocks -----------------------------------------------------------------------------------------------------

    def step(self, at: int) -> int:
        retry = Retry(self.chance.choice((1, 3)), delays_ms=(self.chance.choice((50, 900, 4_000)),))
        return self.edge(at, self.node("step", retry=retry))

    def undoable(self, at: int) -> int:
        done = self.edge(at, self.node("step"))
        self.undo[self.nodes[done].alias] = self.nodes[self.node("undo")].alias
        return done

    def sleep(self, at: int) -> int:
        ms = self.chance.choice((0, 300, 5_000, LONG_MS))
        return self.edge(at, self.node("sleep", kind="sleep", config={"duration_ms": ms}))

    def event(self, at: int) -> int:
        name = f"event{len(self.nodes)}"
        self.flow.sends.append(name)
        config = (
            {"name": name, "correlate": expression("order")} if self.chance.random() < 0.5 else {"name": name}
        )
        return self.step(self.edge(at, self.node("event", kind="event", config=config)))

    def lost_event(self, at: int) -> int:
        """One that never comes: its branch goes on."""
        config = {"name": "never", "timeout_ms": self.chance.choice((700, LONG_MS))}
        return self.handled(at, self.node("event", kind="event", config=config))

    def handled(self, at: int, fails: int) -> int:
        """``fails`` does, and an error branch that rejoins goes on."""
        self.edge(at, fails)
        after = self.node("step", join=Join("OR", "TOLERATE_FAILURES"))
        mended = self.node("step")
        self.edge(fails, mended, on_error=True)
        self.edge(fails, after)
        return self.edge(mended, after)

    def pause(self, at: int) -> int:
        quorum = self.chance.choice((1, 1, 2))
        hitl: dict[str, Any] = {"quorum": quorum}
        if self.chance.random() < 0.3:
            hitl["remind_every_ms"] = 2 * LONG_MS
        paused = self.edge(at, self.hitl(**hitl))
        self.flow.answers[self.nodes[paused].alias] = quorum
        return paused

    def hitl(self, **more: Any) -> int:
        config = {"message": expression("order"), "resume_input": "Any", "quorum": 1, **more}
        return self.node("pause", config={"hitl": config})

    def unanswered(self, at: int) -> int:
        """A pause that nobody answers, under a policy by which the run goes on."""
        timeout_ms = self.chance.choice((700, 20_000, LONG_MS))
        policy = self.chance.choice(("FAIL", "RESUME_WITH", "ESCALATE", "BRANCH"))
        if policy == "RESUME_WITH":
            given = {"n": 7, "order": "o", "lines": [1]}
            return self.edge(at, self.hitl(timeout_ms=timeout_ms, timeout_policy=policy, resume_with=given))
        more = {"escalate_to": ["lead", "boss"]} if policy == "ESCALATE" else {}
        return self.handled(at, self.hitl(timeout_ms=timeout_ms, timeout_policy=policy, **more))

    def loop(self, at: int) -> int:
        head = self.edge(at, self.node("count"))
        tail = head
        if self.chance.random() < 0.5:
            ms = self.chance.choice((200, 3_000))
            tail = self.edge(head, self.node("sleep", kind="sleep", config={"duration_ms": ms}))
        rounds = self.chance.randrange(1, 5)
        self.edge(tail, head, loop=True, max_iterations=9, condition=expression(f"n < {rounds}"))
        return self.step(tail)

    def map(self, at: int) -> int:
        config = {
            "items": expression("lines"),
            "max_concurrency": self.chance.randrange(1, 5),
            "failure_policy": self.chance.choice(("FAIL_FAST", "TOLERATE_FAILURES")),
        }
        name = "item" if config["failure_policy"] == "FAIL_FAST" else "unlucky"
        retry = Retry(2, delays_ms=(self.chance.choice((30, 2_000)),))
        return self.step(self.edge(at, self.node(name, config={"map": config}, retry=retry)))

    def gate(self, at: int) -> int:
        kind = self.chance.choice(("AND", "OR", "XOR", "FIRST", "N_OF_M"))
        arms = [self.chance.choice((self.step, self.step, self.sleep, self.event))(at) for _ in range(3)]
        n = self.chance.randrange(1, 4) if kind == "N_OF_M" else 0
        gate = self.node("join", join=Join(kind, "FAIL_FAST", n))
        for arm in arms:
            self.edge(arm, gate)
        if kind in ("XOR", "FIRST", "N_OF_M"):
            self.flow.first_come.add(self.nodes[gate].alias)
            self.flow.racy = True
        return gate

    def late_gate(self, at: int) -> int:
        """A gate that does not wait for an arm that never comes. That arm waits on, so nothing behind may fail: a run
        ends when its terminal does, or when nothing of it is alive."""
        self.patient = True
        never = self.edge(at, self.node("event", kind="event", config={"name": "never"}))
        gate = self.node(
            "join", join=Join("OR", "TOLERATE_FAILURES", timeout_ms=self.chance.choice((900, LONG_MS)))
        )
        self.edge(self.edge(at, self.node("step")), gate)
        return self.edge(never, gate)

    def subflow(self, at: int) -> int:
        if self.child is None or self.patient:
            return self.step(at)
        config = {"graph_id": freeze(self.child.plan).graph_id, "wait": True}
        return self.step(self.edge(at, self.node("sub", kind="flow", config=config)))

    def hopeless(self, at: int) -> int:
        """The run ends here, one way or another."""
        end = self.chance.choice(("doomed", "CANCEL", "gate", "loop"))
        if end == "doomed":
            return self.edge(at, self.node("doomed"))
        if end == "CANCEL":
            return self.edge(at, self.hitl(timeout_ms=5_000, timeout_policy="CANCEL"))
        if end == "loop":
            head = self.edge(at, self.node("count"))
            self.edge(head, head, loop=True, max_iterations=2)
            return self.step(head)
        never = self.edge(at, self.node("event", kind="event", config={"name": "never"}))
        gate = self.node("join", join=Join("AND", "FAIL_FAST", timeout_ms=5_000))
        self.edge(self.edge(at, self.node("step")), gate)
        self.flow.racy = True
        return self.edge(never, gate)

    def build(self, name: str, length: int) -> Flow:
        at = self.node("step")
        blocks: list[Callable[[int], int]] = [
            self.step, self.undoable, self.undoable, self.sleep, self.event, self.lost_event, self.pause,
            self.unanswered, self.loop, self.map, self.gate, self.gate, self.late_gate, self.subflow, self.subflow,
        ]  # fmt: skip
        for _ in range(length):
            at = self.chance.choice(blocks)(at)
        if not self.patient and self.chance.random() < 0.3:
            at = self.hopeless(at)
        at = self.step(at)
        more = {"on_cancel": self.chance.choice(("stop", "compensate"))} if self.undo else {}
        self.flow.plan = Plan(
            name, "1", "unary", "Any", "Any", {"Any": True}, tuple(self.nodes), tuple(self.edges), 0, at,
            compensate=self.undo, **more,
        )  # fmt: skip
        return self.flow


def random_flow(chance: random.Random) -> Flow:
    child = Builder(chance, None).build("sim/child", chance.randrange(1, 3))
    return Builder(chance, child).build("sim/flow", chance.randrange(2, 7))


def digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def handlers_of(flow: Flow, seed: int, ran: dict[tuple[str, str, tuple[int, ...]], int]) -> dict[str, Any]:
    """What each node does: its result depends on its input alone, how long it takes does not."""

    async def work(ctx: Any, value: Any) -> Any:
        key = (ctx.execution_id, ctx.node, ctx.iteration)
        ran[key] = ran.get(key, 0) + 1
        name = ctx.node.rstrip("0123456789")
        dice = random.Random(f"{seed}/{ctx.node}/{ctx.iteration}")
        await asyncio.sleep(dice.choice((0, 0.01, 0.5, 3)) * random.Random(ctx.fencing_token).random() * 2)
        fails = dice.choice((0, 0, 1))
        if name == "doomed" or (name == "unlucky" and value == UNLUCKY):
            raise NodeFailure("as told", code="doomed", retryable=False)
        if name in ("step", "item") and ctx.attempt <= fails and retries(ctx.node):
            raise NodeFailure(f"attempt {ctx.attempt}")
        if name in ("sleep", "event", "sub"):
            return value
        n = value["n"] + 1 if name == "count" and isinstance(value, dict) else 0
        seen = None if ctx.node in flow.first_come else value
        return {
            "n": n,
            "order": "o",
            "lines": [1, 2, UNLUCKY, 4],
            "digest": digest(ctx.node, ctx.iteration, seen),
        }

    tries = {node.alias: node.retry.max_attempts for node in flow.plan.nodes}

    def retries(alias: str) -> bool:
        return tries[alias] > 1

    return {node.alias: work for node in flow.plan.nodes}


# --- nature ---------------------------------------------------------------------------------------------------------


class Nature:
    """See the top of the file. She speaks to the store itself, as a door does, whatever happens to the workers."""

    def __init__(self, rig: Rig, clock: VirtualClock, chance: random.Random, flows: dict[str, Flow]) -> None:
        self.rig, self.clock, self.chance, self.flows = rig, clock, chance, flows
        self.cancelled: set[str] = set()
        self.refused = 0
        self._tasks: list[asyncio.Task[None]] = []

    def spawn(self, work: Any) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def stop(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def attend(self, execution_id: str, graph_id: str, cancels: bool) -> None:
        """Do for a run, and for its children, what its flow needs."""
        flow = self.flows[graph_id]
        for name in flow.sends:
            self.spawn(self._send(execution_id, flow, name))
        if flow.answers or flow.child is not None:
            self.spawn(self._watch(execution_id, flow))
        if self.chance.random() < 0.2:
            self.spawn(self._hold(execution_id))
        if cancels:
            self.spawn(self._cancel(execution_id))

    async def _send(self, execution_id: str, flow: Flow, name: str) -> None:
        node = next(node for node in flow.plan.nodes if node.config.get("name") == name)
        key = "o" if "correlate" in node.config else None
        value = {"n": 1, "order": "o", "lines": [5], "digest": name}
        body = {"name": name, "key": key, "id": name, "payload": {"value": value}}
        await self.clock.sleep(self.chance.choice((0, 0.2, 4, 30, 100)) * self.chance.random())
        for _ in range(self.chance.choice((1, 1, 2, 3))):
            await self._write(
                execution_id, Event(e.SIGNAL_RECEIVED, self.rig.store.now(), body=body), dedup=name
            )
            await self.clock.sleep(self.chance.random() * 3)

    async def _watch(self, execution_id: str, flow: Flow) -> None:
        """Answer each pause that opens, and attend to each child that is born."""
        moved = asyncio.Event()
        moved.set()
        seen: set[str] = set()
        unwatch = self.rig.store.watch(lambda hints: moved.set())
        try:
            while True:
                await moved.wait()
                moved.clear()
                for event in await self.rig.history(execution_id):
                    told = event.body.get("name") if event.kind == e.NODE_WAITING else None
                    if told is None or told in seen:
                        continue
                    if event.body["for"] == "pause" and event.node in flow.answers:
                        seen.add(told)
                        self.spawn(self._answer(execution_id, told, flow.answers[event.node]))
                    elif event.body["for"] == "child" and await self._born(told):
                        seen.add(told)
                        assert flow.child is not None
                        self.attend(told, freeze(flow.child.plan).graph_id, cancels=False)
        finally:
            unwatch()

    async def _born(self, child: str) -> bool:
        return (await self.rig.store.heads([child]))[0] is not None

    async def _answer(self, execution_id: str, pause_id: str, quorum: int) -> None:
        def open_(state: State) -> bool:
            if pause_id not in state.pauses:
                return False
            wait = state.waiting[state.pauses[pause_id]]
            return len(wait.answers) < wait.quorum

        for number in range(quorum + 2):  # the last two come too late
            await self.clock.sleep(self.chance.choice((0, 0.3, 10, 90)) * self.chance.random())
            value = {"n": number, "order": "o", "lines": [1, 2], "digest": pause_id}
            body = {"pause_id": pause_id, "input": {"value": value}, "by": "nature"}
            await self._as_door(execution_id, e.PAUSE_ANSWERED, body, open_)

    async def _hold(self, execution_id: str) -> None:
        """Hold a run for a while; whatever falls due meanwhile must not be lost."""
        for kind in (e.HELD, e.RESUMED):
            await self.clock.sleep(self.chance.choice((0, 1, 10, 90)) * self.chance.random())
            await self._as_door(execution_id, kind, {"by": "nature"}, lambda state: True)

    async def _as_door(
        self, execution_id: str, kind: str, body: dict[str, Any], admitted: Callable[[State], bool]
    ) -> None:
        """Write an event that depends on the state, as long as the state admits it."""
        topology = self.rig.prepared[(await self.rig.head(execution_id)).graph_id].topology
        while True:
            history = await self.rig.history(execution_id)
            event = Event(kind, max(self.rig.store.now(), *(one.at for one in history)), body=body)
            state = fold(topology, State(), history)
            try:
                after = fold(topology, state, (event,)) if admitted(state) else None
            except IllegalTransition:
                after = None
            if after is None:
                self.refused += 1
                return
            status = after.status if after.status != (await self.rig.head(execution_id)).status else None
            written = await self._write(execution_id, event, after=len(history), status=status)
            if not isinstance(written, Conflict):
                return

    async def _cancel(self, execution_id: str) -> None:
        await self.clock.sleep(self.chance.choice((0, 1, 10, 90)) * self.chance.random())
        while True:
            head = await self.rig.head(execution_id)
            if head.status in FINAL:
                return
            plan = self.rig.prepared[head.graph_id].plan
            self.cancelled.add(execution_id)
            item = await cancellation(self.rig.store, head, plan, "so")
            (outcome,) = await self.rig.store.append([item])
            if not isinstance(outcome, Conflict):
                return

    async def _write(self, execution_id: str, event: Event, **more: Any) -> Any:
        data = e.encode(event)
        crc = e.crc(execution_id, data)
        item = Append(execution_id, (data,), (crc,), event.at, **{"after": None, **more})
        return (await self.rig.store.append([item]))[0]


__all__ = ["Flow", "Nature", "handlers_of", "random_flow"]
