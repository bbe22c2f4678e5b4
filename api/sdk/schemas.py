"""From a type hint to the JSON Schema of its data: what doors check and forms are made of."""

from __future__ import annotations

import collections.abc as abc
import dataclasses
import sys
import types
import typing
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Union, get_args, get_origin
from uuid import UUID

Schema = dict[str, Any] | bool

_SCALARS: Final[dict[Any, dict[str, Any]]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    None: {"type": "null"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    UUID: {"type": "string", "format": "uuid"},
    Decimal: {"type": "string"},
}
_LISTS: Final = (list, set, frozenset, abc.Sequence, abc.Iterable, abc.Collection, abc.Set)
_MAPPINGS: Final = (dict, abc.Mapping, abc.MutableMapping)
_WRAPPERS: Final = (typing.Annotated, typing.Required, typing.NotRequired, typing.Final)
DEPTH: Final = 12
"""Deeper, or in a class that holds itself, anything is taken."""


def schema_of(kind: Any, depth: int = DEPTH) -> Schema:
    """Return the JSON Schema of a type hint; ``True`` (anything) for what it can't say.

    >>> schema_of(list[int])
    {'type': 'array', 'items': {'type': 'integer'}}
    """
    if not depth:
        return True
    origin, arguments = get_origin(kind), get_args(kind)
    scalar = _SCALARS.get(kind) if isinstance(kind, (type, type(None))) else None
    if scalar is not None:
        return dict(scalar)
    if origin in _WRAPPERS:
        return schema_of(arguments[0], depth)
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(each, depth - 1) for each in arguments]}
    if origin in _LISTS or kind in _LISTS:
        items = schema_of(arguments[0], depth - 1) if arguments else True
        return {"type": "array"} if items is True else {"type": "array", "items": items}
    if origin in _MAPPINGS or kind in _MAPPINGS:
        values = schema_of(arguments[1], depth - 1) if len(arguments) > 1 else True
        return {"type": "object"} if values is True else {"type": "object", "additionalProperties": values}
    return _class(kind, depth) if isinstance(kind, type) else True


def _class(kind: type, depth: int) -> Schema:
    if issubclass(kind, Enum):
        return {"enum": [each.value for each in kind]}
    if hasattr(kind, "model_json_schema"):
        found: dict[str, Any] = kind.model_json_schema()
        return found
    if hasattr(kind, "__struct_fields__") and "msgspec" in sys.modules:
        return _inlined(sys.modules["msgspec"].json.schema(kind))
    if typing.is_typeddict(kind):
        # not by __required_keys__, which knows nothing of hints that were written as text
        total = bool(getattr(kind, "__total__", True))
        required = {name: _must(hint, total) for name, hint in _hints(kind).items()}
        return _object(kind, required, depth)
    if dataclasses.is_dataclass(kind):
        fields = [field for field in dataclasses.fields(kind) if field.init]
        missing = dataclasses.MISSING
        return _object(
            kind, {f.name: f.default is missing and f.default_factory is missing for f in fields}, depth
        )
    return True


def _must(hint: Any, total: bool) -> bool:
    origin = get_origin(hint)
    return origin is typing.Required or (total and origin is not typing.NotRequired)


def _object(kind: type, required: dict[str, bool], depth: int) -> Schema:
    hints = _hints(kind)
    properties = {name: schema_of(hints.get(name, Any), depth - 1) for name in required}
    needed = [name for name, must in required.items() if must]
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    return {**schema, "required": needed} if needed else schema


def _hints(kind: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except Exception:  # names that only checkers see
        return {}


def _inlined(schema: dict[str, Any]) -> Schema:
    """msgspec's schema, whose ``$ref`` to its own definition is taken apart."""
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    definitions = schema.get("$defs", {})
    return {**definitions[name], "$defs": definitions} if name in definitions else schema
