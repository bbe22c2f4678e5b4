"""What a child prints, as lines of log with the context of the call it belongs to.

Bounded in every way: a long line is cut, a call that prints without end is heard up to ``CHILD_OUTPUT_BYTES`` and
counted from there on, and the pipe is always read, so that a handler never waits for a reader that has had enough.
Values of secrets are struck out before anything is kept, also where they lie across two reads: those of the call, and
of the calls before it, for what a call has left behind may speak later.
"""

from __future__ import annotations

import os
from typing import Final

from .context import Context, secrets_of
from .limits import CHILD_LINE_BYTES, CHILD_OUTPUT_BYTES, CHILD_TAIL_BYTES
from .redaction import longest, redacted

_READ_BYTES: Final = 64 << 10
_DRAIN_READS: Final = 4
"""A pipe holds 64 KiB; a process that the handler left may fill it for ever."""


class Output:
    """The worker's end of one child's standard output and error."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor: Final = descriptor
        self._context: Context | None = None
        self._rest = ""
        self._left = CHILD_OUTPUT_BYTES
        self._dropped = 0
        self._tail = ""
        self.secrets: dict[str, str] = {}
        """All that this child was ever given, by value."""

    def begin(self, context: Context) -> None:
        """What comes now belongs to ``context``."""
        self._context = context
        self.secrets |= {value: value for value in secrets_of(context).values()}
        self._left = CHILD_OUTPUT_BYTES
        self._tail = ""

    def read(self) -> bool:
        """Take what is there; ``False`` at the end."""
        try:
            data = os.read(self.descriptor, _READ_BYTES)
        except BlockingIOError:
            return True
        if data:
            self._take(data.decode("utf-8", "replace"))
        return bool(data)

    def end(self) -> None:
        """The call is over: take what is still in the pipe, and the last line without its end."""
        for _ in range(_DRAIN_READS):
            try:
                data = os.read(self.descriptor, _READ_BYTES)
            except BlockingIOError:
                break
            if not data:
                break
            self._take(data.decode("utf-8", "replace"))
        if self._rest:
            self._log(self._rest)
            self._rest = ""
        if self._dropped and self._context is not None:
            self._context.log.warning("more output was dropped", bytes=self._dropped)
            self._dropped = 0

    def afford(self, size: int) -> bool:
        """Whether a line of log of ``size`` bytes is within the call's bounds."""
        if self._left < size:
            self._dropped += size
            return False
        self._left -= size
        return True

    @property
    def tail(self) -> str:
        """The end of what the call has printed."""
        return (self._tail + self._rest)[-CHILD_TAIL_BYTES:]

    def _take(self, text: str) -> None:
        context = self._context
        if context is None:
            return
        *lines, rest = redacted(self._rest + text, self.secrets).split("\n")
        for line in lines:
            self._log(line)
        held = longest(self.secrets) - 1 if self.secrets else 0  # may be the beginning of a secret
        while len(rest) - held > CHILD_LINE_BYTES:
            self._log(rest[:CHILD_LINE_BYTES])
            rest = rest[CHILD_LINE_BYTES:]
        self._rest = rest

    def _log(self, line: str) -> None:
        self._tail = f"{self._tail}{line}\n"[-CHILD_TAIL_BYTES:]
        if not line or self._context is None or not self.afford(len(line)):
            return
        for start in range(0, len(line), CHILD_LINE_BYTES):
            self._context.log.info(line[start : start + CHILD_LINE_BYTES], stream="output")
