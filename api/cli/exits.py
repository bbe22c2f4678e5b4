"""How a command ends: exit codes that scripts can rely on, and errors of one line.

====  =================================================
0     done
1     the run failed, or what was checked is wrong
2     usage: a flag, a setting, a file or an input
3     not found
4     the server or the store can't be reached
5     the run was cancelled
6     the run is paused
124   the wait timed out; the run goes on
====  =================================================
"""

from __future__ import annotations

from typing import Final

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
AWAY: Final = 4
CANCELLED: Final = 5
PAUSED: Final = 6
TIMED_OUT: Final = 124

OF_STATUS: Final = {
    "COMPLETED": DONE,
    "FAILED": FAILED,
    "CANCELLED": CANCELLED,
    "PAUSED": PAUSED,
    "DEBUG_PAUSED": PAUSED,
}
"""The exit code that a run's status stands for; a run that still moves has none."""


class Stop(Exception):
    """Ends the command with one line on stderr and an exit code."""

    def __init__(self, message: str, code: int = FAILED, hint: str = "") -> None:
        super().__init__(message)
        self.exit_code = code
        self.hint = hint
        """What to do next, on a line of its own."""


def failed(message: str, hint: str = "") -> Stop:
    return Stop(message, FAILED, hint)


def usage(message: str, hint: str = "") -> Stop:
    return Stop(message, USAGE, hint)


def not_found(message: str, hint: str = "") -> Stop:
    return Stop(message, NOT_FOUND, hint)


def away(message: str, hint: str = "") -> Stop:
    return Stop(message, AWAY, hint)
