"""Subflows: children with executions of their own, in virtual time on one store with several workers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from graphs import graph
from rigs import Rig, prepare
from test_waits import expression, looping, rigged, with_node

from axiom.compiler.artifact import Plan, Retry, freeze
from axiom.runtime import events as e
from axiom.runtime.cancelling import cancellation
from axiom.runtime.events import Event
from axiom.runtime.failures import NodeFailure
from axiom.runtime.family import family
from axiom.runtime.orders import child_id
from axiom.runtime.store.base import Append, Ok
from axiom.runtime.why import why


def calling(plan: Plan, alias: str, graph_id: str, wait: bool = True, **config: Any) -> Plan:
    """Make ``alias`` a subflow."""
    return with_node(plan, alias, kind="flow", config={"graph_id": graph_id, "wait": wait, **config})


def child_plan(name: str = "test/child") -> Plan:
    return replace(graph("x y", "x>y"), name=name)


async def born(rig: Rig, execution_id: str) -> str:
    """Wait until a child that was ordered is there."""
    moved = asyncio.Event()
    unwatch = rig.store.watch(lambda hints: moved.set())
    while (await rig.store.heads([execution_id]))[0] is None:
        await moved.wait()
        moved.clear()
    unwatch()
    return execution_id


async def double(ctx: Any, value: Any) -> Any:
    return {"n": value["n"] * 2}


async def plus_one(ctx: Any, value: Any) -> Any:
    return {"n": value["n"] + 1}


async def same(ctx: Any, value: Any) -> Any:
    return value


CHILD = {"x": double, "y": plus_one}


def parent_of(rig: Rig, plan: Plan, **handlers: Any) -> str:
    names = {node.alias: same for node in plan.nodes} | handlers
    return rig.add(plan, names)


async def children_of(rig: Rig, execution_id: str) -> list[str]:
    events = await rig.history(execution_id)
    names = [
        event.body.get("child") or event.body["name"]
        for event in events
        if "child" in event.body or event.body.get("for") == "child"
    ]
    return [await born(rig, name) for name in names]


def test_a_childs_output_is_its_nodes_output() -> None:
    async def scenario(rig: Rig) -> None:
        child = rig.add(child_plan(), CHILD)
        parent = parent_of(rig, calling(graph("a b c", "a>b b>c"), "b", child))
        run = await rig.start(parent, {"n": 5})
        assert (await rig.ended(run)).status == "COMPLETED"
        assert await rig.output(run) == {"n": 11}
        (name,) = await children_of(rig, run)
        assert name == child_id(run, "b", (), 1)
        head = await rig.head(name)
        assert (head.status, head.flow, head.account) == ("COMPLETED", "test/child", "default")
        accepted = (await rig.history(name))[0]
        assert accepted.body["parent"] == {
            "execution_id": run, "node": "b", "iteration": [], "attempt": 1, "waits": True,
        }  # fmt: skip
        assert await rig.store.outbox() == []

    rigged(scenario)


def test_a_parent_waits_parked_and_costs_no_worker_anything() -> None:
    async def scenario(rig: Rig) -> None:
        slow = with_node(graph("x y", "x>y"), "x", kind="sleep", config={"duration_ms": 86_400_000})
        child = rig.add(slow, {"x": same, "y": same})
        parent = parent_of(rig, calling(graph("a b", "a>b"), "b", child))
        run = await rig.start(parent, {"n": 1})
        head = await rig.until(run, lambda head: head.status == "WAITING" and head.session is None)
        assert head.ready_at is None
        (name,) = await children_of(rig, run)
        told = await why(rig.store, head, rig.prepared[parent].plan, [])
        assert (told.reasons[0].code, told.details["child"]) == ("child", name)
        kin = await family(rig.store, head, rig.prepared[parent].plan)
        assert kin["parent"] is None
        (told_child,) = kin["children"]
        assert (told_child["execution_id"], told_child["node"], told_child["waits"]) == (name, "b", True)
        of_child = await family(rig.store, await rig.head(name), rig.prepared[child].plan)
        assert of_child["parent"]["execution_id"] == run
        assert of_child["children"] == []
        assert (await rig.ended(run, seconds=90_000)).status == "COMPLETED"
        assert rig.clock.monotonic() > 86_000

    rigged(scenario)


def test_a_child_that_is_not_waited_for_is_started_once_and_goes_on_alone() -> None:
    async def scenario(rig: Rig) -> None:
        slow = with_node(graph("x y", "x>y"), "x", kind="sleep", config={"duration_ms": 60_000})
        child = rig.add(slow, {"x": same, "y": same})
        parent = parent_of(rig, calling(graph("a b", "a>b"), "b", child, wait=False))
        run = await rig.start(parent, {"n": 1})
        assert (await rig.ended(run)).status == "COMPLETED"
        (name,) = await children_of(rig, run)
        assert await rig.output(run) == {"execution_id": name}
        assert (await rig.ended(name, seconds=100)).status == "COMPLETED"
        assert await rig.output(name) == {"n": 1}

    rigged(scenario)


def failing(times: int, code: str = "no_stock") -> Any:
    left = [times]

    async def handler(ctx: Any, value: Any) -> Any:
        if left[0] > 0:
            left[0] -= 1
            raise NodeFailure("sold out", code=code)
        return value

    return handler


def test_a_failed_childs_code_is_its_nodes_code() -> None:
    async def scenario(rig: Rig) -> None:
        child = rig.add(child_plan(), {"x": failing(9), "y": same})
        run = await rig.start(parent_of(rig, calling(graph("a b", "a>b"), "b", child)), {"n": 1})
        assert (await rig.ended(run)).status == "FAILED"
        last = (await rig.history(run))[-1].body
        (name,) = await children_of(rig, run)
        assert (last["code"], last["node"]) == ("no_stock", "b")
        assert name in last["message"]
        assert "sold out" in last["message"]

    rigged(scenario)


def test_each_retry_of_a_subflow_starts_a_new_child() -> None:
    async def scenario(rig: Rig) -> None:
        child = rig.add(child_plan(), {"x": failing(2), "y": plus_one})
        plan = calling(graph("a b", "a>b", retry={"b": Retry(max_attempts=3, jitter=0)}), "b", child)
        run = await rig.start(parent_of(rig, plan), {"n": 1})
        assert (await rig.ended(run)).status == "COMPLETED"
        assert await rig.output(run) == {"n": 2}
        names = await children_of(rig, run)
        assert names == [child_id(run, "b", (), attempt) for attempt in (1, 2, 3)]
        assert [(await rig.head(name)).status for name in names] == ["FAILED", "FAILED", "COMPLETED"]

    rigged(scenario)


def test_a_cancelled_child_fails_its_node_for_good() -> None:
    async def scenario(rig: Rig) -> None:
        slow = with_node(graph("x", ""), "x", kind="sleep", config={"duration_ms": 60_000})
        child = rig.add(slow, {"x": same})
        plan = calling(graph("a b", "a>b", retry={"b": Retry(max_attempts=3)}), "b", child)
        run = await rig.start(parent_of(rig, plan), {"n": 1})
        await rig.until(run, lambda head: head.status == "WAITING")
        (name,) = await children_of(rig, run)
        await rig.until(name, lambda head: head.status == "WAITING")
        await cancel(rig, name)
        assert (await rig.ended(run)).status == "FAILED"
        assert (await rig.history(run))[-1].body["code"] == "cancelled"

    rigged(scenario)


async def cancel(rig: Rig, execution_id: str) -> None:
    head = await rig.head(execution_id)
    item = await cancellation(rig.store, head, rig.prepared[head.graph_id].plan, "enough")
    assert isinstance((await rig.store.append((item,)))[0], Ok)


@pytest.mark.parametrize("wait", [True, False])
def test_a_cancel_passes_down_to_children_and_theirs(wait: bool) -> None:
    async def scenario(rig: Rig) -> None:
        slow = with_node(graph("x", ""), "x", kind="sleep", config={"duration_ms": 9_000_000})
        bottom = rig.add(slow, {"x": same})
        middle = parent_of(rig, calling(replace(graph("m", ""), name="test/middle"), "m", bottom))
        plan = calling(graph("a b c", "a>b b>c"), "b", middle, wait=wait)
        plan = with_node(plan, "c", kind="sleep", config={"duration_ms": 9_000_000})
        run = await rig.start(parent_of(rig, plan), {"n": 1})
        await rig.until(run, lambda head: head.status == "WAITING")
        (child,) = await children_of(rig, run)
        await rig.until(child, lambda head: head.status == "WAITING")
        (grandchild,) = await children_of(rig, child)
        await rig.until(grandchild, lambda head: head.status == "WAITING")
        await cancel(rig, run)
        for name in (run, child, grandchild):
            assert (await rig.ended(name)).status == "CANCELLED"
        assert run in (await rig.history(child))[-1].body["reason"]
        await rig.clock.sleep(1)
        assert await rig.store.outbox() == []

    rigged(scenario)


def test_a_parent_that_fails_meanwhile_ends_the_child_it_waits_for() -> None:
    async def scenario(rig: Rig) -> None:
        slow = with_node(graph("x", ""), "x", kind="sleep", config={"duration_ms": 9_000_000})
        child = rig.add(slow, {"x": same})
        plan = calling(graph("a b c d", "a>b a>c b>d c>d"), "b", child)
        plan = with_node(plan, "c", kind="sleep", config={"duration_ms": 60_000})
        run = await rig.start(parent_of(rig, plan), {"n": 1}, deadline=rig.store.now() + 30_000)
        await rig.until(run, lambda head: head.status in ("WAITING", "WAITING_ON_GATE"))
        (name,) = await children_of(rig, run)
        assert (await rig.ended(run, seconds=100)).status == "FAILED"
        assert (await rig.ended(name)).status == "CANCELLED"

    rigged(scenario)


def test_a_subflow_that_takes_too_long_fails_and_its_child_is_ended() -> None:
    async def scenario(rig: Rig) -> None:
        slow = with_node(graph("x", ""), "x", kind="sleep", config={"duration_ms": 9_000_000})
        child = rig.add(slow, {"x": same})
        plan = calling(graph("a b", "a>b"), "b", child, timeout_ms=5_000)
        run = await rig.start(parent_of(rig, plan), {"n": 1})
        assert (await rig.ended(run, seconds=100)).status == "FAILED"
        assert (await rig.history(run))[-1].body["code"] == "timeout"
        (name,) = await children_of(rig, run)
        assert (await rig.ended(name)).status == "CANCELLED"

    rigged(scenario)


def test_a_subflow_in_a_loop_has_a_child_per_round() -> None:
    async def scenario(rig: Rig) -> None:
        child = rig.add(child_plan(), CHILD)
        plan = calling(looping(graph("a b c", "a>b b>a b>c"), 1, 5, "n < 40"), "b", child)
        run = await rig.start(parent_of(rig, plan), {"n": 5})
        ended = await rig.ended(run)
        assert ended.status == "COMPLETED", (await rig.history(run))[-1]
        names = await children_of(rig, run)
        assert names == [child_id(run, "b", (n,), 1) for n in range(len(names))]
        assert len(names) >= 2

    rigged(scenario)


def test_a_map_over_a_subflow_has_a_child_per_item() -> None:
    async def scenario(rig: Rig) -> None:
        child = rig.add(child_plan(), CHILD)
        plan = calling(
            graph("a b c", "a>b b>c"),
            "b",
            child,
            map={"items": expression("value.lines"), "max_concurrency": 7, "failure_policy": "FAIL_FAST"},
        )
        run = await rig.start(parent_of(rig, plan), {"lines": [{"n": n} for n in range(30)]})
        assert (await rig.ended(run)).status == "COMPLETED"
        assert await rig.output(run) == [{"n": 2 * n + 1} for n in range(30)]
        names = await children_of(rig, run)
        assert sorted(names) == sorted(child_id(run, "b", (n,), 1) for n in range(30))

    rigged(scenario)


def test_a_failed_item_ends_the_children_of_the_others() -> None:
    async def scenario(rig: Rig) -> None:
        async def picky(ctx: Any, value: Any) -> Any:
            if value["n"] == 2:
                raise NodeFailure("not two", code="two")
            return value

        slow = with_node(graph("x y", "x>y"), "y", kind="sleep", config={"duration_ms": 9_000_000})
        child = rig.add(slow, {"x": picky, "y": same})
        plan = calling(
            graph("a b c", "a>b b>c"),
            "b",
            child,
            map={"items": expression("value.lines"), "max_concurrency": 9, "failure_policy": "FAIL_FAST"},
        )
        run = await rig.start(parent_of(rig, plan), {"lines": [{"n": n} for n in range(4)]})
        assert (await rig.ended(run)).status == "FAILED"
        assert (await rig.history(run))[-1].body["code"] == "two"
        for n in (0, 1, 3):
            assert (await rig.ended(child_id(run, "b", (n,), 1))).status == "CANCELLED"

    rigged(scenario)


def test_people_are_asked_once_before_a_subflow_also_if_it_is_tried_again() -> None:
    async def scenario(rig: Rig) -> None:
        child = rig.add(child_plan(), {"x": failing(1), "y": plus_one})
        plan = calling(
            graph("a b", "a>b", retry={"b": Retry(max_attempts=2)}), "b", child, hitl={"resume_input": "Any"}
        )
        run = await rig.start(parent_of(rig, plan), {"n": 1})
        head = await rig.until(run, lambda head: head.status == "PAUSED" and head.session is None)
        assert await children_of(rig, run) == []
        body = {"pause_id": "b", "input": {"value": {"n": 41}}}
        await put(rig, run, Event(e.PAUSE_ANSWERED, rig.store.now(), "b", (), 0, 0, body), head.seq)
        assert (await rig.ended(run)).status == "COMPLETED"
        assert await rig.output(run) == {"n": 42}
        assert [kind for kind in await rig.kinds(run) if "NodeWaiting" in kind] == [
            "NodeWaiting b 1", "NodeWaiting b 1", "NodeWaiting b 2",
        ]  # fmt: skip

    rigged(scenario)


async def put(rig: Rig, execution_id: str, event: Event, after: int) -> None:
    data = e.encode(event)
    item = Append(execution_id, (data,), (e.crc(execution_id, data),), event.at, after)
    assert isinstance((await rig.store.append((item,)))[0], Ok)


def test_large_values_go_down_and_come_back() -> None:
    async def scenario(rig: Rig) -> None:
        child = rig.add(child_plan(), {"x": same, "y": same})
        plan = calling(graph("a b c", "a>b b>c"), "b", child)
        run = await rig.start(parent_of(rig, plan), {"text": "x" * 200_000})
        assert (await rig.ended(run)).status == "COMPLETED"
        assert await rig.output(run) == {"text": "x" * 200_000}

    rigged(scenario)


def test_an_entry_to_an_execution_that_is_gone_counts_as_delivered() -> None:
    async def scenario(rig: Rig) -> None:
        slow = with_node(graph("x", ""), "x", kind="sleep", config={"duration_ms": 60_000})
        child = rig.add(slow, {"x": same})
        run = await rig.start(parent_of(rig, calling(graph("a b", "a>b"), "b", child)), {"n": 1})
        await rig.until(run, lambda head: head.status == "WAITING")
        (name,) = await children_of(rig, run)
        await cancel(rig, run)
        await rig.ended(name)
        await rig.store.delete([run])
        await rig.clock.sleep(5)
        assert await rig.store.outbox() == []

    rigged(scenario)


def test_artifacts_of_parents_pin_their_childrens() -> None:
    plan = calling(graph("a b", "a>b"), "b", freeze(child_plan()).graph_id)
    other = calling(graph("a b", "a>b"), "b", freeze(child_plan("test/other")).graph_id)
    assert prepare(plan, {"a": same, "b": same}).graph_id != prepare(other, {"a": same, "b": same}).graph_id
