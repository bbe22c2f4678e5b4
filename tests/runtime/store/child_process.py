"""Starting, reading and killing ``store_child.py``."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from types import TracebackType


class Child:
    """A real process on a store; killed at the end of the ``with``, whatever happens."""

    def __init__(self, mode: str, url: str) -> None:
        self._mode, self._url = mode, url
        self.lines: list[str] = []
        self._process: Process | None = None

    async def __aenter__(self) -> Child:
        script = Path(__file__).with_name("store_child.py")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, str(script), self._mode, self._url, stdin=PIPE, stdout=PIPE
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.returncode is None:
            await self.kill()

    @property
    def process(self) -> Process:
        assert self._process is not None
        return self._process

    async def line(self) -> str:
        """The next line; empty at its end."""
        assert self.process.stdout is not None
        async with asyncio.timeout(120):
            line = (await self.process.stdout.readline()).decode().strip()
        self.lines.append(line)
        return line

    async def until(self, word: str) -> list[str]:
        """Read up to a line that begins with ``word``; all lines so far."""
        while not (line := await self.line()).startswith(word):
            assert line, f"the child ended before it said {word!r}: {self.lines}"
        return self.lines

    async def kill(self) -> None:
        """SIGKILL, and wait for it."""
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> None:
        """An orderly end."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"stop\n")
        await self.process.stdin.drain()
        await self.process.wait()

    async def rest(self) -> list[str]:
        """Everything it still had said."""
        assert self.process.stdout is not None
        return [line.decode().strip() async for line in self.process.stdout]

    def ids(self, word: str = "owns") -> list[str]:
        return [line.split()[1] for line in self.lines if line.startswith(word)]
