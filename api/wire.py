"""Bytes at the doors: JSON in, bounded and strict; JSON out, always valid; times as people write them.

What comes in is refused unless it is JSON as RFC 8259 has it: UTF-8, no ``NaN``, no number beyond a double, no key
twice in an object, nested no deeper than ``DEPTH``. What goes out holds no ``NaN`` either: JSON has no such number.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import Response

DEPTH: Final = 128
"""Brackets within brackets: journals and validators recurse."""
_HUGE = re.compile(rb"[eE]\+?\d{3}|\d{300}")
"""The only spellings of a number that can be infinite."""
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class BadJson(ValueError):
    """Bytes that are no JSON; ``line`` and ``column`` (from 1) say where, if that is known."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        self.line, self.column = line, column
        super().__init__(message)


def from_json(data: bytes) -> Any:
    """Return the value of a JSON text. ``BadJson`` says what is wrong with it, and where."""
    if data.count(b"[") + data.count(b"{") > DEPTH and _depth(data) > DEPTH:
        raise BadJson(f"it is nested deeper than {DEPTH} levels")
    try:
        text = data.decode()
        return json.loads(
            text,
            parse_constant=_no_constant,
            parse_float=_finite if _HUGE.search(data) else None,
            object_pairs_hook=_object,
        )
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadJson(f"byte {error.start} is no UTF-8", line, 0) from error
    except json.JSONDecodeError as error:
        raise BadJson(error.msg, error.lineno, error.colno) from error
    except RecursionError as error:
        raise BadJson(f"it is nested deeper than {DEPTH} levels") from error
    except BadJson:
        raise
    except ValueError as error:
        raise BadJson(str(error)) from error


def to_json(value: Any) -> bytes:
    """Return the JSON text of plain data. What JSON has no word for (NaN, bytes) becomes ``null`` or text."""
    try:
        return _encode(value).encode()
    except (ValueError, TypeError):
        return _encode(_plain(value)).encode("utf-8", "replace")


class Json(Response):
    """A JSON answer."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return to_json(content)


def iso(ms: int | None) -> str | None:
    """Return a moment as ISO-8601 in UTC with milliseconds.

    >>> iso(1_700_000_000_123)
    '2023-11-14T22:13:20.123Z'
    """
    if ms is None:
        return None
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def from_iso(text: str) -> int:
    """Return the milliseconds of an ISO-8601 moment (UTC unless it says otherwise) or of plain digits.

    >>> from_iso("2023-11-14T22:13:20.123Z"), from_iso("1700000000123")
    (1700000000123, 1700000000123)
    """
    if text.isdigit() and text.isascii() and len(text) < 17:
        return int(text)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def pointer(*steps: str | int) -> str:
    """Return the JSON pointer (RFC 6901) of a path.

    >>> pointer("input", "a/b", 0)
    '/input/a~1b/0'
    """
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def _no_constant(name: str) -> Any:
    raise BadJson(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise BadJson(f"{text[:40]} is too large a number")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadJson(f"the key {twice!r} stands twice in one object")
    return found


_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{\]}]', re.S)


def _depth(data: bytes) -> int:
    """Return how deep the brackets outside of strings go, or just enough to be too deep."""
    depth = most = 0
    for token in _TOKEN.finditer(data):
        first = data[token.start()]
        if first in b"[{":
            depth += 1
            most = max(most, depth)
            if most > DEPTH:
                return most
        elif first in b"]}":
            depth -= 1
    return most


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if value is None or isinstance(value, (str, int)):
        return value
    return str(value)
