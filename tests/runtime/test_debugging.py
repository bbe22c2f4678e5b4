"""Debug runs: what is stopped does not start, in any branch, whoever dies; an edited input is what the node gets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from graphs import Play, graph
from rigs import Rig
from test_waits import echo, expression, rigged, tell, with_node

from axiom.api.doors_debug import BadEdit, NotStopped, Order, look, order
from axiom.compiler.artifact import Join, Plan, Retry
from axiom.runtime import events as e
from axiom.runtime.clock import VirtualClock, run_virtual
from axiom.runtime.debugging import stopped
from axiom.runtime.events import Event
from axiom.runtime.fold import fold
from axiom.runtime.snapshot import dump, load
from axiom.runtime.state import BLANK, IllegalTransition
from axiom.runtime.store.memory import MemoryStore

DIAMOND = graph("a b c d", "a>b a>c b>d c>d", joins={"d": Join()})
CHAIN = graph("a b c", "a>b b>c")


def at(play: Play) -> str:
    return " ".join(play.topology.aliases[key[0]] for key in stopped(play.state))


def says(play: Play, action: str, node: str | None = None, **body: Any) -> Play:
    return play.put(Event(e.DEBUG_ORDERED, play.at, node, body={"action": action, **body}))


# --- the core: no clock, no store -----------------------------------------------------------------------------------


def test_a_run_that_pauses_at_its_start_starts_nothing():
    play = Play(CHAIN, debug={"pause_at_start": True})
    assert (play.running, at(play), play.state.status) == ("", "a", "DEBUG_PAUSED")


def test_a_breakpoint_stops_before_its_node_and_continue_goes_to_the_end():
    play = Play(CHAIN, debug={"breakpoints": ["c"]}).done("a").done("b")
    assert (play.running, at(play), play.state.status) == ("", "c", "DEBUG_PAUSED")
    says(play, "continue")
    assert (play.running, play.state.status) == ("c", "RUNNING")
    assert play.done("c").ending == ("COMPLETED", None)


def test_a_step_is_exactly_one_node():
    play = Play(CHAIN, debug={"pause_at_start": True})
    for node, following in (("a", "b"), ("b", "c")):
        says(play, "step", node)
        assert (play.running, play.state.status) == (node, "RUNNING")
        play.done(node)
        assert (play.running, at(play), play.state.status) == ("", following, "DEBUG_PAUSED")
    says(play, "step", "c")
    assert play.done("c").ending == ("COMPLETED", None)


def test_a_breakpoint_in_one_branch_stops_the_others_at_their_next_node():
    plan = graph("a b c x y d", "a>b a>x b>c x>y c>d y>d", joins={"d": Join()})
    play = Play(plan, debug={"breakpoints": ["c"]}).done("a").done("b")
    assert (play.running, at(play), play.state.status) == ("x", "c", "RUNNING"), "what has begun goes on"
    play.done("x")
    assert (play.running, at(play), play.state.status) == ("", "c y", "DEBUG_PAUSED")
    says(play, "step", "y")
    assert (play.running, at(play)) == ("y", "c"), "any of them may go first"


def test_pause_stops_a_run_that_was_no_debug_run_and_breakpoints_may_be_set_on_the_way():
    play = says(Play(CHAIN), "pause")
    assert (play.running, play.state.status) == ("a", "RUNNING")
    play.done("a")
    assert play.state.status == "DEBUG_PAUSED"
    says(play, "breakpoints", breakpoints=["c"])
    assert says(play, "continue").running == "b"
    assert at(play.done("b")) == "c"


def test_a_retry_is_part_of_its_node():
    plan = graph("a b", "a>b", retry={"a": Retry(2)})
    play = Play(plan)
    says(play, "pause")
    play.fails("a", retry_in=5_000).later(5_000)
    assert play.running == "a"
    assert at(play.done("a")) == "b"


def test_a_cancel_and_a_deadline_still_end_a_stopped_run():
    play = Play(CHAIN, debug={"pause_at_start": True}, deadline=9_000).later(9_000)
    assert play.ending == ("FAILED", "run_timeout")


def test_compensation_is_never_stopped():
    from dataclasses import replace

    plan = replace(graph("a b u", "a>b", terminal="b"), compensate={"a": "u"})
    play = Play(plan, debug={"breakpoints": ["u"]}).done("a").fails("b")
    assert (play.running, at(play), play.state.status) == ("u", "", "COMPENSATING")


def test_only_what_is_stopped_can_be_stepped_or_edited():
    play = Play(CHAIN, debug={"pause_at_start": True})
    for action in ("step", "edit"):
        with pytest.raises(IllegalTransition):
            fold(play.topology, play.state, [Event(e.DEBUG_ORDERED, 1, "b", body={"action": action})])


def test_a_snapshot_holds_the_debug_state():
    play = Play(CHAIN, debug={"breakpoints": ["b"], "pause_at_start": True})
    says(play, "edit", "a", input={"value": 1})
    says(play, "step", "a")
    assert load(dump(play.state)) == play.state
    assert fold(play.topology, BLANK, play.events) == play.state


# --- with a store and workers ---------------------------------------------------------------------------------------


async def order_it(rig: Rig, execution_id: str, plan: Plan, action: str, **more: Any) -> None:
    told = Order(action, **more)
    await order(rig.store, rig.clock, "default", await rig.head(execution_id), plan, told)


async def until_stopped(rig: Rig, execution_id: str) -> Any:
    def holds(head: Any) -> bool:
        return head.status == "DEBUG_PAUSED" and head.session is None

    return await rig.until(execution_id, holds)


async def plus(ctx: Any, value: Any) -> Any:
    return {"n": value["n"] + 1}


def test_a_stopped_run_is_parked_shows_its_inputs_and_takes_an_edited_one():
    async def scenario(rig: Rig) -> None:
        graph_id = rig.add(CHAIN, dict.fromkeys("abc", plus))
        execution_id = await rig.start(graph_id, {"n": 1}, debug={"breakpoints": ["b"]})
        head = await until_stopped(rig, execution_id)
        assert not rig.workers[0].executions, "it costs a worker nothing"
        told = await look(rig.store, head, CHAIN)
        assert [(one["node"], one["input"], one["edited"]) for one in told["nodes"]] == [
            ("b", {"n": 2}, False)
        ]
        assert [(one["node"], one["output"]) for one in told["outputs"]] == [("a", {"n": 2})]
        await order_it(rig, execution_id, CHAIN, "edit", input={"n": 40})
        told = await look(rig.store, await until_stopped(rig, execution_id), CHAIN)
        assert [(one["node"], one["input"], one["edited"]) for one in told["nodes"]] == [
            ("b", {"n": 40}, True)
        ]
        await order_it(rig, execution_id, CHAIN, "continue")
        await rig.ended(execution_id)
        assert await rig.output(execution_id) == {"n": 42}

    rigged(scenario)


def test_a_large_edit_goes_out_of_line_and_outlives_a_retry():
    async def scenario(rig: Rig) -> None:
        async def second(ctx: Any, value: Any) -> Any:
            if ctx.attempt == 1:
                raise ConnectionError
            return value

        plan = graph("a b", "a>b", retry={"b": Retry(2, delays_ms=(60_000,))})
        graph_id = rig.add(plan, {"a": echo, "b": second})
        execution_id = await rig.start(graph_id, {}, debug={"breakpoints": ["b"]})
        await until_stopped(rig, execution_id)
        await order_it(rig, execution_id, plan, "edit", input={"text": "x" * 100_000})
        await order_it(rig, execution_id, plan, "step")
        await rig.ended(execution_id, 100)
        assert await rig.output(execution_id) == {"text": "x" * 100_000}
        edit = next(x for x in await rig.history(execution_id) if x.body.get("action") == "edit")
        assert "blob" in edit.body["input"]

    rigged(scenario)


def test_an_item_of_a_map_is_a_node_of_its_own():
    async def scenario(rig: Rig) -> None:
        fan = {"items": expression("lines"), "max_concurrency": 5, "failure_policy": "FAIL_FAST"}
        plan = with_node(graph("a m", "a>m"), "m", config={"map": fan})
        graph_id = rig.add(plan, {"a": echo, "m": echo})
        execution_id = await rig.start(graph_id, {"lines": [7, 8]}, debug={"breakpoints": ["m"]})
        told = await look(rig.store, await until_stopped(rig, execution_id), plan)
        assert [(one["iteration"], one["input"]) for one in told["nodes"]] == [([], {"lines": [7, 8]})]
        await order_it(rig, execution_id, plan, "step")
        told = await look(rig.store, await until_stopped(rig, execution_id), plan)
        assert [(one["iteration"], one["input"]) for one in told["nodes"]] == [([0], 7), ([1], 8)]
        await order_it(rig, execution_id, plan, "step", iteration=(1,))
        await until_stopped(rig, execution_id)
        await order_it(rig, execution_id, plan, "continue")
        await rig.ended(execution_id)
        assert await rig.output(execution_id) == [7, 8]

    rigged(scenario)


def test_what_is_not_stopped_or_does_not_fit_is_refused():
    async def scenario(rig: Rig) -> None:
        from dataclasses import replace

        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        plan = with_node(replace(CHAIN, messages={"Any": True, "N": schema}), "b", input="N")
        graph_id = rig.add(plan, dict.fromkeys("abc", plus))
        execution_id = await rig.start(graph_id, {"n": 1}, debug={"breakpoints": ["b"]})
        await until_stopped(rig, execution_id)
        with pytest.raises(NotStopped):
            await order_it(rig, execution_id, plan, "step", node="c")
        with pytest.raises(BadEdit) as refused:
            await order_it(rig, execution_id, plan, "edit", input={"n": "no"})
        assert refused.value.errors[0]["path"] == "/input/n"
        await order_it(rig, execution_id, plan, "continue")
        await rig.ended(execution_id)

    rigged(scenario)


def test_an_event_that_comes_while_it_is_stopped_is_kept():
    async def scenario(rig: Rig) -> None:
        plan = with_node(graph("a w b", "a>w w>b"), "w", kind="event", config={"name": "paid"})
        graph_id = rig.add(plan, dict.fromkeys("awb", echo))
        execution_id = await rig.start(graph_id, {}, debug={"breakpoints": ["w"]})
        await until_stopped(rig, execution_id)
        body = {"name": "paid", "key": None, "id": "1", "payload": {"value": {"sum": 3}}}
        await tell(rig, execution_id, e.SIGNAL_RECEIVED, body, dedup="1")
        await until_stopped(rig, execution_id)
        await order_it(rig, execution_id, plan, "continue")
        await rig.ended(execution_id)
        assert await rig.output(execution_id) == {"sum": 3}

    rigged(scenario)


@pytest.mark.parametrize("cut", range(2, 19))
def test_a_debug_run_survives_the_death_of_its_worker_at_every_event(cut: int):
    """Stepped through the diamond; the worker dies when the journal has ``cut`` events; another goes on."""

    async def scenario() -> None:
        clock = VirtualClock(seed=cut)
        store = MemoryStore(clock)
        await store.open()
        rig = Rig(store, clock)
        try:
            worker = await rig.worker()
            graph_id = rig.add(DIAMOND, {**dict.fromkeys("abc", plus), "d": echo})
            execution_id = await rig.start(graph_id, {"n": 0}, debug={"pause_at_start": True})

            async def die() -> None:
                await rig.until(execution_id, lambda head: head.seq >= cut)
                await worker.stop()
                await rig.worker()

            death = asyncio.ensure_future(die())
            for _ in range(4):
                head = await rig.until(execution_id, lambda head: head.status == "DEBUG_PAUSED")
                told = await look(store, head, DIAMOND)
                assert not told["running"], "a step is one node, whoever runs it"
                await order_it(rig, execution_id, DIAMOND, "step")
            await rig.ended(execution_id)
            death.cancel()
            assert await rig.output(execution_id) == {"b": {"n": 2}, "c": {"n": 2}}
            await rig.check()
        finally:
            await rig.stop()
            await store.close()

    run_virtual(scenario())
