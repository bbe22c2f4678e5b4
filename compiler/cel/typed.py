"""What the checker knows of a part of an expression, how it says so, and which schema a result has.

A ``Checked`` is a part with its code, shape and kinds, and with the facts that hold where it is true and where it is
false. The functions here look at such parts; none of them walks a tree.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from ..artifact import Expression, Schema
from .calls import DOUBLE, NUMBERS
from .shape import DYNAMIC, Kinds, Shape, joined
from .tree import ExpressionError, Tree
from .values import regex

Facts = frozenset[tuple[str, str]]
"""``("present", path)`` and ``("set", path)`` (not null); a path is the spelling of its checked tree."""
NONE: Final[Facts] = frozenset()
_EXACT: Final = 2**53
"""Integers up to here are doubles without loss."""


class Checked(NamedTuple):
    """A checked part of an expression."""

    code: Expression
    shape: Shape
    kinds: Kinds
    when_true: Facts = NONE
    when_false: Facts = NONE


class Scope(NamedTuple):
    """What names mean at some place of an expression, and what is known there."""

    message: Shape
    inputs: Mapping[str, Shape] | None
    variables: Mapping[str, Checked]
    facts: Facts

    def knowing(self, facts: Facts) -> Scope:
        """This scope where ``facts`` hold too."""
        return self._replace(facts=self.facts | facts)


def typed(code: Expression, schema: Schema, true: Facts = NONE, false: Facts = NONE) -> Checked:
    """A checked part whose shape is that of a schema."""
    shape = Shape.of(schema)
    return Checked(code, shape, shape.kinds, true, false)


def listed(kinds: Kinds) -> str:
    """Kinds, as a message names them."""
    return "anything" if kinds >= DYNAMIC else " or ".join(sorted(kinds)) or "nothing"


def fields_of(tree: Tree) -> list[Tree]:
    """The selections at the end of a path, last one first."""
    out = []
    while tree.op == "field":
        out.append(tree)
        tree = tree.args[0]
    return out


def near_to(name: str, known: Any) -> str:
    """A suggestion, if a known name is near."""
    close = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f"did you mean `{close[0]}`?" if close else ""


def at_name(tree: Tree, name: str, message: str, suggestion: str) -> ExpressionError:
    """An error at the last ``name`` of ``tree``'s text."""
    if tree.op == "field":
        return ExpressionError(message, tree.offset + tree.length - len(name), len(name), suggestion)
    return tree.error(message, suggestion)


def spelling(code: Expression) -> str:
    """A checked path as it would be written."""
    match code:
        case ["message"]:
            return "value"
        case ["field", ["message"], name]:
            return str(name)
        case ["field", base, name]:
            return f"{spelling(base)}.{name}"
        case ["input", alias]:
            return f"inputs.{alias}"
    return "it"


def conversion(kinds: Kinds, allowed: Kinds) -> str:
    """A suggestion for a value of a wrong kind."""
    if allowed == {"string"} and kinds <= NUMBERS | {"bool"}:
        return "use string(…)"
    if kinds == {"string"} and allowed & NUMBERS and "string" not in allowed:
        return "use double(…)" if "double" in allowed else "use int(…)"
    if kinds == {"double"} and allowed == {"int"}:
        return "use int(…)"
    return ""


def shared(*kinds: Kinds) -> str:
    """The one kind that the operands have, else ``dyn``."""
    union = frozenset().union(*kinds)
    return next(iter(union)) if len(union) == 1 else "dyn"


def overlap(left: Kinds, right: Kinds) -> bool:
    """Whether a value of one side may be equal to one of the other."""
    return bool(left & right) or bool(left & NUMBERS and right & NUMBERS)


def alike(left: Checked, right: Checked) -> tuple[Checked, Checked]:
    """An integer literal beside a double is a double: both spellings of a limit make one artifact."""
    if left.kinds == {"double"}:
        right = as_double(right)
    if right.kinds == {"double"}:
        left = as_double(left)
    return left, right


def as_double(found: Checked) -> Checked:
    if found.code[0] == "const" and type(found.code[1]) is int and abs(found.code[1]) <= _EXACT:
        return typed(["const", float(found.code[1])], DOUBLE)
    return found


def either(left: Shape, right: Shape) -> Schema:
    """A schema for what is one or the other."""
    one, other = left.standalone(), right.standalone()
    if one == other or other is False:
        return one
    if True in (one, other):
        return True
    bodies, defs = joined([one, other])
    return with_definitions({"anyOf": bodies}, defs)


def items_of(*shapes: Shape) -> dict[str, Any]:
    """``items`` of a list that is made of such."""
    if len(shapes) == 2:
        shapes = tuple(shape.document.items(shape.schema) for shape in shapes)
    bodies, defs = joined([shape.standalone() for shape in shapes])
    if True in bodies:
        return {}
    return with_definitions(
        {"items": bodies[0] if all(body == bodies[0] for body in bodies) else {"anyOf": bodies}}, defs
    )


def with_definitions(schema: dict[str, Any], defs: Mapping[str, Schema]) -> dict[str, Any]:
    """``schema`` with the definitions that it refers to."""
    return {**schema, "$defs": dict(defs)} if defs else schema


def check_pattern(tree: Tree, found: Checked) -> None:
    """Demand that a pattern is a literal that RE2 reads."""
    if found.code[0] != "const":
        raise tree.error(
            "the pattern of matches is a literal", "so that it is compiled once, and checked here"
        )
    try:
        regex(found.code[1])
    except ValueError as error:
        raise tree.error(f"not an RE2 pattern: {error}") from None
