"""Hints over pub/sub: one subscription per process, whatever the number of its watchers.

Redis sends a script's message after the write that it speaks of is on disk (with ``appendfsync always``). Messages are
lost while the subscription is down; so when it is back, watchers get a ``moved`` hint with an empty subject: look at
everything.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgpack
import structlog

from ..clock import Clock
from .base import Hint, StoreError
from .redis_wire import PAUSE_SECONDS, Broken, Link, Wire
from .watching import LOOK_AT_EVERYTHING, Watchers

QUIET_SECONDS: Final = 5.0
"""After so long without a message the server is asked whether it is there."""
PAUSE_MOST_SECONDS: Final = 1.0
"""Between two tries to subscribe again."""

_log = structlog.get_logger(__name__)


class Hints:
    """The subscription, and who listens."""

    def __init__(self, wire: Wire, channel: str, clock: Clock) -> None:
        self.watchers: Final = Watchers()
        self._wire = wire
        self._channel = channel
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._subscribed = asyncio.Event()

    async def start(self) -> None:
        """Subscribe; returns when hints arrive, or when the first try has failed."""
        self._task = self._clock.spawn(self._run(), "redis hints")
        await self._subscribed.wait()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        first, pause = True, PAUSE_SECONDS
        while True:
            link: Link | None = None
            try:
                link = await self._wire.link()
                await link.exchange([("SUBSCRIBE", self._channel)])
                if not first:
                    self.watchers.tell([LOOK_AT_EVERYTHING])
                first, pause = False, PAUSE_SECONDS
                self._subscribed.set()
                await self._listen(link)
            except (Broken, StoreError) as error:
                _log.warning("hints_lost", reason=str(error))
            finally:
                self._subscribed.set()
                if link is not None:
                    await link.close()
            first = False
            await self._clock.sleep(pause)
            pause = min(2 * pause, PAUSE_MOST_SECONDS)

    async def _listen(self, link: Link) -> None:
        asked = False
        while True:
            message = await link.receive(QUIET_SECONDS)
            if message is None:
                if asked:
                    raise Broken("the subscription is silent", sent=False)
                await link.send([("PING",)])
            elif message[0] == b"message":
                self._hear(message[2])
            asked = message is None

    def _hear(self, data: bytes) -> None:
        if self.watchers:
            self.watchers.tell([Hint(*fields) for fields in msgpack.unpackb(data)])
