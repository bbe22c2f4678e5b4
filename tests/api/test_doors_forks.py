"""Restarts and forks: what is taken over, what runs again, and in whose name."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from graphs import graph
from rigs import Rig
from test_subflows import calling, child_plan, children_of, failing, plus_one, same
from test_waits import expression, looping, rigged, with_node

from axiom.api.doors_forks import Asked, NotForkable, make, plan_of, prepare
from axiom.compiler.artifact import Artifact, Join, Plan, freeze
from axiom.runtime import catalog
from axiom.runtime import events as e
from axiom.runtime.cancelling import cancellation
from axiom.runtime.failures import NodeFailure
from axiom.runtime.family import family
from axiom.runtime.forks import FORK, RESTART


async def keep(rig: Rig, plan: Plan, **handlers: Any) -> str:
    """Let the rig serve a plan, and the store know its artifact."""
    graph_id = rig.add(plan, {node.alias: same for node in plan.nodes} | handlers)
    artifact: Artifact = freeze(plan)
    await catalog.store_artifact(rig.store, "default", artifact, source="", positions={}, description="")
    return graph_id


async def forked(rig: Rig, run: str, kind: str = FORK, **asked: Any) -> str:
    wanted = Asked(kind, **asked)
    ready = await prepare(rig.store, await rig.head(run), wanted)
    fork, fresh = await make(rig.store, rig.clock, ready, wanted)
    assert fresh
    return fork


def starts(kinds: list[str]) -> list[str]:
    return [kind.removeprefix("NodeStarted ") for kind in kinds if kind.startswith("NodeStarted")]


def test_a_restart_runs_the_failed_node_again_and_keeps_the_rest() -> None:
    async def scenario(rig: Rig) -> None:
        plan = graph("a b c d", "a>b b>c c>d")
        run = await rig.start(await keep(rig, plan, b=plus_one, c=failing(1)), {"n": 1})
        assert (await rig.ended(run)).status == "FAILED"
        again = await forked(rig, run, RESTART)
        assert (await rig.ended(again)).status == "COMPLETED"
        assert await rig.output(again) == {"n": 2}
        assert starts(await rig.kinds(again)) == ["c 1", "d 1"]
        told = await family(rig.store, await rig.head(run), plan)
        assert [(one["execution_id"], one["kind"], one["status"]) for one in told["forks"]] == [
            (again, "restart", "COMPLETED")
        ]
        origin = (await family(rig.store, await rig.head(again), plan))["origin"]
        assert (origin["execution_id"], origin["kind"]) == (run, "restart")

    rigged(scenario)


def test_a_restart_keeps_the_scope_of_its_root_and_a_fork_has_its_own() -> None:
    async def scenario(rig: Rig) -> None:
        run = await rig.start(await keep(rig, graph("a b", "a>b"), b=failing(9)), {"n": 1})
        await rig.ended(run)
        first = await forked(rig, run, RESTART)
        await rig.ended(first)
        second = await forked(rig, first, RESTART)
        own = await forked(rig, first, FORK)
        scopes = [(await rig.history(one))[0].body.get("scope") for one in (run, first, second, own)]
        assert scopes == [None, run, run, None]

    rigged(scenario)


def test_only_what_failed_is_restarted_and_nothing_that_was_undone() -> None:
    async def scenario(rig: Rig) -> None:
        plan = replace(graph("a b undo", "a>b", terminal="b"), compensate={"a": "undo"})
        graph_id = await keep(rig, plan, b=failing(1))
        run = await rig.start(graph_id, {"n": 1})
        assert (await rig.ended(run)).status == "FAILED"
        with pytest.raises(NotForkable, match="undone"):
            await forked(rig, run, RESTART)
        anew = await forked(rig, run, FORK)
        assert (await rig.ended(anew)).status == "COMPLETED"
        assert starts(await rig.kinds(anew)) == ["a 1", "b 1"], "what was undone is done again"
        with pytest.raises(NotForkable, match="COMPLETED"):
            await forked(rig, anew, RESTART)

    rigged(scenario)


def test_a_fork_takes_what_came_about_up_to_its_checkpoint() -> None:
    async def scenario(rig: Rig) -> None:
        plan = graph("a b c d", "a>b b>c c>d")
        run = await rig.start(await keep(rig, plan, b=plus_one, c=plus_one), {"n": 1})
        await rig.ended(run)
        fork = await forked(rig, run, node="b")
        await rig.ended(fork)
        assert starts(await rig.kinds(fork)) == ["c 1", "d 1"]
        assert await rig.output(fork) == await rig.output(run)
        whole = await forked(rig, run)
        assert (await rig.ended(whole)).status == "COMPLETED"
        assert starts(await rig.kinds(whole)) == []
        assert await rig.output(whole) == {"n": 3}
        grandchild = await forked(rig, fork, node="c")
        await rig.ended(grandchild)
        assert starts(await rig.kinds(grandchild)) == ["d 1"]

    rigged(scenario)


def test_an_edited_value_goes_to_its_followers_and_decides_anew() -> None:
    async def scenario(rig: Rig) -> None:
        plan = graph("a small big z", "a?small a?big small>z big>z")
        edges = tuple(
            replace(edge, condition=expression("n > 10" if edge.number == 1 else "n <= 10"))
            if edge.condition is not None
            else edge
            for edge in plan.edges
        )
        nodes = tuple(replace(node, join=None) for node in plan.nodes)
        plan = with_node(replace(plan, edges=edges, nodes=nodes), "z", join=Join(kind="XOR"))
        run = await rig.start(await keep(rig, plan), {"n": 1})
        await rig.ended(run)
        assert "NodeCompleted small 1" in await rig.kinds(run)
        fork = await forked(rig, run, node="a", edit=True, value={"n": 99})
        assert (await rig.ended(fork)).status == "COMPLETED"
        assert await rig.output(fork) == {"n": 99}
        assert starts(await rig.kinds(fork)) == ["big 1", "z 1"]
        other = await forked(rig, run, seq=1, edit=True, value={"n": 50})
        await rig.ended(other)
        assert starts(await rig.kinds(other)) == ["a 1", "big 1", "z 1"]
        with pytest.raises(NotForkable, match="no checkpoint"):
            await forked(rig, run, seq=2, edit=True, value={"n": 1})

    rigged(scenario)


def test_a_running_and_a_parked_run_can_be_forked() -> None:
    async def scenario(rig: Rig) -> None:
        plan = with_node(graph("a s b", "a>s s>b"), "s", kind="sleep", config={"duration_ms": 600_000})
        run = await rig.start(await keep(rig, plan), {"n": 1})
        await rig.until(run, lambda head: head.status == "WAITING")
        fork = await forked(rig, run)
        await rig.ended(run, 700)
        assert (await rig.ended(fork, 700)).status == "COMPLETED"
        assert starts(await rig.kinds(fork)) == ["s 1", "b 1"]

    rigged(scenario)


def test_a_fork_beside_a_running_sibling_runs_that_sibling_itself() -> None:
    """Crash window 12: a fork that copies a running node waits for ever for somebody to run it."""

    async def scenario(rig: Rig) -> None:
        slow = asyncio.Event()

        async def held(ctx: Any, value: Any) -> Any:
            await slow.wait()
            return value

        plan = graph("a b c d", "a>b a>c b>d c>d", joins={"d": Join()})
        run = await rig.start(await keep(rig, plan, c=held), {"n": 1})
        await rig.until(run, lambda head: head.seq >= 7)  # b has ended, c has not
        assert [v.node for v in await rig.history(run) if v.kind == e.NODE_COMPLETED] == ["a", "b"]
        fork = await forked(rig, run, node="b")
        slow.set()
        for each in (run, fork):
            assert (await rig.ended(each)).status == "COMPLETED"
        assert starts(await rig.kinds(fork)) == ["c 1", "d 1"]

    rigged(scenario)


def test_a_fork_of_a_loop_goes_on_in_its_round() -> None:
    async def scenario(rig: Rig) -> None:
        plan = looping(graph("a b c", "a>b b>a b>c"), 1, 9, "n < 5")
        run = await rig.start(await keep(rig, plan, a=plus_one), {"n": 0})
        await rig.ended(run)
        assert await rig.output(run) == {"n": 5}
        fork = await forked(rig, run, node="b", iteration=(2,))
        assert (await rig.ended(fork)).status == "COMPLETED"
        assert await rig.output(fork) == {"n": 5}
        events = await rig.history(fork)
        begun = [(v.node, v.iteration) for v in events if v.kind == e.NODE_STARTED]
        assert begun == [("a", (3,)), ("b", (3,)), ("a", (4,)), ("b", (4,)), ("c", ())]

    rigged(scenario)


def test_a_restart_of_a_map_runs_only_the_items_that_did_not_end() -> None:
    async def scenario(rig: Rig) -> None:
        broken = [True]

        async def item(ctx: Any, value: Any) -> Any:
            if value == 3 and broken[0]:
                raise NodeFailure("not yet", code="three")
            return value * 10

        fan = {"items": expression("lines"), "max_concurrency": 1, "failure_policy": "FAIL_FAST"}
        plan = with_node(graph("a m z", "a>m m>z"), "m", config={"map": fan})
        run = await rig.start(await keep(rig, plan, m=item), {"lines": [1, 2, 3, 4], "n": 1})
        assert (await rig.ended(run)).status == "FAILED"
        broken[0] = False
        again = await forked(rig, run, RESTART)
        assert (await rig.ended(again)).status == "COMPLETED", (await rig.history(again))[-1]
        assert await rig.output(again) == [10, 20, 30, 40]
        begun = [v.iteration for v in await rig.history(again) if v.kind == e.NODE_STARTED and v.node == "m"]
        assert begun == [(2,), (3,)]

    rigged(scenario)


def test_a_failure_that_was_lived_with_is_taken_over() -> None:
    async def scenario(rig: Rig) -> None:
        plan = graph("a b rescue z", "a>b b>z b!rescue rescue>z")
        plan = with_node(plan, "z", join=Join(kind="XOR"))
        run = await rig.start(await keep(rig, plan, b=failing(9), z=failing(1)), {"n": 1})
        assert (await rig.ended(run)).status == "FAILED"
        again = await forked(rig, run, RESTART)
        assert (await rig.ended(again)).status == "COMPLETED"
        assert starts(await rig.kinds(again)) == ["z 1"]

    rigged(scenario)


def test_a_restart_undoes_what_it_took_over_and_a_fork_does_not() -> None:
    async def scenario(rig: Rig) -> None:
        plan = replace(
            graph("a b undo", "a>b", terminal="b"), compensate={"a": "undo"}, on_cancel="compensate"
        )
        slow = with_node(plan, "b", kind="sleep", config={"duration_ms": 600_000})
        run = await rig.start(await keep(rig, slow), {"n": 1})
        await rig.until(run, lambda head: head.status == "WAITING")
        fork = await forked(rig, run)
        await rig.until(fork, lambda head: head.status == "WAITING")
        head = await rig.head(fork)
        item = await cancellation(rig.store, head, slow, "enough")
        assert item.status == "CANCELLED", "a fork has nothing of its own to undo"

    rigged(scenario)


def test_large_values_are_copied() -> None:
    async def scenario(rig: Rig) -> None:
        run = await rig.start(
            await keep(rig, graph("a b c", "a>b b>c"), c=failing(1)), {"text": "x" * 200_000}
        )
        await rig.ended(run)
        again = await forked(rig, run, RESTART)
        await rig.store.delete([run])
        await rig.ended(again)
        assert await rig.output(again) == {"text": "x" * 200_000}

    rigged(scenario)


def test_a_restarted_parent_starts_a_new_child() -> None:
    async def scenario(rig: Rig) -> None:
        child = await keep(rig, child_plan(), x=failing(1), y=plus_one)
        plan = calling(graph("a b", "a>b"), "b", child)
        run = await rig.start(await keep(rig, plan), {"n": 1})
        assert (await rig.ended(run)).status == "FAILED"
        again = await forked(rig, run, RESTART)
        assert (await rig.ended(again)).status == "COMPLETED"
        (first,), (second,) = await children_of(rig, run), await children_of(rig, again)
        assert first != second
        scopes = [(await rig.history(one))[0].body["scope"] for one in (first, second)]
        assert scopes[0] == scopes[1], "what the child does counts once"

    rigged(scenario)


def test_a_plan_says_what_is_reused_and_whose_effects_happen_again() -> None:
    async def scenario(rig: Rig) -> None:
        plan = graph("a b c", "a>b b>c")
        run = await rig.start(await keep(rig, plan, b=failing(1)), {"n": 1})
        head = await rig.ended(run)
        told = plan_of(await prepare(rig.store, head, Asked(RESTART)))
        assert [(one["node"], one["outcome"]) for one in told["reused"]] == [("a", "completed")]
        assert told["starts"] == [{"node": "b", "iteration": []}]
        (effect,) = told["effects"]
        assert (effect["node"], effect["counts_once"]) == ("b", True)
        assert effect["idempotency_key"]
        told = plan_of(await prepare(rig.store, head, Asked(FORK, seq=1)))
        assert [one["counts_once"] for one in told["effects"]] == [False, False]

    rigged(scenario)
