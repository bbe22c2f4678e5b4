"""What a type hint says of its data, said as a JSON Schema."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Literal, NotRequired, TypedDict

import jsonschema
import msgspec
import pydantic
import pytest

from axiom.runtime.arguments import Unfit, decoder_of
from axiom.sdk import Run, workflow
from axiom.sdk.schemas import schema_of


class Colour(Enum):
    RED = "red"


@dataclass
class Line:
    sku: str
    count: int = 1


@dataclass
class Order:
    id: str
    lines: list[Line]
    at: datetime | None = None
    tags: dict[str, str] = field(default_factory=dict)
    colour: Colour = Colour.RED


class Note(TypedDict):
    text: str
    by: NotRequired[str]


class Struct(msgspec.Struct):
    n: int


class Model(pydantic.BaseModel):
    n: int


@dataclass
class Tree:
    name: str
    parts: list[Tree] = field(default_factory=list)


GOOD: list[tuple[Any, Any, Any]] = [
    (int, 1, "x"),
    (Literal["a", "b"], "a", "c"),
    (list[int], [1, 2], ["x"]),
    (dict[str, float], {"a": 1.5}, {"a": "x"}),
    (str | None, None, 5),
    (Order, {"id": "1", "lines": [{"sku": "s"}]}, {"id": "1", "lines": [{"count": 2}]}),
    (Order, {"id": "1", "lines": [], "colour": "red"}, {"id": "1", "lines": [], "colour": "blue"}),
    (Note, {"text": "t"}, {"by": "me"}),
    (Struct, {"n": 1}, {"n": "x"}),
    (Model, {"n": 1}, {}),
    (Tree, {"name": "a", "parts": [{"name": "b"}]}, {"name": "a", "parts": [{"parts": []}]}),
]


@pytest.mark.parametrize(("kind", "good", "bad"), GOOD)
def test_what_the_schema_takes_the_type_takes_and_what_it_refuses_is_wrong(
    kind: Any, good: Any, bad: Any
) -> None:
    schema = schema_of(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(good)
    assert not validator.is_valid(bad)
    decode = decoder_of(kind)
    if decode is not None:
        try:
            decode(good)
        except Unfit as error:
            pytest.fail(str(error))


def test_what_a_type_does_not_say_is_left_open() -> None:
    assert schema_of(Any) is True
    assert schema_of(object) is True


def test_a_workflow_s_artifact_says_what_it_takes() -> None:
    @workflow(name="typed", version="1")
    async def typed(run: Run, payload: Line) -> int:
        return payload.count

    schema = typed.artifact.plan.messages["Input"]
    assert isinstance(schema, dict)
    assert schema["required"] == ["sku"]
