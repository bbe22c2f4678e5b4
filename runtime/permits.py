"""A worker's way to the permits of its store: many nodes ask and give back, and share calls.

What is asked and given back goes to the store in the order in which it came, in batches of whatever is there. Who is
told of its turn is told by a signal in its journal, named after the limit and the holder: that wakes it, wherever it is
parked, and it asks again. A signal that was lost with a worker is sent again by the sweep of any other; its
de-duplication id makes a second one harmless. Who has ended or is gone loses its place, and the next one is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import structlog

from . import events as e
from .clock import Clock
from .events import Event
from .store.base import Append, Head, Missing, Store, StoreError
from .store.base import Final as FinalOutcome
from .store.permits import Ask, Given, Rate, Turn

BATCH: Final = 128
"""Asks or returns of one call."""
SWEEP_SECONDS: Final = 1.0
"""Between two looks for turns that nobody was told of, while this worker has to do with limits (jittered)."""
REST_SECONDS: Final = 15.0
"""The same otherwise: somebody else's limits, after somebody else's death."""
BUSY_SECONDS: Final = 60.0
"""How long a worker that asked for a permit has to do with limits."""
FIRST_PAUSE_SECONDS: Final = 0.05
MOST_PAUSE_SECONDS: Final = 0.5

log = structlog.get_logger("axiom.permits")


class Permits:
    """See the top of the file. ``session`` is the worker's, under which permits count."""

    def __init__(self, store: Store, clock: Clock, session: str) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._session: Final = session
        self._queue: list[tuple[Ask, asyncio.Future[bool]] | Given] = []
        self._pump: asyncio.Task[None] | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._busy_until = 0.0
        self._busy = asyncio.Event()

    async def start(self) -> None:
        """Begin to sweep."""
        self._sweeper = self._clock.spawn(self._sweep(), "permits")

    async def stop(self) -> None:
        """Give back what is still to be given back, if the store answers; the rest ends with the session."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        if self._pump is not None:
            await asyncio.wait([self._pump], timeout=MOST_PAUSE_SECONDS)
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)

    async def ask(self, limit: str, most: int, holder: str, epoch: int, number: int) -> bool:
        """Whether ``holder`` may go; if not it stands in line, and a signal tells it when to ask again."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._put((Ask(limit, most, holder, self._session, epoch, number), answer))
        self._busy_until = self._clock.monotonic() + BUSY_SECONDS
        self._busy.set()
        return await answer

    def give(self, limit: str, holder: str, epoch: int) -> None:
        """``holder`` needs its permit, or its place in line, no more."""
        self._put(Given(limit, holder, epoch))

    async def take(self, limit: str, per_second: float, burst: int) -> int:
        """When one more may go under a rate, in ms; at once if the store can't say."""
        try:
            (due,) = await self._store.take([Rate(limit, per_second, burst)])
            return due
        except StoreError as error:
            log.warning("rate_unknown", limit=limit, error=str(error))
            return 0

    def _put(self, item: tuple[Ask, asyncio.Future[bool]] | Given) -> None:
        self._queue.append(item)
        if self._pump is None or self._pump.done():
            self._pump = self._clock.spawn(self._work(), "permits pump")

    async def _work(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while self._queue:
            batch = self._batch()
            try:
                if isinstance(batch[0], Given):
                    turns = await self._store.release([item for item in batch if isinstance(item, Given)])
                    del self._queue[: len(batch)]
                    await self._tell(turns)
                else:
                    asked = [item for item in batch if not isinstance(item, Given)]
                    granted = await self._store.acquire([ask for ask, _ in asked])
                    del self._queue[: len(batch)]
                    for (_, answer), one in zip(asked, granted, strict=True):
                        if not answer.done():
                            answer.set_result(one)
                pause = FIRST_PAUSE_SECONDS
            except StoreError as error:
                log.warning("permits_unanswered", error=str(error))
                await self._clock.sleep(pause)
                pause = min(2 * pause, MOST_PAUSE_SECONDS)

    def _batch(self) -> Sequence[tuple[Ask, asyncio.Future[bool]] | Given]:
        """The first items of the queue that are of one kind."""
        kind = type(self._queue[0])
        count = 1
        while count < min(len(self._queue), BATCH) and type(self._queue[count]) is kind:
            count += 1
        return self._queue[:count]

    # --- telling ------------------------------------------------------------------------------------------------

    async def _tell(self, turns: Sequence[Turn]) -> None:
        """Signal those whose turn it is. What fails here is told again by a sweep."""
        while turns:
            heads = await self._store.heads([turn.holder[:32] for turn in turns])
            told = [(turn, head) for turn, head in zip(turns, heads, strict=True) if head is not None]
            outcomes = await self._store.append([self._signal(turn, head) for turn, head in told])
            gone = [turn for turn, head in zip(turns, heads, strict=True) if head is None]
            for (turn, _), outcome in zip(told, outcomes, strict=True):
                if isinstance(outcome, (FinalOutcome, Missing)):
                    gone.append(turn)
            turns = await self._store.release([_left(turn) for turn in gone]) if gone else []

    def _signal(self, turn: Turn, head: Head) -> Append:
        at = max(self._store.now(), head.updated_at)
        name = f"permit/{turn.holder}/{turn.token}"
        body = {"name": turn.limit, "key": turn.holder, "id": name, "payload": {"value": None}}
        data = e.encode(Event(e.SIGNAL_RECEIVED, at, body=body))
        return Append(head.execution_id, (data,), (e.crc(head.execution_id, data),), at, dedup=name)

    async def _sweep(self) -> None:
        while True:
            busy = self._clock.monotonic() < self._busy_until
            seconds = (SWEEP_SECONDS if busy else REST_SECONDS) * (0.75 + self._clock.random() / 2)
            await self._rest(seconds, busy)
            try:
                await self._tell(await self._store.turns())
            except StoreError as error:
                log.warning("turns_untold", error=str(error))

    async def _rest(self, seconds: float, busy: bool) -> None:
        """Wait; who has nothing to do with limits, at most until it has."""
        self._busy.clear()
        if busy:
            await self._clock.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._busy.wait()
        except TimeoutError:
            pass


def _left(turn: Turn) -> Given:
    """What one that has ended gives back, whoever owned it last."""
    return Given(turn.limit, turn.holder, _ANY_EPOCH)


_ANY_EPOCH: Final[Any] = (1 << 53) - 1
