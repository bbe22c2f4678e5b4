"""A run moves to another artifact if its history is legal there and leaves the same work open."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from graphs import Play, graph
from rigs import Rig
from test_waits import echo, looping, rigged, signal, with_node

from axiom.api.doors_migrate import NotMigratable, migrate
from axiom.compiler.artifact import Join, Plan, freeze
from axiom.runtime import catalog
from axiom.runtime import events as e
from axiom.runtime.clock import SystemClock
from axiom.runtime.events import Event
from axiom.runtime.fold import fold
from axiom.runtime.migration import Move, move
from axiom.runtime.reading import carried, present
from axiom.runtime.snapshot import dump, load
from axiom.runtime.state import BLANK
from axiom.runtime.store.opening import open_store
from axiom.runtime.topology import Topology

WAIT = {"name": "go"}


def waiting(nodes: str, arrows: str, **more: Any) -> Plan:
    """A graph whose node ``w`` waits for an event."""
    return with_node(graph(nodes, arrows, **more), "w", kind="event", config=WAIT)


OLD = waiting("a w b", "a>w w>b")


def at_wait(plan: Plan) -> Play:
    play = Play(plan)
    for node in ("a",):
        play.done(node)
    return play.put(Event(e.NODE_WAITING, play.at, "w", (), 1, 1, {"for": "event", "name": "go"}))


def moved(old: Plan, new: Plan, play: Play) -> Move:
    return move(old, new, play.events, play.at, ("old", "new"))


def codes(made: Move) -> list[tuple[str, str | None]]:
    return [(reason["code"], reason.get("node")) for reason in made.reasons]


# --- what fits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "new",
    [
        waiting("a w c b", "a>w w>c c>b"),
        waiting("a w b c", "a>w w>b b>c"),
        waiting("w a b", "a>w w>b", terminal="b"),
        replace(OLD, version="2.0.0", timeout_seconds=9.0),
    ],
    ids=["a node added later", "a new terminal", "another order", "other settings"],
)
def test_what_leaves_the_same_work_open_fits(new: Plan):
    new = replace(new, entry=new.numbers["a"])
    play = at_wait(OLD)
    made = moved(OLD, new, play)
    assert made.reasons == ()
    assert made.state is not None
    assert made.starts == ()
    topology = Topology(new)
    assert list(made.state.waiting) == [(new.numbers["w"], ())]
    whole = carried([*play.events, made.event])
    assert fold(topology, BLANK, whole) == made.state, "whoever folds from the start finds the same"
    assert load(dump(made.state)) == made.state


def test_a_branch_that_is_new_behind_a_completed_node_starts():
    new = waiting("a w n b", "a>w a>n w>b n>b", joins={"b": Join()})
    made = moved(OLD, new, at_wait(OLD))
    assert (made.reasons, made.starts) == ((), ("n",))


def test_a_completed_node_may_be_gone():
    old = waiting("a x w b", "a>x x>w w>b")
    play = Play(old).done("a").done("x")
    play.put(Event(e.NODE_WAITING, play.at, "w", (), 1, 1, {"for": "event", "name": "go"}))
    made = moved(old, OLD, play)
    assert made.reasons == ()
    assert made.event.body["gone"] == ["x"]


def test_what_was_not_taken_stays_so_under_other_numbers():
    joins = {"b": Join("OR")}
    old = waiting("a x w b", "a?x a>w x>b w>b", joins=joins)
    new = waiting("a w x b", "a>w a?x w>b x>b", joins=joins)
    play = Play(old).done("a", skipped=(0,))
    play.put(Event(e.NODE_WAITING, play.at, "w", (), 1, 1, {"for": "event", "name": "go"}))
    made = moved(old, new, play)
    assert made.reasons == ()
    assert made.state is not None
    assert made.state.nodes[new.numbers["x"], ()].phase == "not_taken"


def test_a_journal_that_moved_twice_reads_as_the_last_artifact():
    new = waiting("a w c b", "a>w w>c c>b")
    play = at_wait(OLD)
    first = moved(OLD, new, play)
    events = [*play.events, first.event]
    second = move(new, OLD, events, play.at, ("new", "old"))
    assert second.reasons == ()
    assert fold(Topology(OLD), BLANK, carried([*events, second.event])) == second.state


# --- what does not --------------------------------------------------------------------------------------------------


N = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def messages(plan: Plan, alias: str, **kinds: str) -> Plan:
    return with_node(replace(plan, messages={"Any": True, "N": N, "S": {"type": "string"}}), alias, **kinds)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (OLD, graph("a b", "a>b"), [("gone", "w")]),
        (OLD, graph("a w b", "a>w w>b"), [("wait", "w")]),
        (OLD, with_node(OLD, "w", config={"name": "stop"}), [("wait", "w")]),
        (messages(OLD, "a", output="N"), messages(OLD, "a", output="S"), [("output", "a")]),
        (messages(OLD, "w", input="N"), messages(OLD, "w", input="S"), [("node_input", "w")]),
        (OLD, replace(OLD, input="S", messages={"Any": True, "S": {"type": "string"}}), [("input", None)]),
        (OLD, waiting("a n w b", "a>n n>w w>b"), [("history", None)]),
        (OLD, looping(waiting("a w b", "a>w w>b w>a"), 2, 3), [("history", None)]),
        (OLD, waiting("a w x b", "a>w a?x w>b x>b", joins={"b": Join("OR")}), [("undecided", "a")]),
        (OLD, replace(OLD, terminal=0), [("terminal", None)]),
        (OLD, replace(OLD, mode="pipeline"), [("mode", None)]),
    ],
    ids=[
        "live node gone",
        "waits no more",
        "waits for something else",
        "other output",
        "other input",
        "other flow input",
        "a node before what has begun",
        "another loop",
        "a condition nobody asked",
        "an end that was reached",
        "a stream",
    ],
)  # fmt: skip
def test_what_is_not_proved_is_refused_with_its_reason(old: Plan, new: Plan, told: Any):
    made = moved(old, new, at_wait(old))
    assert codes(made) == told
    assert made.state is None


def test_a_run_whose_node_runs_or_that_compensates_or_has_ended_stays():
    assert codes(moved(OLD, OLD, Play(OLD))) == [("running", "a")]
    assert codes(moved(OLD, OLD, Play(OLD).fails("a"))) == [("ended", None)]
    plan = replace(graph("a b u", "a>b", terminal="b"), compensate={"a": "u"})
    assert codes(moved(plan, plan, Play(plan).done("a").fails("b"))) == [("compensating", None)]


# --- with a store and workers ---------------------------------------------------------------------------------------


async def publish(rig: Rig, plan: Plan, handlers: Any) -> str:
    await catalog.store_artifact(rig.store, "default", freeze(plan))
    return rig.add(plan, handlers)


async def parked(rig: Rig, execution_id: str) -> Any:
    return await rig.until(execution_id, lambda head: head.status == "WAITING" and head.session is None)


async def move_it(rig: Rig, execution_id: str, to: str) -> Move:
    head = await present(rig.store, await rig.head(execution_id))
    return await migrate(rig.store, rig.clock, "default", head, to, "ada")


async def plus(ctx: Any, value: Any) -> Any:
    return {"n": value["n"] + 1}


NEW = waiting("a w c b", "a>w w>c c>b")


def test_a_run_moves_in_a_pause_of_days_and_goes_on_in_the_new_graph():
    async def scenario(rig: Rig) -> None:
        old = await publish(rig, OLD, {"a": plus, "w": echo, "b": plus})
        new = await publish(rig, NEW, {"a": plus, "w": echo, "c": plus, "b": plus})
        execution_id = await rig.start(old, {"n": 1})
        await parked(rig, execution_id)
        await rig.clock.sleep(600)
        await move_it(rig, execution_id, new)
        head = await parked(rig, execution_id)
        assert (await present(rig.store, head)).graph_id == new
        await signal(rig, execution_id, "go", {"n": 10})
        await rig.ended(execution_id)
        assert await rig.output(execution_id) == {"n": 12}, "c and b"
        assert [name for name, _ in rig.hands.calls].count("a") == 1

    rigged(scenario)


def test_the_worker_that_claims_it_dies_right_after_the_move():
    async def scenario(rig: Rig) -> None:
        old = await publish(rig, OLD, {"a": plus, "w": echo, "b": plus})
        new = await publish(rig, NEW, {"a": plus, "w": echo, "c": plus, "b": plus})
        execution_id = await rig.start(old, {"n": 1})
        await parked(rig, execution_id)
        await rig.workers[0].stop()
        await move_it(rig, execution_id, new)
        await signal(rig, execution_id, "go", {"n": 10})
        second = await rig.worker()
        await rig.until(execution_id, lambda head: head.session is not None or head.status == "COMPLETED")
        await second.stop()
        await rig.worker()
        await rig.ended(execution_id)
        assert await rig.output(execution_id) == {"n": 12}

    rigged(scenario)


def test_a_run_that_a_worker_holds_is_taken_up_anew_with_the_new_graph():
    async def scenario(rig: Rig) -> None:
        old_plan = with_node(graph("a s b", "a>s s>b"), "s", kind="sleep", config={"duration_ms": 900})
        new_plan = with_node(graph("a s c b", "a>s s>c c>b"), "s", kind="sleep", config={"duration_ms": 900})
        old = await publish(rig, old_plan, {"a": plus, "s": echo, "b": plus})
        new = await publish(rig, new_plan, {"a": plus, "s": echo, "c": plus, "b": plus})
        execution_id = await rig.start(old, {"n": 1})
        await rig.until(execution_id, lambda head: head.seq >= 6)
        head = await rig.head(execution_id)
        assert head.session is not None, "a short wait stays in its worker"
        await move_it(rig, execution_id, new)
        await rig.ended(execution_id)
        assert await rig.output(execution_id) == {"n": 4}, "a, c and b"

    rigged(scenario)


def test_a_long_run_moves_with_its_snapshot():
    async def scenario(rig: Rig) -> None:
        nodes = [f"n{index}" for index in range(200)]
        chain = " ".join(f"{one}>{other}" for one, other in pairwise(nodes))
        old_plan = waiting(f"{' '.join(nodes)} w b", f"{chain} n199>w w>b")
        new_plan = waiting(f"{' '.join(nodes)} w c b", f"{chain} n199>w w>c c>b")
        old = await publish(rig, old_plan, {**dict.fromkeys(nodes, echo), "w": echo, "b": plus})
        new = await publish(rig, new_plan, {**dict.fromkeys(nodes, echo), "w": echo, "b": plus, "c": plus})
        execution_id = await rig.start(old, {"n": 1})
        await parked(rig, execution_id)
        await move_it(rig, execution_id, new)
        await signal(rig, execution_id, "go", {"n": 10})
        await rig.ended(execution_id)
        assert await rig.output(execution_id) == {"n": 12}

    rigged(scenario)


def test_a_refused_run_goes_on_where_it_was():
    async def scenario(rig: Rig) -> None:
        old = await publish(rig, OLD, {"a": plus, "w": echo, "b": plus})
        new = await publish(rig, graph("a b", "a>b"), dict.fromkeys("ab", plus))
        execution_id = await rig.start(old, {"n": 1})
        head = await parked(rig, execution_id)
        with pytest.raises(NotMigratable) as refused:
            await move_it(rig, execution_id, new)
        assert refused.value.reasons[0]["code"] == "gone"
        assert (await rig.head(execution_id)).seq == head.seq, "nothing was written"
        with pytest.raises(NotMigratable) as refused:
            await move_it(rig, execution_id, old)
        assert refused.value.reasons[0]["code"] == "same"
        await signal(rig, execution_id, "go", {"n": 10})
        await rig.ended(execution_id)

    rigged(scenario)


def test_a_run_moves_on_every_store_and_outlives_the_worker_that_takes_it_up(store_url: str):
    async def run() -> None:
        store = open_store(store_url)
        await store.open()
        rig = Rig(store, SystemClock())
        try:
            async with asyncio.timeout(300):
                await scenario(rig)
            await rig.check()
        finally:
            await rig.stop()
            await store.close()

    async def scenario(rig: Rig) -> None:
        old = await publish(rig, OLD, {"a": plus, "w": echo, "b": plus})
        new = await publish(rig, NEW, {"a": plus, "w": echo, "c": plus, "b": plus})
        first = await rig.worker()
        execution_id = await rig.start(old, {"n": 1})
        await parked(rig, execution_id)
        await first.stop()
        await move_it(rig, execution_id, new)
        await signal(rig, execution_id, "go", {"n": 10})
        second = await rig.worker()
        await rig.until(execution_id, lambda head: head.session is not None or head.status == "COMPLETED")
        await second.stop()
        await rig.worker()
        await rig.ended(execution_id)
        assert await rig.output(execution_id) == {"n": 12}
        head = await present(rig.store, await rig.head(execution_id))
        assert head.graph_id == new

    asyncio.run(run())
