"""The process that child processes are forked from, killed by and waited for: ``python -m axiom.runtime.forkserver``.

It is started before its worker has a loop, threads or connections, imports what children need, and never has a second
thread: so a fork of it is a clean copy that is ready in a millisecond. It holds the only truth about which process
lives: a kill through it can't hit a stranger with a number that was given again.

Nothing of an attempt outlives it. A child leads its own session, is killed with its whole group, and is the reaper of
what its handler orphans (a process that went into a session of its own is still below it). When a child is dead its
remaining descendants become the server's: whatever the server has below it and did not fork is such a remainder, and
is killed.

And nothing outlives the worker: its end closes the control socket (a pidfd tells as well), and the server kills
everything and ends. Should the server die, the kernel kills its children (``PR_SET_PDEATHSIG``).

Records of fixed size in both directions: ``(what, child, value)``. FORK brings two descriptors with it, the child's
socket and the pipe for its output.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import selectors
import signal
import socket
import struct
import sys
from typing import Any, Final

from . import child

RECORD: Final = struct.Struct("!BIi")
FORK: Final = 1
KILL: Final = 2
READY: Final = 3
EXITED: Final = 4
"""``value`` is the exit status, or a signal's number below 0."""
REFUSED: Final = 5
"""The machine would not fork; ``value`` is the ``errno``."""

END_SECONDS: Final = 5
"""A process that can't be killed (it sits in the kernel) holds the server's own end up for so long."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_PR_SET_CHILD_SUBREAPER: Final = 36


def _prctl(option: int, value: Any) -> None:
    if sys.platform == "linux":
        _LIBC.prctl(option, value, 0, 0, 0)


_LIBC: Final = ctypes.CDLL(None)


class Server:
    """See the top of the file."""

    def __init__(self, control: socket.socket, worker: int) -> None:
        self._control: Final = control
        self._pid: Final = os.getpid()
        self._children: dict[int, int] = {}
        """pid → number."""
        self._pids: dict[int, int] = {}
        self._wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector: Final = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._worker = _watch(worker)
        if self._worker is not None:
            self._selector.register(self._worker, selectors.EVENT_READ)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # the worker's end is the only one that counts
        signal.signal(signal.SIGCHLD, lambda number, place: None)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        _prctl(_PR_SET_NAME, b"axiom-forks")

    def serve(self) -> None:
        """Fork and kill until the worker is gone."""
        self._tell(READY, 0, self._pid)
        while True:
            for key, _ in self._selector.select():
                if key.fd == self._wake:
                    os.read(self._wake, 4096)
                    self._reap()
                elif key.fd == self._worker or not self._obey():
                    return

    def end(self) -> None:
        """Kill all that is left, and see it dead."""
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(END_SECONDS)
        for number in list(self._pids):
            self._kill(number)
        try:
            while True:
                self._sweep()
                pid, _ = os.waitpid(-1, 0)
                self._children.pop(pid, None)
        except ChildProcessError:
            pass

    def _obey(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, RECORD.size, 2)
        except ConnectionResetError:
            return False  # the worker ended and left a record of ours unread
        if len(data) < RECORD.size:
            return False
        what, number, _ = RECORD.unpack(data)
        if what == FORK and len(descriptors) == 2:
            self._fork(number, *descriptors)
        elif what == KILL:
            self._kill(number)
        return True

    def _fork(self, number: int, link: int, output: int) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            self._tell(REFUSED, number, error.errno or 0)
        else:
            if pid == 0:
                self._become_child(link, output)
            self._children[pid] = number
            self._pids[number] = pid
        os.close(link)
        os.close(output)

    def _become_child(self, link: int, output: int) -> None:
        status = 1
        try:
            os.setsid()
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            _prctl(_PR_SET_CHILD_SUBREAPER, 1)
            _prctl(_PR_SET_NAME, b"axiom-node")
            if os.getppid() != self._pid:
                os._exit(1)  # the server died in between
            self._let_go()
            os.set_inheritable(link, False)
            child.main(link, output)
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)

    def _let_go(self) -> None:
        """In a child: close what is the server's."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        self._selector.close()
        self._control.close()
        for descriptor in (self._wake, self._waker, self._worker):
            if descriptor is not None:
                os.close(descriptor)

    def _kill(self, number: int) -> None:
        pid = self._pids.get(number)
        if pid is None:
            return  # it ended by itself
        for kill in (os.killpg, os.kill):
            try:
                kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # no group yet: the child is younger than its session

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = self._children.pop(pid, None)
            self._sweep()
            if number is not None:
                del self._pids[number]
                self._tell(EXITED, number, os.waitstatus_to_exitcode(status))

    def _sweep(self) -> None:
        """Kill what dead children left: what is below the server and was not forked by it."""
        try:
            with open(f"/proc/{self._pid}/task/{self._pid}/children", "rb") as found:
                below = [int(pid) for pid in found.read().split()]
        except OSError:
            return
        for pid in below:
            if pid not in self._children:
                try:
                    os.kill(pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    pass

    def _tell(self, what: int, number: int, value: int) -> None:
        try:
            self._control.sendall(RECORD.pack(what, number, value))
        except OSError:
            pass  # the worker is gone; the next read says so


def _watch(pid: int) -> int | None:
    """A descriptor that becomes readable when the worker dies, even if a copy of it keeps the socket open."""
    try:
        found = os.pidfd_open(pid)
    except (OSError, AttributeError):
        return None
    if os.getppid() != pid:  # it died before, and the number may be another's by now
        os._exit(0)
    return found


def main(arguments: list[str]) -> None:
    """``forkserver CONTROL WORKER [MODULE…]``: descriptor, pid, and what else to import for the children."""
    control, worker, *preload = arguments
    for name in preload:
        importlib.import_module(name)
    server = Server(socket.socket(fileno=int(control)), int(worker))
    gc.collect()
    gc.freeze()  # collections in a child don't touch, and so don't copy, what it shares with the server
    try:
        server.serve()
    finally:
        server.end()


if __name__ == "__main__":
    main(sys.argv[1:])
