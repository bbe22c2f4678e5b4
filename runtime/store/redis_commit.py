"""Group commit: what arrives while calls are in flight shares the next one.

Items of many callers become one script call, bounded by ``BATCH_EXECUTIONS`` and ``BATCH_BYTES``; nothing waits for
company. At most ``IN_FLIGHT`` calls are under way, on one connection, so that the server runs them in the order in
which they were made: while it works on one, this process makes the next.

When the connection fails, what was sent is unclear. The same calls go out again, first and in order, on a new
connection: the script answers ``Ok`` for what stands already, so sending again *is* reading back. After
``UNCLEAR_SECONDS`` of trouble the callers get ``Unclear``, or ``Unavailable`` where nothing had been sent.

A call that the server refuses as a whole is taken apart and its items are sent alone: a poisoned item blocks nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgpack
import redis

from ..clock import Clock
from ..limits import BATCH_BYTES, BATCH_EXECUTIONS, UNCLEAR_SECONDS
from .base import Conflict, Exists, Fenced, Missing, Ok, Outcome, StoreError, Unavailable, Unclear
from .base import Final as Ended
from .redis_scripts import Script
from .redis_wire import PAUSE_SECONDS, Broken, Command, Link, Wire, refusal

IN_FLIGHT: Final = 2
"""Calls under way: one that the server works on, one on its way."""

_header = msgpack.Packer().pack_array_header


class Job:
    """One caller's batch, and the outcomes that came for it."""

    __slots__ = ("error", "future", "left", "outcomes", "since")

    def __init__(self, future: asyncio.Future[list[Outcome]], size: int, since: float) -> None:
        self.future = future
        self.outcomes: list[Outcome] = [_MISSING] * size
        self.left = size
        self.since = since
        self.error: StoreError | None = None

    def settle(self, index: int, outcome: Outcome) -> None:
        self.outcomes[index] = outcome
        self.left -= 1
        if not self.left:
            self._finish()

    def fail(self, error: StoreError) -> None:
        """Note that one item failed; the caller hears of it when nothing of the batch is under way any more."""
        self.error = self.error or error
        self.left -= 1
        if not self.left:
            self._finish()

    def _finish(self) -> None:
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.outcomes)


class Piece(NamedTuple):
    """One item of a job."""

    job: Job
    place: int
    item: bytes
    """Packed."""


class Call(NamedTuple):
    """Pieces that share one script call."""

    pieces: list[Piece]
    command: Command


def outcome_of(answer: Any) -> Outcome:
    """Return the outcome that a script's answer for one item stands for."""
    if type(answer) is int:
        return Ok(answer)
    match answer[0]:
        case 1:
            return Conflict(answer[1])
        case 2:
            return Fenced(answer[1])
        case 3:
            return Ended(answer[1].decode())
        case 4:
            return Exists(answer[1].decode(), answer[2].decode(), bool(answer[3]))
        case _:
            return _MISSING


_MISSING: Final = Missing()


class Group:
    """The queue in front of one script, and the tasks that empty it."""

    def __init__(
        self, wire: Wire, script: Script, channel: str, clock: Clock, observe: Callable[[int], None]
    ) -> None:
        self._wire = wire
        self._script = script
        self._channel = channel
        self._clock = clock
        self._observe = observe
        self._waiting: deque[Piece] = deque()
        self._again: deque[Call] = deque()
        """Calls to make before anything new: they were sent, or taken apart."""
        self._flying: deque[Call] = deque()
        self._wanted = asyncio.Event()
        """There is something to send, and room in flight; or the link has failed."""
        self._sent = asyncio.Event()
        self._trouble: float | None = None
        """When the present trouble began."""
        self._failure: Broken | StoreError | None = None
        self._task: asyncio.Task[None] | None = None
        self._receiver: asyncio.Task[None] | None = None
        self._link: Link | None = None

    def start(self) -> None:
        self._task = self._clock.spawn(self._run(), f"redis {self._script.name}")

    async def stop(self) -> None:
        """Stop; callers that still wait get ``Unclear`` or ``Unavailable``."""
        for task in (self._task, self._receiver):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self._link is not None:
            await self._link.close()
        self._task = self._receiver = self._link = None
        self._give_up("the store was closed", before=float("inf"))

    def submit(self, items: Sequence[bytes]) -> asyncio.Future[list[Outcome]]:
        """Take a batch of packed items; the future brings its outcomes."""
        future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        if not items:
            future.set_result([])
            return future
        if self._task is None:
            future.set_exception(Unavailable("the store is not open"))
            return future
        job = Job(future, len(items), self._clock.monotonic())
        for index, item in enumerate(items):
            self._waiting.append(Piece(job, index, item))
        if len(self._flying) < IN_FLIGHT:
            self._wanted.set()
        return future

    # --- one link after another ---------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            try:
                self._link = await self._wire.link()
                await self._link.exchange([("SCRIPT", "LOAD", self._script.source)])
                await self._converse(self._link)
            except (Broken, StoreError) as error:
                await self._recover(error)
            except Exception as error:  # whatever it is, those who wait must hear of it
                await self._recover(Broken(repr(error), sent=True))

    async def _recover(self, error: Broken | StoreError) -> None:
        if self._link is not None:
            await self._link.close()
            self._link = None
        self._again.extendleft(reversed(self._flying))
        self._flying.clear()
        moment = self._clock.monotonic()
        if self._trouble is None:
            self._trouble = moment
        if moment - self._trouble >= UNCLEAR_SECONDS:
            self._give_up(str(error), before=moment - UNCLEAR_SECONDS)
        if isinstance(error, StoreError) and not error.retryable:
            self._give_up(str(error), before=float("inf"))
        if self._again or self._waiting:
            await self._clock.sleep(PAUSE_SECONDS)
        else:
            self._wanted.clear()
            await self._wanted.wait()  # nobody needs a connection now

    def _give_up(self, reason: str, before: float) -> None:
        """Answer callers whose time is over: those who came before that moment."""
        sent = [piece for call in (*self._flying, *self._again) for piece in call.pieces]
        unsent = list(self._waiting)
        self._flying.clear()
        self._again.clear()
        self._waiting.clear()
        for piece in sent:
            if piece.job.since <= before:
                piece.job.fail(Unclear(f"no answer from {self._wire.address.shown}: {reason}"))
            else:
                self._again.append(self._call([piece]))
        for piece in unsent:
            if piece.job.since <= before:
                piece.job.fail(self._wire.gone(reason))
            else:
                self._waiting.append(piece)

    # --- one link -----------------------------------------------------------------------------------------------

    async def _converse(self, link: Link) -> None:
        self._failure = None
        self._receiver = receiver = self._clock.spawn(self._receive(link), "redis answers")
        try:
            while self._failure is None:
                while (
                    self._failure is None and len(self._flying) < IN_FLIGHT and (self._again or self._waiting)
                ):
                    call = self._again.popleft() if self._again else self._take()
                    self._flying.append(call)
                    self._sent.set()
                    await self._send(link, call)
                self._wanted.clear()
                if self._failure is None:
                    await self._wanted.wait()
            raise self._failure
        finally:
            receiver.cancel()
            await asyncio.gather(receiver, return_exceptions=True)

    async def _send(self, link: Link, call: Call) -> None:
        commands = [call.command] if self._wire.copies is None else [call.command, self._wire.copies]
        try:
            async with self._wire.deadline():
                await link.send(commands)
        except TimeoutError:
            raise Broken("the server takes no data", sent=True) from None

    async def _receive(self, link: Link) -> None:
        try:
            while True:
                while not self._flying:
                    self._sent.clear()
                    await self._sent.wait()
                answers = await self._answers(link)
                self._settle(answers)
                if self._again or self._waiting:
                    self._wanted.set()
        except (Broken, StoreError) as error:
            self._failure = error
        except Exception as error:
            self._failure = Broken(f"an answer can't be read: {error!r}", sent=True)
        self._wanted.set()

    async def _answers(self, link: Link) -> list[Any]:
        try:
            async with self._wire.deadline():
                answers = [await link.receive()]
                if self._wire.copies is not None:
                    answers.append(await link.receive())
                return answers
        except TimeoutError:
            raise Broken("no answer in time", sent=True) from None

    def _settle(self, answers: list[Any]) -> None:
        answer = answers[0]
        if isinstance(answer, redis.RedisError):
            self._refused(answer)
            return
        if not self._wire.enough(answers):
            raise Broken("the write has too few copies", sent=True)
        self._trouble = None
        self._observe(answer[0])
        call = self._flying.popleft()
        for place, piece in enumerate(call.pieces, 1):
            piece.job.settle(piece.place, outcome_of(answer[place]))

    def _refused(self, error: redis.RedisError) -> None:
        """The server refused a whole call."""
        if isinstance(error, redis.exceptions.NoScriptError):
            raise Broken("the server has forgotten the script", sent=False)
        problem = refusal(error)  # type: ignore[arg-type]
        if problem.retryable:
            raise problem
        call = self._flying.popleft()
        if len(call.pieces) == 1:
            call.pieces[0].job.fail(problem)
        else:
            self._again.extend(self._call([piece]) for piece in call.pieces)

    # --- calls --------------------------------------------------------------------------------------------------

    def _take(self) -> Call:
        pieces: list[Piece] = []
        size = 0
        waiting = self._waiting
        while waiting and len(pieces) < BATCH_EXECUTIONS:
            size += len(waiting[0].item)
            if pieces and size > BATCH_BYTES:
                break
            pieces.append(waiting.popleft())
        return self._call(pieces)

    def _call(self, pieces: list[Piece]) -> Call:
        batch = b"".join((_header(len(pieces)), *[piece.item for piece in pieces]))
        return Call(
            pieces, ("EVALSHA", self._script.sha, 0, self._wire.address.partitions, self._channel, batch)
        )
