"""JSON Schemas as trees of subschemas: where they are, how references move, and how objects of them are built.

A reference inside a self-contained schema is a pointer from its root (``#/$defs/Address``). To put such a schema
inside another one, its pointers must move along; that is all that ``embed`` does, and it keeps what is built
self-contained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from .artifact import Schema

ONE: Final = [
    "additionalProperties",
    "items",
    "contains",
    "not",
    "if",
    "then",
    "else",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
]
"""Keywords whose value is a schema."""
MANY: Final = ["allOf", "anyOf", "oneOf", "prefixItems"]
"""Keywords whose value is a list of schemas."""
NAMED: Final = ["properties", "patternProperties", "$defs", "dependentSchemas"]
"""Keywords whose value maps names to schemas."""
IN_PLACE: Final = frozenset(["allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"])
"""Keywords whose schemas speak of the same value: a cycle of these never ends."""
OTHERS: Final = [
    "$ref",
    "$schema",
    "$id",
    "$comment",
    "type",
    "enum",
    "const",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxContains",
    "minContains",
    "maxProperties",
    "minProperties",
    "required",
    "dependentRequired",
    "format",
    "contentEncoding",
    "contentMediaType",
    "title",
    "description",
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
    "examples",
]
KEYWORDS: Final = frozenset([*ONE, *MANY, *NAMED, *OTHERS])
FORBIDDEN: Final = frozenset(
    ["$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$vocabulary"]
)
Path = tuple[str | int, ...]


def children(schema: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """Yield the direct subschemas of ``schema`` with their paths."""
    for key, value in schema.items():
        if key in ONE:
            yield (key,), value
        elif key in MANY and isinstance(value, (list, tuple)):
            yield from (((key, index), item) for index, item in enumerate(value))
        elif key in NAMED and isinstance(value, Mapping):
            yield from (((key, name), item) for name, item in value.items())


def walk(schema: Any, path: Path = ()) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield every subschema that is a mapping, ``schema`` itself first, with its path."""
    if isinstance(schema, Mapping):
        yield path, schema
        for step, child in children(schema):
            yield from walk(child, path + step)


def with_references(schema: Any, move: Callable[[str], str]) -> Any:
    """Return ``schema`` with every ``$ref`` replaced by ``move`` of it, in one spelling where order has no meaning."""
    if not isinstance(schema, Mapping):
        return schema
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "$ref" and isinstance(value, str):
            out[key] = move(value)
        elif key in ONE:
            out[key] = with_references(value, move)
        elif key in MANY and isinstance(value, (list, tuple)):
            out[key] = [with_references(item, move) for item in value]
        elif key in NAMED and isinstance(value, Mapping):
            out[key] = {name: with_references(item, move) for name, item in value.items()}
        elif key in ("required", "type") and isinstance(value, (list, tuple)):
            out[key] = sorted(value)
        else:
            out[key] = value
    return out


def embed(schema: Schema, pointer: str) -> Schema:
    """Return a self-contained schema as it must read at ``pointer`` (``#/properties/a``) of another one."""
    out: Schema = with_references(schema, lambda ref: pointer + ref[1:])
    return out


def object_of(properties: Mapping[str, Schema], required: Iterable[str]) -> Schema:
    """Return the schema of an object with exactly these properties, each a self-contained schema."""
    return {
        "type": "object",
        "properties": {n: embed(s, f"#/properties/{escaped(n)}") for n, s in properties.items()},
        "required": sorted(required),
        "additionalProperties": False,
    }


def any_of(options: Iterable[Schema]) -> Schema:
    """Return the schema of what is valid for one of ``options``, each a self-contained schema."""
    different: list[Schema] = []
    for option in options:
        if not any(option is other for other in different):
            different.append(option)
    if len(different) == 1:
        return different[0]
    return {"anyOf": [embed(option, f"#/anyOf/{index}") for index, option in enumerate(different)]}


def escaped(name: str) -> str:
    """Return ``name`` as a segment of a JSON pointer in a fragment."""
    return name.replace("~", "~0").replace("/", "~1").replace("%", "%25")


def pointed(schema: Any, pointer: str) -> Path | None:
    """Return the path of a local reference such as ``#/$defs/Address``; ``None`` if it leads nowhere."""
    if pointer in ("#", "#/"):
        return ()
    here, path = schema, []
    for segment in pointer.removeprefix("#/").split("/"):
        step: str | int = segment.replace("%25", "%").replace("~1", "/").replace("~0", "~")
        if isinstance(here, (list, tuple)) and str(step).isdigit() and int(step) < len(here):
            step = int(step)
            here = here[step]
        elif isinstance(here, Mapping) and step in here:
            here = here[step]
        else:
            return None
        path.append(step)
    return tuple(path) if isinstance(here, (Mapping, bool)) else None


def endless(schema: Schema) -> str:
    """Return a reference of a self-contained schema that leads back to itself without entering the value, or ''."""
    edges: dict[str, list[str]] = {}
    for path, part in walk(schema):
        here = "#" + "".join(f"/{escaped(str(step))}" for step in path)
        below = [path + step for step, _ in children(part) if step[0] in IN_PLACE]
        edges[here] = ["#" + "".join(f"/{escaped(str(step))}" for step in item) for item in below]
        if isinstance(part.get("$ref"), str):
            edges[here].append(part["$ref"])
    state: dict[str, bool] = {}  # False while on the way, True when done
    for start in edges:
        if start in state:
            continue
        stack = [(start, iter(edges[start]))]
        state[start] = False
        while stack:
            here, rest = stack[-1]
            below_here = next(rest, None)
            if below_here is None:
                state[here] = True
                stack.pop()
            elif state.get(below_here) is False:
                return below_here
            elif below_here not in state:
                state[below_here] = False
                stack.append((below_here, iter(edges.get(below_here, ()))))
    return ""
