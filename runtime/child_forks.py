"""The worker's end of the fork server: start it, ask it for children, hear of their end."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Final

from .forkserver import EXITED, FORK, KILL, READY, RECORD, REFUSED

Ended = Callable[[int, int | None, int], None]
"""``(number, status, errno)``: a child has ended with ``status`` (a signal's number below 0), or (``None``) it could
not be forked."""


class Forks:
    """See the top of the file. ``on_lost`` is called if the server ends without having been told to."""

    def __init__(self, preload: Sequence[str], on_ended: Ended, on_lost: Callable[[], None]) -> None:
        self._on_ended: Final = on_ended
        self._on_lost: Final = on_lost
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Future[None] | None = None
        self._unread = b""
        self.was_ready = False
        """Whether the server got as far as to serve; one that did not need not be tried again."""
        self._control, theirs = socket.socketpair()
        with theirs:
            arguments = [str(theirs.fileno()), str(os.getpid()), *preload]
            self._process: Final = subprocess.Popen(
                [sys.executable, "-P", "-m", "axiom.runtime.forkserver", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={key: value for key, value in os.environ.items() if not key.startswith("AXIOM_")},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    def attach(self) -> None:
        """Hear of children's ends on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._control.setblocking(False)
        self._loop.add_reader(self._control.fileno(), self._hear)

    def fork(self, number: int, link: socket.socket, output: int) -> None:
        """Ask for a child with these descriptors; the caller closes its copies."""
        self._ask(FORK, number, [link.fileno(), output])

    def kill(self, number: int) -> None:
        """Kill a child and its process group; no harm if it has ended."""
        self._ask(KILL, number, [])

    async def stop(self) -> None:
        """Kill all children; they and the server are gone on return."""
        if self._loop is not None and self._over is None:
            self._over = self._loop.create_future()
            self._control.shutdown(socket.SHUT_WR)
            await self._over
        self._control.close()
        self._process.wait()

    def _ask(self, what: int, number: int, descriptors: list[int]) -> None:
        try:
            socket.send_fds(self._control, [RECORD.pack(what, number, 0)], descriptors)
        except OSError:
            pass  # it is gone, and _hear is about to find out

    def _hear(self) -> None:
        try:
            data = self._control.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close()
            return
        data = self._unread + data
        whole = len(data) - len(data) % RECORD.size
        self._unread = data[whole:]
        for what, number, value in RECORD.iter_unpack(data[:whole]):
            if what == READY:
                self.was_ready = True
            elif what == EXITED:
                self._on_ended(number, value, 0)
            elif what == REFUSED:
                self._on_ended(number, None, value)

    def _close(self) -> None:
        assert self._loop is not None
        self._loop.remove_reader(self._control.fileno())
        if self._over is not None:
            self._over.set_result(None)
            return
        self._control.close()
        self._process.wait()
        self._on_lost()
