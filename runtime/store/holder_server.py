"""The holder's side of the socket: other processes' calls, made on the ``Embedded`` of this one.

Calls of all connections are judged in the order they come and share commits with everyone's. A connection has at most
``CALLS_UNDER_WAY`` calls and about ``BUFFER_BYTES`` of unread answers; beyond that nothing more is read from it, and
hints for it are dropped, so a slow or stopped client costs the others nothing.

A session lives on the connection that beats it. When that connection closes without a ``bye`` its process is dead, and
the session is ended at once. (When the holder dies instead, nobody ends a session: the next one gives it a lease of
grace.)
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, cast

from .base import Hint, Outcome, StoreError, Unusable
from .embedded import Embedded
from .watching import of_kinds
from .wire import CALLS, VERSION, Unframer, error_out, framed, outcomes_out

CALLS_UNDER_WAY: Final = 256
BUFFER_BYTES: Final = 4 << 20


class HolderServer:
    """Listens on a Unix socket."""

    def __init__(self, embedded: Embedded) -> None:
        self.embedded = embedded
        self.beating: dict[str, Connection] = {}
        """Which connection each session lives on."""
        self.connections: set[Connection] = set()
        self.watching: dict[Connection, frozenset[str] | None] = {}
        """Who wants hints, and of which kinds; ``None``: all."""
        self._server: asyncio.Server | None = None
        self._path = ""
        self._stop_watching: Callable[[], None] | None = None

    async def start(self, path: str) -> None:
        """Listen at ``path``, which only this user may open."""
        self._path = path
        _remove(path)
        loop = asyncio.get_running_loop()
        before = os.umask(0o177)
        try:
            self._server = await loop.create_unix_server(lambda: Connection(self), path, backlog=512)
        finally:
            os.umask(before)
        self._stop_watching = self.embedded.watch(self._push)

    async def stop(self) -> None:
        """Close every connection, without ending the sessions that live on them."""
        if self._server is None:
            return
        self._server.close()
        self.beating.clear()
        for connection in list(self.connections):
            connection.close()
        if self._stop_watching is not None:
            self._stop_watching()
        self._server = None
        _remove(self._path)

    def _push(self, hints: Sequence[Hint]) -> None:
        whole = b""
        now = self.embedded.now()
        for connection, kinds in list(self.watching.items()):
            if kinds is None:
                whole = whole or framed((0, now, hints))
                connection.push(whole)
            elif wanted := of_kinds(hints, kinds):
                connection.push(framed((0, now, wanted)))


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, server: HolderServer) -> None:
        self._server = server
        self._unframer = Unframer()
        self._waiting: list[Any] = []
        self._calls: set[asyncio.Future[Any]] = set()
        """Under way."""
        self._slow = self._greeted = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=BUFFER_BYTES)
        self._server.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        server = self._server
        server.connections.discard(self)
        server.watching.pop(self, None)
        self.transport = None
        self._waiting.clear()
        for session in [name for name, at in server.beating.items() if at is self]:
            del server.beating[session]
            server.embedded.finish_session(session)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def pause_writing(self) -> None:
        self._slow = True
        self._throttle()

    def resume_writing(self) -> None:
        self._slow = False
        self._next()

    def push(self, message: bytes) -> None:
        """Send hints, unless the client does not keep up: it looks by itself then."""
        if self.transport is not None and not self._slow:
            self.transport.write(message)

    def data_received(self, data: bytes) -> None:
        try:
            self._waiting.extend(self._unframer.feed(data))
        except Exception:
            self.close()
            return
        self._next()

    def _next(self) -> None:
        """Begin calls while there is room."""
        while self._waiting and not self._slow and len(self._calls) < CALLS_UNDER_WAY:
            batch = self._waiting[: CALLS_UNDER_WAY - len(self._calls)]
            del self._waiting[: len(batch)]
            for message in batch:
                call = self._appended(message)
                if call is None:
                    call = asyncio.get_running_loop().create_task(self._answer(message))
                self._calls.add(call)
                call.add_done_callback(self._done)
        self._throttle()

    def _appended(self, message: Any) -> asyncio.Future[Any] | None:
        """Begin an append, by far the commonest call, without a task; ``None`` if it is another or can't begin."""
        try:
            number, method, arguments = message
            if method != "append" or not self._greeted:
                return None
            call = self._server.embedded.submit(*CALLS["append"].arguments(arguments))
        except (StoreError, ValueError, TypeError, LookupError):
            return None  # said by the common way

        def tell(call: asyncio.Future[list[Outcome]]) -> None:
            if call.cancelled():
                return
            now = self._server.embedded.now()
            error = call.exception()
            if error is None:
                self._send((number, now, True, outcomes_out(call.result())))
            else:
                self._send((number, now, False, error_out(error)))

        call.add_done_callback(tell)
        return call

    def _done(self, call: asyncio.Future[Any]) -> None:
        self._calls.discard(call)
        if self._waiting:
            self._next()
        else:
            self._throttle()

    def _throttle(self) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        if self._slow or self._waiting:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    async def _answer(self, message: Any) -> None:
        number: Any = 0
        try:
            number, method, arguments = message
            result = await self._perform(method, arguments)
        except (StoreError, ValueError, TypeError, LookupError) as error:
            self._send((number, self._server.embedded.now(), False, error_out(error)))
        else:
            self._send((number, self._server.embedded.now(), True, result))

    def _send(self, message: Any) -> None:
        if self.transport is not None:
            self.transport.write(framed(message))

    async def _perform(self, method: str, arguments: Any) -> Any:
        embedded = self._server.embedded
        if method == "hello":
            self._greet(*arguments)
            return VERSION
        if not self._greeted:
            raise Unusable("say hello first")
        if method == "beat":
            session, lease_ms, info, seen = arguments
            self._server.beating[session] = self
            return embedded.beat(session, lease_ms, info, seen, False)
        if method == "bye":
            for session in [name for name, at in self._server.beating.items() if at is self]:
                del self._server.beating[session]
            return None
        if method == "watch":
            kinds = arguments[0]
            self._server.watching[self] = None if kinds is None else frozenset(kinds)
            return None
        call = CALLS.get(method)
        if call is None:
            raise Unusable(f"the store has no call {method!r}: the two sides are of different versions")
        return call.answer(await getattr(embedded, method)(*call.arguments(arguments)))

    def _greet(self, version: int) -> None:
        if version != VERSION:
            raise Unusable(
                f"the store's holder speaks protocol {VERSION}, not {version}: run one version of Axiom"
            )
        self._greeted = True


def _remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)
