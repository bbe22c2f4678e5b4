"""From JSON data to what a handler's second parameter is annotated with.

``decoder`` is called once per handler and gives a function, or ``None`` where the data is passed as it is: no
annotation, a dict, a TypedDict, ``Any``. That case costs a call nothing. Everything else is compiled from the
annotation: dataclasses and named tuples field by field (unknown keys are left out: messages may have more than the
class knows), lists, sets, unions, enums and dates inside them, msgspec Structs by ``msgspec.convert``, pydantic models
by ``model_validate``. What doesn't fit raises ``Unfit`` with the place.
"""

from __future__ import annotations

import collections.abc as abc
import dataclasses
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final, Union, get_args, get_origin

from .failures import Failure

Decode = Callable[[Any, str], Any]
"""``(value, path) -> instance``."""

_SCALARS: Final[Mapping[Any, tuple[type, ...]]] = {
    str: (str,),
    int: (int,),
    float: (float, int),
    bool: (bool,),
}
_LISTS: Final = (list, abc.Sequence, abc.Iterable, abc.Collection, abc.MutableSequence)
_SETS: Final = (set, frozenset, abc.Set, abc.MutableSet)
_MAPPINGS: Final = (dict, abc.Mapping, abc.MutableMapping)
STREAMS: Final = (abc.AsyncIterator, abc.AsyncIterable, abc.AsyncGenerator)
"""What a pipeline handler's second parameter may be annotated with."""
_WRAPPERS: Final = (typing.Annotated, typing.Required, typing.NotRequired, typing.Final, typing.ClassVar)


class Unfit(ValueError):
    """A message does not fit the annotation. ``path`` (a JSON Pointer) says where."""

    code = "input_invalid"

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        super().__init__(f"{path or 'the message'}: {problem}")

    @property
    def failure(self) -> Failure:
        """The attempt's outcome. Not retried: the same message fits no better the next time."""
        message = f"the input does not fit the handler's annotation: {self}"
        return Failure(self.code, message, ("Unfit", "ValueError", "Exception"), retryable=False)


class Unsupported(TypeError):
    """An annotation says nothing that data could be made into."""


def decoder(function: Callable[..., Any]) -> Callable[[Any], Any] | None:
    """Return what makes the second argument of ``function`` from JSON data, or ``None`` to pass it as it is.

    Raises ``Unsupported`` for an annotation that can't be resolved or isn't one of the kinds above. The function
    raises ``Unfit``.
    """
    annotation = _second(function)
    if get_origin(annotation) in STREAMS:  # a pipeline handler's frames: each is made what the stream is of
        annotation = get_args(annotation)[0]
    elif annotation in STREAMS:
        return None
    return None if annotation is inspect.Parameter.empty else decoder_of(annotation)


def decoder_of(annotation: Any) -> Callable[[Any], Any] | None:
    """Return what makes an instance of ``annotation`` from JSON data, or ``None`` where it is the data itself."""
    decode = _compile(annotation, {})
    if decode is None:
        return None
    found = decode
    return lambda value: found(value, "")


def _second(function: Callable[..., Any]) -> Any:
    """The annotation of the second parameter alone: the others may name what is imported for checkers only."""
    parameters = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    annotation = parameters[1].annotation if len(parameters) > 1 else inspect.Parameter.empty
    if not isinstance(annotation, str):
        return annotation
    plain = inspect.unwrap(function)
    holder = type("Holder", (), {"__annotations__": {"input": annotation}})
    try:
        return typing.get_type_hints(holder, getattr(plain, "__globals__", {}), include_extras=True)["input"]
    except Exception as error:
        raise Unsupported(f"the annotation `{annotation}` can't be resolved: {error}") from error


def _compile(kind: Any, known: dict[Any, Any]) -> Decode | None:
    """Return the decoder of a type, ``None`` where the data is it already. ``known`` ties recursive classes."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in (Any, object, None, type(None)) or isinstance(kind, typing.TypeVar):
        return None
    if hasattr(kind, "__supertype__"):
        return _compile(kind.__supertype__, known)
    if origin in _WRAPPERS:
        return _compile(arguments[0], known)
    if origin is typing.Literal:
        return _one_of(arguments)
    if origin in (Union, types.UnionType):
        return _union(arguments, known)
    if kind in _SCALARS:
        return _scalar(kind)
    if origin in _MAPPINGS or kind in _MAPPINGS or typing.is_typeddict(kind) or typing.is_typeddict(origin):
        return _mapping(arguments, known) if origin in _MAPPINGS else None
    if origin in _LISTS or kind in _LISTS:
        return _items(list, arguments[0] if arguments else Any, known, same=True)
    if origin in _SETS or kind in _SETS:
        to = frozenset if (origin or kind) is frozenset else set
        return _items(to, arguments[0] if arguments else Any, known)
    if origin is tuple or kind is tuple:
        return _tuple(arguments, known)
    if isinstance(origin or kind, type):
        return _class(origin or kind, known)
    raise Unsupported(f"{kind!r} is no type that a message could be made into")


def _class(cls: Any, known: dict[Any, Any]) -> Decode | None:
    if cls in known:
        return lambda value, path: known[cls](value, path)
    if issubclass(cls, Enum):
        return _made(cls, cls)
    if dataclasses.is_dataclass(cls) and not hasattr(cls, "__pydantic_validator__"):
        return _record(cls, [f.name for f in dataclasses.fields(cls) if f.init], known)
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return _record(cls, list(cls._fields), known)
    if hasattr(cls, "__struct_fields__"):
        convert = sys.modules["msgspec"].convert
        return _made(cls, lambda value: convert(value, cls))
    if hasattr(cls, "model_validate"):
        return _made(cls, cls.model_validate)
    if hasattr(cls, "__pydantic_validator__"):
        return _made(cls, cls.__pydantic_validator__.validate_python)
    if hasattr(cls, "fromisoformat"):
        return _made(cls, cls.fromisoformat)
    if issubclass(cls, (Decimal, PurePath)) or cls.__module__ == "uuid":
        return _made(cls, lambda value: cls(str(value) if cls is Decimal else value))
    if (cls.__module__, cls.__qualname__) == ("datetime", "timedelta"):
        return _made(cls, lambda value: cls(seconds=value))
    raise Unsupported(
        f"{cls.__qualname__} is no class that a message could be made into: "
        "take a dict, a dataclass, a TypedDict, a msgspec Struct or a pydantic model"
    )


def _made(cls: Any, make: Callable[[Any], Any]) -> Decode:
    def decode(value: Any, path: str) -> Any:
        try:
            return make(value)
        except (ValueError, TypeError, ArithmeticError) as error:
            raise Unfit(path, f"no {cls.__name__}: {error}") from error

    return decode


def _record(cls: Any, names: list[str], known: dict[Any, Any]) -> Decode:
    """Dataclasses and named tuples."""
    known[cls] = None
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except Exception as error:
        raise Unsupported(f"an annotation of {cls.__qualname__} can't be resolved: {error}") from error
    parts = [(name, _compile(hints.get(name, Any), known)) for name in names]

    def decode(value: Any, path: str) -> Any:
        if type(value) is not dict:
            raise Unfit(path, f"a {cls.__name__} is made from an object, not from {_shown(value)}")
        given = {}
        for name, part in parts:
            if name in value:
                item = value[name]
                given[name] = item if part is None else part(item, f"{path}/{name}")
        try:
            return cls(**given)
        except (TypeError, ValueError) as error:
            raise Unfit(path, f"no {cls.__name__}: {error}".replace("__init__()", "it")) from error

    known[cls] = decode
    return decode


def _scalar(kind: type) -> Decode:
    accepted = _SCALARS[kind]

    def decode(value: Any, path: str) -> Any:
        if type(value) in accepted:
            return value
        raise Unfit(path, f"expected {kind.__name__}, found {_shown(value)}")

    return decode


def _one_of(allowed: tuple[Any, ...]) -> Decode:
    def decode(value: Any, path: str) -> Any:
        if value in allowed:
            return value
        raise Unfit(path, f"expected one of {', '.join(map(repr, allowed))}, found {_shown(value)}")

    return decode


def _union(members: tuple[Any, ...], known: dict[Any, Any]) -> Decode | None:
    """The first member that fits. ``X | None`` lets ``null`` through and is X otherwise."""
    others = [member for member in members if member is not type(None)]
    decoders = [_compile(member, known) for member in others]
    nullable = len(others) < len(members)
    if len(decoders) == 1 and decoders[0] is None:
        return None

    def decode(value: Any, path: str) -> Any:
        if value is None and nullable:
            return None
        problem: Unfit | None = None
        for member, part in zip(others, decoders, strict=True):
            if part is None:
                if isinstance(value, dict) or member in (Any, object):
                    return value
                continue
            try:
                return part(value, path)
            except Unfit as error:
                problem = error
        if problem is not None and len(decoders) == 1:
            raise problem
        names = " or ".join(getattr(member, "__name__", str(member)) for member in others)
        raise Unfit(path, f"expected {names}, found {_shown(value)}")

    return decode


def _items(
    to: Callable[[list[Any]], Any], kind: Any, known: dict[Any, Any], same: bool = False
) -> Decode | None:
    part = _compile(kind, known)
    if part is None and same:
        return None

    def decode(value: Any, path: str) -> Any:
        if type(value) is not list:
            raise Unfit(path, f"expected a list, found {_shown(value)}")
        if part is not None:
            value = [part(item, f"{path}/{index}") for index, item in enumerate(value)]
        try:
            return to(value)
        except TypeError as error:
            raise Unfit(path, str(error)) from error

    return decode


def _tuple(kinds: tuple[Any, ...], known: dict[Any, Any]) -> Decode | None:
    if not kinds or (len(kinds) == 2 and kinds[1] is Ellipsis):
        return _items(tuple, kinds[0] if kinds else Any, known)
    parts = [_compile(kind, known) for kind in kinds]

    def decode(value: Any, path: str) -> Any:
        if type(value) is not list or len(value) != len(parts):
            raise Unfit(path, f"expected a list of {len(parts)}, found {_shown(value)}")
        pairs = enumerate(zip(parts, value, strict=True))
        return tuple(item if part is None else part(item, f"{path}/{i}") for i, (part, item) in pairs)

    return decode


def _mapping(arguments: tuple[Any, ...], known: dict[Any, Any]) -> Decode | None:
    part = _compile(arguments[1], known) if len(arguments) == 2 else None
    if part is None:
        return None

    def decode(value: Any, path: str) -> Any:
        if type(value) is not dict:
            raise Unfit(path, f"expected an object, found {_shown(value)}")
        return {key: part(item, f"{path}/{key}") for key, item in value.items()}

    return decode


def _shown(value: Any) -> str:
    names = {dict: "an object", list: "a list", type(None): "null"}
    return names.get(type(value)) or f"{type(value).__name__} {value!r:.60}"
