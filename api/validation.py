"""Outside input, validated once, at its door.

A compiled validator answers the common case; only when it says no does the slower one tell every violation with its
path and what was expected. Both are 2020-12; validators are compiled once per artifact and kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

import jsonschema
import jsonschema_rs

from axiom.compiler.artifact import Plan, Schema

from .wire import pointer

KEPT: Final = 1_024
VIOLATIONS_MOST: Final = 100
"""Violations told of one input."""
MESSAGE_LENGTH: Final = 500


class Validators:
    """Compiled input validators by ``graph_id``."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Any] = OrderedDict()

    def violations(self, graph_id: str, plan: Plan, value: Any) -> list[dict[str, Any]]:
        """Return what is wrong with an input; empty if it fits."""
        schema = plan.messages.get(plan.input, True)
        validator = self._kept.get(graph_id)
        if validator is None:
            validator = self._kept[graph_id] = jsonschema_rs.Draft202012Validator(_plain(schema))
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        try:
            if validator.is_valid(value):
                return []
        except (ValueError, TypeError, OverflowError) as error:
            return [{"path": pointer("input"), "message": str(error)[:MESSAGE_LENGTH]}]
        told = violations(schema, value)
        return told or [{"path": pointer("input"), "message": "does not fit the schema of the input"}]


def refusals(schema: Schema, value: Any, name: str = "input") -> list[dict[str, Any]]:
    """Return what is wrong with the field ``name`` under a schema that is used seldom; empty if it fits."""
    try:
        if jsonschema_rs.Draft202012Validator(_plain(schema)).is_valid(value):
            return []
    except (ValueError, TypeError, OverflowError) as error:
        return [{"path": pointer(name), "message": str(error)[:MESSAGE_LENGTH]}]
    told = violations(schema, value, name)
    return told or [{"path": pointer(name), "message": "does not fit the schema of this field"}]


def violations(schema: Schema, value: Any, name: str = "input") -> list[dict[str, Any]]:
    """Return every violation, by path: ``{"path", "message", "keyword", "expected"}``."""
    checker = jsonschema.Draft202012Validator(_plain(schema))
    found = [_told(error, name) for error in islice(checker.iter_errors(value), VIOLATIONS_MOST)]
    return sorted(found, key=lambda told: str(told["path"]))


def _plain(schema: Schema) -> bool | dict[str, Any]:
    return schema if isinstance(schema, bool) else dict(schema)


def _told(error: jsonschema.ValidationError, name: str) -> dict[str, Any]:
    path: list[str | int] = [name, *error.absolute_path]
    missing = _missing(error)
    if missing is not None:
        path.append(missing)
    expected = error.validator_value
    told: dict[str, Any] = {
        "path": pointer(*path),
        "message": error.message[:MESSAGE_LENGTH],
        "keyword": str(error.validator),
    }
    if isinstance(expected, (str, int, float, bool)) or (
        isinstance(expected, list) and all(isinstance(item, (str, int, float, bool)) for item in expected)
    ):
        told["expected"] = expected
    return told


def _missing(error: jsonschema.ValidationError) -> str | None:
    """The property that ``required`` misses: its own path is where to look."""
    if error.validator != "required" or not isinstance(error.instance, Mapping):
        return None
    wanted = error.validator_value if isinstance(error.validator_value, list) else []
    absent = [name for name in wanted if name not in error.instance]
    return next((name for name in absent if error.message.startswith(repr(name))), None)
