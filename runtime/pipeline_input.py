"""The ``frames`` of one node: first what the log holds of its inputs, then what its sources make now.

The order in which a node is fed is the order in which its sources' frames stand in the log: a frame gets its position
and enters its targets' buffers in one step, without an ``await`` between. So the log alone tells what a merging node
was fed, and a node that starts again is fed the same: its sources' logged frames, by position, then live ones, which
all stand behind them. There is no gap and no repeat, because a source that starts again sends on only what was not
yet logged.

A failure of a source travels in the same order: its consumers work on what it had made before.

Buffers hold payloads, not objects: each consumer decodes its own, so that no handler sees what another has changed.
Pulling may be cancelled (a handler's time-out around it) without losing a frame; it may not be done twice at a time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, NamedTuple

from .failures import Failure
from .limits import FRAME_BUFFER, FRAME_BUFFER_BYTES
from .pipeline_layout import NOT_TAKEN, Pipe, Refused
from .pipeline_log import LostClaim, Pages, Wakeup, unpack


class Break(NamedTuple):
    """The end of a stream whose node has failed, or was itself behind one."""

    order: int
    """The first failure of a run has 0."""
    node: str
    failure: Failure


Item = tuple[Pipe, int, bytes] | Break
"""``(the way it came, its index at its source, payload)``."""


class Fed:
    """What the log holds of a node's inputs, by position."""

    __slots__ = ("_breaks", "_ready", "_sources")

    def __init__(
        self, sources: Sequence[tuple[Pages, Sequence[Pipe]]], failures: Sequence[tuple[int, Sequence[Item]]]
    ) -> None:
        self._sources = list(sources)
        self._breaks = deque(sorted(failures, key=lambda failure: failure[0]))
        self._ready: deque[Item] = deque()

    async def next(self) -> Item | None:
        """Return the next item, ``None`` at the end. May be cancelled and called again."""
        while not self._ready:
            first: tuple[Pages, Sequence[Pipe]] | None = None
            for source in self._sources:
                pages = source[0]
                if (pages.buffer or await pages.load()) and (
                    first is None or pages.buffer[0].position < first[0].buffer[0].position
                ):
                    first = source
            if self._breaks and (first is None or self._breaks[0][0] < first[0].buffer[0].position):
                self._ready.extend(self._breaks.popleft()[1])
            elif first is None:
                return None
            else:
                frame = first[0].pop()
                self._ready.extend((pipe, frame.index, frame.payload) for pipe in first[1])
        return self._ready.popleft()


class Input(AsyncIterator[Any]):
    """See the top of the file. ``broken`` is told, and the pull then never returns, when no more can be given."""

    __slots__ = (
        "_broken",
        "_bytes",
        "_decode",
        "_items",
        "_pulling",
        "_seen",
        "arrived",
        "closed",
        "fed",
        "full",
        "index",
        "most",
        "open",
        "pipe",
        "room",
        "skip",
        "taken",
        "waiting",
    )

    def __init__(
        self,
        pipes: int,
        decode: Callable[[Any], Any] | None,
        broken: Callable[[Break | Failure | LostClaim], None],
    ) -> None:
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._decode: Final = decode
        self._broken: Final = broken
        self._pulling = False
        self._seen = 0
        self.fed: Fed | None = None
        """The logged part, until it has been read."""
        self.skip = 0
        """Inputs that an earlier owner's handler has done with: counted, not given."""
        self.taken = 0
        """Inputs that the handler has taken, those included."""
        self.open = pipes
        """Pipes that may still bring something."""
        self.closed = False
        self.full = False
        self.room = Wakeup()
        self.arrived = Wakeup()
        self.waiting = False
        self.pipe: Pipe | None = None
        self.index = 0
        """Where the last one came from, and its index there."""
        self.most = 0
        """The most frames that ever stood in the buffer."""

    # --- the sources' side ----------------------------------------------------------------------------------------

    def push(self, pipe: Pipe, index: int, payload: bytes) -> None:
        """Enter a frame. Never waits: the caller has looked at ``full``."""
        if self.closed:
            return
        self._items.append((pipe, index, payload))
        self._bytes += len(payload)
        count = len(self._items)
        if count > self.most:
            self.most = count
        if count >= FRAME_BUFFER or self._bytes >= FRAME_BUFFER_BYTES:
            self.full = True
        if self.waiting:
            self.arrived.wake()

    def push_break(self, broken: Break) -> None:
        """Nothing good comes behind this."""
        if not self.closed:
            self._items.append(broken)
            self.arrived.wake()

    def end_pipe(self) -> None:
        """One pipe brings no more."""
        self.open -= 1
        self.arrived.wake()

    def close(self) -> None:
        """The node has ended: whatever else comes is dropped, and nobody waits for room."""
        self.closed = True
        self.full = False
        self._items.clear()
        self._bytes = 0
        self.room.wake()

    @property
    def pending(self) -> bool:
        """Whether something is in the buffer."""
        return bool(self._items)

    def start_behind(self) -> int:
        """Begin behind the inputs to skip, for a caller that can read from there; return how many those are."""
        self._seen = self.taken = self.skip
        return self.skip

    # --- the handler's side ---------------------------------------------------------------------------------------

    def __aiter__(self) -> Input:
        return self

    async def __anext__(self) -> Any:
        while True:
            if self.fed is not None:
                item = await self._slowly(self.fed.next)
                if item is None:
                    self.fed = None
                    continue
            elif self._items:
                item = self._items.popleft()
                if type(item) is not Break:
                    self._bytes -= len(item[2])
                    if self.full and self._bytes < FRAME_BUFFER_BYTES:
                        self.full = False
                        self.room.wake()
            elif self.open <= 0 or self.closed:
                raise StopAsyncIteration
            else:
                await self._slowly(self.arrived.wait)
                continue
            if type(item) is Break:
                await self._break(item)
            pipe, index, payload = item  # type: ignore[misc]
            if pipe.plain:
                self._seen += 1
                if self._seen <= self.skip:
                    self.taken = self._seen
                    continue
                value = unpack(payload)
            else:
                value = await self._piped(pipe, payload)
                if value is NOT_TAKEN:
                    continue
                self._seen += 1
                if self._seen <= self.skip:
                    self.taken = self._seen
                    continue
            if self._decode is not None:
                value = await self._decoded(value)
            self.taken = self._seen
            self.pipe, self.index = pipe, index
            return value

    async def _piped(self, pipe: Pipe, payload: bytes) -> Any:
        try:
            return pipe.pass_on(unpack(payload))
        except Refused as refused:
            await self._break(refused.failure)

    async def _decoded(self, value: Any) -> Any:
        assert self._decode is not None
        try:
            return self._decode(value)
        except Exception as error:
            message = f"a frame can't be made what the handler takes: {error}"
            await self._break(Failure("input_invalid", message, retryable=False))

    async def _slowly(self, wait: Callable[[], Any]) -> Any:
        if self._pulling:
            raise RuntimeError("frames are pulled by two tasks at once")
        self._pulling = self.waiting = True
        try:
            return await wait()
        except LostClaim as lost:
            await self._break(lost)
        finally:
            self._pulling = self.waiting = False

    async def _break(self, why: Break | Failure | LostClaim) -> None:
        """Tell the node, which cancels its task: no handler can take this for one of its own errors."""
        self._broken(why)
        await asyncio.get_running_loop().create_future()
