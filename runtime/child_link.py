"""The worker's end of one child process: a call goes out, an answer or the child's death comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from typing import Any, Final

from .child_forks import Forks
from .child_output import Output
from .child_wire import ANSWER, FAILED, LOG, RECEIVE_BYTES, REPORT, BadFrame, Frames, frame
from .context import Context, fields_of, redacted_failure, relay
from .failures import Failure
from .limits import CHILD_CALLS
from .loading import Reference

TIMEOUT: Final = "it took too long"
PIPE_GRACE_SECONDS: Final = 0.2
"""Between the end of a child's socket and the word that it is dead; one that lives on has closed it."""


class Link:
    """One child. ``call`` it when it is free; ``worn`` says that it should serve no further call.

    It may be called as soon as it is made: the call waits in the socket for the child.
    """

    def __init__(self, number: int, forks: Forks, loop: asyncio.AbstractEventLoop) -> None:
        self.number: Final = number
        self._forks: Final = forks
        self._loop: Final = loop
        self._frames: Final = Frames()
        self._unsent = memoryview(b"")
        self._call = 0
        self._answer: asyncio.Future[bytes | Failure] | None = None
        self._context: Context | None = None
        self._why = ""
        self.worn = False
        self.gone: Final[asyncio.Future[None]] = loop.create_future()
        """Done when the process is dead."""
        self._socket, theirs = socket.socketpair()
        read, write = os.pipe2(os.O_CLOEXEC)
        self._output: Final = Output(read)
        self._socket.setblocking(False)
        forks.fork(number, theirs, write)
        theirs.close()
        os.close(write)
        loop.add_reader(self._socket.fileno(), self._receive)
        loop.add_reader(read, self._overhear)

    @property
    def calls(self) -> int:
        """How many calls it was given."""
        return self._call

    @property
    def timed_out(self) -> bool:
        """Whether it was killed because its call took too long."""
        return self._why == TIMEOUT

    def call(
        self, reference: Reference, argument: bytes, context: Context
    ) -> asyncio.Future[bytes | Failure] | None:
        """Send a call; the future gives the output's MessagePack, or the failure. ``None``: it can't be reached."""
        assert self._answer is None, "one call at a time"
        self._call += 1
        self._context = context
        self._output.begin(context)
        self._answer = self._loop.create_future()
        if not self._send(frame((self._call, reference, argument, fields_of(context)))):
            self._answer = None
        return self._answer

    def kill(self, why: str = "") -> None:
        """Have it killed; ``gone`` tells when it is dead."""
        self.worn = True
        self._why = self._why or why
        self._forks.kill(self.number)

    def close(self) -> None:
        """Let a free child end: it sees the end of its socket."""
        self.worn = True
        self._stop_reading()

    def ended(self, status: int | None, errno: int = 0) -> None:
        """It is dead, or was never born (``None``): fail the call that it had, unless the answer is still unread."""
        self.worn = True
        if self._answer is not None:
            self._receive(to_the_end=True)
        self._output.end()
        self._settle(self._death(status, errno))
        self._stop_reading()
        self._loop.remove_reader(self._output.descriptor)
        os.close(self._output.descriptor)
        if not self.gone.done():
            self.gone.set_result(None)

    # --- to and fro ---------------------------------------------------------------------------------------------

    def _send(self, data: bytes) -> bool:
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return False  # it is dead, and the fork server is about to say so
        if sent < len(data):
            self._unsent = memoryview(data)[sent:]
            self._loop.add_writer(self._socket.fileno(), self._send_on)
        return True

    def _send_on(self) -> None:
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self._unsent = memoryview(b"")
        if not self._unsent:
            self._loop.remove_writer(self._socket.fileno())

    def _receive(self, to_the_end: bool = False) -> None:
        """Take what is there."""
        while self._socket.fileno() >= 0:
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._stop_reading()
                if (
                    not to_the_end
                ):  # it is dying, or the handler closed it: the fork server's word comes at once
                    self._loop.call_later(PIPE_GRACE_SECONDS, self.kill, "it closed the pipe to its worker")
                return
            try:
                for body in self._frames.feed(data):
                    self._take(*body)
            except (BadFrame, TypeError, ValueError) as error:
                self._stop_reading()
                self.kill(f"something else wrote into the pipe to its worker ({error})")
                return
            if len(data) < RECEIVE_BYTES and not to_the_end:
                return

    def _take(self, kind: int, number: int, *rest: Any) -> None:
        if kind in (LOG, REPORT):
            what, message, fields = rest
            if self._context is not None and self._output.afford(len(message) + 100):
                relay(self._context, kind == LOG, what, message, fields)
        elif number == self._call and kind in (ANSWER, FAILED):
            body, retire = rest
            self.worn = self.worn or retire or self._call >= CHILD_CALLS
            self._output.end()
            self._settle(body if kind == ANSWER else self._failure(*body))
        else:
            raise BadFrame(f"kind {kind}, call {number}")

    def _overhear(self) -> None:
        if not self._output.read():
            self._loop.remove_reader(self._output.descriptor)

    def _settle(self, outcome: bytes | Failure) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_result(outcome)

    # --- ends ---------------------------------------------------------------------------------------------------

    def _stop_reading(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
            self._socket.close()

    def _failure(
        self, code: str, message: str, types: list[str], retryable: bool, after: int | None, details: Any
    ) -> Failure:
        failure = Failure(code, message, tuple(types), retryable, after, details)
        return redacted_failure(failure, self._output.secrets)

    def _death(self, status: int | None, errno: int) -> Failure:
        details: dict[str, Any] = {}
        if status is None:
            what = f"the machine could not start a process for it: {os.strerror(errno)}"
        elif self._why:
            what = f"its process was ended: {self._why}"
        elif status < 0:
            details["signal"] = name = _signal_name(-status)
            memory = " (often the kernel, out of memory)" if -status == signal.SIGKILL else ""
            what = f"its process was killed by {name}{memory}"
        else:
            details["exit_status"] = status
            what = f"its process exited with status {status} before it answered"
        if self._output.tail:
            details["output"] = self._output.tail
        return Failure("child_exited", what, ("ChildExited",), details=details)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
