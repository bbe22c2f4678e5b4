"""``{op: GT, field: amount, value: 100}``: a condition spelt as data, and the CEL that it stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from .tree import INT_MAX, INT_MIN, ExpressionError, Tree


def comparison(op: str, field: str, value: Any = None) -> Tree:
    """Return the tree of a comparison, equal to that of its CEL spelling.

    ``field`` is a path with dots; ``value`` is plain data and is not looked at by EXISTS and NOT_EXISTS. Raises
    ``ExpressionError`` for an unknown ``op`` or a path or value that is none.
    """
    make = _OPS.get(op)
    if make is None:
        raise ExpressionError(f"there is no comparison `{op}`", suggestion=f"known are {', '.join(_OPS)}")
    return make(_path(field), value)


def _path(field: str) -> Tree:
    first, *rest = field.split(".")
    if not first or not all(rest):
        raise ExpressionError(
            f"`{field}` is not a path", suggestion="names joined by dots, such as order.total"
        )
    tree = Tree("name", (first,))
    for name in rest:
        tree = Tree("field", (tree, name, False))
    return tree


def _literal(value: Any) -> Tree:
    if isinstance(value, (list, tuple)):
        return Tree("list", tuple(map(_literal, value)))
    if isinstance(value, Mapping):
        return Tree("map", tuple(_literal(part) for pair in value.items() for part in pair))
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise ExpressionError(f"a {type(value).__name__} can't be compared with")
    if type(value) is int and not INT_MIN <= value <= INT_MAX:
        raise ExpressionError(f"an integer lies in -2^63 … 2^63-1, {value} does not")
    return Tree("const", (value,))


def _binary(op: str) -> Callable[[Tree, Any], Tree]:
    return lambda path, value: Tree(op, (path, _literal(value)))


def _method(name: str) -> Callable[[Tree, Any], Tree]:
    return lambda path, value: Tree("method", (name, path, _literal(value)))


_OPS: Final[dict[str, Callable[[Tree, Any], Tree]]] = {
    "EQ": _binary("eq"),
    "NEQ": _binary("ne"),
    "LT": _binary("lt"),
    "LTE": _binary("le"),
    "GT": _binary("gt"),
    "GTE": _binary("ge"),
    "IN": _binary("in"),
    "NOT_IN": lambda path, value: Tree("not", (Tree("in", (path, _literal(value))),)),
    "CONTAINS": _method("contains"),
    "STARTS_WITH": _method("startsWith"),
    "ENDS_WITH": _method("endsWith"),
    "MATCHES": _method("matches"),
    "EXISTS": lambda path, _: Tree("has", (path,)),
    "NOT_EXISTS": lambda path, _: Tree("not", (Tree("has", (path,)),)),
}
