"""Bytes to a tree that knows where everything stood.

YAML is read as version 1.2 means it: ``on``, ``off``, ``yes`` and ``no`` are strings, so are dates, and there are no
merge keys. JSON is read by the same reader, for it is YAML too. A tree is JSON data with places: string keys, finite
numbers of 64 bits, no cycles.

Sources come from strangers, so each way to make one expensive has a limit and a code of its own: size, depth,
and what aliases expand to. Events of the YAML parser are composed here, and not by its own composer, which recurses
without bound and keeps the last of two equal keys.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import yaml

from .errors import Place
from .report import LINE_BREAK, Report

MAX_BYTES: Final = 1 << 20
"""A flow of a thousand nodes takes about 200 KiB."""
MAX_DEPTH: Final = 64
"""Schemas nest; no real one was seen beyond 20 levels."""
MAX_VALUES: Final = 250_000
"""Values after aliases are expanded: more than a source of 1 MiB can sensibly hold."""

Value: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Scalar:
    """A string, number, boolean or null."""

    value: Value
    place: Place
    style: str = ""
    """How it was written: '' plain, a quote, or the ``|`` or ``>`` of a block."""


@dataclass(frozen=True, slots=True)
class Items:
    """A sequence."""

    items: tuple[Tree, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a table with its value; ``place`` is the key's."""

    key: str
    value: Tree
    place: Place


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping with unique string keys."""

    entries: tuple[Entry, ...]
    place: Place

    def entry(self, key: str) -> Entry | None:
        """Return the entry of ``key``, if there is one."""
        return next((entry for entry in self.entries if entry.key == key), None)


Tree: TypeAlias = Scalar | Items | Table


def read(source: bytes | str, file: str, report: Report) -> Tree | None:
    """Return the tree of ``source``; ``None`` if it could not be read, and ``report`` then says why."""
    text = _decode(source, file, report)
    if text is None:
        return None
    report.add_source(file, text)
    bad = _NOT_PRINTABLE.search(text)
    if bad:
        place = _place_of(text, bad.start(), file)
        report.error("AX1001", place, "the source holds a control character", found=f"U+{ord(bad[0]):04X}")
        return None
    try:
        return _Composer(file, report).document(_as_yaml(text))
    except _Unreadable:
        return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        context = f" ({error.context})" if error.context else ""
        report.error("AX1002", place, f"not well-formed: {error.problem}{context}")
        return None


def plain(tree: Tree) -> Any:
    """Return the data of ``tree``: dicts, lists and scalars."""
    match tree:
        case Table(entries):
            return {entry.key: plain(entry.value) for entry in entries}
        case Items(items):
            return [plain(item) for item in items]
        case Scalar(value):
            return value


def graft(data: Any, file: str) -> Tree:
    """Return the tree of plain data, which has no lines: its places are JSON pointers, ``file#/nodes/0/alias``.

    Raises ``ValueError`` for what JSON can't hold.
    """
    return _graft(data, file, "", 0)


def descend(tree: Tree, path: Iterator[str | int] | list[str | int]) -> Tree:
    """Return the part of ``tree`` that ``path`` leads to, or the last part on the way that exists."""
    for step in path:
        if isinstance(tree, Table) and (entry := tree.entry(str(step))):
            tree = entry.value
        elif isinstance(tree, Items) and isinstance(step, int) and step < len(tree.items):
            tree = tree.items[step]
        else:
            break
    return tree


def within(scalar: Scalar, offset: int, report: Report) -> Place:
    """Return the place of the character ``offset`` of a string's value: what a caret inside an expression needs."""
    place = scalar.place
    if place.line < 1 or not isinstance(scalar.value, str):
        return place
    before = scalar.value[:offset]
    if scalar.style in ("|", ">"):
        first = Place(place.file, place.line + 1)
        indent = len(report.line(first)) - len(report.line(first).lstrip())
        rows = before.count("\n") if scalar.style == "|" else 0
        return Place(place.file, place.line + 1 + rows, indent + 1 + len(before.rpartition("\n")[2]))
    start = place.column + (1 if scalar.style else 0)
    written = report.line(place)[start - 1 :]
    return Place(place.file, place.line, start + offset) if written.startswith(before) else place


class _Unreadable(Exception):
    """The rest of the source makes no sense or is refused; the report says why."""


class _Composer:
    """Makes a tree of a parser's events. Counts what it makes, so that aliases cost what they stand for."""

    def __init__(self, file: str, report: Report) -> None:
        self.file = file
        self.report = report
        self.anchors: dict[str, tuple[Tree, int, int]] = {}
        self.open: set[str] = set()
        self.values = 0

    def document(self, text: str) -> Tree:
        self.events = yaml.parse(text, Loader=_LOADER)
        next(self.events)
        event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            raise self.refused("AX1012", event, "the source is empty")
        tree = self.node(next(self.events), 1)[0]
        next(self.events)
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise self.refused("AX1012", event, "the source holds more than one document", expected="one")
        return tree

    def node(self, event: Any, depth: int) -> tuple[Tree, int, int]:
        """Return the node that ``event`` opens, with its size in values and its height in levels."""
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, depth)
        self.count(event, 1, depth)
        anchor = event.anchor
        if anchor:
            self.open.add(anchor)
        made = self.make(event, depth)
        if anchor:
            self.open.discard(anchor)
            self.anchors[anchor] = made
        return made

    def make(self, event: Any, depth: int) -> tuple[Tree, int, int]:
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event), 1, 1
        self.tag(event)
        before, height = self.values, 0
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Tree] = []
            while not isinstance(inner := next(self.events), yaml.SequenceEndEvent):
                item, _, levels = self.node(inner, depth + 1)
                items.append(item)
                height = max(height, levels)
            return Items(tuple(items), self.place(event)), self.values - before + 1, height + 1
        entries: dict[str, Entry] = {}
        while not isinstance(inner := next(self.events), yaml.MappingEndEvent):
            key, _, _ = self.node(inner, depth + 1)
            value, _, levels = self.node(next(self.events), depth + 1)
            height = max(height, levels)
            self.enter(entries, key, value)
        return Table(tuple(entries.values()), self.place(event)), self.values - before + 1, height + 1

    def enter(self, entries: dict[str, Entry], key: Tree, value: Tree) -> None:
        """Put a pair into a table, or say why it can't be."""
        if not isinstance(key, Scalar) or not isinstance(key.value, str):
            shown = json.dumps(key.value) if isinstance(key, Scalar) else "a mapping or a sequence"
            self.report.error(
                "AX1007",
                key.place,
                "a key is not a string",
                found=shown,
                expected="a string; quote it if meant so",
            )
            return
        if key.value == "<<" and not key.style:
            self.report.error("AX1011", key.place, "merge keys are no part of YAML 1.2; write the keys out")
            return
        first = entries.get(key.value)
        if first:
            where = f"first given in line {first.place.line}"
            self.report.error("AX1006", key.place, f"the key `{key.value}` is given twice", found=where)
            return
        entries[key.value] = Entry(key.value, value, key.place)

    def alias(self, event: Any, depth: int) -> tuple[Tree, int, int]:
        if event.anchor not in self.anchors:
            inside = event.anchor in self.open
            message = f"`*{event.anchor}` " + ("holds itself" if inside else "names no anchor before it")
            raise self.refused("AX1008", event, message)
        made = self.anchors[event.anchor]
        self.count(event, made[1], depth + made[2] - 1)
        return made

    def count(self, event: Any, values: int, depth: int) -> None:
        self.values += values
        if depth > MAX_DEPTH:
            raise self.refused("AX1004", event, "nested too deep", expected=f"at most {MAX_DEPTH} levels")
        if self.values > MAX_VALUES:
            message = "too many values once aliases are expanded"
            raise self.refused("AX1005", event, message, expected=f"at most {MAX_VALUES:,}")

    def scalar(self, event: Any) -> Scalar:
        place, style = self.place(event), event.style or ""
        tag = self.tag(event)
        text = event.value
        if _SURROGATE.search(text):
            self.report.error("AX1001", place, "a string holds half of a surrogate pair")
            text = _SURROGATE.sub("?", text)
        if tag == "str" or (not tag and not event.implicit[0]):
            return Scalar(text, place, style)
        if tag and tag not in ("null", "bool", "int", "float"):
            self.report.error(
                "AX1009", place, f"the tag `{event.tag}` does not fit a scalar", found=event.tag
            )
        return Scalar(self.resolved(text, place), place, style)

    def resolved(self, text: str, place: Place) -> Value:
        """The value of a plain scalar in YAML 1.2's core schema."""
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            number = int(text, 0 if text[:2] in ("0o", "0x") else 10) if len(text) < 40 else 1 << 64
            if not -(1 << 63) <= number < 1 << 64:
                self.report.error("AX1010", place, "an integer does not fit 64 bits", found=text[:40])
                return None
            return number
        if _FLOAT.fullmatch(text):
            value = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
            if not math.isfinite(value):
                self.report.error("AX1010", place, "a number is not finite", found=text[:40])
                return None
            return value
        return text

    def tag(self, event: Any) -> str:
        """Return the short name of an explicit tag; '' if there is none."""
        tag = event.tag
        if tag is None or tag == "!":
            return "str" if tag == "!" and isinstance(event, yaml.ScalarEvent) else ""
        short = str(tag).removeprefix("tag:yaml.org,2002:")
        if short not in ("str", "int", "float", "bool", "null", "map", "seq"):
            self.report.error("AX1009", self.place(event), "sources have no such type", found=str(tag))
            return "str"
        return short

    def place(self, event: Any) -> Place:
        mark = event.start_mark
        return Place(self.file, mark.line + 1, mark.column + 1)

    def refused(self, code: str, event: Any, message: str, expected: str = "") -> _Unreadable:
        self.report.error(code, self.place(event), message, expected=expected)
        return _Unreadable()


_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS: Final[Mapping[str, Value]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_PAIR: Final = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_NOT_PRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _decode(source: bytes | str, file: str, report: Report) -> str | None:
    data = source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source
    if len(data) > MAX_BYTES:
        report.error(
            "AX1003", Place(file), "too large", found=f"{len(data):,} bytes", expected=f"≤ {MAX_BYTES:,}"
        )
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        place = _place_of(before, len(before), file)
        report.error("AX1001", place, "not UTF-8", found=f"byte 0x{data[error.start]:02x}")
        return None


def _place_of(text: str, offset: int, file: str) -> Place:
    lines = LINE_BREAK.split(text[:offset])
    return Place(file, len(lines), len(lines[-1]) + 1)


def _as_yaml(text: str) -> str:
    """Spell two things of JSON as YAML does: tabs between tokens, and pairs of escapes beyond U+FFFF."""
    if not text.lstrip().startswith(("{", "[")) or not ("\t" in text or _PAIR.search(text)):
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return _PAIR.sub(_joined, text.replace("\t", " "))


def _joined(pair: re.Match[str]) -> str:
    return (int(pair[1], 16).to_bytes(2, "big") + int(pair[2], 16).to_bytes(2, "big")).decode("utf-16-be")


def _graft(data: Any, file: str, pointer: str, depth: int) -> Tree:
    place = Place(f"{file}#{pointer}" if pointer else file)
    if depth > MAX_DEPTH:
        raise ValueError(f"{place.file} is nested deeper than {MAX_DEPTH} levels")
    if isinstance(data, Mapping):
        entries = []
        for key, value in data.items():
            if not isinstance(key, str):
                raise ValueError(f"{place.file} has a key that is not a string: {key!r}")
            below = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
            entries.append(Entry(key, _graft(value, file, below, depth + 1), Place(f"{file}#{below}")))
        return Table(tuple(entries), place)
    if isinstance(data, (list, tuple)):
        items = (_graft(item, file, f"{pointer}/{index}", depth + 1) for index, item in enumerate(data))
        return Items(tuple(items), place)
    if data is None or isinstance(data, (str, bool)):
        return Scalar(data, place, "'")
    if isinstance(data, int) and -(1 << 63) <= data < 1 << 64:
        return Scalar(data, place)
    if isinstance(data, float) and math.isfinite(data):
        return Scalar(data, place)
    raise ValueError(f"{place.file} holds what JSON can't: {data!r}")
