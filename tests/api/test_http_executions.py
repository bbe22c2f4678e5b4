"""Looking at executions: lists with every filter, pages, journals, checkpoints, and why."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest
from http_kit import House, house, plan, run
from hypothesis import given
from hypothesis import strategies as st
from test_http_invoke import problem

from axiom.api.paging import decode_cursor, encode_cursor
from axiom.runtime import events as e

LIST = "/invocations/v1/executions"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def listed(at: House, **params: Any) -> list[str]:
    answer = await at.client.get(LIST, params=params)
    assert answer.status_code == 200, answer.text
    return [row["execution_id"] for row in answer.json()["executions"]]


def test_a_row_tells_what_ran_when_and_how_long() -> None:
    async def case() -> None:
        async with house() as at:
            graph_id, hand = await at.publish(), at.hand()
            execution_id = await at.start(graph_id)
            (row,) = (await at.client.get(LIST)).json()["executions"]
            assert set(row) == {
                "execution_id",
                "flow",
                "graph_id",
                "mode",
                "status",
                "created_at",
                "started_at",
                "updated_at",
                "completed_at",
                "duration_ms",
            }
            assert (row["status"], row["completed_at"], row["duration_ms"]) == ("QUEUED", None, None)
            await hand.take()
            await hand.complete(execution_id, 1)
            row = (await at.client.get(f"{LIST}/{execution_id}")).json()
            assert (row["status"], row["flow"], row["mode"]) == ("COMPLETED", "acme/fulfil", "unary")
            for name in ("created_at", "started_at", "updated_at", "completed_at"):
                assert MOMENT.fullmatch(row[name]), row
            assert row["duration_ms"] >= 0

    run(case())


def test_every_filter_filters() -> None:
    async def case() -> None:
        async with house() as at:
            one, hand = await at.publish(), at.hand()
            two = await at.publish(plan(name="acme/other", input_=True))
            first = await at.start(one, headers={"idempotency-key": "order-17"})
            await hand.take()
            await hand.complete(first, 1)
            await asyncio.sleep(0.005)
            second = await at.start(two, input_={})
            await asyncio.sleep(0.005)
            third = await at.start(one)
            await at.client.delete(f"/invocations/v1/flows/{third}")
            assert await listed(at) == [third, second, first], "newest first"
            assert await listed(at, status="COMPLETED") == [first]
            assert await listed(at, status=["COMPLETED", "CANCELLED"]) == [third, first]
            assert await listed(at, status="completed,queued") == [second, first]
            assert await listed(at, flow="acme/other") == [second]
            assert await listed(at, graph_id=one) == [third, first]
            assert await listed(at, q=second[:12]) == [second]
            assert await listed(at, q="order-17") == [first]
            assert await listed(at, q="acme/other") == [second]
            created = (await at.client.get(f"{LIST}/{second}")).json()["created_at"]
            assert await listed(at, **{"from": created}) == [third, second]
            assert first in await listed(at, to=created)
            assert third not in await listed(at, to=created)
            head = (await at.store.heads([third]))[0]
            assert head is not None
            assert await listed(at, **{"from": str(head.created_at)}) == [third]

    run(case())


def test_pages_cover_everything_once() -> None:
    async def case() -> None:
        async with house() as at:
            graph_id = await at.publish()
            ids = [await at.start(graph_id) for _ in range(23)]
            found: list[str] = []
            cursor = None
            for _ in range(10):
                params = {"limit": 5, **({"cursor": cursor} if cursor else {})}
                page = (await at.client.get(LIST, params=params)).json()
                found += [row["execution_id"] for row in page["executions"]]
                cursor = page["next_cursor"]
                if cursor is None:
                    break
            assert sorted(found) == sorted(ids)
            assert len(found) == 23

    run(case())


@given(st.integers(0, 10**14), st.text("0123456789abcdef", min_size=32, max_size=32))
def test_a_cursor_comes_back_as_it_was(at: int, execution_id: str) -> None:
    assert decode_cursor(encode_cursor((at, execution_id))) == (at, execution_id)


@given(st.text(max_size=80))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    try:
        decode_cursor(text)
    except ValueError:
        pass


@pytest.mark.parametrize(
    "params",
    [
        {"status": "DONE"},
        {"limit": "0"},
        {"limit": "501"},
        {"limit": "x"},
        {"from": "yesterday"},
        {"from": "9" * 40},
        {"cursor": "!!!"},
        {"statuss": "QUEUED"},
    ],
)
def test_a_parameter_that_means_nothing_is_refused_and_lists_nothing(params: dict[str, str]) -> None:
    async def case() -> None:
        async with house() as at:
            told = problem(await at.client.get(LIST, params=params), 400, "invalid_query")
            assert told["parameter"] in params

    run(case())


def test_the_journal_in_pages_and_by_node() -> None:
    async def case() -> None:
        async with house() as at:
            execution_id, hand = await at.start(await at.publish()), at.hand()
            await hand.take()
            await hand.complete(execution_id, {"a": 1})
            path = f"{LIST}/{execution_id}/events"
            events = (await at.client.get(path)).json()["events"]
            assert [event["seq"] for event in events] == [1, 2, 3, 4, 5]
            assert events[3]["kind"] == e.NODE_COMPLETED
            assert events[3]["body"]["output"] == {"value": {"a": 1}}
            assert MOMENT.fullmatch(events[0]["at"])
            page = (await at.client.get(path, params={"limit": 2})).json()
            assert [event["seq"] for event in page["events"]] == [1, 2]
            rest = (await at.client.get(path, params={"after": page["next_after"]})).json()
            assert [event["seq"] for event in rest["events"]] == [3, 4, 5]
            assert rest["next_after"] is None
            node = (await at.client.get(path, params={"node": "last"})).json()["events"]
            assert [event["seq"] for event in node] == [3, 4]
            one = (await at.client.get(path, params={"node": "last", "limit": 1})).json()
            assert (one["events"][0]["seq"], one["next_after"]) == (3, 3)
            problem(await at.client.get(path, params={"after": "-1"}), 400, "invalid_query")

    run(case())


def test_checkpoints_bring_large_values_back_transparently() -> None:
    async def case() -> None:
        async with house() as at:
            execution_id, hand = await at.start(await at.publish()), at.hand()
            await hand.take()
            text = "y" * 300_000
            await hand.complete(execution_id, {"text": text}, blob=True)
            body = (await at.client.get(f"{LIST}/{execution_id}/checkpoints")).json()
            (row,) = body["checkpoints"]
            assert row["output"] == {"text": text}
            assert (row["node"], row["attempt"], row["iteration"], row["duration_ms"]) == ("last", 1, [], 3)
            output = (await at.client.get(f"{LIST}/{execution_id}/output")).json()
            assert output["output"] == {"text": text}

    run(case())


def test_a_page_of_large_checkpoints_is_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axiom.api.http.executions.PAGE_BYTES", 250_000)

    async def case() -> None:
        async with house() as at:
            execution_id, hand = await at.start(await at.publish()), at.hand()
            await hand.take()
            events = [hand.at(e.STARTED, worker="hand")]
            for n in range(1, 6):
                data = e.pack_value("z" * 100_000)
                await at.store.put_blob(execution_id, f"b{n}", data)
                value = {"blob": f"b{n}", "size": len(data)}
                events += [
                    hand.at(e.NODE_STARTED, "last", n),
                    hand.at(e.NODE_COMPLETED, "last", n, output=value),
                ]
            await hand.write(execution_id, *events)
            path, seqs, after = f"{LIST}/{execution_id}/checkpoints", [], 0
            while after is not None:
                page = (await at.client.get(path, params={"after": after})).json()
                assert 1 <= len(page["checkpoints"]) <= 2
                seqs += [row["seq"] for row in page["checkpoints"]]
                after = page["next_after"]
            assert seqs == [4, 6, 8, 10, 12]

    run(case())


def test_output_before_the_end_is_refused() -> None:
    async def case() -> None:
        async with house() as at:
            execution_id = await at.start(await at.publish())
            problem(await at.client.get(f"{LIST}/{execution_id}/output"), 409, "not_final")
            problem(await at.client.get(f"{LIST}/{execution_id}/frames"), 409, "wrong_mode")
            problem(await at.client.get(f"{LIST}/{'0' * 32}"), 404, "unknown_execution")
            problem(await at.client.get(f"{LIST}/{'Z' * 32}"), 404, "unknown_execution")

    run(case())


def test_the_error_of_a_failed_run_is_in_its_detail() -> None:
    async def case() -> None:
        async with house() as at:
            execution_id, hand = await at.start(await at.publish()), at.hand()
            await hand.take()
            await hand.fail(execution_id, "declined", "no money", "charge")
            told = (await at.client.get(f"{LIST}/{execution_id}")).json()
            assert told["error"] == {"code": "declined", "message": "no money", "node": "charge"}
            why = (await at.client.get(f"{LIST}/{execution_id}/why")).json()
            assert (why["status"], why["mover"]) == ("FAILED", "nobody")
            assert "no money" in why["summary"]

    run(case())


def test_why_over_http() -> None:
    async def case() -> None:
        async with house() as at:
            execution_id = await at.start(await at.publish())
            told = (await at.client.get(f"{LIST}/{execution_id}/why")).json()
            assert told["mover"] == "nobody"
            assert "No worker serves the pool 'default'" in told["summary"]
            (reason,) = told["reasons"]
            assert (reason["code"], reason["message"]) == ("no_worker", told["summary"])
            assert reason["next"] == "axiom worker --pool default"
            assert "node" not in reason

    run(case())


# --- probes ---------------------------------------------------------------------------------------------------------


def test_readiness_tells_what_the_store_puts_at_risk_and_stays_ready() -> None:
    async def case() -> None:
        async with house() as at, httpx.AsyncClient(base_url=at.url) as nobody:
            assert (await nobody.get("/health")).json() == {"status": "ok"}
            ready = await nobody.get("/ready")
            assert ready.status_code == 200
            assert ready.json()["durability"] == "danger"
            assert ready.json()["findings"][0]["code"] == "memory_store"

    run(case())


def test_a_store_that_is_away_makes_it_unready_and_every_call_503() -> None:
    from axiom.runtime.store.base import Unavailable
    from axiom.runtime.store.memory import MemoryStore

    class Away(MemoryStore):
        away = False

        async def findings(self) -> Any:
            if self.away:
                raise Unavailable("connection refused")
            return await super().findings()

        async def find(self, query: Any) -> Any:
            if self.away:
                raise Unavailable("connection refused")
            return await super().find(query)

        async def append(self, batch: Any) -> Any:
            if self.away:
                raise Unavailable("connection refused")
            return await super().append(batch)

    async def case() -> None:
        store = Away()
        async with house(store=store) as at:
            graph_id = await at.publish()
            assert (await at.client.get("/ready")).status_code == 200
            store.away = True
            answer = await at.client.get("/ready")
            assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
            for call in (at.client.get(LIST), at.invoke(graph_id)):
                answer = await call
                problem(answer, 503, "store_unavailable")
                assert answer.headers["retry-after"]
            assert (await at.client.get("/health")).status_code == 200
            store.away = False
            assert (await at.invoke(graph_id)).status_code == 202

    run(case())


def test_an_unclear_answer_is_cleared_by_sending_the_same_append_again() -> None:
    """The write was applied, its answer lost: the caller gets the one run, not an error and not two."""
    from axiom.runtime.store.base import Unclear
    from axiom.runtime.store.memory import MemoryStore

    class Lossy(MemoryStore):
        lose = 2

        async def append(self, batch: Any) -> Any:
            outcomes = await super().append(batch)
            if self.lose:
                self.lose -= 1
                raise Unclear("the answer was lost")
            return outcomes

    async def case() -> None:
        async with house(store=Lossy()) as at:
            execution_id = await at.start(await at.publish())
            assert await listed(at) == [execution_id]

    run(case())


def test_an_error_nobody_thought_of_is_a_problem_without_a_traceback() -> None:
    from axiom.runtime.store.memory import MemoryStore

    class Broken(MemoryStore):
        async def find(self, query: Any) -> Any:
            raise RuntimeError("secret detail")

    async def case() -> None:
        async with house(store=Broken()) as at:
            answer = await at.client.get(LIST)
            problem(answer, 500, "internal_error")
            assert "secret" not in answer.text
            assert (await at.client.get("/health")).status_code == 200

    run(case())


def test_metrics_count_by_route_and_never_by_what_users_send() -> None:
    async def case() -> None:
        async with house() as at:
            graph_id = await at.publish()
            execution_id = await at.start(graph_id)
            await at.client.get(f"{LIST}/{execution_id}")
            await at.client.get("/some/where/else")
            text = (await at.client.get("/metrics")).text
            assert 'route="/invocations/v1/executions/{execution_id}"' in text
            assert execution_id not in text
            assert "/some/where" not in text
            assert "axiom_runs_started_total" in text
            assert "axiom_store_append_seconds_bucket" in text

    run(case())
