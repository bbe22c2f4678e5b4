"""JSON Schemas as data: where the parts of one are, what its local references mean, when two JSON values are equal.

Everything that reads schemas (the containment proof, the types of expressions) stands on these few functions. Only
references inside the document (``#``, ``#/…``) are followed; any other, and any that an ``$id`` could bend, is
``None`` to ``resolve``, and the reader must treat it as a schema that it knows nothing about.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

from .artifact import Schema

MAPS: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
"""Keywords whose value is a map of schemas."""
LISTS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
"""Keywords whose value is a list of schemas."""
SINGLES: Final = frozenset(
    {"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"}
    | {"unevaluatedItems", "unevaluatedProperties", "contentSchema"}
)
"""Keywords whose value is a schema."""
ANNOTATIONS: Final = frozenset(
    {
        "title",
        "description",
        "default",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
        "$comment",
        "$schema",
    }
    | {"$defs", "definitions", "contentMediaType", "contentEncoding", "contentSchema"}
)
"""Keywords that no instance is judged by."""


def is_schema(value: Any) -> bool:
    """Whether ``value`` has the outer form of a schema."""
    return isinstance(value, (bool, Mapping))


def subschemas(schema: Schema, *, definitions: bool = True) -> Iterator[Schema]:
    """The schemas directly inside ``schema``; with its ``definitions``, or only those that it applies."""
    if not isinstance(schema, Mapping):
        return
    for key, value in schema.items():
        if key in ("$defs", "definitions") and not definitions:
            continue
        if key in SINGLES:
            yield value
        elif key in LISTS and isinstance(value, Sequence):
            yield from value
        elif key in MAPS and isinstance(value, Mapping):
            yield from value.values()


def rewritten(schema: Schema, change: Callable[[str], str]) -> Schema:
    """``schema`` with ``change`` applied to every ``$ref`` in it."""
    if not isinstance(schema, Mapping):
        return schema
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "$ref" and isinstance(value, str):
            out[key] = change(value)
        elif key in SINGLES:
            out[key] = rewritten(value, change)
        elif key in LISTS and isinstance(value, Sequence):
            out[key] = [rewritten(item, change) for item in value]
        elif key in MAPS and isinstance(value, Mapping):
            out[key] = {name: rewritten(item, change) for name, item in value.items()}
        else:
            out[key] = value
    return out


def resolve(reference: str, root: Schema) -> Schema | None:
    """The schema in ``root`` that ``reference`` names, if it is one that this document answers by itself."""
    if not reference.startswith("#") or (reference != "#" and not reference.startswith("#/")):
        return None
    at: Any = root
    for step in unquote(reference[1:]).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(at, Mapping) and name in at:
            at = at[name]
        elif (
            isinstance(at, Sequence) and not isinstance(at, str) and name.isdecimal() and int(name) < len(at)
        ):
            at = at[int(name)]
        else:
            return None
        if isinstance(at, Mapping) and "$id" in at:
            return None
    return at if is_schema(at) else None


def standalone(schema: Schema, root: Schema) -> Schema | None:
    """A part of ``root`` as a document of its own: what it refers to comes along in ``$defs``.

    ``None`` if it refers to something that is not in ``root``.
    """
    if not isinstance(schema, Mapping) or schema is root:
        return schema
    names: dict[str, str] = {}
    targets: dict[str, Schema] = {}
    waiting: list[Schema] = [schema]
    while waiting:
        part = waiting.pop()
        reference = part.get("$ref") if isinstance(part, Mapping) else None
        if reference is not None and reference not in names:
            target = resolve(reference, root)
            if target is None:
                return None
            name = re.sub(r"[^\w.-]", "_", reference.rsplit("/", 1)[-1].strip("#")) or "root"
            while name in targets:
                name += "_"
            names[reference], targets[name] = name, target
            waiting.append(target)
        waiting.extend(subschemas(part, definitions=False))

    def renamed(reference: str) -> str:
        return f"#/$defs/{names[reference]}" if reference in names else reference

    body = rewritten(_without_definitions(schema), renamed)
    if not targets:
        return body
    assert isinstance(body, Mapping)
    defs = {name: rewritten(_without_definitions(target), renamed) for name, target in targets.items()}
    return {**body, "$defs": defs}


def _without_definitions(schema: Schema) -> Schema:
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: value for key, value in schema.items() if key not in ("$defs", "definitions", "$schema", "$id")
    }


def same(left: Schema, left_root: Schema, right: Schema, right_root: Schema) -> bool:
    """Whether two schemas say the same in the same words; references are followed, annotations are not looked at."""
    seen: set[tuple[int, int]] = set()

    def alike(one: Any, other: Any, schema: bool) -> bool:
        if not schema:
            return equal(one, other)
        if not isinstance(one, Mapping) or not isinstance(other, Mapping):
            return one is other
        if (id(one), id(other)) in seen:
            return True
        seen.add((id(one), id(other)))
        words = one.keys() - ANNOTATIONS
        return words == other.keys() - ANNOTATIONS and all(word_alike(w, one[w], other[w]) for w in words)

    def word_alike(word: str, one: Any, other: Any) -> bool:
        if word == "$ref":
            targets = resolve(one, left_root), resolve(other, right_root)
            return targets[0] is not None and targets[1] is not None and alike(*targets, True)
        if word in MAPS:
            return one.keys() == other.keys() and all(alike(one[key], other[key], True) for key in one)
        if word in LISTS:
            return len(one) == len(other) and all(alike(a, b, True) for a, b in zip(one, other, strict=True))
        return alike(one, other, word in SINGLES)

    return alike(left, right, True)


def equal(left: Any, right: Any) -> bool:
    """JSON equality: 1 is 1.0 and true is not 1."""
    if left is right:
        return True
    if isinstance(left, bool) or isinstance(right, bool):
        return isinstance(left, bool) and isinstance(right, bool) and left == right
    if isinstance(left, (int, float)) or isinstance(right, (int, float)):
        return isinstance(left, (int, float)) and isinstance(right, (int, float)) and left == right
    if isinstance(left, Mapping):
        return (
            isinstance(right, Mapping)
            and left.keys() == right.keys()
            and all(equal(left[key], right[key]) for key in left)
        )
    if isinstance(left, (list, tuple)):
        return isinstance(right, (list, tuple)) and len(left) == len(right) and all(map(equal, left, right))
    return type(left) is type(right) and bool(left == right)


def schema_of(value: Any) -> dict[str, Any]:
    """The schema that ``value`` alone is valid for."""
    return {"type": type_of(value), "const": value}


def type_of(value: Any) -> str:
    """The JSON Schema type of a JSON value; ``integer`` for every integral number, as JSON Schema has it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "integer" if isinstance(value, int) or value.is_integer() else "number"
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, Mapping) else "array"
