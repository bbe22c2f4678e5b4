"""What a message may be: JSON data, and nothing else.

Objects with string keys, lists, strings, booleans, ``null``, finite floats, and integers of 64 bits (from -2**63 to
2**64-1, what MessagePack holds; a larger one would be read as a float by most of the world, so it must be sent as a
string). At most ``VALUE_DEPTH`` levels. Strings hold no lone surrogates.

``plain`` is on the hot path: data that is plain already is only looked at, and comes back as the very same object.
What handlers like to return besides is converted: dataclasses, named tuples, msgspec Structs, pydantic models, enums,
tuples, dates, UUIDs, decimals, paths, numpy's scalars. Nothing is ever guessed: bytes, sets and objects of other
classes are refused, with their place and what to do about it.
"""

from __future__ import annotations

import numbers
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from inspect import isasyncgen, iscoroutine, isgenerator
from pathlib import PurePath
from typing import Any, Final

import msgpack

from .failures import Failure
from .limits import PAYLOAD_BYTES, VALUE_DEPTH

LEAST: Final = -(2**63)
MOST: Final = 2**64 - 1
_INFINITY: Final = float("inf")

_HINTS: Final[Mapping[type, str]] = {
    bytes: "encode them, e.g. with base64.b64encode(...).decode()",
    bytearray: "encode them, e.g. with base64.b64encode(...).decode()",
    set: "a set has no order: make it a list, e.g. with sorted(...)",
    frozenset: "a set has no order: make it a list, e.g. with sorted(...)",
}


class NotPlain(ValueError):
    """A value is no JSON data. ``path`` (a JSON Pointer) says where, ``problem`` what is wrong there."""

    code = "not_plain"

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}" if path else problem)


class TooLarge(ValueError):
    """A value has more bytes than a message may have."""

    code = "payload_too_large"

    @property
    def failure(self) -> Failure:
        """The outcome of an attempt whose output it is."""
        return Failure(
            self.code, f"the output has {self}", ("TooLarge", "ValueError", "Exception"), retryable=False
        )


def plain(value: Any) -> Any:
    """Return ``value`` as JSON data: itself if it is that already, else a converted copy. Raises ``NotPlain``.

    >>> plain({"a": (1, 2)})
    {'a': [1, 2]}
    """
    return value if _is_plain(value, VALUE_DEPTH) else _convert(value, "", VALUE_DEPTH)


def pack(value: Any, most_bytes: int = PAYLOAD_BYTES) -> bytes:
    """Return the MessagePack of ``value``, made plain. Raises ``NotPlain``, or ``TooLarge`` above ``most_bytes``."""
    data: bytes = msgpack.packb(plain(value), use_bin_type=True)
    if len(data) > most_bytes:
        raise TooLarge(f"{len(data)} bytes; a message has {most_bytes} at most")
    return data


def unpack(data: bytes) -> Any:
    """Return the value of ``pack``'s bytes."""
    return msgpack.unpackb(data, use_list=True)


def _is_plain(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind is dict:
        if not depth:
            return False
        for key in value:
            if type(key) is not str or not (key.isascii() or _is_text(key)):
                return False
        value = value.values()
    elif kind is not list:
        return _is_plain_scalar(value)
    elif not depth:
        return False
    for item in value:  # the commonest kinds are told here, without a call for each
        kind = type(item)
        if kind is str:
            if not (item.isascii() or _is_text(item)):
                return False
        elif kind is dict or kind is list:
            if not _is_plain(item, depth - 1):
                return False
        elif kind is not bool and item is not None and not _is_plain_scalar(item):
            return False
    return True


def _is_plain_scalar(value: Any) -> bool:
    kind = type(value)
    if kind is int:
        return bool(LEAST <= value <= MOST)
    if kind is float:
        return bool(-_INFINITY < value < _INFINITY)
    if kind is str:
        return _is_text(value)
    return kind is bool or value is None


def _is_text(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _convert(value: Any, path: str, depth: int) -> Any:
    """The slow way: what isn't plain, converted or refused with its place."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return _convert(value.value, path, depth)
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, numbers.Integral):
        return _integer(int(value), path)
    if isinstance(value, numbers.Real) and not isinstance(value, Decimal):
        return _real(float(value), path)
    if not depth:
        raise NotPlain(path[:200] + "…", f"more than {VALUE_DEPTH} levels deep, or it contains itself")
    if isinstance(value, Mapping):
        return {_key(key, path): _convert(item, f"{path}/{key}", depth - 1) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        pairs = zip(value._fields, value, strict=True)
        return {key: _convert(item, f"{path}/{key}", depth - 1) for key, item in pairs}
    if isinstance(value, (list, tuple)):
        return [_convert(item, f"{path}/{index}", depth - 1) for index, item in enumerate(value)]
    return _convert_object(value, path, depth)


def _convert_object(value: Any, path: str, depth: int) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: _convert(getattr(value, f.name), f"{path}/{f.name}", depth - 1) for f in fields(value)
        }
    if hasattr(value, "__struct_fields__") and "msgspec" in sys.modules:
        return _convert(_of_struct(value, path), path, depth)
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return _convert(value.model_dump(mode="json", by_alias=True), path, depth)
    as_text = _text_form(value)
    if as_text is not None:
        return as_text(value)
    if hasattr(value, "total_seconds"):
        return float(value.total_seconds())
    raise NotPlain(path, _refusal(value))


def _of_struct(value: Any, path: str) -> Any:
    try:
        return sys.modules["msgspec"].to_builtins(value, str_keys=True)
    except (TypeError, ValueError) as error:
        raise NotPlain(path, f"a {type(value).__name__} could not be converted: {error}") from error


def _text_form(value: Any) -> Callable[[Any], str] | None:
    """How a value of a class with one obvious spelling is written, if it is one."""
    if isinstance(value, (Decimal, PurePath)) or type(value).__module__ == "uuid":
        return str
    if hasattr(value, "isoformat") and not isinstance(value, type):
        return lambda moment: str(moment.isoformat())
    return None


def _refusal(value: Any) -> str:
    if iscoroutine(value):
        value.close()
        return "a coroutine, which nobody awaited: is an `await` missing?"
    if isgenerator(value) or isasyncgen(value):
        return "a generator: only a node of `type: pipeline` yields; return a list"
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    hint = _HINTS.get(kind, "return a dict, a dataclass, a msgspec Struct or a pydantic model of JSON data")
    return f"{name.rpartition('axiom_package_')[2]} is no JSON data; {hint}"


def _key(key: Any, path: str) -> str:
    if isinstance(key, Enum):
        key = key.value
    if not isinstance(key, str):
        raise NotPlain(path, f"the key {key!r:.100} is no string; JSON objects have no other keys")
    return _text(key, path)


def _text(value: str, path: str) -> str:
    text = str.__str__(value)
    if not _is_text(text):
        raise NotPlain(path, "a string with a lone surrogate, which UTF-8 can't spell")
    return text


def _integer(value: int, path: str) -> int:
    if not LEAST <= value <= MOST:
        raise NotPlain(path, f"an integer of {value.bit_length()} bits; 64 is the most, send it as a string")
    return value


def _real(value: float, path: str) -> float:
    if not -_INFINITY < value < _INFINITY:
        raise NotPlain(path, f"{value} is no JSON number; use null")
    return value
