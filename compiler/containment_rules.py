"""What each keyword of a target demands of a source. One rule per family of keywords; each returns the first refusal.

A rule reads ``parts``, the conjunction that describes the source, and one target schema whose ``$ref`` and ``allOf``
are rules like the others. It may use the source's description only as a bound from above: what the description allows
may happen. Keywords without a rule are accepted from a source that says the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, Protocol

from .containment_facts import Facts
from .containment_parts import (
    Flat,
    Part,
    Parts,
    Types,
    declared_types,
    field,
    flat,
    item,
    least,
    matches,
    names,
    patterns,
    prefix_length,
    required,
    under_pattern,
    unnamed,
)
from .containment_schemas import ANNOTATIONS, equal, resolve, same


class Refusal(NamedTuple):
    """Why containment is not proved: where in the instance, what the source may hold, what the target wants."""

    path: tuple[str, ...]
    """Field names; ``[0]`` and ``[]`` for items; ``*`` for any other field, ``/pattern/`` for those that match."""
    reason: str
    found: str
    expected: str

    def under(self, step: str) -> Refusal:
        """The same, seen from one level above."""
        return self._replace(path=(step, *self.path))


class Prover(Protocol):
    """What a rule needs to go on with."""

    facts: Facts

    def prove(self, source: Iterable[Part | Flat], target: Part, level: int) -> Refusal | None:
        """Prove the containment of a part of an instance."""


class Goal(NamedTuple):
    """What is to be shown: every value of ``parts`` is valid for ``target``."""

    prover: Prover
    parts: Parts
    target: Flat
    types: Types
    level: int

    def inner(self, source: list[Part], target: Any, step: str) -> Refusal | None:
        """Go on with the values under ``step``."""
        refusal = self.prover.prove(source, self.target.inner(target), self.level + 1)
        return refusal and refusal.under(step)

    def whole(self, target: Any) -> Refusal | None:
        """Go on with another schema for the same values."""
        return self.prover.prove(self.parts, self.target.inner(target), self.level)

    def disjoint(self, target: Any) -> bool:
        """Whether surely no value of the source is valid for ``target``."""
        return self.prover.facts.empty(flat([*self.parts, self.target.inner(target)]))

    def says(self, *words: str) -> bool:
        """Whether one part of the source says the same as the target with ``words`` taken together."""
        wanted = {word: self.target.schema[word] for word in words if word in self.target.schema}
        return any(
            same(
                {word: part.schema[word] for word in words if word in part.schema},
                part.root,
                wanted,
                self.target.root,
            )
            for part in self.parts
        )


def shown(value: Any) -> str:
    """A value or a piece of schema, short enough for a message."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:59] + "…"


def _named(types: Types) -> str:
    words = sorted(types - {"integer", "fraction"})
    if "fraction" in types:
        words.append("number")
    elif "integer" in types:
        words.append("integer")
    return ", ".join(words)


def _reference(goal: Goal) -> Refusal | None:
    if "$ref" not in goal.target.schema:
        return None
    target = resolve(goal.target.schema["$ref"], goal.target.root)
    if target is None:
        return Refusal((), "refers to what is not in its document", "", shown(goal.target.schema["$ref"]))
    return goal.whole(target)


def _all_of(goal: Goal) -> Refusal | None:
    return _first(goal.whole(option) for option in goal.target.schema.get("allOf", ()))


def _type(goal: Goal) -> Refusal | None:
    wrong = goal.types - declared_types(goal.target.schema)
    if not wrong:
        return None
    wanted = goal.target.schema["type"]
    return Refusal(
        (), "is of another type", _named(wrong), wanted if isinstance(wanted, str) else ", ".join(wanted)
    )


def _listed(goal: Goal) -> Refusal | None:
    """Sources whose values can be counted don't come here."""
    for word in ("const", "enum"):
        if word in goal.target.schema:
            expected = shown(goal.target.schema[word])
            return Refusal((), "may be another value", f"any {_named(goal.types)}", expected)
    return None


def _number(goal: Goal) -> Refusal | None:
    if not goal.types & {"integer", "fraction"}:
        return None
    schema, facts = goal.target.schema, goal.prover.facts
    for side, sign, word in (("minimum", 1, "lower"), ("maximum", -1, "higher")):
        given = facts.bound(goal.parts, side)
        for name, exclusive in ((side, False), (f"exclusive{side.capitalize()}", True)):
            if name not in schema:
                continue
            end, wanted = given.value * sign, schema[name] * sign
            if end < wanted or (end == wanted and exclusive and not given.exclusive):
                seen = f"{'>' if sign > 0 else '<'}{'' if given.exclusive else '='} {given.value}"
                found = "without a bound" if math.isinf(given.value) else seen
                return Refusal((), f"may be {word}", found, f"{name} {schema[name]}")
    return _multiple(goal)


def _multiple(goal: Goal) -> Refusal | None:
    wanted = goal.target.schema.get("multipleOf", 0)
    given = [part.schema["multipleOf"] for part in goal.parts if "multipleOf" in part.schema]
    if not wanted or any(equal(wanted, each) for each in given):
        return None
    if wanted % 1 == 0 and (
        (wanted == 1 and "fraction" not in goal.types)
        or any(each % 1 == 0 and int(each) % int(wanted) == 0 for each in given)
    ):
        return None
    return Refusal((), "may be no multiple", shown(given or None), f"multipleOf {wanted}")


def _string(goal: Goal) -> Refusal | None:
    if "string" not in goal.types:
        return None
    lengths = _sizes(goal, "minLength", "maxLength", least(goal.parts, "minLength"), _most(goal, "maxLength"))
    if lengths:
        return lengths
    for word in ("pattern", "format"):
        if word in goal.target.schema and not goal.says(word):
            given = [part.schema[word] for part in goal.parts if word in part.schema]
            return Refusal(
                (), f"is not known to have the {word}", shown(given or None), shown(goal.target.schema[word])
            )
    return None


def _most(goal: Goal, word: str) -> float:
    return min((part.schema[word] for part in goal.parts if word in part.schema), default=float("inf"))


def _sizes(goal: Goal, lower: str, upper: str, least_found: float, most_found: float) -> Refusal | None:
    schema = goal.target.schema
    if schema.get(lower, 0) > least_found:
        return Refusal((), "may be too short", f"{lower} {least_found}", f"{lower} {schema[lower]}")
    if schema.get(upper, float("inf")) < most_found:
        seen = "without a bound" if most_found == float("inf") else f"{upper} {most_found}"
        return Refusal((), "may be too long", seen, f"{upper} {schema[upper]}")
    return None


def _array(goal: Goal) -> Refusal | None:
    if "array" not in goal.types:
        return None
    schema, parts = goal.target.schema, goal.parts
    end = goal.prover.facts.longest(parts)
    refusal = _sizes(goal, "minItems", "maxItems", least(parts, "minItems"), end)
    if refusal:
        return refusal
    if schema.get("uniqueItems") and end > 1 and not any(part.schema.get("uniqueItems") for part in parts):
        return Refusal((), "may hold equal items", "items that may be equal", "uniqueItems")
    if "prefixItems" not in schema and "items" not in schema:
        return None
    count = max(prefix_length(parts), prefix_length([goal.target]))
    for index in range(min(count, int(min(end, count)))):
        refusal = goal.inner(item(parts, index), item((goal.target,), index)[0].schema, f"[{index}]")
        if refusal:
            return refusal
    return goal.inner(item(parts, count), schema.get("items", True), "[]") if end > count else None


def _object(goal: Goal) -> Refusal | None:
    if "object" not in goal.types:
        return None
    schema, parts = goal.target.schema, goal.parts
    given = required(parts)
    for name in schema.get("required", ()):
        if name not in given:
            return Refusal((name,), "may be missing", "optional", "required")
    refusal = _sizes(
        goal,
        "minProperties",
        "maxProperties",
        max(least(parts, "minProperties"), len(given)),
        goal.prover.facts.widest(parts),
    )
    return (
        refusal
        or _first(
            goal.inner(field(parts, name), each, name) for name, each in schema.get("properties", {}).items()
        )
        or _first(_under(goal, name, each) for name, each in schema.get("patternProperties", {}).items())
        or _additional(goal)
    )


def _under(goal: Goal, pattern: str, target: Any) -> Refusal | None:
    """Every value whose name matches ``pattern``; a name of which that isn't known counts as one that does."""
    parts = goal.parts
    given = under_pattern(parts, pattern)
    if given:
        return goal.inner(given, target, f"/{pattern}/")
    named = (name for name in names(parts) if matches(pattern, name) is not False)
    return (
        _first(goal.inner(field(parts, name), target, name) for name in named)
        or _first(goal.inner(under_pattern(parts, each), target, f"/{each}/") for each in patterns(parts))
        or goal.inner(unnamed(parts), target, "*")
    )


def _additional(goal: Goal) -> Refusal | None:
    schema, parts = goal.target.schema, goal.parts
    target = schema.get("additionalProperties", True)
    if target is True:
        return None
    own, own_patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    named = (
        name
        for name in names(parts)
        if name not in own and not any(matches(pattern, name) for pattern in own_patterns)
    )
    others = (pattern for pattern in patterns(parts) if pattern not in own_patterns)
    return (
        _first(goal.inner(field(parts, name), target, name) for name in named)
        or _first(goal.inner(under_pattern(parts, each), target, f"/{each}/") for each in others)
        or goal.inner(unnamed(parts), target, "*")
    )


def _any_of(goal: Goal) -> Refusal | None:
    options = goal.target.schema.get("anyOf")
    if options is None:
        return None
    refusals = []
    for option in options:
        refusal = goal.whole(option)
        if refusal is None:
            return None
        refusals.append(refusal)
    return _closest(goal, refusals)


def _one_of(goal: Goal) -> Refusal | None:
    options = goal.target.schema.get("oneOf")
    if options is None or goal.says("oneOf"):
        return None
    refusals = []
    for option in options:
        refusal = goal.whole(option)
        if refusal is None:
            rest = [other for other in options if other is not option]
            if len(rest) == len(options) - 1 and all(map(goal.disjoint, rest)):
                return None
            refusal = Refusal(
                (), "may match more than one option", _named(goal.types), "exactly one of oneOf"
            )
        refusals.append(refusal)
    return _closest(goal, refusals)


def _closest(goal: Goal, refusals: list[Refusal]) -> Refusal:
    """The refusal of the option that came furthest."""
    deepest = max(refusals, key=lambda refusal: len(refusal.path), default=None)
    if deepest is not None and (deepest.path or len(refusals) == 1):
        return deepest
    return Refusal((), "matches no option for sure", _named(goal.types), f"one of {len(refusals)} options")


def _not(goal: Goal) -> Refusal | None:
    if "not" not in goal.target.schema or goal.says("not") or goal.disjoint(goal.target.schema["not"]):
        return None
    return Refusal(
        (), "may be what is excluded", _named(goal.types), shown({"not": goal.target.schema["not"]})
    )


def _dependent(goal: Goal) -> Refusal | None:
    if "object" not in goal.types or goal.says("dependentRequired"):
        return None
    given = required(goal.parts)
    for name, needed in goal.target.schema.get("dependentRequired", {}).items():
        if goal.prover.facts.empty(flat(field(goal.parts, name))):
            continue
        for other in needed:
            if other not in given and other != name:
                return Refusal((other,), f"may be missing where `{name}` is there", "optional", "required")
    return None


_GROUPS: Final = (
    (("contains", "minContains", "maxContains"), "contains", "array"),
    (("if", "then", "else"), "if", ""),
    (("propertyNames",), "propertyNames", "object"),
    (("dependentSchemas",), "dependentSchemas", "object"),
)
"""Keywords that mean something together, the one without which the others mean nothing, and the type they judge."""


def _rest(goal: Goal) -> Refusal | None:
    schema = goal.target.schema
    for words, head, judged in _GROUPS:
        if head in schema and (not judged or judged in goal.types) and not goal.says(*words):
            return Refusal((), f"is not known to satisfy `{head}`", _named(goal.types), shown(schema[head]))
    for word in schema.keys() - _KNOWN:
        trivial = word in _UNEVALUATED and schema[word] is True
        if not trivial and (word in _CONTEXTUAL or not goal.says(word)):
            return Refusal((), f"is not known to satisfy `{word}`", _named(goal.types), shown(schema[word]))
    return None


_UNEVALUATED: Final = frozenset({"unevaluatedItems", "unevaluatedProperties"})
_CONTEXTUAL: Final = _UNEVALUATED | {"$dynamicRef", "$recursiveRef", "$id"}
"""Keywords whose meaning hangs on what stands around them: only a schema that is the same as a whole will do."""
_KNOWN: Final = frozenset(
    ANNOTATIONS
    | {word for words, _, _ in _GROUPS for word in words}
    | {
        "$ref",
        "$anchor",
        "$dynamicAnchor",
        "$vocabulary",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "type",
        "const",
        "enum",
    }
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"}
    | {"pattern", "format", "minItems", "maxItems", "uniqueItems", "items", "prefixItems", "minProperties"}
    | {
        "maxProperties",
        "required",
        "properties",
        "patternProperties",
        "additionalProperties",
        "dependentRequired",
    }
)


def _first(refusals: Iterable[Refusal | None]) -> Refusal | None:
    return next((refusal for refusal in refusals if refusal is not None), None)


RULES: Final[tuple[Callable[[Goal], Refusal | None], ...]] = (
    _type,
    _listed,
    _number,
    _string,
    _array,
    _object,
    _dependent,
    _reference,
    _all_of,
    _any_of,
    _one_of,
    _not,
    _rest,
)
