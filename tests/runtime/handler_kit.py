"""What the tests of handlers and children share: package folders made on the spot, and a pool of children."""

from __future__ import annotations

import asyncio
import os
import textwrap
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from axiom.compiler.artifact import Node
from axiom.runtime.children import Children
from axiom.runtime.context import Context, Surroundings
from axiom.runtime.failures import Failure
from axiom.runtime.loading import Reference
from axiom.runtime.values import pack, unpack

EXECUTION = "0af7651916cd43dd8448eb211c80319c"


def folder(where: Path, **files: str) -> Path:
    """Write a package folder: ``nodes__echo="def echo…"`` is ``nodes/echo.py``."""
    for name, source in files.items():
        path = where / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
    where.mkdir(parents=True, exist_ok=True)
    return where


def node(entry: str, **changes: Any) -> Node:
    values = {"number": 0, "alias": "n", "package": "acme/orders", "version": "1.0.0", "digest": "d1"}
    rest = {"name": "N", "entry": entry, "input": "In", "output": "Out"}
    return Node(**{**values, **rest, **changes})


class Lines:
    """A sink that keeps what was logged and reported."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.around = Surroundings(
            "w1",
            lambda level, message, fields: self.lines.append((level, message, fields)),
            lambda context, kind, body: self.reports.append((kind, dict(body))),
        )

    @property
    def messages(self) -> list[str]:
        return [message for _, message, _ in self.lines]

    def context(self, **changes: Any) -> Context:
        return Context(EXECUTION, "charge", (), 1, 7, around=self.around, **changes)


class Nursery:
    """A pool of children over one package folder."""

    def __init__(self, where: Path, children: Children) -> None:
        self.where = where
        self.children = children
        self.log = Lines()

    def reference(self, entry: str, digest: str = "d1") -> Reference:
        return Reference("acme/orders@1.0.0", str(self.where), digest, entry)

    async def run(self, function: str, value: Any = None, **changes: Any) -> Any:
        """Call ``nodes/bad.py:<function>``; the unpacked output, or the failure."""
        timeout = changes.pop("timeout_seconds", None)
        reference = self.reference(f"nodes/bad.py:{function}")
        result = await self.children.run(reference, pack(value), self.log.context(**changes), timeout)
        return result if isinstance(result, Failure) else unpack(result)

    def begin(self, function: str, value: Any = None) -> asyncio.Task[Any]:
        return asyncio.get_running_loop().create_task(self.run(function, value))

    async def line(self, prefix: str) -> str:
        """Wait until a line with ``prefix`` is logged; what follows it."""
        while True:
            for message in self.log.messages:
                if message.startswith(prefix):
                    return message.removeprefix(prefix).strip()
            await asyncio.sleep(0.005)


def nursery(
    where: Path,
    test: Callable[[Nursery], Awaitable[None]],
    slots: int = 2,
    loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> None:
    """Run ``test`` over a pool of children, and see that the pool leaves no process behind."""
    children = Children(slots)
    children.start()
    server = children.server_pid
    assert server is not None

    async def whole() -> None:
        try:
            async with asyncio.timeout(300):
                await test(Nursery(where, children))
        finally:
            await children.stop()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(whole())
    assert not alive(server), "the fork server is gone with its pool"


@asynccontextmanager
async def soon(seconds: float = 60.0) -> Any:
    """The block does not hang: nothing in it takes minutes, however slow the machine."""
    async with asyncio.timeout(seconds):
        yield


def alive(pid: int) -> bool:
    """Whether a process runs: there, and no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


async def dead(*pids: int, seconds: float = 60.0) -> None:
    """Wait until these processes are gone."""
    async with asyncio.timeout(seconds):
        while any(alive(pid) for pid in pids):
            await asyncio.sleep(0.002)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
