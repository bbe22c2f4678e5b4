"""Moving runs over HTTP and from the command line: planned, done, refused."""

from __future__ import annotations

from typing import Any

from http_kit import house, plan, run
from test_http_executions import problem

LIST = "/invocations/v1/executions"


async def asked(at: Any, execution_id: str, to: Any, query: str = "") -> Any:
    return await at.client.post(f"{LIST}/{execution_id}/migrate{query}", json={"to": to})


def test_a_run_is_planned_moved_and_shown_with_its_new_artifact() -> None:
    async def case() -> None:
        async with house() as at:
            old, new = await at.publish(), await at.publish(plan(nodes="first middle last"))
            execution_id = await at.start(old)
            planned = (await asked(at, execution_id, new, "?plan=true")).json()
            assert (planned["possible"], planned["reasons"], planned["starts"]) == (True, [], [])
            assert (await at.client.get(f"{LIST}/{execution_id}")).json()["graph_id"] == old
            moved = await asked(at, execution_id, new)
            assert (moved.status_code, moved.json()["from"], moved.json()["to"]) == (200, old, new)
            assert (await at.client.get(f"{LIST}/{execution_id}")).json()["graph_id"] == new
            again = await asked(at, execution_id, new)
            problem(again, 409, "not_migratable")
            assert again.json()["reasons"] == [{"code": "same", "message": "it runs this artifact already"}]
            events = (await at.client.get(f"{LIST}/{execution_id}/events")).json()["events"]
            assert (events[-1]["kind"], events[-1]["body"]["by"]) == ("ExecutionMigrated", "test")

    run(case())


def test_what_can_not_move_says_why() -> None:
    async def case() -> None:
        async with house() as at:
            old, new = await at.publish(), await at.publish(plan(nodes="other last"))
            execution_id = await at.start(old)
            planned = (await asked(at, execution_id, new, "?plan=true")).json()
            assert (planned["possible"], planned["reasons"][0]["code"]) == (False, "gone")
            problem(await asked(at, execution_id, new), 409, "not_migratable")
            problem(await asked(at, execution_id, "a" * 32), 404, "unknown_artifact")
            problem(await asked(at, execution_id, 7), 422, "invalid_request")
            problem(await at.client.post(f"{LIST}/{execution_id}/migrate", json={}), 422, "invalid_request")
            problem(await asked(at, "0" * 32, new), 404, "unknown_execution")
            foreign = await at.publish(plan(nodes="first middle last"), account="other")
            problem(await asked(at, execution_id, foreign), 404, "unknown_artifact")

    run(case())
