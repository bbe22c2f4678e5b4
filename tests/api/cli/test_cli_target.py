"""What a command talks to: streams are read as they come, problems become one line and an exit code."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from axiom.api.cli import exits
from axiom.api.cli.inprocess import InProcess
from axiom.api.cli.target import Event, Target, must_exist, problem, read_events


async def lines(text: str) -> AsyncIterator[str]:
    for line in text.split("\n"):
        yield line


def events_of(text: str) -> list[Event]:
    async def read() -> list[Event]:
        return [event async for event in read_events(lines(text))]

    return asyncio.run(read())


def test_events_have_an_id_and_data_and_comments_are_no_events() -> None:
    text = ': keep-alive\n\nid: 7\ndata: {"a":\ndata: 1}\n\nevent: x\ndata: 2\n\n'
    assert events_of(text) == [Event("7", {"a": 1}), Event("", 2)]


def test_an_event_that_was_cut_off_is_none() -> None:
    assert events_of('id: 1\ndata: {"a"') == []


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, exits.USAGE),
        (401, exits.USAGE),
        (404, exits.NOT_FOUND),
        (409, exits.USAGE),
        (422, exits.USAGE),
        (429, exits.AWAY),
        (500, exits.FAILED),
        (503, exits.AWAY),
    ],
)
def test_a_problem_has_the_exit_code_of_its_status(status: int, code: int) -> None:
    assert problem(status, b"", "there").exit_code == code


def test_a_problem_says_what_its_document_says_with_every_violation() -> None:
    document = {"title": "t", "detail": "no", "violations": [{"path": "/a", "message": "too small"}]}
    assert str(problem(422, json.dumps(document).encode(), "there")) == "no; /a: too small"


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"", b"\xff"])
def test_an_answer_that_is_no_document_is_a_problem_too(content: bytes) -> None:
    assert "there answered 500" in str(problem(500, content, "there"))


def test_a_store_in_a_file_is_not_made_by_looking(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(exits.Stop, match="there is no store"):
        must_exist(f"sqlite:///{tmp_path}/x.db")
    assert not list(tmp_path.iterdir())
    must_exist("memory:")
    must_exist("redis://localhost")


# --- the transport into this process ----------------------------------------------------------------------------------


async def echo(request: Request) -> Response:
    return JSONResponse(
        {
            "method": request.method,
            "path": request.url.path,
            "query": request.url.query,
            "body": (await request.body()).decode(),
            "who": request.scope.get("who"),
            "custom": request.headers.get("x-custom"),
        }
    )


def talking(application: Starlette, **extra: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=InProcess(application, extra), base_url="http://localhost")


def test_a_request_arrives_as_it_was_sent() -> None:
    application = Starlette(routes=[Route("/a/{b:path}", echo, methods=["POST"])])

    async def ask() -> dict[str, str]:
        async with talking(application, who="me") as client:
            answer = await client.post("/a/b%20c?x=1&y=2", content="body", headers={"X-Custom": "yes"})
            found: dict[str, str] = answer.json()
            return found

    assert asyncio.run(ask()) == {
        "method": "POST",
        "path": "/a/b c",
        "query": "x=1&y=2",
        "body": "body",
        "who": "me",
        "custom": "yes",
    }


def test_a_stream_is_read_while_it_is_made_and_leaving_it_tells_the_application() -> None:
    gone = asyncio.Event()
    made = []

    async def numbers() -> AsyncIterator[bytes]:
        try:
            for number in range(1_000_000):
                made.append(number)
                yield f"data: {number}\n\n".encode()
                await asyncio.sleep(0)
        finally:
            gone.set()

    async def stream(request: Request) -> Response:
        return StreamingResponse(numbers(), media_type="text/event-stream")

    async def read() -> list[int]:
        seen: list[int] = []
        async with talking(Starlette(routes=[Route("/", stream)])) as client:
            async with Target(client, "here").events("GET", "/") as events:
                async for event in events:
                    seen.append(event.data)
                    if len(seen) == 3:
                        break
            async with asyncio.timeout(60):
                await gone.wait()
        return seen

    assert asyncio.run(read()) == [0, 1, 2]
    assert len(made) < 100, "the application must wait for its reader"


async def asked(application: Any) -> httpx.Response:
    async with httpx.AsyncClient(transport=InProcess(application), base_url="http://localhost") as client:
        return await client.get("/")


def test_a_fault_before_the_answer_is_the_callers_error() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(asked(broken))


def test_an_answer_that_breaks_off_is_an_error_and_not_a_short_answer() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ZeroDivisionError

    with pytest.raises(httpx.ReadError, match="broke off"):
        asyncio.run(asked(broken))


def test_a_fault_after_the_whole_answer_changes_nothing() -> None:
    async def broken(request: Request) -> Response:
        raise ZeroDivisionError

    answer = asyncio.run(asked(Starlette(routes=[Route("/", broken)])))
    assert answer.status_code == 500


def test_a_server_that_is_away_is_exit_code_4() -> None:
    async def ask() -> None:
        async with httpx.AsyncClient(base_url="http://127.0.0.1:9") as client:
            await Target(client, "http://127.0.0.1:9").get("/health")

    with pytest.raises(exits.Stop) as stop:
        asyncio.run(ask())
    assert stop.value.exit_code == exits.AWAY
