"""The other processes' side of the socket: a ``Port`` whose calls the holder of the file answers.

When the holder goes away the client looks for the next one, with growing pauses, or becomes it (``take_over``). Calls
that were under way are made again if that is harmless; of others it is ``Unclear`` what was written, and the writer
reads back.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final, cast

from ..clock import Clock
from .backing import Line
from .base import (
    Append,
    Beat,
    Document,
    Finding,
    Frame,
    FrameAppend,
    Head,
    Hint,
    OutboxEntry,
    Outcome,
    Page,
    Query,
    Session,
    Settle,
    StoreError,
    Unavailable,
    Unclear,
    Unusable,
    Watcher,
)
from .embedded import Embedded, RawClaim
from .permits import Ask, Given, Limit, Rate, Turn
from .watching import Watchers, unheard
from .wire import CALLS, VERSION, Unframer, beat_in, error_in, framed, hints_in

PAUSES: Final = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Seconds between two looks for a holder; the last one repeats. The sum of a few must stay below a lease."""


class Lost(Exception):
    """The connection ended before the answer came."""


class NotSent(Lost):
    """The connection ended before the call was sent."""


class Link(asyncio.Protocol):
    """One connection to a holder."""

    def __init__(self, heard: Callable[[int], None], hints: Callable[[list[Hint]], None]) -> None:
        self._heard, self._hints = heard, hints
        self._unframer = Unframer()
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._transport: asyncio.Transport | None = None
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        asked, self._asked = self._asked, {}
        for future in asked.values():
            if not future.done():
                future.set_exception(Lost())
        if not self.lost.done():
            self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._unframer.feed(data):
                self._take(message)
        except (ValueError, TypeError, LookupError):
            self.close()

    def _take(self, message: Any) -> None:
        self._heard(message[1])
        if message[0] == 0:
            self._hints(hints_in(message[2]))
            return
        future = self._asked.pop(message[0], None)
        if future is None or future.done():
            return
        if message[2]:
            future.set_result(message[3])
        else:
            future.set_exception(error_in(message[3]))

    def call(self, method: str, arguments: Sequence[Any]) -> asyncio.Future[Any]:
        """Send one call; its future has the raw result, or ``Lost``."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._transport is None:
            future.set_exception(NotSent())
            return future
        number = next(self._numbers)
        self._asked[number] = future
        self._transport.write(framed((number, method, arguments)))
        return future

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Client:
    """A ``Port`` to whoever holds the file."""

    def __init__(
        self,
        place: Callable[[], str | None],
        take_over: Callable[[], Awaitable[Embedded | None]],
        clock: Clock,
        timeout_seconds: float,
    ) -> None:
        self._place, self._take_over, self._clock = place, take_over, clock
        self._timeout_seconds = timeout_seconds
        self._watchers: Final = Watchers(self._want)
        self._link: Link | None = None
        self._embedded: Embedded | None = None
        self._seeking: asyncio.Task[None] | None = None
        self._found = asyncio.Event()
        self._refused: StoreError | None = None
        self._ahead_ms = 0.0
        self._now = 0

    # --- the connection ---------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Find the holder, or become it."""
        self._seek()
        await self._target()

    async def close(self) -> None:
        if self._seeking is not None:
            self._seeking.cancel()
            await asyncio.gather(self._seeking, return_exceptions=True)
        if self._link is not None:
            self._link.close()

    def _seek(self) -> None:
        self._seeking = self._clock.spawn(self._keep_connected(), "axiom-store-client")

    async def _keep_connected(self) -> None:
        """Be connected, again and again, until this process is the holder."""
        while self._embedded is None:
            await self._connect()
            if self._link is not None:
                await self._link.lost
                self._link = None
                self._found.clear()

    async def _connect(self) -> None:
        for attempt in itertools.count():
            try:
                self._link = await self._dial()
                if self._link is None:
                    self._embedded = await self._take_over()
                self._refused = None
            except StoreError as error:
                self._refused = error
            if self._embedded is not None:
                self._embedded.watch(self._watchers.tell, None)
            if self._link is not None or self._embedded is not None:
                self._found.set()
                return
            await self._clock.sleep(PAUSES[min(attempt, len(PAUSES) - 1)])

    async def _dial(self) -> Link | None:
        place = self._place()
        if place is None:
            return None
        loop = asyncio.get_running_loop()
        try:
            _, link = await loop.create_unix_connection(lambda: Link(self._heard, self._watchers.tell), place)
        except OSError:
            return None
        try:
            await link.call("hello", (VERSION,))
            await link.call("watch", (self._watchers.kinds,))
        except Lost:
            return None
        except StoreError:
            link.close()
            raise
        return link

    async def _target(self) -> Link | Embedded:
        """Who answers calls; waits for one, but not for ever."""
        target = self._link or self._embedded
        if target is None:
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    await self._found.wait()
            except TimeoutError:
                raise self._refused or Unavailable(
                    "nobody holds the store's file, or it does not answer"
                ) from None
            target = self._link or self._embedded
        if target is None:
            raise Unavailable("the store's holder went away again")
        return target

    def _heard(self, now: int) -> None:
        self._ahead_ms = now - self._clock.monotonic() * 1000

    def now(self) -> int:
        """The holder's time, as of its last answer."""
        if self._embedded is not None:
            return self._embedded.now()
        self._now = max(self._now, int(self._ahead_ms + self._clock.monotonic() * 1000))
        return self._now

    def watch(self, watcher: Watcher, kinds: Collection[str] | None = None) -> Callable[[], None]:
        return self._watchers.add(watcher, kinds)

    def _want(self) -> None:
        """Tell the holder which kinds of hints are wanted here; calls made after it are answered after it."""
        if self._link is not None:
            self._link.call("watch", (self._watchers.kinds,)).add_done_callback(unheard)

    async def _call(self, method: str, *arguments: Any) -> Any:
        call = CALLS[method]
        while True:
            target = await self._target()
            if isinstance(target, Embedded):
                return await getattr(target, method)(*arguments)
            try:
                return call.result(await target.call(method, arguments))
            except Lost as lost:
                if not call.again and not isinstance(lost, NotSent):
                    raise Unclear("the store's holder went away before it answered") from None
            await target.lost
            await self._clock.sleep(0)

    # --- the calls --------------------------------------------------------------------------------------------

    async def findings(self) -> list[Finding]:
        return cast("list[Finding]", await self._call("findings"))

    async def append(self, batch: Sequence[Append]) -> list[Outcome]:
        return cast("list[Outcome]", await self._call("append", batch))

    async def lines(self, execution_id: str, after: int, limit: int) -> list[Line]:
        return cast("list[Line]", await self._call("lines", execution_id, after, limit))

    async def snapshot(self, execution_id: str) -> tuple[int, bytes] | None:
        return cast("tuple[int, bytes] | None", await self._call("snapshot", execution_id))

    async def heads(self, ids: Sequence[str]) -> list[Head | None]:
        return cast("list[Head | None]", await self._call("heads", ids))

    async def find(self, query: Query) -> Page:
        return cast("Page", await self._call("find", query))

    async def scan(self, after: str, limit: int) -> list[Head]:
        return cast("list[Head]", await self._call("scan", after, limit))

    async def put_blob(self, execution_id: str, name: str, data: bytes) -> None:
        await self._call("put_blob", execution_id, name, data)

    async def blob(self, execution_id: str, name: str) -> bytes | None:
        return cast("bytes | None", await self._call("blob", execution_id, name))

    async def append_frames(self, batch: Sequence[FrameAppend]) -> list[Outcome]:
        return cast("list[Outcome]", await self._call("append_frames", batch))

    async def frames(self, execution_id: str, node: str, after: int, limit: int) -> list[Frame]:
        return cast("list[Frame]", await self._call("frames", execution_id, node, after, limit))

    async def frame_counts(self, execution_id: str) -> dict[str, int]:
        return cast("dict[str, int]", await self._call("frame_counts", execution_id))

    async def claim(
        self, session: str, queues: Sequence[str], limit: int, weights: Mapping[str, float]
    ) -> list[RawClaim]:
        return cast("list[RawClaim]", await self._call("claim", session, queues, limit, weights))

    async def end_session(self, session: str) -> None:
        await self._call("end_session", session)

    async def sessions(self) -> list[Session]:
        return cast("list[Session]", await self._call("sessions"))

    async def owned(self, session: str) -> list[str]:
        return cast("list[str]", await self._call("owned", session))

    async def claim_outbox(
        self, session: str, limit: int, lane: str, holding: Sequence[str] | None
    ) -> list[OutboxEntry]:
        return cast("list[OutboxEntry]", await self._call("claim_outbox", session, limit, lane, holding))

    async def settle_outbox(self, session: str, settled: Sequence[Settle]) -> None:
        await self._call("settle_outbox", session, settled)

    async def outbox(self, account: str | None, dead: bool | None, limit: int) -> list[OutboxEntry]:
        return cast("list[OutboxEntry]", await self._call("outbox", account, dead, limit))

    async def redeliver(self, name: str) -> bool:
        return cast("bool", await self._call("redeliver", name))

    async def acquire(self, asks: Sequence[Ask]) -> list[bool]:
        return cast("list[bool]", await self._call("acquire", asks))

    async def release(self, given: Sequence[Given]) -> list[Turn]:
        return cast("list[Turn]", await self._call("release", given))

    async def turns(self) -> list[Turn]:
        return cast("list[Turn]", await self._call("turns"))

    async def take(self, rates: Sequence[Rate]) -> list[int]:
        return cast("list[int]", await self._call("take", rates))

    async def limits(self, prefix: str = "", after: str = "", limit: int = 500) -> list[Limit]:
        return cast("list[Limit]", await self._call("limits", prefix, after, limit))

    async def expired(self, now: int, limit: int, account: str | None) -> list[Head]:
        return cast("list[Head]", await self._call("expired", now, limit, account))

    async def delete(self, ids: Sequence[str]) -> int:
        return cast("int", await self._call("delete", ids))

    async def put(self, kind: str, key: str, value: bytes, expect: int | None) -> int | None:
        return cast("int | None", await self._call("put", kind, key, value, expect))

    async def get(self, kind: str, key: str) -> Document | None:
        return cast("Document | None", await self._call("get", kind, key))

    async def documents(self, kind: str, prefix: str, after: str, limit: int) -> list[Document]:
        return cast("list[Document]", await self._call("documents", kind, prefix, after, limit))

    async def remove(self, kind: str, key: str) -> bool:
        return cast("bool", await self._call("remove", kind, key))


class SocketBeater:
    """A beater with a blocking connection of its own, which the session lives on.

    It never closes that connection by itself while its process lives, but with a ``bye``: to the holder, an end without
    one means that the process is dead.
    """

    def __init__(self, place: Callable[[], str | None], local: Callable[[], Embedded | None]) -> None:
        self._place, self._local = place, local
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._socket: socket.socket | None = None
        self._unframer = Unframer()
        self._number = 0

    def beat(self, session: str, lease_ms: int, info: Mapping[str, Any], seen: Mapping[str, int]) -> Beat:
        """Renew; waits for a holder for at most half a lease, then ``Unavailable``."""
        with self._lock:
            for pause in self._pauses(lease_ms):
                embedded = self._local()
                if embedded is not None:
                    return embedded.beat(session, lease_ms, info, seen, True)
                try:
                    return beat_in(self._ask("beat", (session, lease_ms, dict(info), dict(seen))))
                except OSError:
                    self._drop()
                self._closed.wait(pause)
            raise Unavailable("nobody holds the store's file, or it does not answer")

    def _pauses(self, lease_ms: int) -> list[float]:
        left, pauses = lease_ms / 2000, []
        for attempt in itertools.count():
            pause = PAUSES[min(attempt, len(PAUSES) - 1)]
            pauses.append(pause)
            left -= pause
            if left <= 0 or len(pauses) >= 64:
                return pauses
        return pauses

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            if self._socket is not None:
                try:
                    self._ask("bye", ())
                except OSError:
                    pass
                self._drop()

    def _ask(self, method: str, arguments: tuple[Any, ...]) -> Any:
        if self._socket is None:
            self._dial()
        assert self._socket is not None
        self._number += 1
        self._socket.sendall(framed((self._number, method, arguments)))
        while True:
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionResetError
            for number, _, good, result in self._unframer.feed(data):
                if number == self._number:
                    if good:
                        return result
                    raise error_in(result)

    def _dial(self) -> None:
        place = self._place()
        if place is None:
            raise ConnectionRefusedError
        self._unframer = Unframer()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(place)
        if self._ask("hello", (VERSION,)) != VERSION:
            raise Unusable("the store's holder speaks another protocol")

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
