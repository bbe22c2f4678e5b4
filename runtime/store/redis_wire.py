"""Connections to a Redis server, and what their failures mean.

The client library connects, packs and parses; its retries are off, because a command that is sent twice behind our
back may write twice. What may be sent again is decided here, by what is sent:

* a failure to connect, and the server's own "not now" (it loads, it is a replica, it lacks replicas), wrote nothing;
* a timeout or a dropped connection after sending is **unclear**: the scripts are such that sending the same call again
  reads back what landed, so that is what happens, until ``UNCLEAR_SECONDS`` are over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ..clock import Clock
from ..limits import PARTITIONS, UNCLEAR_SECONDS
from .base import Full, StoreError, Unavailable, Unclear, Unusable
from .redis_scripts import Script

Command = Sequence[Any]

CONNECT_SECONDS: Final = 1.0
"""A server that does not take a connection in this time is called gone."""
ANSWER_SECONDS: Final = UNCLEAR_SECONDS / 2
"""How long one call may take before its connection is given up: two tries fit into ``UNCLEAR_SECONDS``."""
PAUSE_SECONDS: Final = 0.05
"""Between two tries."""
IDLE_LINKS: Final = 8
"""Connections kept open for reads."""

_NOT_NOW: Final = (
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "NOREPLICAS",
    "MISCONF",
    "BUSY",
    "UNKILLABLE",
    "LOADING",
)


class Broken(Exception):
    """A link failed. ``sent``: the commands may have reached the server."""

    def __init__(self, reason: str, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


class Address(NamedTuple):
    """What a store's URL says, and the same without Axiom's own settings, for the client library."""

    url: str
    shown: str
    """Without the password."""
    partitions: int
    replicas: int | None
    """Copies that a write waits for, beside the server's own; ``None``: one if there is a replica."""

    @property
    def database(self) -> str:
        path = urlsplit(self.url).path.strip("/")
        return dict(parse_qsl(urlsplit(self.url).query)).get("db", path or "0")


def read_address(url: str, partitions: int | None = None) -> Address:
    """Return the parts of ``redis[s]://user:password@host:port/db?partitions=16&replicas=1``; ``Unusable`` if not."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    try:
        count = int(query.pop("partitions", partitions or PARTITIONS))
        replicas = int(query.pop("replicas")) if "replicas" in query else None
    except ValueError as error:
        raise Unusable(f"partitions and replicas in a store's URL are numbers: {error}") from None
    if not 1 <= count <= 4096 or (replicas or 0) < 0:
        raise Unusable("a store has 1 to 4096 partitions, and waits for 0 or more replicas")
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return Address(urlunsplit(parts._replace(query=urlencode(query))), shown, count, replicas)


def reason_of(error: BaseException) -> str:
    return str(error) or type(error).__name__


def refusal(error: redis.ResponseError | redis.ConnectionError) -> StoreError:
    """Return what an error answer means: ``Unavailable`` may pass, ``Full`` and ``Unusable`` say why, else a defect."""
    text = str(error)
    if isinstance(error, redis.exceptions.OutOfMemoryError):
        return Full(f"Redis is out of memory: {text}")
    if isinstance(error, (redis.AuthenticationError, redis.exceptions.NoPermissionError)):
        return Unusable(f"Redis does not let this user in: {text}")
    if isinstance(error, (redis.BusyLoadingError, redis.exceptions.ReadOnlyError)) or text.startswith(
        _NOT_NOW
    ):
        return Unavailable(f"Redis can't take this now: {text}")
    return StoreError(f"Redis refused a command: {text}")


class Link:
    """One connection. Answers come in the order of the commands."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]

    async def connect(self) -> None:
        """``Broken`` if the server is not there; ``Unusable`` if it does not let us in."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._connection.connect()  # type: ignore[no-untyped-call]
        except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as error:
            raise Unusable(f"Redis does not let this user in: {error}") from error
        except (redis.RedisError, OSError, TimeoutError) as error:
            raise Broken(reason_of(error), sent=False) from error

    async def send(self, commands: Sequence[Command]) -> None:
        try:
            packed = self._connection.pack_commands(commands)
            await self._connection.send_packed_command(packed, check_health=False)
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            raise Broken(reason_of(error), sent=True) from error

    async def receive(self, seconds: float | None = None) -> Any:
        """Return one answer; an error answer is returned, not raised. With ``seconds``, ``None`` if none comes.

        ``Unavailable`` while the server loads its data.
        """
        try:
            return await self._connection.read_response(timeout=seconds)
        except redis.BusyLoadingError as error:  # for the client library a lost connection
            raise refusal(error) from error
        except redis.ResponseError as error:
            return error
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            raise Broken(reason_of(error), sent=True) from error

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send and return all answers. ``Broken`` when they don't come in time."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self.send(commands)
                return [await self.receive() for _ in commands]
        except TimeoutError:
            raise Broken(f"no answer within {ANSWER_SECONDS:g} s", sent=True) from None

    async def usable(self) -> bool:
        """Return whether an idle link is still open, with nothing on it that nobody asked for."""
        try:
            return self._connection.is_connected and not await self._connection.can_read()
        except (redis.RedisError, OSError):
            return False

    async def close(self) -> None:
        await self._connection.disconnect(nowait=True)


class Wire:
    """The connections of one process to one server."""

    def __init__(self, address: Address, clock: Clock, observe: Callable[[int], None]) -> None:
        self.address = address
        self._clock = clock
        self._observe = observe
        self._idle: list[Link] = []
        self.copies: Command | None = None
        """The command that waits for copies of a write, sent behind it."""
        self.wanted_copies: tuple[int, int] = (0, 0)
        """(on this server's disk, on replicas)."""
        try:
            self._pool = ConnectionPool.from_url(
                address.url, protocol=2, retry=Retry(NoBackoff(), 0), retry_on_error=[], driver_info=None,
                socket_timeout=None, socket_connect_timeout=CONNECT_SECONDS, health_check_interval=0,
            )  # fmt: skip
            Link(self._pool)  # a setting that the client library does not know shows here
        except (ValueError, TypeError, redis.RedisError) as error:
            raise Unusable(f"the store's URL can't be read: {error}") from error

    async def link(self) -> Link:
        """Return a new connection."""
        link = Link(self._pool)
        await link.connect()
        return link

    async def probe(self) -> None:
        """``Unavailable`` if no connection can be made, without a second try."""
        try:
            self._idle.append(await self.link())
        except Broken as error:
            raise self.gone(str(error)) from error

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()

    def deadline(self) -> AbstractAsyncContextManager[object]:
        return asyncio.timeout(ANSWER_SECONDS)

    async def ask(self, *commands: Command) -> list[Any]:
        """Return the answers to reading commands. ``Unavailable`` after ``UNCLEAR_SECONDS`` without them."""
        return await self._try(commands, reading=True)

    async def run(self, script: Script, *args: Any, again: bool = True) -> list[Any]:
        """Return a script's answer. Sent again until it is clear what became of it, unless ``again`` is off.

        ``Unclear`` if that takes too long; ``Unavailable`` if surely nothing was written.
        """
        commands: list[Command] = [("EVALSHA", script.sha, 0, self.address.partitions, *args)]
        if self.copies is not None:
            commands.append(self.copies)
        answer: list[Any] = (await self._try(commands, reading=False, again=again, script=script))[0]
        self._observe(answer[0])
        return answer

    async def _try(
        self, commands: Sequence[Command], reading: bool, again: bool = True, script: Script | None = None
    ) -> list[Any]:
        until = self._clock.monotonic() + UNCLEAR_SECONDS
        unclear = False
        while True:
            try:
                answers = await self._exchange(commands)
            except Broken as error:
                unclear = unclear or error.sent
                problem: StoreError = self.gone(str(error))
            except Unavailable as error:
                problem = error
            else:
                bad = next((a for a in answers if isinstance(a, redis.RedisError)), None)
                if isinstance(bad, redis.exceptions.NoScriptError) and script is not None:
                    await self._exchange([("SCRIPT", "LOAD", script.source)])
                    continue
                if bad is None and (reading or self.enough(answers)):
                    return answers
                problem = refusal(bad) if bad is not None else Unclear("too few copies of the write")  # type: ignore[arg-type]
                unclear = unclear or isinstance(problem, Unclear)
                if not problem.retryable or isinstance(problem, Full):
                    raise problem from bad
            if self._clock.monotonic() >= until or (unclear and not again):
                raise Unclear(str(problem)) if unclear and not reading else problem
            await self._clock.sleep(PAUSE_SECONDS)

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        link = await self._idle_link() or await self.link()
        try:
            answers = await link.exchange(commands)
        except BaseException:
            await link.close()
            raise
        if len(self._idle) < IDLE_LINKS:
            self._idle.append(link)
        else:
            await link.close()
        return answers

    async def _idle_link(self) -> Link | None:
        while self._idle:
            link = self._idle.pop()
            if await link.usable():
                return link
            await link.close()
        return None

    def enough(self, answers: Sequence[Any]) -> bool:
        """Return whether the write behind which ``copies`` was sent has as many as wanted."""
        if self.copies is None:
            return True
        found = answers[-1]
        local, remote = found if isinstance(found, list) else (self.wanted_copies[0], found)
        return bool(local >= self.wanted_copies[0] and remote >= self.wanted_copies[1])

    def gone(self, reason: str) -> Unavailable:
        return Unavailable(f"no Redis at {self.address.shown}: {reason}")
