"""What a message may be, and what is made one."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import uuid
from collections import OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom.runtime.limits import PAYLOAD_BYTES, VALUE_DEPTH
from axiom.runtime.values import LEAST, MOST, NotPlain, TooLarge, pack, plain, unpack

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(LEAST, MOST)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20)


@given(JSON)
def test_plain_data_is_the_very_same_object_and_survives_the_way(value: Any) -> None:
    assert plain(value) is value
    assert unpack(pack(value)) == value


@given(JSON)
def test_whatever_comes_out_is_json(value: Any) -> None:
    class Odd(dict[str, Any]):
        pass

    out = plain({"tuple": (value,), "sub": Odd(a=value), "proxy": MappingProxyType({"b": value})})
    assert out == {"tuple": [value], "sub": {"a": value}, "proxy": {"b": value}}
    json.dumps(out, allow_nan=False)
    assert unpack(pack(out)) == out


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Line:
    item: str
    at: Point


class Struct(msgspec.Struct, rename="camel"):
    unit_price: float


class Model(pydantic.BaseModel):
    day: datetime.date


class Text(str):
    pass


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Line("tea", Point(1, 2)), {"item": "tea", "at": {"x": 1, "y": 2}}),
        ([Colour.RED, Level.LOW], ["red", 1]),
        ({Colour.RED: 1}, {"red": 1}),
        (Struct(2.5), {"unitPrice": 2.5}),
        (Model(day=datetime.date(2026, 5, 4)), {"day": "2026-05-04"}),
        (datetime.datetime(2026, 5, 4, tzinfo=datetime.UTC), "2026-05-04T00:00:00+00:00"),
        (datetime.timedelta(minutes=1), 60.0),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.10"), "1.10"),
        (PurePosixPath("a/b"), "a/b"),
        (Fraction(1, 2), 0.5),
        (defaultdict(list, a=[1]), {"a": [1]}),
        (OrderedDict(a=1), {"a": 1}),
        (Text("a"), "a"),
        (True, True),
    ],
)
def test_what_handlers_like_to_return_becomes_data(value: Any, expected: Any) -> None:
    assert plain(value) == expected
    assert type(plain(value)) is type(expected)
    assert plain({"deep": [value]}) == {"deep": [expected]}


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        ({"a": [b"x"]}, "/a/0", "base64"),
        ({"a": {1}}, "/a", "a set has no order"),
        ({"a": float("nan")}, "/a", "nan is no JSON number"),
        ([float("inf")], "/0", "inf is no JSON number"),
        ({"a": {1: 2}}, "/a", "the key 1 is no string"),
        ([2**64], "/0", "65 bits"),
        ([-(2**63) - 1], "/0", "64 bits"),
        ({"a": "\ud800"}, "/a", "surrogate"),
        ({"\ud800": 1}, "", "surrogate"),
        ([object()], "/0", "object is no JSON data"),
        ([deque()], "/0", "collections.deque is no JSON data"),
        ((item for item in ()), "", "only a node of `type: pipeline` yields"),
        ([print], "/0", "is no JSON data"),
        ([Line], "/0", "is no JSON data"),
    ],
)
def test_what_is_no_data_is_refused_with_its_place(value: Any, path: str, words: str) -> None:
    with pytest.raises(NotPlain, match=words.replace("(", r"\(")) as refused:
        plain(value)
    assert refused.value.path == path


def test_a_forgotten_await_is_named() -> None:
    async def forgotten() -> None: ...

    with pytest.raises(NotPlain, match="is an `await` missing"):
        plain(forgotten())


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_depth_is_bounded_also_for_what_contains_itself() -> None:
    assert plain(nested(VALUE_DEPTH)) == nested(VALUE_DEPTH)
    endless: dict[str, Any] = {}
    endless["again"] = endless
    for value in (nested(VALUE_DEPTH + 1), endless, (endless,)):
        with pytest.raises(NotPlain, match="levels deep"):
            plain(value)


def test_size_is_bounded() -> None:
    assert len(pack("x" * 1000)) < 1010
    with pytest.raises(TooLarge) as refused:
        pack("x" * (PAYLOAD_BYTES + 1))
    assert refused.value.failure.code == "payload_too_large"
    with pytest.raises(TooLarge):
        pack("x" * 100, most_bytes=100)


def test_integers_are_exact_to_their_bounds() -> None:
    for number in (LEAST, MOST, 2**53 + 1):
        assert unpack(pack({"n": number})) == {"n": number}
