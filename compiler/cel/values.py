"""What CEL's functions and operators do to values, where Python's own differ.

Every value is JSON. So there is no infinity and no NaN: an operation on doubles whose result isn't finite fails, as
an integer operation beyond 64 bits does. A JSON number may come spelt ``5`` or ``5.0``: functions for doubles take
both, and an integral double counts as an int where an int is expected.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from .tree import INT_MAX, INT_MIN, EvaluationError

_INTEGER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_DOUBLE: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_UPPER: Final = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
_LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_BLANK: Final = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    + ("\u2028\u2029\u202f\u205f\u3000")
)
_TRUE: Final = frozenset({"true", "True", "TRUE", "t", "1"})
_FALSE: Final = frozenset({"false", "False", "FALSE", "f", "0"})


def mismatch(what: str, *values: Any) -> EvaluationError:
    """The error of an operation on values of the wrong kinds."""
    return EvaluationError(f"{what} is not defined for {' and '.join(map(name_of, values))}")


def name_of(value: Any) -> str:
    """What a value is called in a message."""
    if value is None:
        return "null"
    for name, classes in (("bool", bool), ("int", int), ("double", float), ("string", str), ("map", Mapping)):
        if isinstance(value, classes):  # type: ignore[arg-type]
            return name
    return "list"


def whole(value: Any) -> int:
    """``value`` as the int that it stands for."""
    if type(value) is int or (type(value) is float and value.is_integer()):
        number = int(value)
        if INT_MIN <= number <= INT_MAX:
            return number
        raise EvaluationError(f"{value} is beyond 64 bits")
    raise EvaluationError(f"an int is expected, not {name_of(value)}")


def number(value: Any) -> float:
    """``value`` as a double."""
    if type(value) is float or type(value) is int:
        return float(value)
    raise EvaluationError(f"a number is expected, not {name_of(value)}")


def fits(value: int) -> int:
    """``value``, if it is within 64 bits."""
    if INT_MIN <= value <= INT_MAX:
        return value
    raise EvaluationError("integer overflow")


def finite(value: float) -> float:
    """``value``, if it is a number that JSON can hold."""
    if math.isfinite(value):
        return value
    raise EvaluationError("the result is not a finite number")


def int_quotient(left: int, right: int) -> int:
    """Division that truncates towards zero."""
    if right == 0:
        raise EvaluationError("division by zero")
    quotient = abs(left) // abs(right)
    return fits(quotient if (left < 0) == (right < 0) else -quotient)


def int_remainder(left: int, right: int) -> int:
    """What ``int_quotient`` leaves; it has the sign of ``left``."""
    if right == 0:
        raise EvaluationError("modulus by zero")
    remainder = abs(left) % abs(right)
    return -remainder if left < 0 else remainder


def to_string(value: Any) -> str:
    """``string(value)``. Numbers are spelt as JavaScript spells them, so 5 and 5.0, one number in JSON, look alike."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _spelt(value)
    raise mismatch("string(…)", value)


def _spelt(value: float) -> str:
    """ECMAScript's Number::toString."""
    size = abs(value)
    if size < 1e21 and value.is_integer():
        return str(int(value))
    text = repr(value)
    if size < 1e-6 or size >= 1e21:
        mantissa, _, exponent = text.partition("e")
        return f"{mantissa}e{int(exponent):+d}" if exponent else text
    return format(Decimal(text), "f")


def to_double_string(value: Any) -> str:
    """``string(value)`` of what is statically a double."""
    return _spelt(number(value))


def to_int(value: Any) -> int:
    """``int(value)``: a double is truncated, a string must be a decimal integer."""
    if type(value) is int:
        return fits(value)
    if type(value) is float:
        return fits(int(value))
    if type(value) is str:
        if _INTEGER.fullmatch(value) and len(value) < 100:
            return fits(int(value))
        raise EvaluationError(f"{value[:40]!r} is not an integer")
    raise mismatch("int(…)", value)


def to_double(value: Any) -> float:
    """``double(value)``: a string must be a decimal number."""
    if type(value) is float or type(value) is int:
        return float(value)
    if type(value) is str:
        if _DOUBLE.fullmatch(value):
            return finite(float(value))
        raise EvaluationError(f"{value[:40]!r} is not a number")
    raise mismatch("double(…)", value)


def to_bool(value: Any) -> bool:
    """``bool(value)``: true, True, TRUE, t and 1 are true."""
    if type(value) is bool:
        return value
    if type(value) is str:
        if value in _TRUE or value in _FALSE:
            return value in _TRUE
        raise EvaluationError(f"{value[:40]!r} is neither true nor false")
    raise mismatch("bool(…)", value)


def to_json(value: Any) -> str:
    """Compact JSON, keys sorted."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def size(value: Any) -> int:
    """Code points of a string, items of a list, entries of a map."""
    if isinstance(value, (str, list, tuple, Mapping)):
        return len(value)
    raise mismatch("size(…)", value)


def regex(pattern: str) -> Any:
    """A compiled RE2 pattern: its search takes time in proportion to the text. ``ValueError`` if it is none."""
    import re2  # type: ignore[import-untyped]

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "it can't be read"
        raise ValueError(reason.decode(errors="replace") if isinstance(reason, bytes) else reason) from None


def contains(text: str, part: str) -> bool:
    """Whether ``part`` stands in ``text``."""
    return _text(part) in _text(text)


def starts_with(text: str, part: str) -> bool:
    """Whether ``text`` begins with ``part``."""
    return _text(text).startswith(_text(part))


def ends_with(text: str, part: str) -> bool:
    """Whether ``text`` ends with ``part``."""
    return _text(text).endswith(_text(part))


def lower_ascii(text: str) -> str:
    """A–Z in lower case, all else as it is."""
    return _text(text).translate(_LOWER)


def upper_ascii(text: str) -> str:
    """a–z in upper case, all else as it is."""
    return _text(text).translate(_UPPER)


def trim(text: str) -> str:
    """``text`` without white space at its ends."""
    return _text(text).strip(_BLANK)


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    raise EvaluationError(f"a string is expected, not {name_of(value)}")


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "size": size,
    "string": to_string,
    "double_string": to_double_string,
    "int": to_int,
    "double": to_double,
    "bool": to_bool,
    "toJson": to_json,
    "contains": contains,
    "startsWith": starts_with,
    "endsWith": ends_with,
    "lowerAscii": lower_ascii,
    "upperAscii": upper_ascii,
    "trim": trim,
}
"""By the names that a checked tree calls them; ``matches`` is compiled with its pattern."""
