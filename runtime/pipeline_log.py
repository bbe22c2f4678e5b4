"""The writing side of one execution's frame log, and what a new owner reads from it.

Frames get their position when they are made, and are appended in that order: the durable part of the log is at any
time a prefix of what was made. So whatever a durable frame was made from is durable too, and a run that starts again
from the log alone is consistent.

One append is under way at a time and takes whatever is ready; there is no timer. What was made and is not durable is
bounded in frames and bytes; ``full`` and ``room`` are the back-pressure.

Besides frames the log holds **marks**, as frames of a node that no flow can have (``@marks``): a node began, ended or
failed, the run has so many bytes. They are ordered with the frames, need nothing from the store, and no reader of a
node's frames ever meets one.

``LostClaim`` is the only way out of a log that can't be written: the owner stops and writes nothing more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgpack

from .clock import Clock
from .limits import (
    BATCH_BYTES,
    FRAME_PAGE,
    FRAME_PAGE_BYTES,
    FRAMES_UNDURABLE,
    FRAMES_UNDURABLE_BYTES,
    STREAM_MARK_BYTES,
    UNCLEAR_SECONDS,
)
from .store.base import Conflict, Fence, Frame, FrameAppend, Ok, Store, StoreError

MARKS: Final = "@marks"
"""The node under whose name marks stand. Aliases have no ``@``."""
BEGUN: Final = "begun"
ENDED: Final = "ended"
FAILED: Final = "failed"
BYTES: Final = "bytes"

FIRST_PAGE: Final = 8
FIRST_BACKOFF_SECONDS: Final = 0.01
MOST_BACKOFF_SECONDS: Final = 0.25

T = TypeVar("T")
pack: Final[Callable[[Any], bytes]] = msgpack.Packer(use_bin_type=True).pack


def unpack(payload: bytes) -> Any:
    """Return the value of a payload."""
    return msgpack.unpackb(payload, strict_map_key=False)


class LostClaim(Exception):
    """The run is no longer this owner's to write, or can't be written: stop. ``reason``: ``fenced``, ``final``,
    ``missing``, ``conflict`` (someone wrote under this very claim), ``tail_lost`` (the store came back shorter: a new
    run over what is there may go on under the same claim), ``store`` (no clear answer for too long)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Wakeup:
    """Lets tasks wait until something may have changed; they look again themselves."""

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    def wake(self) -> None:
        """Let everyone go on who waits now."""
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def wait(self) -> None:
        """Wait for the next ``wake``."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter


async def patiently(clock: Clock, ask: Callable[[], Awaitable[T]]) -> T:
    """Ask a store until it answers. ``LostClaim`` after ``UNCLEAR_SECONDS`` of trying, or if trying is no use."""
    pause = FIRST_BACKOFF_SECONDS
    give_up: float | None = None
    while True:
        try:
            return await ask()
        except StoreError as error:
            now = clock.monotonic()
            give_up = now + UNCLEAR_SECONDS if give_up is None else give_up
            if not error.retryable or now >= give_up:
                raise LostClaim("store", f"the frame log can't be reached: {error}") from error
        await clock.sleep(pause)
        pause = min(pause * 2, MOST_BACKOFF_SECONDS)


class FrameLog:
    """The frames of one run on their way to the store."""

    __slots__ = (
        "_at_durable",
        "_bytes",
        "_clock",
        "_execution_id",
        "_fence",
        "_idle",
        "_marks",
        "_moved",
        "_next_mark",
        "_pending",
        "_store",
        "_work",
        "durable",
        "full",
        "made",
        "most_undurable",
        "room",
        "total",
    )

    def __init__(self, store: Store, clock: Clock, execution_id: str, fence: Fence, former: Former) -> None:
        self._store = store
        self._clock = clock
        self._execution_id = execution_id
        self._fence = fence
        self._pending: list[Frame] = []
        self._bytes = 0
        self._marks = former.counts.get(MARKS, 0)
        self._next_mark = former.bytes + STREAM_MARK_BYTES
        self._idle = False
        self._work = Wakeup()
        self._moved = Wakeup()
        self._at_durable: deque[tuple[int, Callable[[], None]]] = deque()
        self.made = former.tail
        """The position of the youngest entry."""
        self.durable = former.tail
        """The position up to which the store has answered."""
        self.total = former.bytes
        """Bytes of all frames."""
        self.full = False
        self.room = Wakeup()
        self.most_undurable = 0

    def add(self, node: str, index: int, taken: int, payload: bytes) -> None:
        """Enter a frame. Never waits: the caller has looked at ``full``."""
        self.made += 1
        self._pending.append(Frame(self.made, node, index, taken, payload))
        self._bytes += len(payload)
        self.total += len(payload)
        undurable = self.made - self.durable
        if undurable >= FRAMES_UNDURABLE or self._bytes >= FRAMES_UNDURABLE_BYTES:
            self.full = True
        if undurable > self.most_undurable:
            self.most_undurable = undurable
        if self._idle:
            self._idle = False
            self._work.wake()
        if self.total >= self._next_mark:
            self._next_mark = self.total + STREAM_MARK_BYTES
            self.mark(BYTES, self.total)

    def mark(self, kind: str, *what: Any) -> None:
        """Enter a mark."""
        payload = pack([kind, *what])
        self.total -= len(payload)  # marks are Axiom's own
        self._marks += 1
        self.add(MARKS, self._marks - 1, 0, payload)

    def at_durable(self, call: Callable[[], None]) -> None:
        """Call once everything that was entered so far is durable."""
        self._at_durable.append((self.made, call))

    async def settle(self) -> None:
        """Wait until everything that was entered so far is durable."""
        wanted = self.made
        while self.durable < wanted:
            await self._moved.wait()

    async def write(self) -> None:
        """Append what comes, for as long as the run lasts. ``LostClaim`` if that can't be."""
        while True:
            while not self._pending:
                self._idle = True
                await self._work.wait()
            batch = self._take()
            await self._append(batch)
            self.durable = batch[-1].position
            self._bytes -= sum(len(frame.payload) for frame in batch)
            if self.full and self._bytes < FRAMES_UNDURABLE_BYTES and not self._crowded():
                self.full = False
                self.room.wake()
            self._moved.wake()
            while self._at_durable and self._at_durable[0][0] <= self.durable:
                self._at_durable.popleft()[1]()

    def _crowded(self) -> bool:
        return self.made - self.durable >= FRAMES_UNDURABLE

    def _take(self) -> tuple[Frame, ...]:
        """What is ready, up to the bytes of one call; at least one frame."""
        if self._bytes <= BATCH_BYTES:
            batch, self._pending = self._pending, []
            return tuple(batch)
        size = count = 0
        for frame in self._pending:
            size += len(frame.payload)
            if count and size > BATCH_BYTES:
                break
            count += 1
        batch = self._pending[:count]
        del self._pending[:count]
        return tuple(batch)

    async def _append(self, frames: tuple[Frame, ...]) -> None:
        request = [FrameAppend(self._execution_id, self._fence, self.durable, frames)]
        outcome = (await patiently(self._clock, lambda: self._store.append_frames(request)))[0]
        match outcome:
            case Ok():
                return
            case Conflict(tail) if tail < self.durable:
                raise LostClaim("tail_lost", f"the frame log ends at {tail}, but {self.durable} was answered")
            case Conflict(tail):
                if tail != frames[-1].position or not await self._stand(frames):
                    raise LostClaim("conflict", f"someone else wrote frames up to {tail}")
            case _:
                raise LostClaim(type(outcome).__name__.lower(), f"the store refused frames: {outcome}")

    async def _stand(self, frames: Sequence[Frame]) -> bool:
        """Whether the store has exactly these: an own write whose answer was lost."""
        by_node: dict[str, list[Frame]] = {}
        for frame in frames:
            by_node.setdefault(frame.node, []).append(frame)
        for node, mine in by_node.items():
            pages = Pages(
                self._store, self._clock, self._execution_id, node, mine[0].index, mine[-1].index + 1
            )
            for frame in mine:
                await pages.load()
                if pages.pop() != frame:
                    return False
        return True


class Pages:
    """Frames ``first`` up to (not with) ``end`` of one node, read a page at a time, about a mebibyte in memory."""

    __slots__ = ("_clock", "_end", "_execution_id", "_limit", "_next", "_node", "_store", "buffer")

    def __init__(
        self, store: Store, clock: Clock, execution_id: str, node: str, first: int, end: int
    ) -> None:
        self._store = store
        self._clock = clock
        self._execution_id = execution_id
        self._node = node
        self._next = first
        self._end = end
        self._limit = FIRST_PAGE
        self.buffer: deque[Frame] = deque()

    async def load(self) -> bool:
        """Make sure that ``buffer`` has the next frame; False if there is none. ``LostClaim`` if the log is shorter.

        May be cancelled and called again.
        """
        if self.buffer:
            return True
        if self._next >= self._end:
            return False
        limit = min(self._limit, self._end - self._next)
        page = await patiently(
            self._clock,
            lambda: self._store.frames(self._execution_id, self._node, self._next - 1, limit),
        )
        if not page or page[0].index != self._next or page[-1].index != self._next + len(page) - 1:
            raise LostClaim("tail_lost", f"frame {self._next} of {self._node} is gone from the log")
        self._next += len(page)
        self.buffer.extend(page)
        size = sum(len(frame.payload) for frame in page)
        self._limit = max(1, min(FRAME_PAGE, FRAME_PAGE_BYTES * len(page) // max(1, size)))
        return True

    def pop(self) -> Frame:
        """Return the next frame, after a ``load`` that said True."""
        return self.buffer.popleft()


class Failed(NamedTuple):
    """A failure that error pipes have taken, as it stands in the log."""

    position: int
    error: dict[str, Any]
    """``{code, message, node, attempt}``"""
    handled: bool
    """An error branch leads back to the terminal: for the others the node just ended."""


class Former(NamedTuple):
    """What the log says about the run so far."""

    counts: dict[str, int]
    """Frames by node; marks among them."""
    tail: int
    begun: frozenset[str]
    ended: frozenset[str]
    failed: dict[str, Failed]
    bytes: int
    """To within ``STREAM_MARK_BYTES``."""


class LogReader:
    """The log of one execution, read by its new owner."""

    def __init__(self, store: Store, clock: Clock, execution_id: str) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._execution_id: Final = execution_id

    def pages(self, node: str, first: int, end: int) -> Pages:
        """Frames ``first`` up to (not with) ``end`` of a node."""
        return Pages(self._store, self._clock, self._execution_id, node, first, end)

    async def last(self, node: str, count: int) -> Frame:
        """Return the youngest frame of a node that has ``count`` of them."""
        pages = self.pages(node, count - 1, count)
        await pages.load()
        return pages.pop()

    async def recall(self) -> Former:
        """Read what earlier owners left: counts and marks, no frames."""
        counts = await patiently(self._clock, lambda: self._store.frame_counts(self._execution_id))
        begun, ended, failed, total = set(), set(), {}, 0
        pages = self.pages(MARKS, 0, counts.get(MARKS, 0))
        while await pages.load():
            frame = pages.pop()
            match unpack(frame.payload):
                case [kind, alias] if kind == BEGUN:
                    begun.add(alias)
                case [kind, alias] if kind == ENDED:
                    ended.add(alias)
                case [kind, alias, error, handled] if kind == FAILED:
                    failed[alias] = Failed(frame.position, error, handled)
                case [kind, size] if kind == BYTES:
                    total = size
        return Former(counts, sum(counts.values()), frozenset(begun), frozenset(ended), failed, total)
