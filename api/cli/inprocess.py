"""An HTTP client's way into an application of this process: no port, no socket, and streams that really stream.

A command that is given a store instead of a server opens the store, builds the application over it and talks to it
through this transport: one shape of every answer, whichever way it came.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Final

import httpx

Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]
CHUNKS: Final = 16
"""Parts of an answer that may wait for the reader; then the application waits."""


class InProcess(httpx.AsyncBaseTransport):
    """Sends each request to ``application``; ``extra`` is added to the request's scope."""

    def __init__(self, application: Application, extra: Message | None = None) -> None:
        self._application: Final = application
        self._extra: Final = dict(extra or {})

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        exchange = _Exchange(await request.aread())
        task = asyncio.create_task(self._serve(exchange, {**self._extra, **_scope(request)}))
        try:
            status, headers = await exchange.head
        except BaseException:
            task.cancel()
            raise
        return httpx.Response(status, headers=headers, stream=_Body(exchange, task), request=request)

    async def _serve(self, exchange: _Exchange, scope: Message) -> None:
        try:
            await self._application(scope, exchange.receive, exchange.send)
        except Exception as error:
            if not exchange.head.done():
                exchange.head.set_exception(error)
            elif not exchange.complete:
                exchange.fault = error  # an answer that was sent whole stands, whatever came after it
        finally:
            await exchange.chunks.put(None)


class _Exchange:
    """One request and its answer on their way."""

    def __init__(self, body: bytes) -> None:
        self.body: bytes | None = body
        self.head: asyncio.Future[tuple[int, list[tuple[bytes, bytes]]]] = (
            asyncio.get_running_loop().create_future()
        )
        self.chunks: asyncio.Queue[bytes | None] = asyncio.Queue(CHUNKS)
        self.gone = asyncio.Event()
        self.complete = False
        self.fault: Exception | None = None

    async def receive(self) -> Message:
        if self.body is not None:
            body, self.body = self.body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.head.set_result((message["status"], list(message.get("headers", []))))
        elif message["type"] == "http.response.body":
            if message.get("body"):
                await self.chunks.put(bytes(message["body"]))
            self.complete = not message.get("more_body", False)


class _Body(httpx.AsyncByteStream):
    """The answer's body as it comes; closing it tells the application that the reader is gone."""

    def __init__(self, exchange: _Exchange, task: asyncio.Task[None]) -> None:
        self._exchange: Final = exchange
        self._task: Final = task

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (chunk := await self._exchange.chunks.get()) is not None:
            yield chunk
        if self._exchange.fault is not None:
            raise httpx.ReadError(f"the answer broke off: {self._exchange.fault!r}") from self._exchange.fault

    async def aclose(self) -> None:
        self._exchange.gone.set()
        while not self._exchange.chunks.empty():
            self._exchange.chunks.get_nowait()
        done, _ = await asyncio.wait([self._task], timeout=1)
        if not done:
            self._task.cancel()
            await asyncio.wait([self._task])


def _scope(request: httpx.Request) -> Message:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.partition(b"?")[0],
        "query_string": request.url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": (request.url.host, request.url.port or 80),
        "client": ("127.0.0.1", 0),
        "state": {},
    }
