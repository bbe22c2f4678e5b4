"""From data to what a handler's parameter is annotated with."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import threading
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, NewType, TypedDict

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom.runtime.arguments import Unfit, Unsupported, decoder
from axiom.runtime.values import plain

if TYPE_CHECKING:
    from somewhere import Context

Id = NewType("Id", str)


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Line:
    item: str
    price: float
    count: int = 1


@dataclasses.dataclass
class Order:
    lines: list[Line]
    by_name: dict[str, Line] = dataclasses.field(default_factory=dict)
    note: str | None = None
    colour: Colour = Colour.RED
    at: datetime.datetime | None = None
    id: Id = Id("")
    rest: Any = None


@dataclasses.dataclass
class Tree:
    name: str
    children: list[Tree] = dataclasses.field(default_factory=list)


class Point(NamedTuple):
    x: int
    y: int = 0


class Loose(TypedDict):
    a: int


class Struct(msgspec.Struct):
    total: float


class Model(pydantic.BaseModel):
    total: float = pydantic.Field(ge=0)


@pydantic.dataclasses.dataclass
class Checked:
    total: int


def decode(annotation: Any, value: Any) -> Any:
    def handler(ctx: Context, input: Any) -> None: ...

    handler.__annotations__["input"] = annotation
    found = decoder(handler)
    return value if found is None else found(value)


@pytest.mark.parametrize(
    "annotation",
    [Any, dict, dict[str, Any], "dict", Mapping[str, Any], Loose, object, list, list[Any], Sequence[Any], None,
     Annotated[dict[str, Any], "doc"], dict[str, Any] | None],
)  # fmt: skip
def test_plain_annotations_cost_nothing(annotation: Any) -> None:
    def handler(ctx: Context, input: Any) -> None: ...

    handler.__annotations__["input"] = annotation
    assert decoder(handler) is None


def test_no_annotation_costs_nothing() -> None:
    assert decoder(lambda ctx, input: None) is None


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (Line, {"item": "tea", "price": 2, "extra": 1}, Line("tea", 2)),
        ("Line", {"item": "tea", "price": 2.5, "count": 3}, Line("tea", 2.5, 3)),
        (Tree, {"name": "a", "children": [{"name": "b"}]}, Tree("a", [Tree("b")])),
        (Line | None, None, None),
        (list[Line], [{"item": "a", "price": 1.0}], [Line("a", 1.0)]),
        (dict[str, Point], {"a": {"x": 1}}, {"a": Point(1)}),
        (tuple[int, Point], [1, {"x": 2, "y": 3}], (1, Point(2, 3))),
        (tuple[int, ...], [1, 2], (1, 2)),
        (set[str], ["a", "a"], {"a"}),
        (frozenset[str], ["a"], frozenset({"a"})),
        (Point | Line, {"item": "a", "price": 1.0}, Line("a", 1.0)),
        (int | str, "a", "a"),
        (Literal["a", 1], 1, 1),
        (Struct, {"total": 1.5}, Struct(1.5)),
        (list[Struct], [{"total": 1.5}], [Struct(1.5)]),
        (Model, {"total": 2}, Model(total=2)),
        (Checked, {"total": "2"}, Checked(2)),
        (datetime.date, "2026-05-04", datetime.date(2026, 5, 4)),
        (datetime.timedelta, 60, datetime.timedelta(minutes=1)),
        (uuid.UUID, "00000000-0000-0000-0000-000000000001", uuid.UUID(int=1)),
        (Decimal, 1.1, Decimal("1.1")),
        (Decimal, "1.10", Decimal("1.10")),
        (Path, "/a", Path("/a")),
        (Id, "a", "a"),
    ],
)
def test_data_becomes_what_the_annotation_says(annotation: Any, value: Any, expected: Any) -> None:
    assert decode(annotation, value) == expected


def test_an_order_with_everything_in_it() -> None:
    value = {
        "lines": [{"item": "tea", "price": 2}],
        "by_name": {"a": {"item": "b", "price": 1.0}},
        "colour": "red",
        "at": "2026-05-04T10:00:00Z",
        "id": "o-1",
        "rest": [1, {"free": True}],
    }
    order = decode(Order, value)
    assert order.lines == [Line("tea", 2)]
    assert order.by_name["a"] == Line("b", 1.0)
    assert order.at == datetime.datetime(2026, 5, 4, 10, tzinfo=datetime.UTC)
    assert order.rest == [1, {"free": True}]


@pytest.mark.parametrize(
    ("annotation", "value", "words"),
    [
        (Order, {"lines": [{"item": "a", "price": "1"}]}, "/lines/0/price: expected float, found str '1'"),
        (Order, {"lines": 5}, "/lines: expected a list, found int 5"),
        (Order, {}, "missing 1 required positional argument: 'lines'"),
        (Line, [1], "a Line is made from an object, not from a list"),
        (Line, {"item": "a", "price": True}, "/price: expected float"),
        (Colour, "blue", "'blue' is not a valid Colour"),
        (datetime.date, "soon", "no date: "),
        (Point | None, 1, "a Point is made from an object"),
        (Point | Line, 1, "expected Point or Line, found int 1"),
        (tuple[int, int], [1], "expected a list of 2"),
        (Literal["a"], "b", "expected one of 'a'"),
        (Model, {"total": -1}, "greater than or equal to 0"),
        (Struct, {"total": "x"}, "Expected `float`, got `str`"),
        (Decimal, "x", "no Decimal"),
        (set[Any], [{}], "unhashable"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(annotation: Any, value: Any, words: str) -> None:
    with pytest.raises(Unfit) as refused:
        decode(annotation, value)
    assert words in str(refused.value)
    assert (refused.value.failure.code, refused.value.failure.retryable) == ("input_invalid", False)


@pytest.mark.parametrize("annotation", ["Nowhere", "Context", threading.Thread])
def test_an_annotation_that_says_nothing_is_refused(annotation: Any) -> None:
    with pytest.raises(Unsupported):
        decode(annotation, {})


LINES = st.builds(Line, st.text(), st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 2**60))
POINTS = st.builds(Point, st.integers(-(2**60), 2**60), st.integers(0, 9))
TREES = st.recursive(
    st.builds(Tree, st.text(st.characters(exclude_categories=["Cs"]))),
    lambda inner: st.builds(Tree, st.just("x"), st.lists(inner, max_size=3)),
)
ROUND: list[tuple[Any, Any]] = [
    (Line, LINES),
    (Point, POINTS),
    (Tree, TREES),
    (list[Point], st.lists(POINTS)),
]


@given(st.sampled_from(ROUND).flatmap(lambda pair: st.tuples(st.just(pair[0]), pair[1])))
def test_decoding_what_was_encoded_gives_it_back(case: Any) -> None:
    annotation, value = case
    try:
        data = plain(value)
    except ValueError:
        return  # lone surrogates
    assert decode(annotation, data) == value
