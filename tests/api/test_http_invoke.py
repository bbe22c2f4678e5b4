"""Starting runs over HTTP: shapes, waiting, keys of idempotency, and every way to be refused."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import Any

import httpx
import pytest
from http_kit import House, house, order, plan, run

from axiom.api import doors
from axiom.runtime import catalog, configs
from axiom.runtime import events as e

INVOKE = "/invocations/v1/flows/invoke"


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check a problem document (RFC 9457) and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["code"] == code, body
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["instance"] == answer.request.url.path
    return body


def test_without_wait_the_answer_is_an_id_and_nothing_else() -> None:
    async def case() -> None:
        async with house() as at:
            answer = await at.invoke(await at.publish())
            assert answer.status_code == 202
            body = answer.json()
            assert set(body) == {"accepted", "execution_id"}
            assert body["accepted"] is True
            assert re.fullmatch(r"[0-9a-f]{32}", body["execution_id"])
            (first,) = await at.store.read(body["execution_id"])
            assert first.kind == e.ACCEPTED
            assert first.body["input"] == {"value": order()}
            assert first.body["flow"] == "acme/fulfil"

    run(case())


def test_waiting_brings_the_result_in_the_same_answer() -> None:
    async def case() -> None:
        async with house() as at:
            graph_id, hand = await at.publish(), at.hand()
            call = asyncio.create_task(at.invoke(graph_id, wait=True))
            before = int(time.time())
            await hand.complete(await hand.take(), {"receipt": 7})
            result = (await call).json()["result"]
            assert result["output"] == {"receipt": 7}
            assert result["success"] is True
            assert isinstance(result["completed_at"], int)
            assert before <= result["completed_at"] <= int(time.time()) + 1

    run(case())


def test_a_failed_run_names_code_message_and_node() -> None:
    async def case() -> None:
        async with house() as at:
            graph_id, hand = await at.publish(), at.hand()
            call = asyncio.create_task(at.invoke(graph_id, wait=True))
            await hand.fail(await hand.take(), "declined", "no money", "charge")
            answer = await call
            assert answer.status_code == 202
            result = answer.json()["result"]
            assert result["success"] is False
            assert result["error"] == {"code": "declined", "message": "no money", "node": "charge"}
            assert "output" not in result

    run(case())


def test_a_wait_that_times_out_leaves_the_run_going() -> None:
    async def case() -> None:
        async with house() as at:
            graph_id, hand = await at.publish(), at.hand()
            answer = await at.invoke(graph_id, wait=True, timeout_seconds=0.05)
            assert set(answer.json()) == {"accepted", "execution_id"}
            execution_id = await hand.take()
            assert execution_id == answer.json()["execution_id"]
            await hand.complete(execution_id, 1)
            output = await at.client.get(f"/invocations/v1/executions/{execution_id}/output")
            assert output.json()["output"] == 1

    run(case())


def test_a_run_that_ends_before_anyone_waits_is_seen_at_once() -> None:
    """Await on a run that has finished already returns at once."""

    async def case() -> None:
        async with house() as at:
            graph_id, hand = await at.publish(), at.hand()
            execution_id = await at.start(graph_id, headers={"idempotency-key": "k"})
            await hand.take()
            await hand.complete(execution_id, "done")
            at.app.state.service.waiters.look_seconds = lambda: 600.0  # no later look could find it
            answer = await at.invoke(graph_id, wait=True, headers={"idempotency-key": "k"})
            assert answer.json()["result"]["output"] == "done"
            assert answer.json()["execution_id"] == execution_id

    run(case())


def test_a_large_input_and_a_large_output_travel_out_of_line() -> None:
    async def case() -> None:
        async with house() as at:
            graph_id, hand = await at.publish(plan(input_=True)), at.hand()
            text = "x" * 200_000
            call = asyncio.create_task(at.invoke(graph_id, {"text": text}, wait=True))
            execution_id = await hand.take()
            (first,) = await at.store.read(execution_id)
            assert first.body["input"]["blob"] == "input"
            data = await at.store.blob(execution_id, "input")
            assert data is not None
            assert e.unpack_value(data) == {"text": text}
            await hand.complete(execution_id, {"text": text * 2}, blob=True)
            assert (await call).json()["result"]["output"] == {"text": text * 2}

    run(case())


# --- idempotency ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 100_000])
def test_one_idempotency_key_starts_one_run(size: int) -> None:
    """N concurrent starts with one key: exactly one run, all get its id. Also where the input goes to a blob."""

    async def case() -> None:
        async with house() as at:
            graph_id = await at.publish(plan(input_=True))
            headers = {"idempotency-key": "order-17"}
            calls = [at.invoke(graph_id, {"x": "y" * size}, headers=headers) for _ in range(8)]
            ids = {answer.json()["execution_id"] for answer in await asyncio.gather(*calls)}
            assert len(ids) == 1
            listed = (await at.client.get("/invocations/v1/executions")).json()["executions"]
            assert [row["execution_id"] for row in listed] == list(ids)
            other = await at.invoke(graph_id, {"x": "z" * size}, headers=headers)
            problem(other, 409, "idempotency_mismatch")

    run(case())


def test_waiting_or_not_is_no_other_request_under_the_same_key() -> None:
    async def case() -> None:
        async with house() as at:
            graph_id = await at.publish()
            headers = {"idempotency-key": "k"}
            first = await at.invoke(graph_id, headers=headers)
            again = await at.invoke(graph_id, wait=True, timeout_seconds=0, headers=headers)
            assert first.json()["execution_id"] == again.json()["execution_id"]
            await configs.put_profile(at.store, "default", "other", configs.Profile({}, {}, {}))
            moved = await at.invoke(graph_id, config_id="other", headers=headers)
            problem(moved, 409, "idempotency_mismatch")

    run(case())


def test_an_alias_that_moves_between_two_tries_is_no_other_request() -> None:
    async def case() -> None:
        async with house() as at:
            one, two = await at.publish(), await at.publish(plan(nodes="other last"))
            await catalog.move_alias(at.store, "default", "acme/fulfil", one)
            body = {"flow": "acme/fulfil", "input": order()}
            headers = {"idempotency-key": "k"}
            first = await at.client.post(INVOKE, json=body, headers=headers)
            await catalog.move_alias(at.store, "default", "acme/fulfil", two)
            again = await at.client.post(INVOKE, json=body, headers=headers)
            assert first.json() == again.json()
            head = (await at.store.heads([again.json()["execution_id"]]))[0]
            assert head is not None
            assert head.graph_id == one

    run(case())


@pytest.mark.parametrize("key", ["a b", "x" * 256, "\x01"])
def test_an_idempotency_key_is_short_and_printable(key: str) -> None:
    async def case() -> None:
        async with house() as at:
            answer = await at.invoke(await at.publish(), headers={"idempotency-key": key})
            assert answer.status_code == 400
            if key != "\x01":  # which the server itself refuses
                problem(answer, 400, "invalid_header")

    run(case())


# --- refusals -------------------------------------------------------------------------------------------------------


def test_input_that_breaks_the_schema_is_told_violation_by_violation() -> None:
    async def case() -> None:
        async with house() as at:
            bad = {"order_id": 5, "total": -1, "lines": [{"sku": "a"}, {"count": "many"}], "extra": 1}
            answer = await at.invoke(await at.publish(), bad)
            errors = {told["path"]: told for told in problem(answer, 422, "invalid_input")["errors"]}
            assert set(errors) == {
                "/input",
                "/input/order_id",
                "/input/total",
                "/input/lines/1/sku",
                "/input/lines/1/count",
            }
            assert errors["/input/total"]["expected"] == 0
            assert errors["/input/order_id"]["keyword"] == "type"
            assert (await at.client.get("/invocations/v1/executions")).json()["executions"] == []

    run(case())


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"wiat": True}, "/wiat"),
        ({"wait": "yes"}, "/wait"),
        ({"timeout_seconds": -1}, "/timeout_seconds"),
        ({"timeout_seconds": "5"}, "/timeout_seconds"),
        ({"webhook": "http://x"}, "/webhook"),
        ({"webhook": {}}, "/webhook/url"),
        ({"webhook": {"url": "http://8.8.8.8", "headers": {"x": "a\r\nb: c"}}}, "/webhook/headers/x"),
        ({"webhook": {"url": "http://8.8.8.8", "headers": {"x\n": "a"}}}, "/webhook/headers/x\n"),
        ({"webhook": {"url": "http://8.8.8.8", "headers": {"Host": "a"}}}, "/webhook/headers/Host"),
        (
            {"webhook": {"url": "http://8.8.8.8", "headers": {"webhook-id": "a"}}},
            "/webhook/headers/webhook-id",
        ),
        ({"webhook": {"url": "http://8.8.8.8", "headers": {"x": "y" * 9000}}}, "/webhook/headers"),
        ({"webhook": {"url": "http://8.8.8.8", "secret": 1}}, "/webhook/secret"),
        ({"config_id": 5}, "/config_id"),
        ({"flow": "also"}, "/graph_id"),
    ],
)
def test_a_request_that_says_something_wrong_is_refused_with_its_place(
    change: dict[str, Any], path: str
) -> None:
    async def case() -> None:
        async with house() as at:
            answer = await at.invoke(await at.publish(), **change)
            assert path in [told["path"] for told in problem(answer, 422, "invalid_request")["errors"]]

    run(case())


def test_a_missing_input_is_no_empty_input() -> None:
    async def case() -> None:
        async with house() as at:
            answer = await at.client.post(INVOKE, json={"graph_id": await at.publish(plan(input_=True))})
            assert problem(answer, 422, "invalid_request")["errors"][0]["path"] == "/input"

    run(case())


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b'{"input": NaN}', 400, "invalid_json"),
        (b'{"input": 1e999}', 400, "invalid_json"),
        (b'{"input": "\xff"}', 400, "invalid_json"),
        (b'{"a": 1, "a": 2}', 400, "invalid_json"),
        (b"[" * 100_000 + b"]" * 100_000, 400, "invalid_json"),
        (b"[]", 422, "invalid_request"),
        (b"", 400, "invalid_json"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes, status: int, code: str) -> None:
    async def case() -> None:
        async with house() as at:
            headers = {"content-type": "application/json"}
            problem(await at.client.post(INVOKE, content=body, headers=headers), status, code)

    run(case())


def test_invalid_json_is_told_with_line_and_column() -> None:
    async def case() -> None:
        async with house() as at:
            headers = {"content-type": "application/json"}
            answer = await at.client.post(INVOKE, content=b'{\n  "graph_id": oops}', headers=headers)
            (told,) = problem(answer, 400, "invalid_json")["errors"]
            assert (told["line"], told["column"]) == (2, 15)

    run(case())


@pytest.mark.parametrize("value", [2**70, "\ud800"])
def test_a_value_that_cannot_be_kept_is_refused_and_nothing_is_left(value: Any) -> None:
    async def case() -> None:
        async with house() as at:
            graph_id = await at.publish(plan(input_=True))
            body = json.dumps({"graph_id": graph_id, "input": value}).encode()
            for key in ({}, {"idempotency-key": "k"}):
                headers = {"content-type": "application/json", **key}
                problem(await at.client.post(INVOKE, content=body, headers=headers), 422, "invalid_input")
            assert (await at.client.get("/invocations/v1/executions")).json()["executions"] == []

    run(case())


def test_twenty_mebibytes_are_refused_before_they_are_read() -> None:
    async def case() -> None:
        async with house() as at:
            headers = {"content-type": "application/json"}
            big = b'{"input": "' + b"x" * (20 << 20) + b'"}'
            problem(await at.client.post(INVOKE, content=big, headers=headers), 413, "body_too_large")

            async def parts() -> Any:
                for _ in range(20):
                    yield b"x" * (1 << 20)

            problem(await at.client.post(INVOKE, content=parts(), headers=headers), 413, "body_too_large")
            assert (await at.client.get("/health")).status_code == 200

    run(case())


def test_other_types_than_json_are_refused() -> None:
    async def case() -> None:
        async with house() as at:
            answer = await at.client.post(INVOKE, content=b"a=1", headers={"content-type": "text/plain"})
            problem(answer, 415, "unsupported_media_type")

    run(case())


def test_headers_are_bounded() -> None:
    async def case() -> None:
        async with house() as at:
            many = {f"x-{n}": "y" for n in range(200)}
            problem(await at.client.get("/invocations/v1/executions", headers=many), 431, "headers_too_large")
            long = {"x-long": "y" * 40_000}
            problem(await at.client.get("/invocations/v1/executions", headers=long), 431, "headers_too_large")

    run(case())


def test_what_is_not_there_is_404() -> None:
    async def case() -> None:
        async with house() as at:
            problem(await at.invoke("a" * 32), 404, "unknown_artifact")
            body = {"flow": "no/such", "input": {}}
            problem(await at.client.post(INVOKE, json=body), 404, "unknown_alias")
            problem(await at.client.get("/nowhere"), 404, "not_found")
            problem(await at.client.get(INVOKE), 405, "method_not_allowed")

    run(case())


def test_a_flow_of_the_other_mode_is_told_where_to_go() -> None:
    async def case() -> None:
        async with house() as at:
            pipeline, unary = await at.publish(plan("pipeline")), await at.publish()
            told = problem(await at.invoke(pipeline), 409, "wrong_mode")
            assert told["endpoint"] == f"{INVOKE}/stream"
            body = {"graph_id": unary, "input": order()}
            told = problem(await at.client.post(f"{INVOKE}/stream", json=body), 409, "wrong_mode")
            assert told["endpoint"] == INVOKE

    run(case())


def test_config_and_trace_are_recorded_with_the_run() -> None:
    async def case() -> None:
        async with house() as at:
            link = f"00-{'a' * 32}-{'b' * 16}-01"
            graph_id = await at.publish(plan(timeout_seconds=60.0))
            await configs.put_profile(at.store, "default", "blue", configs.Profile({"a": 1}, {}, {}))
            execution_id = await at.start(graph_id, config_id="blue", headers={"traceparent": link})
            (first,) = await at.store.read(execution_id)
            assert first.body["config_id"] == "blue"
            assert first.body["config"]["values"] == {"a": 1}
            assert first.body["link"] == link
            assert first.body["deadline"] == first.at + 60_000
            bad = await at.start(graph_id, headers={"traceparent": "00-nonsense"})
            assert "link" not in (await at.store.read(bad))[0].body

    run(case())


# --- cancelling -----------------------------------------------------------------------------------------------------


async def _cancel(at: House, execution_id: str) -> httpx.Response:
    return await at.client.delete(f"/invocations/v1/flows/{execution_id}")


def test_a_cancel_is_final_at_once_and_may_be_repeated() -> None:
    async def case() -> None:
        async with house() as at:
            graph_id, hand = await at.publish(), at.hand()
            waiting = asyncio.create_task(at.invoke(graph_id, wait=True))
            execution_id = await hand.take()
            first = await _cancel(at, execution_id)
            assert (first.status_code, first.json()["status"]) == (202, "CANCELLED")
            result = (await waiting).json()["result"]
            assert result["error"]["code"] == "cancelled"
            assert (await _cancel(at, execution_id)).status_code == 202
            assert [event.kind for event in await at.store.read(execution_id)] == [e.ACCEPTED, e.CANCELLED]

    run(case())


def test_a_run_that_ended_otherwise_cannot_be_cancelled() -> None:
    async def case() -> None:
        async with house() as at:
            execution_id, hand = await at.start(await at.publish()), at.hand()
            await hand.take()
            await hand.complete(execution_id, 1)
            problem(await _cancel(at, execution_id), 409, "already_final")
            problem(await _cancel(at, "0" * 32), 404, "unknown_execution")
            problem(await _cancel(at, "../../x"), 404, "not_found")

    run(case())


def test_a_cancel_that_keeps_losing_says_so() -> None:
    async def case() -> None:
        async with house() as at:
            execution_id = await at.start(await at.publish())

            class Busy:
                """Someone else always writes first."""

                def __getattr__(self, name: str) -> Any:
                    return getattr(at.store, name)

                async def append(self, batch: Any) -> Any:
                    from axiom.runtime.store.base import Conflict

                    return [Conflict(99) for _ in batch]

            with pytest.raises(doors.Contended):
                await doors.cancel(Busy(), at.clock, "default", execution_id)  # type: ignore[arg-type]

    run(case())
