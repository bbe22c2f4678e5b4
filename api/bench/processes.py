"""Other processes: the product's own server and workers, and the bench's clients; all of them gone at the end.

Server and workers are started with the same commands that people use. What a process has used is read from ``/proc``,
which Linux alone has; elsewhere those measures say so.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from .rig import PACKAGE

T = TypeVar("T")

PYTHON: Final = (sys.executable, "-P", "-m")
START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 60.0
TICKS: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
PAGE: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Child:
    """A process in a group of its own, and the last lines that it said on stderr."""

    def __init__(self, *words: str, **pipes: Any) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AXIOM_")}
        self.process: Final = subprocess.Popen(
            [*PYTHON, *words],
            env=environment | {"AXIOM_LOG_LEVEL": "warning"},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **({"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL} | pipes),
        )
        self.pid: Final = self.process.pid
        self._said: list[str] = []
        self._news = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self._said = [*self._said[-50:], line]
                self._news.notify_all()
        with self._news:
            self._said.append("")
            self._news.notify_all()

    def until(self, pattern: str) -> re.Match[str]:
        """Wait for a line on stderr and return the match."""
        deadline = time.monotonic() + START_SECONDS
        with self._news:
            while True:
                for line in self._said:
                    if found := re.search(pattern, line):
                        return found
                left = deadline - time.monotonic()
                if left <= 0 or (self._said and self._said[-1] == ""):
                    raise RuntimeError("a process did not start: " + "".join(self._said[-10:]).strip())
                self._news.wait(left)

    def kill(self) -> None:
        """End it and all that it started, at once."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def stop(self) -> None:
        """Ask it to end; kill what is left of it."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                pass
        self.kill()


@contextmanager
def server(url: str) -> Iterator[tuple[Child, int]]:
    """``axiom serve`` over a store, and its port."""
    child = Child("axiom.api.cli.main", "serve", "--port", "0", "--store", url)
    try:
        yield child, int(child.until(r"axiom serves .* on http://[^:]+:(\d+)")[1])
    finally:
        child.stop()


@contextmanager
def worker(url: str, name: str = "bench") -> Iterator[Child]:
    """``axiom worker`` for the bench's package."""
    child = Child("axiom.api.cli.main", "worker", str(PACKAGE), "--store", url, "--name", name)
    try:
        child.until(rf"{name} serves ")
        yield child
    finally:
        child.stop()


@asynccontextmanager
async def aside(opening: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Enter and leave one of these while the loop of this process goes on: it may hold the file that they wait for."""
    opened = await asyncio.to_thread(opening.__enter__)
    try:
        yield opened
    finally:
        await asyncio.to_thread(opening.__exit__, None, None, None)


class Client:
    """The bench's own client in a process of its own: a line of JSON in, a line of JSON out."""

    def __init__(self, child: Child) -> None:
        self._child: Final = child

    async def ask(self, **order: Any) -> dict[str, Any]:
        """Give an order (see ``load.py``) and return the answer; the loop of this process goes on meanwhile."""
        return await asyncio.to_thread(self._ask, order)

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        out, back = self._child.process.stdin, self._child.process.stdout
        assert out is not None
        assert back is not None
        out.write(json.dumps(order) + "\n")
        out.flush()
        answer: dict[str, Any] = json.loads(back.readline() or '{"error": "the client ended"}')
        if "error" in answer:
            raise RuntimeError(f"the client: {answer['error']}")
        return answer


@contextmanager
def client() -> Iterator[Client]:
    """A ``Client``, until the block ends."""
    child = Child("axiom.api.bench.load", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield Client(child)
    finally:
        child.kill()


@contextmanager
def plain_server() -> Iterator[int]:
    """The port of a server of plain streams (``plain.py``) in a process of its own."""
    child = Child("axiom.api.bench.plain")
    try:
        yield int(child.until(r"plain streams on (\d+)")[1])
    finally:
        child.kill()


class Usage(NamedTuple):
    """What a process has used so far."""

    cpu_seconds: float
    rss_bytes: int


def usage(pid: int) -> Usage:
    """Return what a process and its living descendants have used (Linux)."""
    seconds, resident = 0.0, 0
    for member in (pid, *descendants(pid)):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            resident += int(Path(f"/proc/{member}/statm").read_text().split()[1]) * PAGE
        except OSError:
            continue
        seconds += (int(fields[11]) + int(fields[12])) / TICKS
    return Usage(seconds, resident)


def descendants(pid: int) -> list[int]:
    """Return the processes below one, all generations (Linux)."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [found for child in children for found in (int(child), *descendants(int(child)))]
