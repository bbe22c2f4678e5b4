"""What a conjunction of schemas says of the values that are valid for all of it.

A **part** is a schema with the document that its references point into, so that parts of two documents can be looked
at together: source and target have nothing in common exactly when their parts put together have no value.

Every answer describes at least all values that are valid. Keywords that are not understood here are left out, which
only makes the description wider. What needs more than a look at the keywords is in ``containment_facts.py``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from .artifact import Schema
from .cel.values import regex
from .containment_schemas import resolve, type_of

Types = frozenset[str]
TYPES: Final[Types] = frozenset({"null", "boolean", "integer", "fraction", "string", "array", "object"})
"""JSON Schema's types, where ``number`` is ``integer`` (5, 5.0) or ``fraction`` (5.5)."""
_PLAIN_PATTERN: Final = re.compile(r"[A-Za-z0-9_^$.*+|()\[\]:/@#-]*")
_PLAIN_NAME: Final = re.compile(r"[ -~]*")


class Part(NamedTuple):
    """A schema and the document that it is in."""

    schema: Schema
    root: Schema

    def inner(self, schema: Schema) -> Part:
        """A part of the same document."""
        return Part(schema, self.root)


class Flat(NamedTuple):
    """A part whose ``$ref`` and ``allOf`` already stand beside it."""

    schema: Mapping[str, Any]
    root: Schema

    def inner(self, schema: Schema) -> Part:
        """A part of the same document."""
        return Part(schema, self.root)


Parts = tuple[Flat, ...]


def flat(parts: Iterable[Part | Flat]) -> Parts | None:
    """The conjunction with references and ``allOf`` written out; ``None`` if ``false`` is in it."""
    out: list[Flat] = []
    seen: set[tuple[int, int]] = set()
    waiting: list[Part | Flat] = list(parts)[::-1]
    while waiting:
        part = waiting.pop()
        if part.schema is False:
            return None
        key = (id(part.schema), id(part.root))
        if part.schema is True or key in seen:
            continue
        seen.add(key)
        if isinstance(part, Flat):
            out.append(part)
            continue
        schema = part.schema
        assert isinstance(schema, Mapping)
        if "$id" in schema and schema is not part.root:
            continue
        out.append(Flat(schema, part.root))
        waiting.extend(part.inner(inner) for inner in reversed(schema.get("allOf", ())))
        if "$ref" in schema:
            target = resolve(schema["$ref"], part.root)
            if target is not None:
                waiting.append(part.inner(target))
    return tuple(out)


# -- types and values


def declared_types(schema: Mapping[str, Any]) -> Types:
    """What the keyword ``type`` allows."""
    if "type" not in schema:
        return TYPES
    names = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    return frozenset().union(*({"integer", "fraction"} if name == "number" else {name} for name in names))


def value_type(value: Any) -> str:
    """The type of a value, in the terms of ``TYPES``."""
    name = type_of(value)
    return "fraction" if name == "number" else name


def unions(schema: Mapping[str, Any]) -> list[Sequence[Schema]]:
    """The lists of options of which a value has to match one."""
    return [schema[word] for word in ("anyOf", "oneOf") if word in schema]


def listed(schema: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
    if "const" in schema:
        yield [schema["const"]]
    if "enum" in schema:
        yield schema["enum"]


# -- bounds


class Bound(NamedTuple):
    """An end of a range of numbers. Without one: infinity."""

    value: float
    exclusive: bool


def tighter(one: Bound, other: Bound, sign: int) -> Bound:
    if one.value == other.value:
        return Bound(one.value, one.exclusive or other.exclusive)
    return max(one, other, key=lambda each: each.value * sign)


def least(parts: Parts, word: str) -> int:
    """The greatest of a ``min…`` keyword's values."""
    return max((math.ceil(part.schema[word]) for part in parts if word in part.schema), default=0)


def most(parts: Parts, word: str) -> float:
    """The least of a ``max…`` keyword's values."""
    return min((math.floor(part.schema[word]) for part in parts if word in part.schema), default=math.inf)


# -- arrays


def item(parts: Parts, index: int) -> list[Part]:
    """What the item at ``index`` has to be."""
    out = []
    for part in parts:
        prefix = part.schema.get("prefixItems", ())
        out.append(part.inner(prefix[index] if index < len(prefix) else part.schema.get("items", True)))
    return out


def prefix_length(parts: Iterable[Flat]) -> int:
    """The number of items that have a schema of their own."""
    return max((len(part.schema.get("prefixItems", ())) for part in parts), default=0)


# -- objects


def matches(pattern: str, name: str) -> bool | None:
    """Whether ``name`` matches; ``None`` where engines for regular expressions might differ."""
    if not _PLAIN_PATTERN.fullmatch(pattern) or not _PLAIN_NAME.fullmatch(name):
        return None
    try:
        return regex(pattern).search(name) is not None
    except ValueError:
        return None


def field(parts: Parts, name: str) -> list[Part]:
    """What the value under ``name`` has to be, if it is there."""
    out: list[Part] = []
    for part in parts:
        own = part.schema.get("properties", {})
        found = [matches(pattern, name) for pattern in part.schema.get("patternProperties", {})]
        if name in own:
            out.append(part.inner(own[name]))
        for (_, schema), match in zip(part.schema.get("patternProperties", {}).items(), found, strict=True):
            if match:
                out.append(part.inner(schema))
        if name not in own and all(match is False for match in found):
            out.append(part.inner(part.schema.get("additionalProperties", True)))
    return out


def under_pattern(parts: Parts, pattern: str) -> list[Part]:
    """What a value has to be whose name matches ``pattern``, as far as equal patterns say it."""
    return [
        part.inner(part.schema["patternProperties"][pattern])
        for part in parts
        if pattern in part.schema.get("patternProperties", {})
    ]


def unnamed(parts: Parts) -> list[Part]:
    """What a value has to be whose name nothing else speaks of."""
    return [part.inner(part.schema.get("additionalProperties", True)) for part in parts]


def names(parts: Iterable[Flat]) -> list[str]:
    """The names that ``properties`` spells out, in order."""
    return list(dict.fromkeys(name for part in parts for name in part.schema.get("properties", ())))


def patterns(parts: Iterable[Flat]) -> list[str]:
    """The patterns of names, in order."""
    return list(dict.fromkeys(name for part in parts for name in part.schema.get("patternProperties", ())))


def required(parts: Parts) -> list[str]:
    """The names that have to be there."""
    return list(dict.fromkeys(name for part in parts for name in part.schema.get("required", ())))
