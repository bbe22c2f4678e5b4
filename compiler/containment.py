"""The proof that a message fits: every instance of one JSON Schema (2020-12) is valid for another.

Sound, not complete. ``None`` means proved; a refusal means that there is a counter-example or that no proof was
found, and names the place. A source is a conjunction of schemas (``containment_parts.py``), of which facts follow
(``containment_facts.py``); each keyword of the target is a rule (``containment_rules.py``). What can't be shown for the
source as a whole is tried for its cases: the options of its unions, its types, the values of a field that tells its
variants apart.

Schemas may refer to themselves. A pair of source and target that comes up again further down in the instance is taken
as proved: if it isn't, it fails where it was first asked, and everything that leant on it is forgotten. A pair that
comes up again for the same value proves nothing.

The work is bounded by ``MAX_STEPS`` and ``MAX_DEPTH``; beyond them, the answer is a refusal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from .artifact import Schema
from .containment_facts import Facts
from .containment_parts import Flat, Part, Parts, field, flat, required
from .containment_rules import RULES, Goal, Refusal, shown
from .containment_schemas import schema_of

__all__ = ["Refusal", "contained", "schema_of"]

MAX_STEPS: Final = 5_000
"""Pairs of source and target that are looked at for one question."""
MAX_DEPTH: Final = 64
"""Pairs that lead to one another."""
MAX_VARIANTS: Final = 32
"""Values of a field that are told apart as cases."""


def contained(source: Schema, target: Schema) -> Refusal | None:
    """Return ``None`` if every instance of ``source`` is valid for ``target``; else where that isn't proved, and why.

    Both are schemas as the metaschema has them, self-contained: only local references are followed.
    """
    try:
        return _Proof().prove([Part(source, source)], Part(target, target), 0)
    except RecursionError:
        return TOO_HARD


TOO_HARD: Final = Refusal(
    (), "nests too deep, refers to itself without end or takes too long", "", "a simpler schema"
)


class _Proof:
    """One question and what was found out on the way."""

    def __init__(self) -> None:
        self.facts = Facts()
        self._proved: set[Any] = set()
        self._refused: dict[Any, Refusal] = {}
        self._open: dict[Any, int] = {}
        self._order: list[Any] = []
        self._steps = 0
        self._made: dict[Any, Mapping[str, Any]] = {}

    def prove(self, source: Iterable[Part | Flat], target: Part, level: int) -> Refusal | None:
        """Prove one pair; ``level`` counts the steps down into the instance."""
        if target.schema is True or target.schema == {}:
            return None
        parts = flat(source)
        if parts is None or self.facts.empty(parts):
            return None
        if not isinstance(target.schema, Mapping):
            return Refusal((), "is allowed by the source alone", "a value", "nothing")
        key = (self.facts.key(parts), id(target.schema), id(target.root))
        if key in self._proved or self._open.get(key, level) < level:
            return None
        if key in self._refused:
            return self._refused[key]
        self._steps += 1
        if self._steps > MAX_STEPS or len(self._open) >= MAX_DEPTH or key in self._open:
            return Refusal(
                (), "takes too long to prove, or refers to itself without end", "", "a simpler schema"
            )
        return self._settle(key, parts, Flat(target.schema, target.root), level)

    def _settle(self, key: Any, parts: Parts, target: Flat, level: int) -> Refusal | None:
        self.facts.keep_parts(parts)
        mark = len(self._order)
        self._open[key] = level
        refusal = self._attempt(parts, target, level)
        del self._open[key]
        if refusal is None:
            self._proved.add(key)
            self._order.append(key)
            return None
        self._proved.difference_update(self._order[mark:])
        del self._order[mark:]
        self._refused[key] = refusal
        return refusal

    def _attempt(self, parts: Parts, target: Flat, level: int) -> Refusal | None:
        if any(self.facts.same(part, target) for part in parts):
            return None
        if "$id" in target.schema and target.schema is not target.root:
            return Refusal((), "has an $id of its own, which moves its references", "", "no inner $id")
        values = self.facts.values(parts)
        if values is not None:
            return self._by_value(values, parts, target)
        goal = Goal(self, parts, target, self.facts.types(parts), level)
        refusal = next(filter(None, (rule(goal) for rule in RULES)), None)
        if refusal is None:
            return None
        return self._by_cases(refusal, parts, target, level)

    def _by_value(self, values: list[Any], parts: Parts, target: Flat) -> Refusal | None:
        """The source has so few values that each can be asked."""
        for value, path, message in self.facts.violations(values, target, strict=True):
            if self.facts.possible(value, parts):
                return Refusal(path, "may be another value", shown(value), message)
        return None

    def _by_cases(self, refusal: Refusal, parts: Parts, target: Flat, level: int) -> Refusal | None:
        cases, telling = self._cases(parts, target)
        for case in cases:
            found = self.prove(case, target.inner(target.schema), level)
            if found is not None:
                return found if telling or len(found.path) > len(refusal.path) else refusal
        return None if cases else refusal

    def _cases(self, parts: Parts, target: Flat) -> tuple[list[list[Part | Flat]], bool]:
        """Sources that together are this one, and whether a refusal of one of them tells more than of the whole."""
        for part in parts:
            for word in ("anyOf", "oneOf"):
                if word in part.schema:
                    rest = [each for each in parts if each is not part]
                    rest.append(Flat(self._without(part.schema, word), part.root))
                    return [[*rest, part.inner(option)] for option in part.schema[word]], True
        if not {"anyOf", "oneOf", "not"} & target.schema.keys():
            return [], False
        types = self.facts.types(parts)
        if len(types) > 1:
            return [[*parts, self._case("type", name, _TYPE_CASES[name])] for name in sorted(types)], False
        for name, variants in self._variants(parts):
            cases = [
                self._case(name, json.dumps(value), {"properties": {name: {"const": value}}})
                for value in variants
            ]
            return [[*parts, case] for case in cases], False
        return [], False

    def _variants(self, parts: Parts) -> Iterator[tuple[str, list[Any]]]:
        """Fields that are always there and have a few values."""
        for name in required(parts):
            inner = flat(field(parts, name))
            values = None if inner is None else self.facts.values(inner)
            if values is not None and 1 < len(values) <= MAX_VARIANTS:
                yield name, values

    def _without(self, schema: Mapping[str, Any], word: str) -> Mapping[str, Any]:
        key = (id(schema), word)
        if key not in self._made:
            self.facts.keep(schema)
            self._made[key] = {name: value for name, value in schema.items() if name != word}
        return self._made[key]

    def _case(self, kind: str, name: str, schema: dict[str, Any]) -> Part:
        made = self._made.setdefault((kind, name), schema)
        return Part(made, made)


_TYPE_CASES: Final[dict[str, dict[str, Any]]] = {
    "integer": {"type": "integer"},
    "fraction": {"type": "number", "not": {"type": "integer"}},
    **{name: {"type": name} for name in ("null", "boolean", "string", "array", "object")},
}
