"""Restart, fork, hold, bulk and erase over HTTP, with a worker in the same process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from graphs import graph
from http_kit import House, house, run
from rigs import Rig
from test_doors_forks import keep
from test_http_invoke import problem
from test_subflows import calling, child_plan, failing, plus_one, same
from test_waits import with_node

LIST = "/invocations/v1/executions"


@asynccontextmanager
async def worked(**more: Any) -> AsyncIterator[tuple[House, Rig]]:
    """A house whose executions are run."""
    async with house(**more) as at:
        rig = Rig(at.store, at.clock)
        await rig.worker()
        try:
            yield at, rig
        finally:
            await rig.stop()


async def post(at: House, execution_id: str, what: str, body: Any = None, **more: Any) -> Any:
    return await at.client.post(f"{LIST}/{execution_id}/{what}", json=body, **more)


async def get(at: House, path: str) -> Any:
    answer = await at.client.get(f"{LIST}/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_failed_run_is_restarted_after_a_look_at_the_plan() -> None:
    async def case() -> None:
        async with worked() as (at, rig):
            graph_id = await keep(rig, graph("a b c", "a>b b>c"), b=failing(1), c=plus_one)
            failed = await at.start(graph_id, input_={"n": 1})
            await rig.ended(failed)
            told = (await post(at, failed, "restart?plan=true")).json()
            assert [one["node"] for one in told["reused"]] == ["a"]
            assert told["starts"] == [{"node": "b", "iteration": []}]
            assert (await get(at, failed))["forks"] == []
            answer = await post(at, failed, "restart", headers={"idempotency-key": "once"})
            assert answer.status_code == 202, answer.text
            again = answer.json()["execution_id"]
            assert answer.headers["location"].endswith(again)
            twice = await post(at, failed, "restart", headers={"idempotency-key": "once"})
            assert twice.json()["execution_id"] == again
            other = await post(at, failed, "fork", {"seq": 1}, headers={"idempotency-key": "once"})
            problem(other, 409, "idempotency_mismatch")
            assert (await rig.ended(again)).status == "COMPLETED"
            kept = await get(at, f"{again}/checkpoints")
            assert [(one["node"], one["reused"]) for one in kept["checkpoints"]] == [
                ("a", True),
                ("b", False),
                ("c", False),
            ]
            (fork,) = (await get(at, failed))["forks"]
            assert (fork["execution_id"], fork["status"]) == (again, "COMPLETED")
            assert (await get(at, again))["origin"]["execution_id"] == failed
            problem(await post(at, again, "restart"), 409, "not_forkable")

    run(case())


def test_a_fork_takes_an_edited_value() -> None:
    async def case() -> None:
        async with worked() as (at, rig):
            graph_id = await keep(rig, graph("a b", "a>b"), b=plus_one)
            first = await at.start(graph_id, input_={"n": 1})
            await rig.ended(first)
            answer = await post(at, first, "fork", {"node": "a", "value": {"n": 41}})
            fork = answer.json()["execution_id"]
            await rig.ended(fork)
            assert (await get(at, f"{fork}/output"))["output"] == {"n": 42}
            problem(await post(at, first, "fork", {"node": "nobody"}), 409, "not_forkable")
            problem(await post(at, first, "fork", {"value": 1}), 422, "invalid_request")
            problem(await post(at, first, "fork", {"node": "a", "seq": 3}), 422, "invalid_request")
            problem(await post(at, first, "fork", {"seq": 1, "iteration": [0]}), 422, "invalid_request")
            problem(await post(at, first, "fork", {"sequence": 1}), 422, "invalid_request")
            problem(await post(at, first, "fork?plan=maybe", {}), 400, "invalid_query")
            stranger = await at.key_for("other")
            problem(
                await post(at, first, "fork", {"sequence": 1}, headers=stranger), 404, "unknown_execution"
            )

    run(case())


def test_a_run_is_held_and_resumed() -> None:
    async def case() -> None:
        async with worked() as (at, rig):
            plan = with_node(graph("a s b", "a>s s>b"), "s", kind="sleep", config={"duration_ms": 600_000})
            held = await at.start(await keep(rig, plan), input_={"n": 1})
            await rig.until(held, lambda head: head.status == "WAITING")
            answer = await post(at, held, "pause", {"comment": "the bank is closed"})
            assert (answer.status_code, answer.json()["status"]) == (202, "PAUSED")
            await rig.until(held, lambda head: head.session is None and head.status == "PAUSED")
            told = await get(at, f"{held}/why")
            assert "the bank is closed" in told["summary"]
            problem(await post(at, held, "pause"), 409, "not_holdable")
            assert (await post(at, held, "resume")).json()["status"] == "WAITING"
            problem(await post(at, held, "resume"), 409, "not_holdable")
            stopped = await at.client.delete(f"/invocations/v1/flows/{held}")
            assert stopped.json()["status"] == "CANCELLED"
            problem(await post(at, held, "pause"), 409, "already_final")

    run(case())


def test_a_parent_and_its_child_name_one_another() -> None:
    async def case() -> None:
        async with worked() as (at, rig):
            child = await keep(rig, child_plan(), x=same, y=plus_one)
            parent = await at.start(
                await keep(rig, calling(graph("a b", "a>b"), "b", child)), input_={"n": 1}
            )
            await rig.ended(parent)
            (named,) = (await get(at, parent))["children"]
            assert (named["node"], named["waits"], named["status"]) == ("b", True, "COMPLETED")
            told = await get(at, named["execution_id"])
            assert (told["parent"]["execution_id"], told["parent"]["node"]) == (parent, "b")

    run(case())


async def bulk(at: House, **body: Any) -> Any:
    return await at.client.post(f"{LIST}/bulk", json=body)


def test_many_are_cancelled_restarted_and_deleted_by_filter() -> None:
    async def case() -> None:
        async with worked() as (at, rig):
            plan = with_node(graph("a s", "a>s"), "s", kind="sleep", config={"duration_ms": 600_000})
            graph_id = await keep(rig, plan)
            ids = [await at.start(graph_id, input_={"n": n}) for n in range(5)]
            for one in ids:
                await rig.until(one, lambda head: head.status == "WAITING")
            wanted = {"status": ["WAITING"], "graph_id": graph_id}
            told = (await bulk(at, action="cancel", filter=wanted, dry_run=True)).json()
            assert (told["count"], sorted(told["executions"])) == (5, sorted(ids))
            first = (await bulk(at, action="cancel", filter=wanted, limit=2)).json()
            assert len(first["done"]) == 2
            rest = (
                await bulk(at, action="cancel", filter=wanted, limit=50, cursor=first["next_cursor"])
            ).json()
            assert len(rest["done"]) == 3
            assert {(await rig.head(one)).status for one in ids} == {"CANCELLED"}
            again = (await bulk(at, action="restart", filter={"status": "CANCELLED"})).json()
            assert sorted(one["execution_id"] for one in again["done"]) == sorted(ids)
            fresh = [one["restarted_as"] for one in again["done"]]
            for one in fresh:
                await rig.until(one, lambda head: head.status == "WAITING")
            gone = (await bulk(at, action="delete", filter={"graph_id": graph_id})).json()
            assert sorted(one["execution_id"] for one in gone["done"]) == sorted(ids)
            assert {one["code"] for one in gone["refused"]} == {"not_final"}
            assert sorted(one["execution_id"] for one in gone["refused"]) == sorted(fresh)

    run(case())


@pytest.mark.parametrize(
    "body",
    [
        {"action": "cancel"},
        {"action": "cancel", "filter": {}},
        {"action": "explode", "filter": {"flow": "x"}},
        {"action": "cancel", "filter": {"status": "LOST"}},
        {"action": "cancel", "filter": {"flowe": "x"}},
        {"action": "cancel", "filter": {"flow": 3}},
        {"action": "cancel", "filter": {"flow": "x"}, "cursor": "?"},
        {"action": "cancel", "filter": {"from": "yesterday"}},
        {"action": "cancel", "filter": {"flow": "x"}, "limit": 101},
    ],
)
def test_a_filter_that_means_nothing_does_nothing(body: dict[str, Any]) -> None:
    async def case() -> None:
        async with house() as at:
            problem(await bulk(at, **body), 422, "invalid_request")

    run(case())


def test_a_runs_data_is_erased_once_it_has_ended() -> None:
    async def case() -> None:
        async with worked() as (at, rig):
            plan = with_node(graph("a s", "a>s"), "s", kind="sleep", config={"duration_ms": 600_000})
            one = await at.start(await keep(rig, plan), input_={"n": 1})
            await rig.until(one, lambda head: head.status == "WAITING")
            problem(await at.client.delete(f"{LIST}/{one}/data"), 409, "not_final")
            await at.client.delete(f"/invocations/v1/flows/{one}")
            assert (await at.client.delete(f"{LIST}/{one}/data")).status_code == 204
            problem(await at.client.get(f"{LIST}/{one}"), 404, "unknown_execution")
            readers = await at.key_for("default", scopes=["read"])
            problem(await at.client.delete(f"{LIST}/{one}/data", headers=readers), 403, "missing_scope")
            body = {"action": "cancel", "filter": {"flow": "x"}}
            answer = await at.client.post(f"{LIST}/bulk", json=body, headers=readers)
            problem(answer, 403, "missing_scope")

    run(case())
