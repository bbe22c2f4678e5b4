"""No accepted pair has a counter-example: schemas are made and mutated, instances of the source tried on the target.

Two validators judge, each written by other people: what one of them refuses counts as a counter-example.
"""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace
from typing import Any

import jsonschema
import jsonschema_rs
import referencing.exceptions
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.internal.conjecture import utils as conjecture
from hypothesis_jsonschema import _from_schema, from_schema

from axiom.compiler.containment import contained


class Many(conjecture.many):
    """The loop over collections as hypothesis-jsonschema uses it; Hypothesis has made a context manager of it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.__enter__()
        self._loop = iter(self)

    def more(self) -> bool:
        for _ in self._loop:
            return True
        self.__exit__(None)
        return False


if not hasattr(conjecture.many, "more"):
    _from_schema.cu = SimpleNamespace(**{**vars(conjecture), "many": Many})

NAMES = st.sampled_from(["a", "b", "x-1"])
SCALARS = st.sampled_from([None, True, False, 0, 1, 1.0, 2, -1, 0.5, 3.0, "", "a", "ab", "x-1"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
SMALL = st.integers(0, 3)
TYPE_NAMES = ["null", "boolean", "integer", "number", "string", "array", "object"]
ENDS = st.sampled_from([-1, 0, 0.5, 1, 1.0, 2, 3])


@st.composite
def schemas(draw: st.DrawFn, depth: int = 2, references: bool = True) -> Any:
    if depth == 0:
        return draw(
            st.booleans()
            | st.sampled_from([{"type": name} for name in TYPE_NAMES])
            | VALUES.map(lambda v: {"const": v})
        )
    inner = schemas(depth=depth - 1, references=references)
    keys = draw(st.lists(st.sampled_from(_KEYS), min_size=1, max_size=4, unique=True))
    schema = {}
    for key in keys:
        if key == "$ref" and not references:
            continue
        schema[key] = draw(keywords(inner)[key])
    return schema


def keywords(inner: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    options = st.lists(inner, min_size=1, max_size=3)
    several = st.lists(st.sampled_from(TYPE_NAMES), min_size=1, max_size=3, unique=True)
    return {
        "type": st.sampled_from(TYPE_NAMES) | several,
        "enum": st.lists(VALUES, min_size=1, max_size=3),
        "const": VALUES,
        "minimum": ENDS,
        "maximum": ENDS,
        "exclusiveMinimum": ENDS,
        "exclusiveMaximum": ENDS,
        "multipleOf": st.sampled_from([1, 2, 3, 6, 0.5]),
        "minLength": SMALL,
        "maxLength": SMALL,
        "pattern": st.sampled_from(["^a", "b$"]),
        "minItems": SMALL,
        "maxItems": SMALL,
        "uniqueItems": st.booleans(),
        "items": inner,
        "prefixItems": options,
        "contains": inner,
        "properties": st.dictionaries(NAMES, inner, max_size=3),
        "patternProperties": st.dictionaries(st.sampled_from(["^x-", "^a", "."]), inner, max_size=2),
        "additionalProperties": inner,
        "required": st.lists(NAMES, max_size=2, unique=True),
        "dependentRequired": st.dictionaries(NAMES, st.lists(NAMES, max_size=2, unique=True), max_size=1),
        "minProperties": SMALL,
        "maxProperties": SMALL,
        "propertyNames": inner,
        "anyOf": options,
        "oneOf": options,
        "allOf": options,
        "not": inner,
        "$ref": st.sampled_from(["#/$defs/D", "#/$defs/E"]),
    }


_KEYS = [*keywords(st.nothing())]


@st.composite
def mutated(draw: st.DrawFn, schema: Any) -> Any:
    """``schema`` with one to three changes: a keyword dropped, replaced or added somewhere in it."""
    schema = copy.deepcopy(schema)
    for _ in range(draw(st.integers(1, 3))):
        places = [place for place in _places(schema) if isinstance(place, dict)]
        if not places:
            return draw(schemas())
        place = draw(st.sampled_from(places))
        if place and draw(st.booleans()):
            place.pop(draw(st.sampled_from(sorted(place))))
        else:
            key = draw(st.sampled_from([key for key in _KEYS if key != "$ref"]))
            place[key] = draw(keywords(schemas(depth=0))[key])
    return schema


def _places(schema: Any) -> list[Any]:
    found, waiting = [], [schema]
    while waiting:
        place = waiting.pop()
        found.append(place)
        if isinstance(place, dict):
            for key, value in place.items():
                if key in ("items", "additionalProperties", "contains", "not", "propertyNames"):
                    waiting.append(value)
                elif key in ("properties", "patternProperties", "$defs"):
                    waiting.extend(value.values())
                elif key in ("anyOf", "oneOf", "allOf", "prefixItems"):
                    waiting.extend(value)
    return found


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """A schema with definitions that may refer to each other through fields and items, never in place."""
    schema = draw(schemas())
    inner = {"type": "object", "properties": {"a": draw(schemas(depth=1))}}
    own = draw(schemas(depth=1, references=False))
    return {**schema, "$defs": {"D": inner, "E": own}} if isinstance(schema, dict) else schema


def judgements(value: Any, schema: Any) -> list[bool]:
    """What the validators say; one that can't judge is not asked."""
    out = []
    for judge in (
        lambda: jsonschema.Draft202012Validator(schema).is_valid(value),
        lambda: jsonschema_rs.Draft202012Validator(schema).is_valid(value),
    ):
        try:
            out.append(judge())
        except (RecursionError, ValueError, referencing.exceptions.Unresolvable):
            continue
    return out


def refute(source: Any, target: Any, value: Any) -> None:
    """Fail if ``value`` shows that an accepted pair should not have been."""
    inside, outside = judgements(value, source), judgements(value, target)
    if inside and all(inside):
        note(f"source {json.dumps(source)}\ntarget {json.dumps(target)}\nvalue {json.dumps(value)}")
        assert all(outside)


PLENTY = settings(
    max_examples=500,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


@PLENTY
@given(st.data())
def test_no_value_that_is_valid_for_an_accepted_source_is_refused_by_its_target(data: st.DataObject) -> None:
    source = data.draw(documents())
    target = data.draw(mutated(source) | documents())
    if contained(source, target) is None:
        for value in data.draw(st.lists(VALUES, min_size=12, max_size=24)):
            refute(source, target, value)


@settings(PLENTY, max_examples=200)
@given(st.data())
def test_no_generated_instance_of_an_accepted_source_is_refused_by_its_target(data: st.DataObject) -> None:
    source = data.draw(schemas(references=False))
    target = data.draw(mutated(source))
    if contained(source, target) is None:
        try:
            value = data.draw(from_schema(source))
        except (
            AssertionError,
            InvalidArgument,
            ValueError,
            jsonschema.ValidationError,
            jsonschema.SchemaError,
        ):
            return  # the generator gave up on the source
        refute(source, target, value)


@settings(PLENTY, max_examples=300)
@given(documents())
def test_every_schema_lies_in_itself(schema: Any) -> None:
    assert contained(schema, copy.deepcopy(schema)) is None


@settings(PLENTY, max_examples=200)
@given(documents(), VALUES)
def test_a_value_lies_in_a_schema_exactly_if_the_validator_says_so(schema: Any, value: Any) -> None:
    verdicts = judgements(value, schema)
    if verdicts and len(set(verdicts)) == 1:
        assert (contained({"const": value}, schema) is None) == verdicts[0]
