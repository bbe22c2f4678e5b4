"""When a schedule is due. Pure: the times of a cron line, or of an interval, and nothing else.

A cron line has five fields (or is ``@hourly`` and the like) and is read in a time zone. Where clocks are put forward,
a time that does not exist is moved to the first moment after the gap; where they are put back, a time that exists twice
is the first of the two: a line that names its hour and minute fires once a day on both. A line with a ``*`` in its
minutes or hours goes by the time that passes, as cron does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from .clock import instant

MACROS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
FIELDS: Final = ("minute", "hour", "day-of-month", "month", "day-of-week")


class Timing(NamedTuple):
    """Either ``cron`` or ``every_ms``. Times in ms."""

    cron: str = ""
    time_zone: str = "UTC"
    every_ms: int = 0
    anchor: int = 0
    """Of an interval: it is due at this time, and at whole multiples before and after."""
    start_at: int | None = None
    """Not due before."""
    end_at: int | None = None
    """Not due after."""
    jitter_ms: int = 0


class BadCron(ValueError):
    """No cron line, or one that is never due. ``column`` counts from 1."""

    code = "invalid_request"

    def __init__(self, message: str, column: int) -> None:
        super().__init__(message)
        self.column = column


def check_cron(line: str) -> None:
    """``BadCron`` unless ``line`` is a cron line that is due some day."""
    text = MACROS.get(line.strip().lower(), line)
    words = [(found.group(), found.start() + 1) for found in re.finditer(r"\S+", text)]
    if text.startswith("@"):
        raise BadCron(f"there is no {text}; there are {', '.join(MACROS)}", 1)
    if len(words) != len(FIELDS):
        wanted = ", ".join(FIELDS)
        column = words[len(FIELDS)][1] if len(words) > len(FIELDS) else len(line) + 1
        raise BadCron(f"{len(words)} fields, and a cron line has five: {wanted}", column)
    for place, (word, column) in enumerate(words):
        alone = ["*"] * len(FIELDS)
        alone[place] = word
        try:
            CronSim(" ".join(alone), instant(0))
        except CronSimError as error:
            raise BadCron(f"{word!r} is no {FIELDS[place]}", column) from error
    try:
        next(CronSim(text, instant(0)))
    except (CronSimError, StopIteration) as error:
        raise BadCron("no day ever fits: it never fires", words[2][1]) from error


def next_due(timing: Timing, after: int) -> int | None:
    """Return the first due time after ``after``; ``None`` if there is none."""
    if timing.start_at is not None:
        after = max(after, timing.start_at - 1)
    due = _interval(timing, after) if timing.every_ms else _cron(timing, after)
    return None if due is None or (timing.end_at is not None and due > timing.end_at) else due


def dues(timing: Timing, after: int) -> Iterator[int]:
    """Yield the due times after ``after``, one by one; it may go on for ever."""
    while (due := next_due(timing, after)) is not None:
        yield due
        after = due


def jitter(timing: Timing, name: str, due: int) -> int:
    """Return by how many ms a firing comes later: always the same for the same one."""
    if not timing.jitter_ms:
        return 0
    digest = blake2b(f"{name}/{due}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % (timing.jitter_ms + 1)


def local_date(timing: Timing, due: int) -> str:
    """Return the day of a due time where the schedule lives, as ``2030-01-31``."""
    return instant(due).astimezone(_zone(timing.time_zone)).date().isoformat()


def _interval(timing: Timing, after: int) -> int:
    return timing.anchor + ((after - timing.anchor) // timing.every_ms + 1) * timing.every_ms


def _cron(timing: Timing, after: int) -> int | None:
    line = MACROS.get(timing.cron.strip().lower(), timing.cron)
    zone = _zone(timing.time_zone)
    begin = instant(after - after % 1000).astimezone(zone)
    try:
        for moment in CronSim(line, begin):
            due = int(moment.timestamp()) * 1000
            if due > after:  # in the second of two equal hours the first is over
                return due
    except (StopIteration, OverflowError):
        pass
    return None


@lru_cache(64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
