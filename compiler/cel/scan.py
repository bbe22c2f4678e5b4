"""What is done to the text before the library's parser sees it.

The parser's grammar has no optional selection (``a.?b``), and its string terminals are regular expressions that take
exponential time on some texts. So each string literal is read here, in linear time, and its place is filled with a
plain literal of the same length; the question mark of ``.?`` becomes a blank. Offsets stay what they were.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from .tree import ExpressionError

_SPECIAL: Final = re.compile(
    r"(?<![A-Za-z0-9_])(?P<prefix>[rRbB]{1,2})?(?P<quote>\"\"\"|'''|\"|')|//[^\n]*|(?<![0-9])\.\?"
)
_ESCAPE: Final = re.compile(
    r"\\(?:([abfnrtv\\?\"'`])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|)"
)
_SIMPLE: Final = dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True))


class Scanned(NamedTuple):
    """A text that the library can parse, and what was taken out of it."""

    text: str
    strings: dict[int, str]
    """The values of string literals, by offset."""
    optionals: frozenset[int]
    """Offsets of the question marks of ``.?``."""


def scan(text: str) -> Scanned:
    """Return ``text`` with its strings masked; ``ExpressionError`` for a bytes literal or a string without end."""
    parts: list[str] = []
    strings: dict[int, str] = {}
    optionals: set[int] = set()
    at = 0
    while found := _SPECIAL.search(text, at):
        parts.append(text[at : found.start()])
        if found["quote"]:
            end = _end(text, found)
            strings[found.start()] = _value(text, found, end)
            parts.append('"' + "s" * (end - found.start() - 2) + '"')
        elif found[0] == ".?":
            optionals.add(found.start() + 1)
            parts.append(". ")
            end = found.end()
        else:
            end = found.end()
            parts.append(" " * (end - found.start()))
        at = end
    parts.append(text[at:])
    return Scanned("".join(parts), strings, frozenset(optionals))


def _end(text: str, found: re.Match[str]) -> int:
    """The offset behind the literal that ``found`` opens."""
    prefix, quote = (found["prefix"] or "").lower(), found["quote"]
    if "b" in prefix:
        raise ExpressionError("bytes are not supported: a message is JSON", found.start(), len(found[0]))
    if prefix == "rr":
        raise ExpressionError("a string has at most one `r` before it", found.start(), 2)
    at = found.end()
    while True:
        close = text.find(quote, at)
        escape = -1 if prefix else text.find("\\", at, close)
        if close < 0:
            raise ExpressionError(f"a string is not closed: {quote} is missing", found.start(), len(found[0]))
        if len(quote) == 1 and text.find("\n", at, close) >= 0:
            raise ExpressionError(f"a string is not closed on its line: {quote} is missing", found.start(), 1)
        if escape < 0:
            return close + len(quote)
        at = escape + 2


def _value(text: str, found: re.Match[str], end: int) -> str:
    body = text[found.end() : end - len(found["quote"])]
    if found["prefix"]:
        return body
    return _ESCAPE.sub(lambda escape: _character(escape, found.end()), body)


def _character(escape: re.Match[str], base: int) -> str:
    simple, *codes = escape.groups()
    if simple:
        return _SIMPLE.get(simple, simple)
    *hexadecimal, octal = codes
    digits = next(filter(None, hexadecimal), None)
    code = int(digits, 16) if digits else int(octal, 8) if octal else -1
    if not 0 <= code <= 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise ExpressionError(
            "not an escape that CEL knows", base + escape.start(), len(escape[0]), r"write \\ for a backslash"
        )
    return chr(code)
