"""One node of a pipeline run: drives its handler, makes frames of what it yields, and closes it whatever happens.

A node ends in one of four ways: it *ended*; it *failed* (``failure``); it is *broken* (``broken``: a source failed and
everything before that was worked on); it was *stopped* (nobody takes its frames any more, or the run is over).

What it does with what an earlier owner left is its ``on_resume``:

* ``skip``: the handler runs again over its logged input; what it yields is compared with its logged frames and
  dropped, and goes on live behind them. A difference ends the run: never spliced output.
* ``continue``, and every unary node: the handler is given only what follows the last frame that it had taken when it
  made its last logged one, and what it yields is new.
* ``fail``: it notes that it begins before it begins; found again, that note ends the run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from axiom.compiler.artifact import Node, canonical

from .clock import Clock
from .failures import Failure, failure_of, secret_in_output
from .limits import CANCEL_GRACE_SECONDS, FRAME_BUFFER, PAYLOAD_BYTES
from .pipeline_input import Break, Input
from .pipeline_layout import NOT_TAKEN, Pipe, Refused, Stage
from .pipeline_log import BEGUN, FrameLog, LostClaim, Pages, Wakeup, pack, unpack
from .redaction import held, redacted

BURST: Final = FRAME_BUFFER
"""Frames that a node makes before it lets others work, a power of two. The first frame is a burst of its own."""
TIMEOUT_LOOKS: Final = 4
"""A silent handler is found between one and one and a quarter of its ``timeout_seconds``."""
SHOWN: Final = 120

logger = logging.getLogger(__name__)


class ResumeAfter(NamedTuple):
    """What ``ctx.resume_after`` says to a handler that continues."""

    frames_out: int
    """Its durable frames."""
    frames_in: int
    """The input frames that it had taken when it made the last of them."""


class Stuck(RuntimeError):
    """Handlers go on ``CANCEL_GRACE_SECONDS`` after they were cancelled: only the end of this worker ends them."""

    def __init__(self, nodes: list[str]) -> None:
        super().__init__(f"{', '.join(nodes)} ignored the cancellation")
        self.nodes = nodes


class Ends(Protocol):
    """Who is told of a node's end; the run."""

    @property
    def opened(self) -> Mapping[str, str]:
        """The values of the run's secrets."""

    @property
    def timeout_of(self) -> Callable[[Node], float]:
        """How many seconds a node may be silent."""

    def finished(self, node: NodeRun) -> None:
        """The handler is closed. ``failure``, ``broken`` and ``stopped`` say how it ended."""

    def fatal(self, alias: str, failure: Failure) -> None:
        """The whole run ends here, whatever error branches there are."""

    def lost(self, error: BaseException) -> None:
        """The run can't go on in this worker."""


class NodeRun:
    """See the top of the file."""

    def __init__(
        self, run: Ends, stage: Stage, log: FrameLog, clock: Clock, pipes: int, most_bytes: int
    ) -> None:
        self.stage: Final = stage
        self.node: Final[Node] = stage.node
        self.alias: Final = stage.node.alias
        self.number: Final = stage.node.number
        self.merges: Final = pipes > 1
        self.input: Final = Input(pipes, stage.decode, self._broken_off)
        self.out: list[tuple[Input, Pipe]] = []
        self.output: Pipe | None = None
        """The flow's output pipe, if this is the terminal."""
        self.made = 0
        """Frames, an earlier owner's included."""
        self.resume_after: ResumeAfter | None = None
        self.logged: Pages | None = None
        """Its own logged frames, while they are compared."""
        self.known = 0
        """How many of them there are to compare."""
        self.task: asyncio.Task[None] | None = None
        self.done = False
        self.stopped = False
        self.failure: Failure | None = None
        self.broken: Break | None = None
        self._run: Final = run
        self._log: Final = log
        self._clock: Final = clock
        self._most_bytes: Final = most_bytes
        self._holding = False
        self._alarm: asyncio.TimerHandle | None = None
        self._progress = (-1, -1)
        self._still = 0

    # --- from outside ---------------------------------------------------------------------------------------------

    def start(
        self,
        context: Callable[[Node, ResumeAfter | None], Any],
        call: Callable[[Node, Any, tuple[int, ...]], Awaitable[Any]],
    ) -> None:
        """Begin."""
        self.task = self._clock.spawn(self._work(context, call), f"node {self.alias}")

    def compare(self, logged: Pages, count: int) -> None:
        """Run again from the start: the first ``count`` frames must be the logged ones."""
        self.made, self.known, self.logged = 0, count, logged

    def stop(self) -> None:
        """End soon: nobody needs it."""
        self.stopped = True
        self.interrupt()

    @property
    def visible(self) -> int:
        """Frames that the log has, or will have once it is settled."""
        return max(self.made, self.known)

    def interrupt(self) -> None:
        """Cancel the handler; one that takes no notice takes the worker with it."""
        if self.task is not None and not self.task.done():
            self.task.cancel()
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = self._clock.later(CANCEL_GRACE_SECONDS, self._check_gone)

    def _check_gone(self) -> None:
        if self.task is not None and not self.task.done():
            self._run.lost(Stuck([self.alias]))

    # --- the handler ----------------------------------------------------------------------------------------------

    async def _work(
        self,
        context: Callable[[Node, ResumeAfter | None], Any],
        call: Callable[[Node, Any, tuple[int, ...]], Awaitable[Any]],
    ) -> None:
        try:
            if self.node.on_resume == "fail" and self.stage.handler is not None:
                self._log.mark(BEGUN, self.alias)
                await self._log.settle()
            if self.stage.handler is None:
                await self._drive(self._calls(call))
            else:
                self._watch()
                await self._drive(self.stage.handler(context(self.node, self.resume_after), self.input))
        except asyncio.CancelledError:
            if not self._interrupted():
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                self.failure = Failure("handler_error", "the handler was cancelled from within")
        except Refused as refused:
            self.failure = self.failure or refused.failure
        except LostClaim as lost:
            self._run.lost(lost)
            return
        except (Exception, SystemExit) as error:
            if not self._interrupted():
                self.failure = failure_of(error)
        finally:
            if self._alarm is not None:
                self._alarm.cancel()
        self.input.close()
        self._run.finished(self)

    async def _drive(self, stream: AsyncGenerator[Any, None]) -> None:
        """Make frames of what ``stream`` yields, until it ends."""
        log, alias, frames, out = self._log, self.alias, self.input, self.out
        try:
            async for value in stream:
                if self._interrupted():
                    return
                payload = self._payload(value)
                if payload is None:
                    continue
                if self.logged is not None and await self._compare(payload):
                    continue
                while (room := self._blocked()) is not None:
                    await self._hold(room)
                if log.total + len(payload) > self._most_bytes:
                    self._too_large()
                    return
                index = self.made
                self.made = index + 1
                log.add(alias, index, frames.taken, payload)
                for target, pipe in out:
                    target.push(pipe, index, payload)
                if not index & (BURST - 1):
                    await self._clock.sleep(0)
            if not self._interrupted() and self.logged is not None and self.made < self.known:
                self._diverged(f"it ended after {self.made} frames, the log has {self.known}")
        finally:
            await self._shut(stream)

    async def _calls(
        self, call: Callable[[Node, Any, tuple[int, ...]], Awaitable[Any]]
    ) -> AsyncGenerator[Any, None]:
        """One output for each input."""
        node = self.node
        async for value in self.input:
            output = await call(node, value, self._iteration())
            if type(output) is Failure:
                raise Refused(output)
            yield output

    def _iteration(self) -> tuple[int, ...]:
        """What names an input, in whatever order a merge took it: its number, or its edge and its index there."""
        pipe = self.input.pipe
        if pipe is None or not self.merges:
            return (self.input.taken - 1,)
        return (pipe.edge.number, self.input.index)

    async def _shut(self, stream: AsyncGenerator[Any, None]) -> None:
        """Let the handler's ``finally`` blocks run."""
        try:
            await stream.aclose()
        except Exception as error:
            told = redacted(repr(error), self._run.opened)
            logger.warning("node %s failed while it was closed: %s", self.alias, told)

    def _interrupted(self) -> bool:
        return self.stopped or self.failure is not None or self.broken is not None

    def _broken_off(self, why: Break | Failure | LostClaim) -> None:
        """The input can't go on."""
        if isinstance(why, LostClaim):
            self._run.lost(why)
        elif isinstance(why, Break):
            self.broken = why
        else:
            self.failure = self.failure or why
        self.interrupt()

    # --- frames ---------------------------------------------------------------------------------------------------

    def _payload(self, value: Any) -> bytes | None:
        """Return the bytes of an output; ``None`` if the flow's output drops it. ``Refused`` if it is no good."""
        stage = self.stage
        try:
            if stage.encode is not None:
                value = stage.encode(value)
            if stage.violations is not None and (wrong := stage.violations(value)) is not None:
                raise self._invalid(f"is not valid: {wrong}")
            if self.output is not None:
                value = self.output.pass_on(value)
                if value is NOT_TAKEN:
                    return None
            payload = pack(value)
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            raise self._invalid(f"is not JSON data: {error}") from error
        if self._run.opened and held(payload, self._run.opened):
            raise Refused(secret_in_output(self.alias))
        if len(payload) > PAYLOAD_BYTES:
            message = f"frame {self.made} of {self.alias} has {len(payload)} bytes, more than {PAYLOAD_BYTES}"
            raise Refused(Failure("payload_too_large", message, retryable=False))
        return payload

    def _invalid(self, what: str) -> Refused:
        return Refused(
            Failure("output_invalid", f"frame {self.made} of {self.alias} {what}", retryable=False)
        )

    def _blocked(self) -> Wakeup | None:
        """What to wait for before the next frame can be made, if anything."""
        if self._log.full:
            return self._log.room
        for target, _ in self.out:
            if target.full:
                return target.room
        return None

    async def _hold(self, room: Wakeup) -> None:
        self._holding = True
        try:
            await room.wait()
        finally:
            self._holding = False

    def _too_large(self) -> None:
        message = f"frame {self.made} of {self.alias} would take the run over {self._most_bytes} bytes"
        self._run.fatal(self.alias, Failure("stream_too_large", message, retryable=False))

    # --- running again --------------------------------------------------------------------------------------------

    async def _compare(self, payload: bytes) -> bool:
        """Whether this frame is in the log already; a different one there ends the run."""
        assert self.logged is not None
        if self.made >= self.known:
            self.logged = None
            return False
        if not self.logged.buffer:
            self._holding = True
            try:
                await self.logged.load()
            finally:
                self._holding = False
        frame = self.logged.pop()
        if frame.payload != payload and not _same(frame.payload, payload):
            self._diverged(f"frame {self.made} is {_show(payload)}, the log has {_show(frame.payload)}")
            raise asyncio.CancelledError
        self.made += 1
        return True

    def _diverged(self, how: str) -> None:
        self.stopped = True
        message = f"{self.alias} ran again and made something else: {how}"
        self._run.fatal(self.alias, Failure("stream_diverged", message, retryable=False))

    # --- time -----------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Fail a handler that neither yields nor pulls for ``timeout_seconds``; waiting for others is no silence."""
        progress = (self.input.taken, self.made)
        if progress != self._progress or self._holding or self.input.waiting:
            self._progress, self._still = progress, 0
        else:
            self._still += 1
        seconds = self._run.timeout_of(self.node)
        if self._still >= TIMEOUT_LOOKS and not self._interrupted():
            self.failure = Failure("timeout", f"{self.alias} made no frame and took none for {seconds:g} s")
            self.interrupt()
            return
        self._alarm = self._clock.later(seconds / TIMEOUT_LOOKS, self._watch)


def _same(logged: bytes, made: bytes) -> bool:
    """Whether two payloads mean the same: the order of an object's keys is no meaning."""
    try:
        return canonical(unpack(logged)) == canonical(unpack(made))
    except TypeError:
        return False


def _show(payload: bytes) -> str:
    text = repr(unpack(payload))
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
