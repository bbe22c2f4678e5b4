"""``start_at`` and ``delay_seconds`` of an invoke."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from http_kit import house, plan, run

from axiom.api.wire import from_iso


def test_a_start_for_later_is_accepted_and_waits_in_the_queue() -> None:
    async def case() -> None:
        async with house() as at:
            graph_id = await at.publish()
            moment = datetime.now(UTC) + timedelta(hours=2)
            by_time = await at.start(graph_id, start_at=moment.isoformat())
            by_delay = await at.start(graph_id, delay_seconds=7200.5)
            for started in (by_time, by_delay):
                told = (await at.client.get(f"/invocations/v1/executions/{started}")).json()
                assert told["status"] == "QUEUED"
                assert abs(from_iso(told["ready_at"]) - moment.timestamp() * 1000) < 60_000
                told = (await at.client.get(f"/invocations/v1/executions/{started}/why")).json()
                assert (told["mover"], told["until"] is not None) == ("timer", True)
            assert await at.store.claim("session-x", ["default"], 1) == []

    run(case())


def test_a_wait_for_a_start_that_is_later_answers_without_a_result() -> None:
    async def case() -> None:
        async with house() as at:
            answer = await at.invoke(await at.publish(), delay_seconds=60, wait=True, timeout_seconds=0.05)
            assert answer.status_code == 202
            assert "result" not in answer.json()

    run(case())


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"start_at": "tomorrow"}, "/start_at"),
        ({"start_at": 5}, "/start_at"),
        ({"start_at": "2999-01-01T00:00:00Z"}, "/start_at"),
        ({"start_at": "2030-01-01T00:00:00Z", "delay_seconds": 1}, "/start_at"),
        ({"delay_seconds": -1}, "/delay_seconds"),
        ({"delay_seconds": "1"}, "/delay_seconds"),
        ({"delay_seconds": 10**10}, "/delay_seconds"),
    ],
)
def test_a_time_that_is_none_is_refused_by_name(more: dict[str, Any], path: str) -> None:
    async def case() -> None:
        async with house() as at:
            answer = await at.invoke(await at.publish(), **more)
            assert answer.status_code == 422
            assert [error["path"] for error in answer.json()["errors"]] == [path]

    run(case())


def test_another_time_under_the_same_key_is_another_request() -> None:
    async def case() -> None:
        async with house() as at:
            graph_id = await at.publish()
            headers = {"idempotency-key": "k"}
            first = await at.invoke(graph_id, delay_seconds=60, headers=headers)
            again = await at.invoke(graph_id, delay_seconds=60, headers=headers)
            assert first.json()["execution_id"] == again.json()["execution_id"]
            other = await at.invoke(graph_id, delay_seconds=61, headers=headers)
            assert (other.status_code, other.json()["code"]) == (409, "idempotency_mismatch")

    run(case())


def test_the_artifacts_own_openapi_tells_of_both() -> None:
    async def case() -> None:
        async with house() as at:
            graph_id = await at.publish(plan())
            told = (await at.client.get(f"/registry/v1/artifacts/{graph_id}/openapi.json")).json()
            properties = told["components"]["schemas"]["Request"]["properties"]
            assert properties["start_at"]["format"] == "date-time"
            assert properties["delay_seconds"]["minimum"] == 0

    run(case())
