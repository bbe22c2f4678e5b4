"""What follows from a conjunction of schemas: its types, its values where they can be counted, its bounds, its end.

The same rule as in ``containment_parts.py``: an answer describes at least all values that are valid, and ``empty`` is
true only if there surely is none. Answers are kept, and their number is bounded, so that schemas that refer to
themselves in many ways cost no more than their size allows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from .artifact import Schema
from .containment_parts import (
    TYPES,
    Bound,
    Flat,
    Part,
    Parts,
    Types,
    declared_types,
    field,
    flat,
    item,
    least,
    listed,
    most,
    names,
    patterns,
    prefix_length,
    required,
    tighter,
    unions,
    unnamed,
    value_type,
)
from .containment_schemas import equal, same, standalone

MAX_LISTED: Final = 64
"""Values that are looked at one by one."""
MAX_QUESTIONS: Final = 2_000
"""Conjunctions that are looked into for emptiness; beyond that, every one is taken to have values."""
_DEPTH: Final = 8

Key = tuple[tuple[int, int], ...]


class Facts:
    """Answers about conjunctions, remembered by the identity of their schemas, which are kept alive for that."""

    def __init__(self) -> None:
        self._types: dict[Key, Types] = {}
        self._empty: dict[Key, bool] = {}
        self._same: dict[tuple[int, int, int, int], bool] = {}
        self._judges: dict[tuple[int, int, bool], Any] = {}
        self._kept: list[Any] = []

    def keep(self, schema: Schema) -> Schema:
        """``schema``, kept alive as long as what is known about it."""
        self._kept.append(schema)
        return schema

    def keep_parts(self, parts: Parts) -> None:
        """Keep what ``parts`` are made of."""
        self._kept.append(parts)

    def key(self, parts: Parts) -> Key:
        """What tells conjunctions apart."""
        return tuple((id(part.schema), id(part.root)) for part in parts)

    def same(self, part: Flat, target: Flat) -> bool:
        """Whether two schemas say the same in the same words."""
        key = (id(part.schema), id(part.root), id(target.schema), id(target.root))
        if key not in self._same:
            self._kept.append((part, target))
            self._same[key] = same(*part, *target)
        return self._same[key]

    def types(self, parts: Parts) -> Types:
        """The types that a value may have."""
        key = self.key(parts)
        if key not in self._types:
            self._types[key] = TYPES
            found = TYPES
            for part in parts:
                found &= self._own_types(part)
            self._types[key] = found
            self._kept.append(parts)
        return self._types[key]

    def _own_types(self, part: Flat) -> Types:
        schema = part.schema
        found = declared_types(schema)
        for values in listed(schema):
            found &= frozenset(map(value_type, values))
        for union in unions(schema):
            found &= frozenset().union(*(self._option_types(part.inner(option)) for option in union))
        denied = schema.get("not")
        if isinstance(denied, Mapping) and denied.keys() == {"type"}:
            found -= declared_types(denied)
        if "multipleOf" in schema and schema["multipleOf"] % 1 == 0:
            found -= {"fraction"}
        return found

    def _option_types(self, option: Part) -> Types:
        parts = flat([option])
        return frozenset() if parts is None else self.types(parts)

    def values(self, parts: Parts) -> list[Any] | None:
        """All values, where they can be counted: at least those that are valid. ``None`` where they can't."""
        allowed = self.types(parts)
        lists = sorted((each for part in parts for each in listed(part.schema)), key=len)
        if lists:
            first, *rest = lists
            return [
                value
                for value in first
                if value_type(value) in allowed
                and all(any(equal(value, each) for each in more) for more in rest)
            ]
        if allowed <= {"null", "boolean"}:
            return [value for value in (None, False, True) if value_type(value) in allowed]
        if allowed == {"integer"}:
            low, high = (self.bound(parts, side).value for side in ("minimum", "maximum"))
            if math.isfinite(low) and math.isfinite(high) and high - low < MAX_LISTED:
                return list(range(int(low), int(high) + 1))
        return None

    def bound(self, parts: Parts, side: str) -> Bound:
        """The lowest (``minimum``) or highest (``maximum``) value of a number."""
        sign = 1 if side == "minimum" else -1
        found = Bound(-math.inf * sign, False)
        for part in parts:
            for word, exclusive in ((side, False), (f"exclusive{side.capitalize()}", True)):
                if word in part.schema:
                    found = tighter(found, Bound(part.schema[word], exclusive), sign)
        if "fraction" not in self.types(parts) and not math.isinf(found.value):
            whole = math.ceil(found.value) if sign > 0 else math.floor(found.value)
            return Bound(whole + sign if found.exclusive and whole == found.value else whole, False)
        return found

    def longest(self, parts: Parts, depth: int = 0) -> float:
        """The greatest number of items."""
        limit = most(parts, "maxItems")
        for index in range(prefix_length(parts) + 1):
            if index >= limit or self.empty(flat(item(parts, index)), depth + 1):
                return min(limit, index)
        return limit

    def widest(self, parts: Parts) -> float:
        """The greatest number of properties."""
        limit = most(parts, "maxProperties")
        if not patterns(parts) and self.empty(flat(unnamed(parts))):
            limit = min(limit, len(names(parts)))
        return limit

    def empty(self, parts: Parts | None, depth: int = 0) -> bool:
        """Whether surely no value is valid for all of ``parts``."""
        if parts is None:
            return True
        key = self.key(parts)
        if key not in self._empty:
            if depth > _DEPTH or len(self._empty) > MAX_QUESTIONS:
                return False
            self._empty[key] = False
            self._kept.append(parts)
            self._empty[key] = self._surely_empty(parts, depth)
        return self._empty[key]

    def _surely_empty(self, parts: Parts, depth: int) -> bool:
        values = self.values(parts)
        if values is not None and len(values) <= MAX_LISTED:
            return not any(self.possible(value, parts) for value in values)
        return all(self._impossible(parts, each, depth) for each in self.types(parts)) or any(
            all(self.empty(flat([part.inner(option), *_others(parts, part)]), depth + 1) for option in union)
            for part in parts
            for union in unions(part.schema)
        )

    def _impossible(self, parts: Parts, name: str, depth: int) -> bool:
        match name:
            case "integer" | "fraction":
                low, high = self.bound(parts, "minimum"), self.bound(parts, "maximum")
                shut = low.exclusive or high.exclusive or (name == "fraction" and low.value % 1 == 0)
                return low.value > high.value or (low.value == high.value and shut)
            case "string":
                return least(parts, "minLength") > most(parts, "maxLength")
            case "array":
                shortest = least(parts, "minItems")
                return shortest > most(parts, "maxItems") or (
                    shortest > 0 and shortest > self.longest(parts, depth)
                )
            case "object":
                needed = required(parts)
                if max(least(parts, "minProperties"), len(needed)) > most(parts, "maxProperties"):
                    return True
                return any(self.empty(flat(field(parts, each)), depth + 1) for each in needed)
        return False

    def possible(self, value: Any, parts: Parts) -> bool:
        """Whether ``value`` may be valid for all of ``parts``."""
        return not any(self.violations([value], part) for part in parts)

    def violations(
        self, values: list[Any], part: Flat | Part, *, strict: bool = False
    ) -> list[tuple[Any, tuple[str, ...], str]]:
        """The values that the validator refuses, with path and message of a reason.

        ``strict`` is for what has to be sure: formats are judged, and a schema that can't be judged refuses all.
        """
        judge = self._judge(part, strict)
        if isinstance(judge, str):
            return [(value, (), judge) for value in values if strict]
        found = []
        for value in values:
            error = next(judge.iter_errors(value), None)
            if error is not None:
                path = tuple(f"[{step}]" if isinstance(step, int) else step for step in error.instance_path)
                found.append((value, path, error.message))
        return found

    def _judge(self, part: Flat | Part, strict: bool) -> Any:
        import jsonschema_rs

        key = (id(part.schema), id(part.root), strict)
        if key not in self._judges:
            self._kept.append(part)
            schema = standalone(part.schema, part.root)
            try:
                if schema is None:
                    raise ValueError("it refers to what is not in its document")
                document = dict(schema) if isinstance(schema, Mapping) else schema
                self._judges[key] = jsonschema_rs.Draft202012Validator(document, validate_formats=strict)
            except ValueError as error:
                self._judges[key] = str(error)
        return self._judges[key]


def _others(parts: Parts, one: Flat) -> list[Flat]:
    return [part for part in parts if part is not one]
