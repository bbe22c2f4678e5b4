"""Sleeps, events, pauses, loops, maps and compensation, through the engine in virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from graphs import graph
from rigs import Rig

from axiom.compiler.artifact import Join, Plan, Retry
from axiom.compiler.expressions import check, parse
from axiom.runtime import events as e
from axiom.runtime.clock import VirtualClock, run_virtual
from axiom.runtime.events import Event
from axiom.runtime.failures import NodeFailure
from axiom.runtime.store.base import Append, Ok
from axiom.runtime.store.memory import MemoryStore


def rigged(scenario: Any) -> Any:
    async def run() -> Any:
        clock = VirtualClock(seed=1)
        store = MemoryStore(clock)
        await store.open()
        rig = Rig(store, clock)
        try:
            await rig.worker()
            result = await scenario(rig)
            await rig.check()
            return result
        finally:
            await rig.stop()
            await store.close()

    return run_virtual(run())


def expression(text: str) -> Any:
    """Check against a message that may have anything."""
    return check(
        parse(text),
        {
            "type": "object",
            "additionalProperties": True,
            "properties": PROPERTIES,
            "required": list(PROPERTIES),
        },
    )[0]


PROPERTIES: dict[str, Any] = {
    "order": {"type": "string"},
    "lines": {"type": "array", "items": {"type": "integer"}},
    "n": {"type": "integer"},
}


def with_node(plan: Plan, alias: str, **changes: Any) -> Plan:
    nodes = tuple(replace(node, **changes) if node.alias == alias else node for node in plan.nodes)
    return replace(plan, nodes=nodes)


def looping(plan: Plan, number: int, bound: int, condition: str | None = None) -> Plan:
    edges = tuple(
        replace(
            edge,
            loop=True,
            max_iterations=bound,
            condition=None if condition is None else expression(condition),
        )
        if edge.number == number
        else edge
        for edge in plan.edges
    )
    return replace(plan, edges=edges)


async def echo(ctx: Any, value: Any) -> Any:
    return value


async def tell(rig: Rig, execution_id: str, kind: str, body: dict[str, Any], dedup: str | None = None) -> Any:
    """Write as a door (after the head's seq) or, with ``dedup``, as a signal."""
    head = await rig.head(execution_id)
    now = rig.store.now()
    data = e.encode(Event(kind, now, body=body))
    after = head.seq if dedup is None else None
    item = Append(execution_id, (data,), (e.crc(execution_id, data),), now, after, dedup=dedup)
    return (await rig.store.append([item]))[0]


def signal(
    rig: Rig, execution_id: str, name: str, payload: Any, key: str | None = None, id: str = "1"
) -> Any:
    body = {"name": name, "key": key, "id": id, "payload": {"value": payload}}
    return tell(rig, execution_id, e.SIGNAL_RECEIVED, body, dedup=id)


# --- time -----------------------------------------------------------------------------------------------------------


def test_a_sleep_parks_the_run_and_passes_the_message_on_when_it_is_over():
    async def scenario(rig: Rig) -> None:
        plan = with_node(graph("a s b", "a>s s>b"), "s", kind="sleep", config={"duration_ms": 6 * 3_600_000})
        execution_id = await rig.start(rig.add(plan, {"a": echo, "s": echo, "b": echo}), {"n": 1})
        head = await rig.until(execution_id, lambda head: head.session is None and head.seq > 3)
        assert head.status == "WAITING"
        assert not rig.workers[0].executions
        await rig.ended(execution_id, 7 * 3_600)
        assert await rig.output(execution_id) == {"n": 1}
        assert rig.clock.monotonic() >= 6 * 3_600

    rigged(scenario)


def test_a_sleep_may_be_computed_from_the_message():
    async def scenario(rig: Rig) -> None:
        plan = with_node(graph("a s", "a>s"), "s", kind="sleep", config={"duration": expression("n * 1000")})
        execution_id = await rig.start(rig.add(plan, {"a": echo, "s": echo}), {"n": 90})
        await rig.ended(execution_id, 1_000)
        assert 90 <= rig.clock.monotonic() < 95

    rigged(scenario)


# --- events ---------------------------------------------------------------------------------------------------------


def paid_plan(**more: Any) -> Plan:
    config = {"name": "paid", "correlate": expression("order"), **more}
    return with_node(graph("a w b", "a>w w>b"), "w", kind="event", config=config)


def test_an_event_with_the_right_key_wakes_the_run_and_its_payload_is_the_output():
    async def scenario(rig: Rig) -> None:
        execution_id = await rig.start(rig.add(paid_plan(), dict.fromkeys("awb", echo)), {"order": "o1"})
        await rig.until(execution_id, lambda head: head.status == "WAITING" and head.session is None)
        await signal(rig, execution_id, "paid", {"amount": 1}, key="another", id="x")
        await signal(rig, execution_id, "paid", {"amount": 2}, key="o1", id="y")
        await rig.ended(execution_id)
        assert await rig.output(execution_id) == {"amount": 2}

    rigged(scenario)


def test_an_event_that_comes_before_the_wait_is_kept_and_one_sent_twice_counts_once():
    async def scenario(rig: Rig) -> None:
        hold = asyncio.Event()

        async def slow(ctx: Any, value: Any) -> Any:
            await hold.wait()
            return value

        plan = with_node(graph("a w v", "a>w w>v"), "w", kind="event", config={"name": "paid"})
        plan = with_node(plan, "v", kind="event", config={"name": "paid", "timeout_ms": 60_000})
        execution_id = await rig.start(rig.add(plan, {"a": slow, "w": echo, "v": echo}), {"order": "o1"})
        await rig.until(execution_id, lambda head: head.status == "RUNNING")
        assert isinstance(await signal(rig, execution_id, "paid", {"amount": 2}, id="same"), Ok)
        assert isinstance(await signal(rig, execution_id, "paid", {"amount": 2}, id="same"), Ok)
        hold.set()
        await rig.ended(execution_id, 100)
        last = (await rig.history(execution_id))[-1]
        assert last.body["code"] == "event_timeout", "the second wait found nothing left"
        assert last.body["node"] == "v"

    rigged(scenario)


# --- pauses ---------------------------------------------------------------------------------------------------------


def paused_plan(**config: Any) -> Plan:
    hitl = {"message": expression("'Charge ' + order + '?'"), "resume_input": "Any", "quorum": 1, **config}
    return with_node(graph("a p b r", "a>p p>b p!r", terminal="b"), "p", config={"hitl": hitl})


PAUSED = dict.fromkeys("apbr", echo)


def answer(rig: Rig, execution_id: str, value: Any) -> Any:
    return tell(
        rig, execution_id, e.PAUSE_ANSWERED, {"pause_id": "p", "input": {"value": value}, "by": "ada"}
    )


def test_a_pause_asks_and_its_answer_becomes_the_nodes_input_and_nothing_before_runs_again():
    async def scenario(rig: Rig) -> None:
        execution_id = await rig.start(rig.add(paused_plan(), PAUSED), {"order": "o1"})
        await rig.until(execution_id, lambda head: head.status == "PAUSED" and head.session is None)
        waiting = next(x for x in await rig.history(execution_id) if x.kind == e.NODE_WAITING)
        assert waiting.body["message"] == "Charge o1?"
        assert not rig.workers[0].executions
        await answer(rig, execution_id, {"approved": True})
        await rig.ended(execution_id)
        assert await rig.output(execution_id) == {"approved": True}
        assert [name for name, _ in rig.hands.calls].count("a") == 1

    rigged(scenario)


@pytest.mark.parametrize(
    ("policy", "more", "end"),
    [
        ("FAIL", {}, ("FAILED", "pause_timeout")),
        ("CANCEL", {}, ("CANCELLED", None)),
        ("RESUME_WITH", {"resume_with": {"approved": False}}, ("COMPLETED", None)),
    ],
)
def test_a_deadline_does_what_its_policy_says(policy: str, more: dict[str, Any], end: tuple[str, Any]):
    async def scenario(rig: Rig) -> None:
        plan = paused_plan(timeout_ms=3_600_000, timeout_policy=policy, **more)
        execution_id = await rig.start(rig.add(plan, PAUSED), {"order": "o1"})
        head = await rig.ended(execution_id, 100_000)
        assert rig.clock.monotonic() >= 3_600
        last = (await rig.history(execution_id))[-1]
        assert (head.status, last.body.get("code")) == end
        if policy == "RESUME_WITH":
            assert await rig.output(execution_id) == {"approved": False}

    rigged(scenario)


def test_a_pause_escalates_along_its_chain_reminds_and_then_fails():
    async def scenario(rig: Rig) -> None:
        plan = paused_plan(
            timeout_ms=3_600_000,
            timeout_policy="ESCALATE",
            escalate_to=["lead", "boss"],
            remind_every_ms=1_500_000,
        )
        execution_id = await rig.start(rig.add(plan, PAUSED), {"order": "o1"})
        await rig.ended(execution_id, 20_000)
        events = await rig.history(execution_id)
        opened = [(x.body["level"], x.body.get("to")) for x in events if x.kind == e.NODE_WAITING]
        assert opened == [(0, None), (1, "lead"), (2, "boss")]
        assert len([x for x in events if x.kind == e.PAUSE_CHANGED]) == 6, "two reminders a level"
        assert events[-1].body["code"] == "pause_timeout"

    rigged(scenario)


def test_a_quorum_waits_for_enough_answers():
    async def scenario(rig: Rig) -> None:
        execution_id = await rig.start(rig.add(paused_plan(quorum=2), PAUSED), {"order": "o1"})
        await rig.until(execution_id, lambda head: head.status == "PAUSED" and head.session is None)
        await answer(rig, execution_id, {"vote": 1})
        await rig.clock.sleep(5)
        assert (await rig.head(execution_id)).status == "PAUSED"
        await answer(rig, execution_id, {"vote": 2})
        await rig.ended(execution_id)
        assert await rig.output(execution_id) == {"vote": 2}

    rigged(scenario)


def test_the_answer_survives_a_failed_attempt():
    async def scenario(rig: Rig) -> None:
        async def flaky(ctx: Any, value: Any) -> Any:
            if ctx.attempt == 1:
                raise ConnectionError
            return value

        plan = with_node(paused_plan(), "p", retry=Retry(2, delays_ms=(5_000,)))
        execution_id = await rig.start(rig.add(plan, {**PAUSED, "p": flaky}), {"order": "o1"})
        await rig.until(execution_id, lambda head: head.status == "PAUSED" and head.session is None)
        await answer(rig, execution_id, {"approved": True})
        await rig.ended(execution_id)
        assert await rig.output(execution_id) == {"approved": True}

    rigged(scenario)


# --- loops ----------------------------------------------------------------------------------------------------------


async def increment(ctx: Any, value: Any) -> Any:
    return {"n": value["n"] + 1}


def test_a_loop_goes_round_while_its_condition_holds_with_every_iteration_in_history():
    async def scenario(rig: Rig) -> None:
        plan = looping(graph("a d r z", "a>d d>r r>d r>z"), 2, 10, "n < 7")
        execution_id = await rig.start(
            rig.add(plan, {**dict.fromkeys("adr", increment), "z": echo}), {"n": 0}
        )
        await rig.ended(execution_id)
        assert await rig.output(execution_id) == {"n": 7}
        runs = [(x.node, x.iteration) for x in await rig.history(execution_id) if x.kind == e.NODE_COMPLETED]
        assert runs == [
            ("a", ()), ("d", (0,)), ("r", (0,)), ("d", (1,)), ("r", (1,)), ("d", (2,)), ("r", (2,)), ("z", ()),
        ]  # fmt: skip

    rigged(scenario)


def test_a_self_loop_on_the_terminal_ends_with_its_last_iteration():
    async def scenario(rig: Rig) -> None:
        plan = looping(graph("a b", "a>b b>b"), 1, 100, "n < 5")
        execution_id = await rig.start(rig.add(plan, dict.fromkeys("ab", increment)), {"n": 0})
        await rig.ended(execution_id)
        assert await rig.output(execution_id) == {"n": 5}

    rigged(scenario)


def test_a_loop_that_wants_more_than_its_bound_fails_with_a_code_of_its_own():
    async def scenario(rig: Rig) -> None:
        plan = looping(graph("a b c", "a>b b>b b>c"), 1, 3)
        execution_id = await rig.start(rig.add(plan, {**dict.fromkeys("ab", increment), "c": echo}), {"n": 0})
        await rig.ended(execution_id)
        events = await rig.history(execution_id)
        assert events[-1].body["code"] == "loop_exhausted"
        assert len([x for x in events if x.kind == e.NODE_STARTED and x.node == "b"]) == 4

    rigged(scenario)


def test_nested_loops_count_outermost_first():
    async def scenario(rig: Rig) -> None:
        async def count(ctx: Any, value: Any) -> Any:
            return {"n": value["n"] + 1, "m": value.get("m", 0) + 1}

        async def outer(ctx: Any, value: Any) -> Any:
            return {**value, "n": 0}

        plan = looping(graph("h i o z", "h>i i>i i>o o>h o>z"), 1, 9, "n < 3")
        plan = looping(plan, 3, 1, "true")
        plan = replace(
            plan,
            edges=tuple(
                replace(x, condition=expression("n < -1")) if x.number == 99 else x for x in plan.edges
            ),
        )
        execution_id = await rig.start(
            rig.add(plan, {"h": echo, "i": count, "o": outer, "z": echo}), {"n": 0}
        )
        await rig.ended(execution_id)
        runs = [
            x.iteration for x in await rig.history(execution_id) if x.kind == e.NODE_STARTED and x.node == "i"
        ]
        assert runs == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]

    rigged(scenario)


# --- maps -----------------------------------------------------------------------------------------------------------


def map_plan(bound: int = 10, policy: str = "FAIL_FAST", **more: Any) -> Plan:
    config = {"map": {"items": expression("lines"), "max_concurrency": bound, "failure_policy": policy}}
    return with_node(graph("a m z", "a>m m>z"), "m", config=config, **more)


async def double(ctx: Any, value: Any) -> Any:
    await asyncio.sleep(1)
    if value == 13:
        raise NodeFailure("unlucky", code="unlucky", retryable=False)
    return value * 2


async def collect(ctx: Any, value: Any) -> Any:
    return {"all": value}


def test_a_map_runs_its_items_at_most_so_many_at_a_time_and_keeps_their_order():
    async def scenario(rig: Rig) -> None:
        running = most = 0

        async def item(ctx: Any, value: Any) -> Any:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(1 + value % 3)
            running -= 1
            return value * 2

        graph_id = rig.add(map_plan(7), {"a": echo, "m": item, "z": collect})
        execution_id = await rig.start(graph_id, {"lines": list(range(50))})
        await rig.ended(execution_id)
        assert await rig.output(execution_id) == {"all": [value * 2 for value in range(50)]}
        assert most == 7

    rigged(scenario)


def test_an_empty_map_is_an_empty_list():
    async def scenario(rig: Rig) -> None:
        graph_id = rig.add(map_plan(), {"a": echo, "m": double, "z": collect})
        execution_id = await rig.start(graph_id, {"lines": []})
        await rig.ended(execution_id)
        assert await rig.output(execution_id) == {"all": []}

    rigged(scenario)


def test_a_failed_item_fails_the_map_at_once_or_is_null():
    async def scenario(rig: Rig) -> None:
        hands = {"a": echo, "m": double, "z": collect}
        lines = {"lines": [1, 13, 3, 4, 5]}
        fast = await rig.start(rig.add(map_plan(2), hands), lines)
        await rig.ended(fast)
        events = await rig.history(fast)
        assert (events[-1].body["code"], events[-1].body["node"]) == ("unlucky", "m")
        assert len([x for x in events if x.kind == e.NODE_STARTED and x.node == "m" and x.iteration]) < 5
        tolerant = await rig.start(rig.add(map_plan(2, "TOLERATE_FAILURES"), hands), lines)
        await rig.ended(tolerant)
        assert await rig.output(tolerant) == {"all": [2, None, 6, 8, 10]}

    rigged(scenario)


def test_ten_thousand_items_are_no_trouble():
    async def scenario(rig: Rig) -> None:
        async def item(ctx: Any, value: Any) -> Any:
            return value + 1

        graph_id = rig.add(map_plan(100), {"a": echo, "m": item, "z": collect})
        execution_id = await rig.start(graph_id, {"lines": list(range(10_000))})
        await rig.ended(execution_id, 10_000)
        assert await rig.output(execution_id) == {"all": list(range(1, 10_001))}

    rigged(scenario)


# --- compensation ---------------------------------------------------------------------------------------------------


def undo_plan(**more: Any) -> Plan:
    plan = graph("a b c ua ub", "a>b b>c", terminal="c")
    return replace(plan, compensate={"a": "ua", "b": "ub"}, **more)


async def broken(ctx: Any, value: Any) -> Any:
    raise NodeFailure("no", code="broken", retryable=False)


def test_after_a_failure_what_completed_is_undone_in_reverse_order_with_its_output():
    async def scenario(rig: Rig) -> None:
        undone: list[Any] = []

        async def undo(ctx: Any, value: Any) -> Any:
            undone.append((ctx.node, value))
            return {}

        hands = {"a": increment, "b": increment, "c": broken, "ua": undo, "ub": undo}
        execution_id = await rig.start(rig.add(undo_plan(), hands), {"n": 0})
        head = await rig.ended(execution_id)
        assert undone == [("ub", {"n": 2}), ("ua", {"n": 1})]
        assert head.status == "FAILED"
        last = (await rig.history(execution_id))[-1]
        assert (last.body["code"], last.body["node"]) == ("broken", "c")

    rigged(scenario)


def test_a_compensation_that_fails_does_not_stop_the_others_and_a_run_that_undoes_says_so():
    async def scenario(rig: Rig) -> None:
        seen: list[str] = []

        async def undo(ctx: Any, value: Any) -> Any:
            seen.append((await rig.head(ctx.execution_id)).status)
            await asyncio.sleep(1)
            if ctx.node == "ub":
                raise NodeFailure("can't", retryable=False)
            return {}

        hands = {"a": increment, "b": increment, "c": broken, "ua": undo, "ub": undo}
        execution_id = await rig.start(rig.add(undo_plan(), hands), {"n": 0})
        await rig.ended(execution_id)
        assert seen == ["COMPENSATING", "COMPENSATING"]

    rigged(scenario)


def test_a_cancel_that_compensates_stops_what_runs_undoes_and_ends_cancelled():
    async def scenario(rig: Rig) -> None:
        begun = asyncio.Event()

        async def endless(ctx: Any, value: Any) -> Any:
            begun.set()
            await asyncio.sleep(10**6)

        hands = {"a": increment, "b": increment, "c": endless, "ua": echo, "ub": echo}
        execution_id = await rig.start(rig.add(undo_plan(on_cancel="compensate"), hands), {"n": 0})
        await begun.wait()
        await tell(rig, execution_id, e.CANCEL_REQUESTED, {"reason": "asked"})
        head = await rig.ended(execution_id)
        assert head.status == "CANCELLED"
        assert [name for name, _ in rig.hands.calls][-2:] == ["ub", "ua"]
        assert rig.clock.monotonic() < 10

    rigged(scenario)


def test_a_gate_that_waits_shows_as_waiting_on_gate():
    async def scenario(rig: Rig) -> None:
        plan = graph("a b s j", "a>b a>s b>j s>j", {"j": Join("AND")})
        plan = with_node(plan, "s", kind="sleep", config={"duration_ms": 60_000})
        execution_id = await rig.start(rig.add(plan, dict.fromkeys("absj", echo)), {"n": 1})
        head = await rig.until(execution_id, lambda head: head.session is None and head.seq > 4)
        assert head.status == "WAITING_ON_GATE"
        await rig.ended(execution_id, 100)

    rigged(scenario)
