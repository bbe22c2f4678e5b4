"""Schedules over HTTP and on the command line."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from click.testing import CliRunner
from http_kit import House, house, order, run

from axiom.api.cli.schedules import schedules
from axiom.runtime.scheduler import Scheduler

BASE = "/console/v1/schedules"


async def made(at: House, **more: Any) -> dict[str, Any]:
    given = {"name": "nightly", "graph_id": await at.publish(), "input": order(), "cron": "0 3 * * *", **more}
    answer = await at.client.post(BASE, json=given)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_a_schedule_is_made_listed_shown_and_removed() -> None:
    async def case() -> None:
        async with house() as at:
            told = await made(at, time_zone="Europe/Berlin")
            assert (told["overlap"], told["catch_up_seconds"], len(told["next"])) == ("SKIP", 3600, 5)
            assert told["next_at"] == told["next"][0]
            (row,) = (await at.client.get(BASE)).json()["schedules"]
            assert (row["name"], row["next_at"]) == ("nightly", told["next_at"])
            assert (await at.client.get(f"{BASE}/nightly")).json()["next"] == told["next"]
            assert len((await at.client.get(f"{BASE}/nightly/next?count=9")).json()["next"]) == 9
            given = {name: row[name] for name in ("name", "graph_id", "cron")}
            again = await at.client.post(BASE, json={**given, "input": order()})
            assert (again.status_code, again.json()["code"]) == (409, "schedule_taken")
            assert (await at.client.delete(f"{BASE}/nightly")).status_code == 204
            gone = await at.client.get(f"{BASE}/nightly")
            assert (gone.status_code, gone.json()["code"]) == (404, "unknown_schedule")

    run(case())


@pytest.mark.parametrize(
    ("more", "path", "said"),
    [
        ({"cron": "0 25 * * *"}, "/cron", "column 3"),
        ({"cron": "0 0 30 2 *"}, "/cron", "never fires"),
        ({"cron": "0 0 * * *", "every_seconds": 5}, "/cron", "one of them"),
        ({"cron": None, "every_seconds": 0.2}, "/cron", "one of them"),
        ({"time_zone": "Mars/Base"}, "/time_zone", "IANA"),
        ({"time_zone": "../etc/passwd"}, "/time_zone", "IANA"),
        ({"overlap": "QUEUE"}, "/overlap", "SKIP"),
        ({"end_at": "2001-01-01T00:00:00Z"}, "/end_at", "never due"),
        ({"start_at": "soon"}, "/start_at", "must be a time"),
        ({"name": "a/b"}, "/name", "look like"),
        ({"flow": "x"}, "/flow", "one of them"),
        ({"every_second": 5}, "/every_second", "every_seconds"),
    ],
)
def test_what_can_not_be_is_refused_with_its_place(more: dict[str, Any], path: str, said: str) -> None:
    async def case() -> None:
        async with house() as at:
            given = {"name": "n", "graph_id": await at.publish(), "input": order(), "cron": "0 3 * * *"}
            answer = await at.client.post(BASE, json={**given, **more})
            assert answer.status_code == 422
            errors = {error["path"]: error["message"] for error in answer.json()["errors"]}
            assert said in errors[path]

    run(case())


def test_an_input_that_the_flow_does_not_take_is_refused_when_the_schedule_is_made() -> None:
    async def case() -> None:
        async with house() as at:
            given = {"name": "n", "graph_id": await at.publish(), "cron": "@daily", "input": {"total": 1}}
            answer = await at.client.post(BASE, json=given)
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
            answer = await at.client.post(BASE, json={**given, "graph_id": "a" * 32})
            assert (answer.status_code, answer.json()["code"]) == (404, "unknown_artifact")

    run(case())


def test_a_schedule_by_hand_starts_now_paused_or_not_and_tells_of_it() -> None:
    async def case() -> None:
        async with house() as at:
            await made(at, input={"order_id": "@scheduled_date", "total": 1})
            paused = (await at.client.post(f"{BASE}/nightly/pause")).json()
            assert (paused["paused"], paused["next_at"], paused["next"]) == (True, None, [])
            started = await at.client.post(f"{BASE}/nightly/trigger")
            assert started.status_code == 202
            execution_id = started.json()["execution_id"]
            told = (await at.client.get(f"{BASE}/nightly")).json()
            (entry,) = told["history"]
            assert (entry["outcome"], entry["manual"], entry["execution_id"]) == (
                "started",
                True,
                execution_id,
            )
            head = (await at.client.get(f"/invocations/v1/executions/{execution_id}")).json()
            assert head["idempotency_key"].startswith("nightly/manual/20")
            resumed = (await at.client.post(f"{BASE}/nightly/resume")).json()
            assert not resumed["paused"]
            assert resumed["next_at"]

    run(case())


def test_anothers_schedule_is_not_there_and_a_reader_changes_none() -> None:
    async def case() -> None:
        async with house() as at:
            await made(at)
            other = await at.key_for("another")
            assert (await at.client.get(BASE, headers=other)).json() == {"schedules": []}
            calls = [("GET", ""), ("GET", "/next"), ("POST", "/pause"), ("POST", "/trigger"), ("DELETE", "")]
            for method, path in calls:
                answer = await at.client.request(method, f"{BASE}/nightly{path}", headers=other)
                assert (answer.status_code, answer.json()["code"]) == (404, "unknown_schedule")
            reader = await at.key_for(scopes=("read",))
            assert (await at.client.get(f"{BASE}/nightly", headers=reader)).status_code == 200
            assert (await at.client.post(f"{BASE}/nightly/pause", headers=reader)).status_code == 403

    run(case())


def test_what_is_due_starts_and_is_found_by_its_key() -> None:
    async def case() -> None:
        async with house() as at:
            scheduler = Scheduler(at.store, at.clock)
            await scheduler.start()
            given = {"name": "often", "graph_id": await at.publish(), "input": order(), "every_seconds": 1}
            assert (await at.client.post(BASE, json=given)).status_code == 201
            async with asyncio.timeout(60):
                while not (told := (await at.client.get(f"{BASE}/often")).json())["history"]:
                    await asyncio.sleep(0.05)
            await scheduler.stop()
            entry = told["history"][-1]
            assert entry["outcome"] == "started"
            head = (await at.client.get(f"/invocations/v1/executions/{entry['execution_id']}")).json()
            assert head["idempotency_key"] == f"often/{entry['due']}"

    run(case())


def test_the_command_line_does_all_of_it() -> None:
    async def case() -> None:
        async with house() as at:
            graph_id = await at.publish()

            async def said(*words: str) -> str:
                call = [*words, "--url", at.url, "--key", at.key]
                told = await asyncio.to_thread(CliRunner().invoke, schedules, call)
                assert told.exit_code == 0, (told.output, told.exception)
                return str(told.output)

            data = json.dumps(order())
            shown = await said("create", "n", "--graph-id", graph_id, "--cron", "0 3 * * *", "-d", data)
            assert "0 3 * * *" in shown
            assert "0 3 * * *" in await said("list")
            assert len((await said("next", "n", "--count", "3")).split()) == 3
            await said("pause", "n")
            assert "paused" in await said("list")
            started = (await said("trigger", "n")).strip()
            assert started in await said("show", "n")
            assert "due next at 20" in await said("resume", "n")
            await said("delete", "n")
            assert json.loads(await said("list", "--json")) == []

    run(case())
