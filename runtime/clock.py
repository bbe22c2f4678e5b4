"""The only source of time, chance and waiting in ``runtime/``.

Everything that waits or draws takes a ``Clock`` at its construction, so that tests and simulation own both: under
``VirtualLoop`` a week's sleep takes no time and the same seed gives the same run. A lint rule
(``tests/project/test_rules.py``) keeps ``time``, ``random``, ``secrets`` and ``asyncio.sleep`` out of the other files.
"""

from __future__ import annotations

import asyncio
import random
import selectors
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Protocol


class Clock(Protocol):
    """Time and chance."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970, of this machine. Only stores and logs may look; others ask ``store.now()``."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""

    async def sleep(self, seconds: float) -> None: ...

    def random(self) -> float:
        """A number in [0, 1)."""

    def token(self, size: int = 16) -> str:
        """``size`` random bytes as hex."""

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start a task; the caller keeps it."""

    def later(self, seconds: float, call: Callable[[], object]) -> asyncio.TimerHandle:
        """Call once, after that time."""


def instant(ms: int) -> datetime:
    """Return the moment ``ms`` milliseconds after 1970, for libraries that want one."""
    return datetime.fromtimestamp(ms / 1000, UTC)


class SystemClock:
    """The machine's clock and the operating system's randomness."""

    def __init__(self, seed: int | None = None) -> None:
        self._jitter: random.Random = random.Random(seed)
        self._tokens: random.Random = random.SystemRandom() if seed is None else self._jitter

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def random(self) -> float:
        return self._jitter.random()

    def token(self, size: int = 16) -> str:
        return self._tokens.getrandbits(size * 8).to_bytes(size, "big").hex()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        return asyncio.get_running_loop().create_task(work, name=name)

    def later(self, seconds: float, call: Callable[[], object]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, call)


class VirtualClock(SystemClock):
    """The time of a ``VirtualLoop`` and the chance of a seed."""

    def __init__(self, seed: int = 0, start_ms: int = 1_700_000_000_000) -> None:
        super().__init__(seed)
        self.start_ms = start_ms
        self.jump_ms = 0
        """What a clock jump has added to the wall clock."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def wall_ms(self) -> int:
        return self.start_ms + self.jump_ms + int(self.monotonic() * 1000)


class _JumpingSelector(selectors.SelectSelector):
    """Instead of waiting, moves its loop's time on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("virtual time stands still: everything waits, and nothing is due")
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when nothing else is left to do. No threads, no sockets."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run_virtual(work: Coroutine[Any, Any, Any]) -> Any:
    """Run ``work`` to its end in virtual time and return its result."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
