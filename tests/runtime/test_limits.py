"""Concurrency limits through the engine, in virtual time: of runs and of nodes, by key, over workers that die."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from graphs import graph
from rigs import Rig

from axiom.compiler.artifact import Plan, Retry
from axiom.compiler.expressions import check, parse
from axiom.runtime import events as e
from axiom.runtime.cancelling import cancellation
from axiom.runtime.clock import VirtualClock, run_virtual
from axiom.runtime.events import Event
from axiom.runtime.failures import NodeFailure
from axiom.runtime.store.base import FINAL, Append
from axiom.runtime.store.memory import MemoryStore

INPUT = {
    "type": "object",
    "properties": {
        "input": {
            "type": "object",
            "properties": {"customer": {"type": "string"}, "n": {"type": "integer"}},
            "required": ["customer", "n"],
        }
    },
    "required": ["input"],
}


def key(text: str) -> Any:
    return check(parse(text), INPUT)[0]


def rigged(scenario: Callable[[Rig], Awaitable[Any]], workers: int = 1) -> Any:
    async def run() -> Any:
        clock = VirtualClock(seed=1)
        store = MemoryStore(clock)
        await store.open()
        rig = Rig(store, clock)
        try:
            for _ in range(workers):
                await rig.worker()
            result = await scenario(rig)
            await rig.check()
            return result
        finally:
            await rig.stop()
            await store.close()

    return run_virtual(run())


def with_node(plan: Plan, alias: str, **changes: Any) -> Plan:
    nodes = tuple(replace(node, **changes) if node.alias == alias else node for node in plan.nodes)
    return replace(plan, nodes=nodes)


class Inside:
    """A handler that takes a second and notes who is in it at the same time."""

    def __init__(self, seconds: float = 1.0, by: str = "") -> None:
        self.seconds, self.by = seconds, by
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.order: list[int] = []

    async def __call__(self, ctx: Any, value: Any) -> Any:
        name = str(value[self.by]) if self.by else ""
        self.now[name] += 1
        self.most[name] = max(self.most[name], self.now[name])
        self.order.append(value["n"])
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.now[name] -= 1
        return value


async def echo(ctx: Any, value: Any) -> Any:
    return value


def handlers(inside: Inside, *others: str) -> dict[str, Any]:
    async def work(ctx: Any, value: Any) -> Any:
        return await inside(ctx, value)

    return {"work": work, **dict.fromkeys(others, echo)}


def limited(most: int = 1, by: str | None = None, **more: Any) -> Plan:
    """``first`` → ``work`` with a limit on the node."""
    config = {"concurrency": {"limit": most, **({"key": key(by)} if by else {})}, **more}
    return with_node(graph("first work", "first>work"), "work", config=config)


async def waiting(rig: Rig, execution_id: str) -> None:
    await rig.until(execution_id, lambda head: head.status == "WAITING" and head.session is None)


# --- of a node ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_calls_of_a_node_are_under_way_than_its_limit_says(most: int) -> None:
    async def scenario(rig: Rig) -> None:
        inside = Inside()
        graph_id = rig.add(limited(most), handlers(inside, "first"))
        runs = [await rig.start(graph_id, {"customer": "a", "n": n}) for n in range(9)]
        for run in runs:
            assert (await rig.ended(run)).status == "COMPLETED"
        assert inside.most[""] == most
        assert await rig.store.limits() == []

    rigged(scenario, workers=2)


def test_who_waits_goes_in_the_order_of_asking_and_costs_nothing_meanwhile() -> None:
    async def scenario(rig: Rig) -> None:
        inside = Inside(100.0)
        graph_id = rig.add(limited(), handlers(inside, "first"))
        runs = []
        for n in range(4):
            runs.append(await rig.start(graph_id, {"customer": "a", "n": n}))
            if n:
                await waiting(rig, runs[-1])
        assert list(rig.workers[0].executions) == [runs[0]]
        (limit,) = await rig.store.limits()
        assert limit.name == "default|test/flow|work|"
        assert (limit.holders, limit.waiting) == (
            ("/".join((runs[0], "work", "")),),
            tuple("/".join((run, "work", "")) for run in runs[1:]),
        )
        await rig.ended(runs[-1], 1_000)
        assert inside.order == [0, 1, 2, 3]
        assert 399 <= rig.clock.monotonic() < 410

    rigged(scenario)


def test_each_key_has_a_limit_of_its_own() -> None:
    async def scenario(rig: Rig) -> None:
        inside = Inside(by="customer")
        graph_id = rig.add(limited(1, "input.customer"), handlers(inside, "first"))
        runs = [await rig.start(graph_id, {"customer": name, "n": n}) for n in range(3) for name in "abc"]
        for run in runs:
            await rig.ended(run)
        assert inside.most == {"a": 1, "b": 1, "c": 1}
        assert rig.clock.monotonic() < 6

    rigged(scenario)


def test_a_key_that_can_not_be_told_fails_the_node() -> None:
    async def scenario(rig: Rig) -> None:
        graph_id = rig.add(limited(1, "input.customer"), handlers(Inside(), "first"))
        run = await rig.start(graph_id, {"n": 1})
        assert (await rig.ended(run)).status == "FAILED"
        assert (await rig.history(run))[-1].body["code"] == "limit_key"

    rigged(scenario)


def test_a_permit_is_given_back_between_attempts() -> None:
    async def scenario(rig: Rig) -> None:
        calls: list[tuple[int, int]] = []

        async def work(ctx: Any, value: Any) -> Any:
            calls.append((value["n"], ctx.attempt))
            if value["n"] == 0 and ctx.attempt == 1:
                raise NodeFailure("not yet", code="busy")
            return value

        plan = with_node(limited(), "work", retry=Retry(2, delays_ms=(60_000,)))
        graph_id = rig.add(plan, {"first": echo, "work": work})
        first = await rig.start(graph_id, {"customer": "a", "n": 0})
        await waiting(rig, first)
        second = await rig.start(graph_id, {"customer": "a", "n": 1})
        await rig.ended(second)
        assert rig.clock.monotonic() < 10
        await rig.ended(first, 100)
        assert calls == [(0, 1), (1, 1), (0, 2)]

    rigged(scenario)


def test_people_answer_before_the_permit_is_asked_for_and_are_asked_once() -> None:
    async def scenario(rig: Rig) -> None:
        inside = Inside(100.0)
        graph_id = rig.add(limited(hitl={"resume_input": "Any"}), handlers(inside, "first"))
        runs = [await rig.start(graph_id, {"customer": "a", "n": n}) for n in range(2)]
        for n, run in enumerate(runs):
            await rig.until(run, lambda head: head.status == "PAUSED" and head.session is None)
            await write(rig, run, e.PAUSE_ANSWERED, pause_id="work", input={"value": {"n": n + 5}})
        for run in runs:
            await rig.ended(run, 300)
        assert inside.order == [5, 6]
        assert inside.most[""] == 1
        kinds = [
            event.body.get("for") for event in await rig.history(runs[1]) if event.kind == e.NODE_WAITING
        ]
        assert kinds == ["pause", "permit"]

    rigged(scenario)


async def write(rig: Rig, run: str, kind: str, **body: Any) -> None:
    head = await rig.head(run)
    data = e.encode(Event(kind, rig.store.now(), body=body))
    await rig.store.append([Append(run, (data,), (e.crc(run, data),), rig.store.now(), head.seq)])


# --- of a run -------------------------------------------------------------------------------------------------------


def one_run_per_customer() -> Plan:
    return graph("first work", "first>work", concurrency={"limit": 1, "key": key("input.customer")})


def test_runs_of_one_key_go_one_after_the_other_and_those_of_others_beside_them() -> None:
    async def scenario(rig: Rig) -> None:
        inside = Inside(by="customer")
        graph_id = rig.add(one_run_per_customer(), handlers(inside, "first"))
        runs = [await rig.start(graph_id, {"customer": name, "n": n}) for n in range(3) for name in "ab"]
        for run in runs:
            await rig.ended(run)
        assert inside.most == {"a": 1, "b": 1}
        assert sorted(inside.order) == [0, 0, 1, 1, 2, 2]
        assert inside.order == sorted(inside.order)
        assert await rig.store.limits() == []

    rigged(scenario, workers=2)


def test_a_run_that_sleeps_lets_the_next_one_go_and_asks_again_when_it_wakes() -> None:
    async def scenario(rig: Rig) -> None:
        inside = Inside()
        plan = graph("nap work", "nap>work", concurrency={"limit": 1})
        plan = with_node(plan, "nap", kind="sleep", config={"duration_ms": 3_600_000})
        graph_id = rig.add(plan, handlers(inside, "nap"))
        runs = [await rig.start(graph_id, {"customer": "a", "n": n}) for n in range(5)]
        for run in runs:
            await rig.ended(run, 4_000)
        assert rig.clock.monotonic() < 3_700, "they slept side by side"
        assert inside.most[""] == 1

    rigged(scenario, workers=2)


def test_a_cancelled_run_that_waits_leaves_the_line_and_one_that_runs_gives_its_permit_back() -> None:
    async def scenario(rig: Rig) -> None:
        inside = Inside(1_000.0)
        plan = one_run_per_customer()
        graph_id = rig.add(plan, handlers(inside, "first"))
        first = await rig.start(graph_id, {"customer": "a", "n": 0})
        second = await rig.start(graph_id, {"customer": "a", "n": 1})
        third = await rig.start(graph_id, {"customer": "a", "n": 2})
        for run in (second, third):
            await waiting(rig, run)
        for run in (second, first):
            await cancel(rig, run, plan)
        await rig.until(third, lambda head: head.status == "RUNNING" and head.session is not None, 60)
        await rig.ended(third, 2_000)
        assert inside.order == [0, 2]

    rigged(scenario)


async def cancel(rig: Rig, run: str, plan: Plan) -> None:
    item = await cancellation(rig.store, await rig.head(run), plan, "enough")
    assert item is not None
    await rig.store.append([item])


# --- when workers die -----------------------------------------------------------------------------------------------


def test_a_dead_worker_takes_no_permit_with_it() -> None:
    """The run it held goes on elsewhere, and then the next in line, with nobody asking again and again."""

    async def scenario(rig: Rig) -> None:
        inside = Inside(30.0)
        graph_id = rig.add(limited(), handlers(inside, "first"))
        first = await rig.start(graph_id, {"customer": "a", "n": 0})
        await rig.until(first, lambda head: head.seq >= 4)
        second = await rig.start(graph_id, {"customer": "a", "n": 1})
        await waiting(rig, second)
        await rig.worker()
        rig.workers[0].permits._put = lambda item: None  # type: ignore[method-assign]
        await rig.workers[0].stop()
        await rig.ended(second, 100)
        assert inside.order == [0, 0, 1]
        assert inside.most[""] == 1
        assert len(await rig.history(second)) < 12

    rigged(scenario)


def test_a_turn_that_nobody_was_told_of_is_found_by_another_worker() -> None:
    """The worker died between giving back and telling: a sweep tells."""

    async def scenario(rig: Rig) -> None:
        inside = Inside(5.0)
        graph_id = rig.add(limited(), handlers(inside, "first"))
        runs = [await rig.start(graph_id, {"customer": "a", "n": n}) for n in range(3)]
        for run in runs[1:]:
            await waiting(rig, run)

        async def deaf(turns: Any) -> None: ...

        rig.workers[0].permits._tell = deaf  # type: ignore[method-assign]
        await rig.ended(runs[0])
        await rig.worker()
        for run in runs:
            await rig.ended(run, 120)
        assert inside.most[""] == 1

    rigged(scenario)


def test_a_waiting_run_is_woken_a_bounded_number_of_times() -> None:
    async def scenario(rig: Rig) -> None:
        inside = Inside(600.0)
        graph_id = rig.add(limited(), handlers(inside, "first"))
        runs = [await rig.start(graph_id, {"customer": "a", "n": n}) for n in range(3)]
        await rig.ended(runs[2], 3_000)
        kinds = Counter(event.kind for event in await rig.history(runs[2]))
        assert kinds[e.NODE_WAITING] == 1
        assert kinds[e.SIGNAL_RECEIVED] == kinds[e.NODE_WOKEN] == 1

    rigged(scenario)


def test_a_flow_without_limits_asks_the_store_for_nothing() -> None:
    async def scenario(rig: Rig) -> None:
        asked: list[Any] = []
        rig.workers[0].permits._put = asked.append  # type: ignore[method-assign]
        graph_id = rig.add(graph("first work", "first>work"), dict.fromkeys(("first", "work"), echo))
        run = await rig.start(graph_id, {"n": 1})
        assert (await rig.ended(run)).status in FINAL
        assert asked == []

    rigged(scenario)
