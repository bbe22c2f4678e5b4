"""Maps, as a demanding user runs them: computed lists, what is no list, in a loop, with a death on the way."""

from __future__ import annotations

import asyncio
from typing import Any

from graphs import graph
from rigs import Rig
from test_waits import collect, echo, expression, looping, map_plan, rigged, with_node

from axiom.compiler.artifact import Plan
from axiom.runtime import events as e


def computed(text: str, **more: Any) -> Plan:
    config = {"items": expression(text), "max_concurrency": 4, "failure_policy": "FAIL_FAST", **more}
    return with_node(graph("a m z", "a>m m>z"), "m", config={"map": config})


def test_a_computed_list_of_items_is_worked_out_once_and_not_once_per_item():
    async def scenario(rig: Rig) -> None:
        graph_id = rig.add(computed("lines.map(x, x + 1)"), {"a": echo, "m": echo, "z": collect})
        step = rig.prepared[graph_id].steps[1]
        worked_out = 0
        items_of = step.items_of

        def counted(message: Any, inputs: Any) -> Any:
            nonlocal worked_out
            worked_out += 1
            assert items_of is not None
            return items_of(message, inputs)

        step.items_of = counted  # type: ignore[misc]
        execution_id = await rig.start(graph_id, {"lines": list(range(300)), "order": "o", "n": 1})
        await rig.ended(execution_id, 1_000)
        assert await rig.output(execution_id) == {"all": list(range(1, 301))}
        assert worked_out == 1

    rigged(scenario)


def test_what_is_no_list_fails_with_a_code_of_its_own():
    async def scenario(rig: Rig) -> None:
        graph_id = rig.add(computed("lines"), {"a": echo, "m": echo, "z": collect})
        execution_id = await rig.start(graph_id, {"lines": {"x": 1}})
        await rig.ended(execution_id)
        last = (await rig.history(execution_id))[-1]
        assert (last.kind, last.body["code"], last.body["node"]) == (e.FAILED, "map_items", "m")

    rigged(scenario)


def test_a_map_in_a_loop_has_its_own_items_each_time_round():
    async def scenario(rig: Rig) -> None:
        async def shorter(ctx: Any, value: Any) -> Any:
            return {"lines": value[1:], "order": "o", "n": len(value)}

        plan = with_node(
            graph("a m z", "a>m m>z z>m"),
            "m",
            config={
                "map": {"items": expression("lines"), "max_concurrency": 4, "failure_policy": "FAIL_FAST"}
            },
        )
        graph_id = rig.add(looping(plan, 2, 5, "n > 1"), {"a": echo, "m": echo, "z": shorter})
        execution_id = await rig.start(graph_id, {"lines": [1, 2, 3], "order": "o", "n": 0})
        await rig.ended(execution_id)
        done = [
            x.iteration
            for x in await rig.history(execution_id)
            if x.kind == e.NODE_COMPLETED and x.node == "m"
        ]
        items = [iteration for iteration in done if len(iteration) == 2]
        assert sorted(items) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0)]
        assert [iteration for iteration in done if len(iteration) == 1] == [(0,), (1,), (2,)]

    rigged(scenario)


def test_a_worker_that_dies_in_a_map_costs_the_items_that_were_under_way_and_no_other():
    async def scenario(rig: Rig) -> None:
        ran: list[int] = []

        async def item(ctx: Any, value: Any) -> Any:
            ran.append(value)
            await asyncio.sleep(10)
            return value

        graph_id = rig.add(map_plan(5), {"a": echo, "m": item, "z": collect})
        execution_id = await rig.start(graph_id, {"lines": list(range(40))})
        first = rig.workers[0]
        await rig.clock.sleep(25)
        for task in [*first._tasks, first._lease._task]:
            if task is not None:
                task.cancel()
        for execution in list(first.executions.values()):
            execution.kill()
        rig.workers.remove(first)
        await rig.worker()
        await rig.ended(execution_id, 1_000)
        assert await rig.output(execution_id) == {"all": list(range(40))}
        twice = [value for value in set(ran) if ran.count(value) > 1]
        assert len(twice) == 5

    rigged(scenario)
