"""A worker dies at every single event of a run that has everything in it; its replacement must not be able to tell.

The run: a step that can be undone, a pause that is answered, a loop, a map, a gate, a subflow, and a failure at the end
that is compensated. The death is virtual here (the write lands, and the worker never does or hears anything again), so
that it can come behind each write of the run and of its subflow, on every store.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import pytest
from graphs import graph
from rigs import Rig
from test_scenarios import Play, dies, play, server  # noqa: F401
from test_waits import expression, looping, tell, with_node
from world import Faulty

from axiom.compiler.artifact import Join
from axiom.runtime import events as e
from axiom.runtime.failures import NodeFailure
from axiom.runtime.orders import child_id
from axiom.runtime.store.base import FINAL, Conflict, Ok

pytestmark = pytest.mark.slow

CHILD = replace(graph("x y", "x>y"), name="test/child")


def rich(child: str) -> Any:
    plan = graph(
        "a p d m l r j s z ua us", "a>p p>d d>d d>m m>l m>r l>j r>j j>s s>z", {"j": Join("AND")}, terminal="z"
    )
    hitl = {"message": expression("order"), "resume_input": "Any", "quorum": 1}
    items = {"items": expression("lines"), "max_concurrency": 2, "failure_policy": "FAIL_FAST"}
    plan = with_node(plan, "p", config={"hitl": hitl})
    plan = with_node(plan, "m", config={"map": items})
    plan = with_node(plan, "s", kind="flow", config={"graph_id": child, "wait": True})
    return replace(looping(plan, 2, 5, "n < 3"), compensate={"a": "ua", "s": "us"})


@dataclass(frozen=True)
class Lived:
    """What of a run must not depend on who died."""

    ends: tuple[Any, ...]
    """How the run and its subflow ended."""
    completed: Counter[tuple[str, tuple[int, ...]]]
    """What was committed, and how often."""
    effects: frozenset[tuple[str, tuple[int, ...], str]]
    """Node, iteration and input of each effect: what it would have been keyed by, and done."""


class Mortal(Faulty):
    """One worker's store, up to and with the write that takes the journal to ``seq``."""

    def __init__(self, rig: Rig, seq: int) -> None:
        super().__init__(rig.store, rig.clock, random.Random(0), 0.0)  # type: ignore[arg-type]
        self.execution_id, self.seq = "", seq
        self.died = asyncio.Event()

    async def _call(self, name: str, real: Any, args: Any, more: Any) -> Any:
        await self._pass()
        answer = await real(*args, **more)
        if name == "append":
            for item, outcome in zip(args[0], answer, strict=True):
                if (
                    item.execution_id == self.execution_id
                    and isinstance(outcome, Ok)
                    and outcome.seq >= self.seq
                ):
                    self.dead = True
                    self.died.set()
        await self._pass()
        return answer


class Lives:
    """The same run again and again over one rig."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.effects: list[tuple[str, str, tuple[int, ...], str]] = []
        child = rig.add(CHILD, dict.fromkeys("xy", self.work))
        self.graph_id = rig.add(rich(child), dict.fromkeys([*"apdmljrsz", "ua", "us"], self.work))

    async def work(self, ctx: Any, value: Any) -> Any:
        self.effects.append((ctx.execution_id, ctx.node, ctx.iteration, repr(value)))
        await asyncio.sleep(0)
        if ctx.node == "z":
            raise NodeFailure("no", code="broken", retryable=False)
        n = value["n"] + 1 if ctx.node == "d" and "n" in value else 0
        return {"n": n, "order": "o1", "lines": [1, 2, 3]} if ctx.node != "m" else value * 2

    async def answer(self, run: str) -> None:
        await self.rig.until(run, lambda head: head.status == "PAUSED", 120)
        body = {"pause_id": "p", "input": {"value": {"n": 0, "order": "o2", "lines": [4]}}, "by": "ada"}
        while isinstance(await tell(self.rig, run, e.PAUSE_ANSWERED, body), Conflict):
            pass

    async def live(self, of_child: bool = False, seq: int = 0) -> tuple[Lived, tuple[int, int]]:
        """Live once; the first worker dies at event ``seq``, if one is given. Also the lengths of both journals."""
        rig, real, before = self.rig, self.rig.store, len(self.effects)
        side = Mortal(rig, seq)
        run = await rig.start(self.graph_id, {"n": 0, "order": "o1", "lines": []})
        child = child_id(run, "s", (), 1)
        side.execution_id = (child if of_child else run) if seq else ""
        rig.store = side  # type: ignore[assignment]
        first = await rig.worker(lease_ms=3_600_000)
        rig.store = real
        answering = asyncio.create_task(self.answer(run))
        if seq:
            await side.died.wait()
            dies(rig, first)
            if first._carrier._task is not None:
                first._carrier._task.cancel()
            await real.end_session(first.session)
            await rig.worker(lease_ms=3_600_000)
        await rig.until(run, lambda head: head.status in FINAL, 120)
        await answering
        while rig.workers:
            await rig.workers.pop().stop()
        histories = [await rig.history(run), await rig.history(child)]
        ends = tuple((events[-1].kind, events[-1].body.get("code")) for events in histories)
        completed = Counter(
            (event.node or "", event.iteration)
            for events in histories
            for event in events
            if event.kind == e.NODE_COMPLETED
        )
        mine = self.effects[before:]
        most = Counter(effect[:3] for effect in mine).most_common(1)[0][1]
        assert most <= 2, "one death: what was in flight ran again, once"
        lived = Lived(ends, completed, frozenset(effect[1:] for effect in mine))
        return lived, (len(histories[0]), len(histories[1]))


@pytest.mark.parametrize("of_child", [False, True], ids=["run", "subflow"])
def test_a_worker_dies_at_every_event_and_nobody_can_tell(play: Play, of_child: bool) -> None:  # noqa: F811
    """Crash windows 4 and 11 at every place there is; scenarios 7, 8 and 11: with pause, loop, map, gate, subflow and
    compensation the run ends the same, each effect counts once, and no more runs twice than what was in flight."""

    async def scenario(rig: Rig) -> None:
        lives = Lives(rig)
        undisturbed, lengths = await lives.live()
        assert undisturbed.ends == ((e.FAILED, "broken"), (e.COMPLETED, None))
        assert {("ua", ()), ("us", ()), ("d", (2,)), ("m", (0,)), ("x", ())} <= set(undisturbed.completed)
        for seq in range(2, lengths[of_child] + 1):
            lived, _ = await lives.live(of_child, seq)
            assert lived == undisturbed, f"a death at event {seq} shows"

    play(scenario)
