"""``/branches``: the arms of the gates, over HTTP and on the command line."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from click.testing import CliRunner
from http_kit import House, house, plan, run

from axiom.api.cli.executions import executions
from axiom.compiler.artifact import Edge, Join, Plan
from axiom.runtime import events as e


def gated() -> Plan:
    made = plan(nodes="open left right meet")
    *before, meet = made.nodes
    pairs = [(0, 1), (0, 2), (1, 3), (2, 3)]
    edges = tuple(Edge(n, source, target) for n, (source, target) in enumerate(pairs))
    return replace(made, nodes=(*before, replace(meet, join=Join(timeout_ms=60_000))), edges=edges)


async def half_way(at: House) -> str:
    """A run whose left arm has arrived."""
    hand = at.hand()
    started = await at.start(await at.publish(gated()))
    assert await hand.take() == started

    async def write(*events: e.Event) -> None:
        await hand.write(started, *events)

    await write(hand.at(e.STARTED, worker="hand"), hand.at(e.NODE_STARTED, "open", 1))
    await write(hand.at(e.NODE_COMPLETED, "open", 1, output={"value": 1}, ms=1))
    await write(hand.at(e.NODE_STARTED, "left", 1), hand.at(e.NODE_STARTED, "right", 1))
    left = hand.at(e.NODE_COMPLETED, "left", 1, output={"value": 1}, ms=1)
    await write(left, hand.at(e.GATE_WAITING, "meet", 0, due=left.at + 60_000))
    return started


def test_branches_tell_of_each_arm_and_of_what_the_gate_needs() -> None:
    async def case() -> None:
        async with house() as at:
            started = await half_way(at)
            told = (await at.client.get(f"/invocations/v1/executions/{started}/branches")).json()
            left, right = told["branches"]
            assert (left["arm"], left["gate"], left["state"], left["node"]) == (
                "left",
                "meet",
                "arrived",
                None,
            )
            assert (right["arm"], right["state"], right["node"]) == ("right", "running", "right")
            assert left["iteration"] == []
            (gate,) = told["gates"]
            assert (gate["gate"], gate["kind"], gate["state"]) == ("meet", "AND", "waiting")
            assert gate["needs"] == "right"
            assert gate["since"] == left["since"] < gate["due"]

    run(case())


def test_anothers_execution_has_no_branches() -> None:
    async def case() -> None:
        async with house() as at:
            started = await half_way(at)
            path = f"/invocations/v1/executions/{started}/branches"
            other = await at.key_for("another")
            answer = await at.client.get(path, headers=other)
            assert (answer.status_code, answer.json()["code"]) == (404, "unknown_execution")
            assert (await at.client.get(path, params={"gates": "1"})).status_code == 400

    run(case())


def test_the_command_line_shows_them_as_a_table_and_says_what_is_missing() -> None:
    async def case() -> None:
        async with house() as at:
            started = await half_way(at)
            target = ["branches", started, "--url", at.url, "--key", at.key]
            told = await asyncio.to_thread(CliRunner().invoke, executions, target)
            assert told.exit_code == 0, told.output
            assert "arrived" in told.output
            assert "meet (AND) needs right, until 2" in told.output
            told = await asyncio.to_thread(CliRunner().invoke, executions, [*target, "--json"])
            assert [row["state"] for row in json.loads(told.output)["branches"]] == ["arrived", "running"]

    run(case())
