"""Streams to readers: frames and events as server-sent events, from the store, at the reader's pace.

A stream holds nothing but its place. It pulls a bounded bite from the store, hands it to the connection, and pulls the
next one when that was taken; so a slow reader costs one bite of memory here and nothing at all in the run. Any process
can serve any execution from any place.

The end is recognised in an order that leaves no gap: first that the run has ended (its log is closed from then on),
then that nothing is left in the log.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from sse_starlette import EventSourceResponse, ServerSentEvent

from axiom.runtime import telemetry
from axiom.runtime.clock import Clock
from axiom.runtime.events import Event, unpack_value
from axiom.runtime.results import STATUS_OF, NotFinal, Result, result_of
from axiom.runtime.store.base import FINAL, Frame, Store, StoreError

from .waiters import Listener, Waiters
from .wire import iso, to_json

FRAMES_MOST: Final = 256
"""Frames pulled at once."""
FRAMES_FIRST: Final = 16
"""Frames of the first pull: their size says how many the next may be."""
BITE_BYTES: Final = 256 << 10
"""What a pull aims at: more frames if they are small, fewer if they are large."""
EVENTS_BITE: Final = 256
PING_SECONDS: Final = 15
SEND_SECONDS: Final = 120.0
"""A reader that takes nothing for so long is gone."""


class FrameReader:
    """One reader's way along an execution's frames, from ``index`` on."""

    def __init__(
        self, store: Store, waiters: Waiters, clock: Clock, execution_id: str, terminal: str, index: int
    ) -> None:
        self._store: Final = store
        self._waiters: Final = waiters
        self._clock: Final = clock
        self._id: Final = execution_id
        self._terminal: Final = terminal
        self._index = index
        self._limit = FRAMES_FIRST
        self._ended = False

    async def chunks(self, seconds: float, began: float) -> AsyncIterator[bytes]:
        """Yield the frames as they become durable, then the final one; after ``seconds`` an error for this reader."""
        until = began + seconds
        first = True
        with self._waiters.listen(self._id) as listener:
            look = True
            while True:
                listener.clear()
                self._ended = self._ended or listener.ended is not None or (look and await self._look())
                frames = await self._store.frames(self._id, self._terminal, self._index - 1, self._limit)
                if frames:
                    if first:
                        telemetry.FIRST_FRAME_SECONDS.observe(self._clock.monotonic() - began)
                        first = False
                    yield self._encode(frames)
                elif self._ended:
                    yield await self._final()
                    return
                look = False
                left = until - self._clock.monotonic()
                if left <= 0:
                    yield self._timed_out(seconds)
                    return
                if not frames:
                    look = await self._rest(listener, left)

    async def _look(self) -> bool:
        head = (await self._store.heads((self._id,)))[0]
        return head is None or head.status in FINAL

    async def _rest(self, listener: Listener, left: float) -> bool:
        """Wait for something to move; whether the head is worth a look."""
        heard = await listener.wait(min(left, self._waiters.look_seconds()))
        return not heard or listener.missed

    def _encode(self, frames: list[Frame]) -> bytes:
        execution_id = self._id
        out: list[bytes] = []
        for frame in frames:
            payload = to_json(unpack_value(frame.payload))
            out.append(
                b'id: %d\r\ndata: {"execution_id":"%b","frame_index":%d,"payload":%b,"is_final":false,"success":true}'
                b"\r\n\r\n" % (frame.index, execution_id.encode(), frame.index, payload)
            )
        chunk = one_line(b"".join(out))
        self._index = frames[-1].index + 1
        self._limit = max(1, min(FRAMES_MOST, BITE_BYTES * len(frames) // len(chunk)))
        telemetry.STREAM_FRAMES.inc(len(frames))
        return chunk

    async def _final(self) -> bytes:
        """The last frame, made from the final event."""
        head = (await self._store.heads((self._id,)))[0]
        body: dict[str, Any] = {"execution_id": self._id, "frame_index": self._index, "is_final": True}
        try:
            result = await result_of(self._store, self._id, head.seq) if head is not None else None
        except NotFinal:
            result = None
        body["success"] = result is not None and result.success
        if not body["success"]:
            body["error"] = _words(result)
        return _event(str(self._index), body)

    def _timed_out(self, seconds: float) -> bytes:
        body = {
            "execution_id": self._id,
            "frame_index": self._index,
            "is_final": True,
            "success": False,
            "error": f"no final frame within {seconds:g} s; the run goes on: join again",
        }
        return _event(None, body)


def _words(result: Result | None) -> str:
    if result is None or result.error is None:
        return "value_gone: the execution was deleted"
    return f"{result.error['code']}: {result.error['message']}"


def _event(name: str | None, body: dict[str, Any]) -> bytes:
    return one_line(ServerSentEvent(to_json(body).decode(), id=name).encode())


def one_line(chunk: bytes) -> bytes:
    """Escape what JSON leaves as it is and many readers of lines take for a line's end: U+0085, U+2028, U+2029."""
    if b"\xe2\x80" in chunk:
        chunk = chunk.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return chunk.replace(b"\xc2\x85", b"\\u0085")


async def events(store: Store, waiters: Waiters, execution_id: str, after: int) -> AsyncIterator[bytes]:
    """Yield an execution's events behind ``after`` as they become durable, up to the final one."""
    with waiters.listen(execution_id) as listener:
        while True:
            listener.clear()
            bite = await store.read(execution_id, after, EVENTS_BITE)
            if bite:
                yield b"".join(_event(str(event.seq), event_json(event)) for event in bite)
                after = bite[-1].seq
                if bite[-1].kind in STATUS_OF:
                    return
                continue
            heard = await listener.wait(waiters.look_seconds())
            if not heard and (await store.heads((execution_id,)))[0] is None:
                return


def event_json(event: Event) -> dict[str, Any]:
    """Return an event as doors show it. A large value stays named: ``{"blob", "size"}``."""
    return {
        "seq": event.seq,
        "at": iso(event.at),
        "kind": event.kind,
        "node": event.node,
        "iteration": list(event.iteration),
        "attempt": event.attempt,
        "epoch": event.epoch,
        "body": event.body,
    }


def stream(chunks: AsyncIterator[bytes], headers: dict[str, str] | None = None) -> EventSourceResponse:
    """Return the response that sends ``chunks``, with keep-alive comments between them."""
    return EventSourceResponse(
        _counted(chunks),
        headers=headers,
        ping=PING_SECONDS,
        ping_message_factory=lambda: ServerSentEvent(comment="still here"),
        send_timeout=SEND_SECONDS,
    )


async def _counted(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    with telemetry.STREAMS_OPEN.track_inprogress():
        try:
            async for chunk in chunks:
                yield chunk
        except StoreError:
            return  # the reader comes back to where it was
