"""Worker processes under a supervisor: started, watched, replaced, drained.

A **crew** keeps so many processes of one command alive. When one dies unbidden, ``on_death(pid)`` is awaited first, so
that what it owned is free before its replacement looks for work; a process that dies young is started again after a
growing pause. Each leads its own process group: Ctrl-C reaches the supervisor alone, which then drains the others in
order. Each holds the reading end of a **lifeline**, a pipe on its stdin that nobody writes to: it is closed when the
supervisor is gone, however it went, and a worker that was told to watch it ends then.
"""

from __future__ import annotations

import asyncio
import signal
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

DRAIN_SECONDS: Final = 30.0
"""How long a process may take to end after SIGTERM; then it is killed."""
YOUNG_SECONDS: Final = 5.0
"""A process that lived longer is replaced at once; a younger one's replacement waits."""
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 10.0

OnDeath = Callable[[int, int], Awaitable[None]]
"""``(pid, exit code)``; negative codes are signals."""


class Crew:
    """``count`` processes of ``command``; see the top of the file."""

    def __init__(
        self,
        command: Sequence[str],
        count: int,
        on_death: OnDeath,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command: Final = tuple(command)
        self._environment: Final = environment
        self._on_death: Final = on_death
        self._members: list[_Member] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self.count: Final = count

    @property
    def pids(self) -> list[int]:
        """The processes that are at work now."""
        return [pid for member in self._members if (pid := member.pid) is not None]

    async def start(self) -> None:
        """Start the processes; returns when each was started once."""
        self._members = [self._member() for _ in range(self.count)]
        await asyncio.gather(*(member.started.wait() for member in self._members))

    async def renew(self) -> None:
        """Put new processes in the place of the present ones, which drain beside them."""
        former = self._members
        await self.start()
        for member in former:
            task = asyncio.create_task(member.leave(DRAIN_SECONDS))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def stop(self, grace_seconds: float = DRAIN_SECONDS) -> None:
        """Drain all, and return when the last is gone."""
        members, self._members = self._members, []
        await asyncio.gather(*(member.leave(grace_seconds) for member in members), *self._leaving)

    def _member(self) -> _Member:
        return _Member(self._command, self._on_death, self._environment)


class _Member:
    """One place in the crew, and the process that fills it now."""

    def __init__(
        self, command: Sequence[str], on_death: OnDeath, environment: Mapping[str, str] | None
    ) -> None:
        self._command: Final = command
        self._environment: Final = environment
        self._on_death: Final = on_death
        self._process: Process | None = None
        self._wanted = True
        self.started: Final = asyncio.Event()
        self._task: Final = asyncio.create_task(self._keep())

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def _keep(self) -> None:
        deaths = 0
        while self._wanted:
            born = time.monotonic()
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, env=self._environment, start_new_session=True
            )
            self.started.set()
            code = await self._process.wait()
            if not self._wanted:
                return
            await self._on_death(self._process.pid, code)
            deaths = 0 if time.monotonic() - born > YOUNG_SECONDS else deaths + 1
            if deaths > 1:
                await asyncio.sleep(min(FIRST_PAUSE_SECONDS * 2 ** (deaths - 2), LONGEST_PAUSE_SECONDS))

    async def leave(self, grace_seconds: float) -> None:
        """End the process: SIGTERM, and after ``grace_seconds`` SIGKILL."""
        self._wanted = False
        await self.started.wait()
        if self.pid is None:
            self._task.cancel()  # between two processes: none will follow
        else:
            assert self._process is not None
            self._process.send_signal(signal.SIGTERM)
            done, _ = await asyncio.wait([self._task], timeout=grace_seconds)
            if not done and self._process.returncode is None:
                self._process.kill()
        await asyncio.gather(self._task, return_exceptions=True)
