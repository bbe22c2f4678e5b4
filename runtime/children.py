"""Warm child processes for ``def`` nodes: code that may block, crash or never end, and can be killed at any moment.

``start`` comes before the worker has a loop, threads or connections; from then on a fork server makes the children
(``forkserver.py``), and each has a socket of its own (``child_wire.py``). A child serves one call at a time and is used
again; one that is killed, dies, or is worn gives its place to a fresh one. Callers that find all ``slots`` busy wait in
the order they came.

Nothing polls: an answer, an exit and a free slot are all told by descriptors.

* A cancelled ``run`` kills its child with all that the handler has started, and returns when that is dead.
* A child that dies by itself is the call's failure, ``child_exited``: what killed it, and the end of its output.
* What a handler leaves running (processes, closed descriptors) costs the child its place, nobody else.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from .child_forks import Forks
from .child_link import TIMEOUT, Link
from .clock import Clock, SystemClock
from .context import Context
from .failures import Failure
from .limits import KILL_SECONDS, PROCESS_SLOTS
from .loading import Reference

WANTED_SHOWN: Final = 50
"""Executions that are told to wait for a child: it goes into every beat of the worker."""


class ChildrenStopped(RuntimeError):
    """The worker ends, or its fork server could not be started: there are no child processes."""

    code = "children_stopped"


class Children:
    """See the top of the file. ``preload`` names modules that the fork server imports for all children."""

    def __init__(
        self, slots: int = PROCESS_SLOTS, clock: Clock | None = None, preload: Sequence[str] = ()
    ) -> None:
        self.slots: Final = slots
        self._clock: Final = clock or SystemClock()
        self._preload: Final = preload
        self._forks: Forks | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._links: dict[int, Link] = {}
        self._idle: list[Link] = []
        """The last one used is used first: its handlers are in its caches."""
        self._queue: deque[asyncio.Future[Link]] = deque()
        self._wanting: dict[asyncio.Future[Link], str] = {}
        """For which execution each of them waits."""
        self._forked = 0
        self._stopped = False

    @property
    def waiting(self) -> int:
        """Calls that wait for a free child."""
        return sum(not turn.done() for turn in self._queue)

    @property
    def wanted_by(self) -> list[str]:
        """Executions that wait for a free child, ``WANTED_SHOWN`` of them at most. From any thread."""
        return list(self._wanting.values())[:WANTED_SHOWN]  # one step: nothing changes it midway

    @property
    def busy(self) -> int:
        """Children that have a call."""
        return len(self._links) - len(self._idle)

    @property
    def server_pid(self) -> int | None:
        """The fork server's process; ``None`` before ``start`` and after ``stop``."""
        return self._forks.pid if self._forks is not None else None

    def start(self) -> None:
        """Start the fork server. Best before anything else; does not wait for it."""
        self._forks = Forks(self._preload, self._on_ended, self._on_lost)

    async def run(
        self,
        reference: Reference,
        argument: bytes,
        context: Context,
        timeout_seconds: float | None = None,
    ) -> bytes | Failure:
        """Call a handler in a child. ``argument`` and the result are MessagePack.

        ``timeout_seconds`` counts from when a child takes the call. Cancelling kills the child. Raises
        ``ChildrenStopped``.
        """
        answer = None
        while answer is None:
            link = self._idle.pop() if self._idle else await self._turn(context.execution_id)
            answer = link.call(reference, argument, context)
        alarm = None
        if timeout_seconds is not None:
            alarm = self._clock.later(timeout_seconds, lambda: link.kill(TIMEOUT))
        try:
            outcome = await answer
        except asyncio.CancelledError:
            link.kill("cancelled")
            await asyncio.wait((link.gone,), timeout=KILL_SECONDS)
            raise
        finally:
            if alarm is not None:
                alarm.cancel()
        if self._stopped:
            raise ChildrenStopped("the worker has stopped")
        if link.timed_out:
            return Failure("timeout", f"{context.node} took longer than {timeout_seconds:g} s")
        self._free(link)
        return outcome

    async def stop(self) -> None:
        """Kill everything. All processes are gone on return; callers that still wait get ``ChildrenStopped``."""
        self._stopped = True
        for turn in self._queue:
            if not turn.done():
                turn.set_exception(ChildrenStopped("the worker has stopped"))
        forks, self._forks = self._forks, None
        if forks is not None:
            await forks.stop()
        self._drop_all()

    # --- slots --------------------------------------------------------------------------------------------------

    async def _turn(self, execution_id: str) -> Link:
        """Wait for a child, in the order of asking."""
        self._attach()
        turn: asyncio.Future[Link] = self._running_loop.create_future()
        self._queue.append(turn)
        self._wanting[turn] = execution_id
        self._fill()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._free(turn.result())
            raise
        finally:
            del self._wanting[turn]

    def _attach(self) -> None:
        if self._stopped or self._forks is None:
            raise ChildrenStopped(
                "no child processes: the worker has stopped, or its fork server can't be started"
            )
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._forks.attach()

    @property
    def _running_loop(self) -> asyncio.AbstractEventLoop:
        assert self._loop is not None
        return self._loop

    def _free(self, link: Link) -> None:
        """A child has nothing to do: the next call is its, or it is put aside."""
        if link.gone.done():
            return
        if link.worn:
            link.close()
            return
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(link)
                return
        self._idle.append(link)

    def _fill(self) -> None:
        """Fork for those who wait, as far as there are slots."""
        while self._queue and self._queue[0].done():
            self._queue.popleft()
        while self._forks is not None and self._queue and len(self._links) < self.slots:
            self._free(self._fork())

    def _fork(self) -> Link:
        assert self._forks is not None
        self._forked += 1
        link = Link(self._forked, self._forks, self._running_loop)
        self._links[link.number] = link
        return link

    # --- ends ---------------------------------------------------------------------------------------------------

    def _on_ended(self, number: int, status: int | None, errno: int) -> None:
        link = self._links.pop(number, None)
        if link is None:
            return
        if link in self._idle:
            self._idle.remove(link)
        link.ended(status, errno)
        if self._stopped:
            return
        self._fill()
        if link.calls and self._forks is not None and not self._idle and len(self._links) < self.slots:
            self._free(self._fork())  # the next call finds a warm one

    def _on_lost(self) -> None:
        """The fork server died, and its children with it: start another, unless it never came up."""
        lost, self._forks = self._forks, None
        self._drop_all()
        if lost is not None and lost.was_ready and not self._stopped:
            self.start()
            assert self._forks is not None
            self._forks.attach()
            self._fill()
            return
        for turn in self._queue:
            if not turn.done():
                turn.set_exception(ChildrenStopped("the fork server can't be started"))

    def _drop_all(self) -> None:
        links, self._links = list(self._links.values()), {}
        self._idle.clear()
        for link in links:
            link.kill("the worker's fork server has ended")
            link.ended(-9)
