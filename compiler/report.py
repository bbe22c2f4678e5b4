"""Where problems are collected: nothing in the compiler stops at the first one.

A ``Report`` knows the texts it was given, so that every diagnostic carries its line and a caret. It says each
thing once, however often an alias or a second pass comes by the same place.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

from .codes import CODES
from .errors import CompileFailed, Diagnostic, Place

SNIPPET_COLUMNS: Final = 120
"""A longer line is cut around the caret: minified JSON is one line of a megabyte."""
LINE_BREAK: Final = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
"""What YAML counts as the end of a line."""


MAX_PROBLEMS: Final = 200
"""Of one compilation. Whoever has more reads none, and a source made to have a million must not cost the time."""
MAX_CANDIDATES: Final = 1_000
"""Names that a suggestion is chosen from."""


class TooMany(Exception):
    """There are more problems than anyone reads; ``Report.bounded`` ends the search."""


class Report:
    """Diagnostics in the making. Problems of severity ``error`` make ``failed`` true."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}
        self._found: dict[tuple[str, Place, str], Diagnostic] = {}

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """Leave the block early, and quietly, once there are ``MAX_PROBLEMS``."""
        try:
            yield
        except TooMany:
            return

    def add_source(self, file: str, text: str) -> None:
        """Remember the text of ``file`` for snippets."""
        self._lines.setdefault(file, LINE_BREAK.split(text))

    def texts(self) -> dict[str, str]:
        """Return the texts of all sources so far."""
        return {file: "\n".join(lines) for file, lines in self._lines.items()}

    def line(self, place: Place) -> str:
        """Return the line of source at ``place``; '' if there is none."""
        lines = self._lines.get(place.file, [])
        return lines[place.line - 1] if 0 < place.line <= len(lines) else ""

    def error(
        self,
        code: str,
        place: Place,
        message: str,
        *,
        found: str = "",
        expected: str = "",
        suggestion: str = "",
    ) -> None:
        """Collect an error."""
        self._add(code, place, message, (found, expected, suggestion), "error")

    def warn(
        self,
        code: str,
        place: Place,
        message: str,
        *,
        found: str = "",
        expected: str = "",
        suggestion: str = "",
    ) -> None:
        """Collect a warning: it never fails a compilation."""
        self._add(code, place, message, (found, expected, suggestion), "warning")

    def include(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Collect what another report holds."""
        for item in diagnostics:
            self._found.setdefault((item.code, Place(item.file, item.line, item.column), item.message), item)

    @property
    def failed(self) -> bool:
        """Whether any error was collected."""
        return any(item.severity == "error" for item in self._found.values())

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """All that was collected, in the order of the source."""
        return sorted(self._found.values(), key=lambda d: (d.file, d.line, d.column, d.code))

    def require(self) -> None:
        """Raise ``CompileFailed`` if any error was collected."""
        if self.failed:
            raise CompileFailed(self.diagnostics)

    def _add(
        self,
        code: str,
        place: Place,
        message: str,
        details: tuple[str, str, str],
        severity: Literal["error", "warning"],
    ) -> None:
        assert code in CODES, f"{code} is not in the table of codes"
        found, expected, suggestion = details
        diagnostic = Diagnostic(
            code=code,
            message=message,
            file=place.file,
            line=place.line,
            column=place.column,
            snippet=_snippet(self.line(place), place.column),
            found=found,
            expected=expected,
            suggestion=suggestion,
            severity=severity,
        )
        self._found.setdefault((code, place, message), diagnostic)
        if len(self._found) == MAX_PROBLEMS:
            message = f"more than {MAX_PROBLEMS} problems; the rest was not looked for"
            self._found["AX1027", place, message] = Diagnostic("AX1027", message, place.file)
            raise TooMany


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the one of ``names`` that ``name`` was probably meant to be; '' if none is near.

    >>> nearest("ReserveStok", ["ReserveStock", "Charge"])
    'ReserveStock'
    """
    ordered = sorted(names)
    if len(ordered) > MAX_CANDIDATES:
        ordered = [item for item in ordered if item[:1] == name[:1]][:MAX_CANDIDATES]
    known = {item.lower(): item for item in ordered if len(item) <= 2 * len(name) <= 4 * len(item)}
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    return known[close[0]] if close else ""


def suggest(name: str, names: Iterable[str]) -> str:
    """Return ``did you mean …?`` for the nearest of ``names``, or ''."""
    near = nearest(name, names)
    return f"did you mean `{near}`?" if near else ""


def listed(names: Iterable[str], limit: int = 8) -> str:
    """Return ``a, b, c`` for messages; long lists are cut."""
    ordered = sorted(names)
    cut = ordered[:limit] + ([f"… ({len(ordered) - limit} more)"] if len(ordered) > limit else [])
    return ", ".join(cut)


def _snippet(line: str, column: int) -> str:
    if not line or column < 1:
        return line
    line = line.replace("\t", " ")
    start = max(0, column - 1 - SNIPPET_COLUMNS // 2) if len(line) > SNIPPET_COLUMNS else 0
    return f"{line[start : start + SNIPPET_COLUMNS]}\n{' ' * (column - 1 - start)}^"
