"""A small value that fits a JSON Schema, for a line that can be pasted and run as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

DEPTH_MOST: Final = 12
TEXT: Final = "Ada"


def sample(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """Return a value for ``schema``: its example, default or first choice, else the least that its keywords ask for.

    Patterns and formats are not solved; where they matter, the reader edits the line.

    >>> sample({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "minimum": 2}}})
    {'n': 2}
    """
    root = schema if root is None else root
    if not isinstance(schema, Mapping) or depth > DEPTH_MOST:
        return {}
    for word in ("const", "default"):
        if word in schema:
            return schema[word]
    for word in ("examples", "enum"):
        if schema.get(word):
            return schema[word][0]
    if "$ref" in schema:
        return sample(_at(root, schema["$ref"]), root, depth + 1)
    for word in ("anyOf", "oneOf", "allOf"):
        if schema.get(word):
            return sample(schema[word][0], root, depth + 1)
    kind = schema.get("type", "object")
    return _of_kind(kind[0] if isinstance(kind, list) else kind, schema, root, depth)


def _of_kind(kind: str, schema: Mapping[str, Any], root: Any, depth: int) -> Any:
    if kind == "object":
        fields = schema.get("properties", {})
        return {name: sample(fields.get(name, {}), root, depth + 1) for name in schema.get("required", ())}
    if kind == "array":
        return [sample(schema.get("items", {}), root, depth + 1) for _ in range(schema.get("minItems", 0))]
    if kind == "string":
        return TEXT.ljust(schema.get("minLength", 0), "a")[: schema.get("maxLength")]
    if kind in ("integer", "number"):
        return _number(schema)
    return {"boolean": True, "null": None}.get(kind, {})


def _number(schema: Mapping[str, Any]) -> Any:
    """1, or what is nearest to it between the bounds; exclusive ones are kept at arm's length."""
    value = 1
    if "maximum" in schema or "exclusiveMaximum" in schema:
        value = min(value, schema.get("maximum", value), schema.get("exclusiveMaximum", value + 1) - 1)
    if "minimum" in schema or "exclusiveMinimum" in schema:
        value = max(value, schema.get("minimum", value), schema.get("exclusiveMinimum", value - 1) + 1)
    return value


def _at(root: Any, reference: str) -> Any:
    """Follow a local ``#/…`` reference; anything else gives an open schema."""
    found = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        found = (
            found.get(part.replace("~1", "/").replace("~0", "~"), {})
            if isinstance(found, Mapping) and part
            else found
        )
    return found
