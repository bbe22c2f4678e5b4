"""Many time-outs on one timer of the loop.

A timer of the loop costs more than most nodes take, and nearly all time-outs are called off. Here setting and calling
one off is an entry in a dictionary; the loop's timer stands at or before the earliest of them, and finds out when it
rings whether somebody is due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from .clock import Clock


class Alarms:
    """Time-outs of one loop. A call is made at its time or a moment later, never before, and once."""

    def __init__(self, clock: Clock) -> None:
        self._clock: Final = clock
        self._set: Final[dict[int, tuple[float, Callable[[], object]]]] = {}
        self._last = 0
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0

    def set(self, seconds: float, call: Callable[[], object]) -> int:
        """Call ``call`` after so many seconds; returns what ``off`` takes."""
        self._last += 1
        at = self._clock.monotonic() + seconds
        self._set[self._last] = (at, call)
        if self._timer is None or at < self._rings_at:
            self._arm(at)
        return self._last

    def off(self, alarm: int) -> None:
        """Call it off; harmless when it has rung."""
        self._set.pop(alarm, None)

    def stop(self) -> None:
        """Call all of them off."""
        self._set.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = at
        self._timer = self._clock.later(max(0.0, at - self._clock.monotonic()), self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._clock.monotonic()
        due = [alarm for alarm, (at, _) in self._set.items() if at <= now]
        calls = [self._set.pop(alarm)[1] for alarm in due]
        if self._set:
            self._arm(min(at for at, _ in self._set.values()))
        for call in calls:
            call()
