"""Inside a child process: receive a call, run the handler, answer.

A child is the work of ``forkserver.py``, is used for many calls, and may be killed at any moment. User code runs in
here and may do anything, so nothing is trusted after it has run:

* it may have forked: a copy of this process must not answer. Its socket is closed at the fork, and an answer is given
  only by the process that took the call;
* it may have closed the socket's descriptor, and another file may have its number now: the socket is compared with what
  it was before anything is written, and if it is another one the child ends;
* it may have left processes, a deleted working directory, an alarm, closed or replaced standard streams: what can be
  put back is put back, otherwise the answer says ``retire`` and no second call comes here.

Standard output and error are one pipe to the worker's log. Standard input is empty.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, NoReturn, TextIO

from .arguments import Unfit
from .binding import WrongResult, argument_decoder, bound, encode, looks_of
from .child_wire import ANSWER, FAILED, LOG, RECEIVE_BYTES, REPORT, Frames, frame
from .context import Context, Surroundings, context_of, to_stderr
from .failures import NodeFailure, failure_of
from .limits import CHILD_GROWTH_BYTES
from .loading import Reference
from .values import TooLarge, pack, unpack

EXIT_PIPE_LOST: Final = 97
"""The status of a child whose socket was taken from it."""
TRACEBACK_CHARACTERS: Final = 16_000
_GROWTH_LOOK: Final = 64
"""Calls between two looks at the memory."""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Bound(NamedTuple):
    """A handler as a child has it."""

    function: Callable[..., Any]
    decode: Callable[[Any], Any] | None
    is_async: bool


class Child:
    """See the top of the file."""

    def __init__(self, link: socket.socket) -> None:
        self._link: Final = link
        self._pid: Final = os.getpid()
        self._identities: Final = [_identity(number) for number in (link.fileno(), 1, 2)]
        self._streams: Final = (sys.stdout, sys.stderr)
        self._home: Final = _working_directory()
        self._sending: Final = threading.Lock()
        self._around = Surroundings(emit=self._emit, report=self._report)
        self._handlers: Final[dict[Reference, Bound]] = {}
        self._is_copy = False
        self._number = 0
        self._calls = 0
        self._rss = 0
        os.register_at_fork(after_in_child=self._forked)

    def serve(self) -> None:
        """Take calls until the worker closes the socket."""
        frames = Frames()
        while data := self._link.recv(RECEIVE_BYTES):
            for number, reference, argument, fields in frames.feed(data):
                self._call(number, Reference(*reference), argument, fields)

    def _call(self, number: int, reference: Reference, argument: bytes, fields: list[Any]) -> None:
        self._number = number
        context = context_of(fields, self._around)
        body: Any
        try:
            kind, body = ANSWER, self._output(reference, argument, context)
        except BaseException as error:
            self._tell(error, context)
            kind, body = FAILED, failure_of(error)
        if os.getpid() != self._pid:
            _end_copy()
        retire = self._tidy()
        if _identity(self._link.fileno()) != self._identities[0]:
            os.write(2, b"the handler closed the descriptors of its process\n")
            os._exit(EXIT_PIPE_LOST)
        self._send((kind, number, body, retire))

    def _output(self, reference: Reference, argument: bytes, context: Context) -> bytes:
        handler = self._handlers.get(reference)
        if handler is None:
            handler = self._handlers[reference] = _bind(reference)
        value = unpack(argument)
        if handler.decode is not None:
            value = handler.decode(value)
        result = handler.function(context, value)
        if handler.is_async:
            result = asyncio.run(result)
        return pack(encode(result))

    def _tell(self, error: BaseException, context: Context) -> None:
        """The traceback goes to the log; a failure that the handler chose to give needs none."""
        if isinstance(error, (NodeFailure, WrongResult, Unfit, TooLarge, SystemExit)):
            return
        found = error.__traceback__
        while found is not None and os.path.dirname(found.tb_frame.f_code.co_filename) == _ROOM:
            found = found.tb_next
        text = "".join(traceback.format_exception(type(error), error, found or error.__traceback__))
        context.log.error("the handler raised", exception=text[-TRACEBACK_CHARACTERS:])

    # --- to the worker ------------------------------------------------------------------------------------------

    def _send(self, body: Any, default: Callable[[Any], Any] | None = None) -> None:
        data = frame(body, default)
        try:
            with self._sending:
                self._link.sendall(data)
        except OSError:
            os._exit(EXIT_PIPE_LOST)

    def _emit(self, level: str, message: str, fields: dict[str, Any]) -> None:
        if self._is_copy:
            to_stderr(level, message, fields)
        else:
            self._say(LOG, level, message.encode(errors="replace").decode(), fields)

    def _report(self, context: Context, kind: str, body: Mapping[str, Any]) -> None:
        if not self._is_copy:
            self._say(REPORT, kind, "", body)

    def _say(self, kind: int, what: str, message: str, fields: Mapping[str, Any]) -> None:
        try:
            self._send((kind, self._number, what, message, fields), str)
        except (TypeError, ValueError, OverflowError):  # a field is nothing that MessagePack can spell
            self._send(
                (kind, self._number, what, message, {key: repr(value) for key, value in fields.items()})
            )

    # --- afterwards ---------------------------------------------------------------------------------------------

    def _forked(self) -> None:
        """In a process that the handler has forked: the call is not its own."""
        self._link.close()
        self._is_copy = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _tidy(self) -> bool:
        """Put back what the handler moved; return whether this process had better not be used again."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout, sys.stderr = self._streams
        try:
            sys.stdout.flush()
            sys.stderr.flush()
            os.chdir(self._home)
        except (OSError, ValueError):
            return True
        return [_identity(1), _identity(2)] != self._identities[1:] or _has_children() or self._grown()

    def _grown(self) -> bool:
        self._calls += 1
        if self._calls % _GROWTH_LOOK:
            return False
        rss = _resident_bytes()
        self._rss = self._rss or rss
        return rss > self._rss + CHILD_GROWTH_BYTES


def _bind(reference: Reference) -> Bound:
    function = bound(reference)
    return Bound(function, argument_decoder(reference, function), looks_of(function).is_async)


def _end_copy() -> NoReturn:
    """A process that the handler forked came back from the handler: it has nothing to do here."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
    os._exit(0)


def _identity(number: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(number)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "/"  # the worker's own was deleted


def _has_children() -> bool:
    """Reap what has ended; whether a process of the handler's is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * _PAGE
    except OSError:
        return 0


_ROOM: Final = os.path.dirname(__file__)


def main(link: int, output: int) -> None:
    """Become a child: the caller has just been forked and has closed what is not the child's."""
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    sys.stdout = _stream(1)
    sys.stderr = _stream(2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _outlast)
    sys.argv = ["axiom-node"]
    faulthandler.enable()
    try:
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("500")  # when memory runs out, a node should go before its worker
    except OSError:
        pass
    Child(socket.socket(fileno=link)).serve()


def _stream(descriptor: int) -> TextIO:
    return open(descriptor, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _outlast(number: int, place: Any) -> None:
    """SIGTERM goes to every process of a service; the worker drains, and its nodes may end what they do."""
