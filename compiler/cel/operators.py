"""Arithmetic and order on values, by operator and kind.

Ints stay within 64 bits and doubles finite, or the operation fails. Where the kinds are not known before the run
(``dyn``), the values choose.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

from . import values
from .tree import INT_MAX, INT_MIN, EvaluationError

NUMBERS: Final = ("int", "double")


def comparable(left: Any, right: Any) -> tuple[Any, Any]:
    """Both values, if there is an order between them."""
    one, other = values.name_of(left), values.name_of(right)
    if (one == other and one in ("string", "bool")) or (one in NUMBERS and other in NUMBERS):
        return left, right
    raise values.mismatch("an order", left, right)


def _int_operation(compute: Callable[[int, int], int]) -> Callable[[Any, Any], int]:
    def operate(left: Any, right: Any) -> int:
        if type(left) is not int or type(right) is not int:
            left, right = values.whole(left), values.whole(right)
        result = compute(left, right)
        if INT_MIN <= result <= INT_MAX:
            return result
        raise EvaluationError("integer overflow")

    return operate


def _double_operation(compute: Callable[[float, float], float]) -> Callable[[Any, Any], float]:
    return lambda left, right: values.finite(compute(values.number(left), values.number(right)))


def _concatenation(kind: type) -> Callable[[Any, Any], Any]:
    def concatenate(left: Any, right: Any) -> Any:
        if isinstance(left, kind) and isinstance(right, kind):
            return left + right  # type: ignore[operator]
        raise values.mismatch("`+`", left, right)

    return concatenate


def _dynamic(op: str) -> Callable[[Any, Any], Any]:
    def operate(left: Any, right: Any) -> Any:
        kinds = {values.name_of(left), values.name_of(right)}
        kind = next(iter(kinds)) if len(kinds) == 1 else "double" if kinds == {"int", "double"} else ""
        compute = COMPUTE.get((op, kind))
        if compute is None:
            raise values.mismatch(f"`{op}`", left, right)
        return compute(left, right)

    return operate


COMPUTE: Final[dict[tuple[str, str], Callable[[Any, Any], Any]]] = {
    ("add", "int"): _int_operation(operator.add),
    ("sub", "int"): _int_operation(operator.sub),
    ("mul", "int"): _int_operation(operator.mul),
    ("div", "int"): _int_operation(values.int_quotient),
    ("mod", "int"): _int_operation(values.int_remainder),
    ("add", "double"): _double_operation(operator.add),
    ("sub", "double"): _double_operation(operator.sub),
    ("mul", "double"): _double_operation(operator.mul),
    ("div", "double"): _double_operation(operator.truediv),
    ("add", "string"): _concatenation(str),
    ("add", "list"): _concatenation(list),
    **{(op, "dyn"): _dynamic(op) for op in ("add", "sub", "mul", "div", "mod")},
}
