"""Striking secrets out of what is said: in their own form and in those that programs turn them into.

A value is also found as JSON and ``repr`` spell it, in URLs, as hex, in base64 wherever it begins in the encoded text,
and, if it has several lines, line by line. A value shorter than ``SHORTEST`` is found only as it is: its encoded forms
are too short to tell from other text.

This is a net below a tightrope: code that wants to carry a secret out can spell it in a way that nobody knows.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, TextIO
from urllib.parse import quote, quote_plus

REDACTED: Final = "[redacted]"
SHORTEST: Final = 8
"""Characters of a secret, and of a line of one, that are looked for in other spellings too."""
FINDERS_KEPT: Final = 256
VALUES_KEPT: Final = 200
"""Values that the streams of a process are kept clean of: the latest."""


def forms(value: str) -> Iterator[str]:
    """Yield the spellings of a secret.

    >>> "aHVudGVyMi1odW50ZXIy" in set(forms("hunter2-hunter2"))
    True
    """
    yield value
    if len(value) < SHORTEST:
        return
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield repr(value)[1:-1]
    yield quote(value, safe="")
    yield quote(value)
    yield quote_plus(value)
    raw = value.encode("utf-8", "surrogatepass")
    yield raw.hex()
    yield raw.hex().upper()
    yield from _base64(raw)
    lines = value.splitlines()
    if len(lines) > 1:
        yield from (line.strip() for line in lines if len(line.strip()) >= SHORTEST)


def _base64(raw: bytes) -> Iterator[str]:
    """The characters that stand for ``raw`` alone, for each of the three places where it may begin."""
    for before, dropped in ((0, 0), (1, 2), (2, 3)):
        encoded = base64.b64encode(bytes(before) + raw).decode().rstrip("=")
        shared = 1 if (before + len(raw)) % 3 else 0
        own = encoded[dropped : len(encoded) - shared]
        yield own
        yield own.replace("+", "-").replace("/", "_")


class _Finder:
    """Finds the spellings of some values. Looking for each is quick; the pattern is used where there is something."""

    def __init__(self, values: Iterable[str]) -> None:
        found = {form for value in values if value for form in forms(value) if form}
        self.forms: Final = sorted(found, key=lambda form: (-len(form), form))
        self._pattern: Final = re.compile("|".join(map(re.escape, self.forms)) or "(?!)")

    def finds(self, text: str) -> bool:
        return any(form in text for form in self.forms)

    def strike(self, text: str) -> str:
        return self._pattern.sub(REDACTED, text) if self.finds(text) else text


@lru_cache(FINDERS_KEPT)
def _finder(values: tuple[str, ...]) -> _Finder:
    return _Finder(values)


def redacted(text: str, secrets: Mapping[str, str]) -> str:
    """Return ``text`` with the values of ``secrets`` struck out."""
    return _finder(tuple(secrets.values())).strike(text) if secrets else text


def longest(secrets: Mapping[str, str]) -> int:
    """Return how long a spelling of one of these may be."""
    return max(map(len, _finder(tuple(secrets.values())).forms), default=1)


def scrubbed(value: Any, secrets: Mapping[str, str]) -> Any:
    """Return data with the values of ``secrets`` struck out of every text in it, keys too."""
    if isinstance(value, str):
        return redacted(value, secrets)
    if isinstance(value, Mapping):
        return {scrubbed(key, secrets): scrubbed(item, secrets) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [scrubbed(item, secrets) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = str(value)
    clean = redacted(text, secrets)
    return clean if clean != text else value


def held(data: bytes, secrets: Mapping[str, str]) -> bool:
    """Whether bytes that hold UTF-8 texts, such as MessagePack, hold the value of a secret."""
    return _finder(tuple(secrets.values())).finds(data.decode("utf-8", "replace"))


class Known:
    """All values that this process has opened: for what can't be told apart by run, such as its standard output."""

    def __init__(self) -> None:
        self._values: list[str] = []
        self._finder = _Finder(())

    def add(self, values: Iterable[str]) -> None:
        """Strike these out from now on."""
        fresh = [value for value in values if value not in self._values]
        if fresh:
            self._values = [*self._values, *fresh][-VALUES_KEPT:]
            self._finder = _Finder(self._values)

    def clean(self, text: str) -> str:
        return self._finder.strike(text)


KNOWN: Final = Known()


class CleanStream:
    """A text stream that strikes out what ``KNOWN`` knows; in everything else the one below it."""

    def __init__(self, below: TextIO) -> None:
        self._below: Final = below

    def write(self, text: str) -> int:
        self._below.write(KNOWN.clean(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)


def keep_clean() -> None:
    """Let what this process prints and logs from now on pass ``KNOWN``."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, CleanStream):
            setattr(sys, name, CleanStream(stream))
