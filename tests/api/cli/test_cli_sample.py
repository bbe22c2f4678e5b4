"""A sample fits its schema, so that the line that ``dev`` prints runs as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom.api.cli.dev import curl
from axiom.api.cli.init import EXAMPLES
from axiom.api.cli.project import read_project
from axiom.api.cli.sample import sample
from axiom.examples import __path__ as examples


def fits(value: Any, schema: Any) -> bool:
    return bool(jsonschema_rs.Draft202012Validator(schema).is_valid(value))


def bounded(low: str, high: str, most: int) -> st.SearchStrategy[dict[str, int]]:
    """Two bounds that leave room between them."""
    pair = st.tuples(st.integers(0, most), st.integers(0, most)).map(sorted)
    return pair.flatmap(
        lambda two: st.fixed_dictionaries({}, optional={low: st.just(two[0]), high: st.just(two[1] + 1)})
    )


LEAVES = st.one_of(
    bounded("minimum", "maximum", 50).map(lambda bounds: {"type": "integer", **bounds}),
    bounded("minimum", "exclusiveMaximum", 50).map(lambda bounds: {"type": "number", **bounds}),
    bounded("minLength", "maxLength", 9).map(lambda bounds: {"type": "string", **bounds}),
    st.sampled_from(
        [{"type": "boolean"}, {"type": "null"}, {"enum": ["a", 1]}, {"const": [1]}, {}, {"type": "object"}]
    ),
    st.integers().map(lambda value: {"type": "integer", "default": value}),
)


def nested(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    fields = st.dictionaries(st.sampled_from("abcd"), inner, max_size=4)
    return st.one_of(
        fields.flatmap(
            lambda some: (
                st.lists(st.sampled_from(sorted(some)), unique=True).map(
                    lambda names: {"type": "object", "properties": some, "required": names}
                )
                if some
                else st.just({"type": "object"})
            )
        ),
        st.tuples(inner, st.integers(0, 3)).map(lambda t: {"type": "array", "items": t[0], "minItems": t[1]}),
        st.lists(inner, min_size=1, max_size=3).map(lambda choices: {"anyOf": choices}),
    )


@given(st.recursive(LEAVES, nested, max_leaves=8))
def test_a_sample_fits_its_schema(schema: dict[str, Any]) -> None:
    assert fits(sample(schema), schema)


@given(nested(LEAVES))
def test_a_reference_is_followed(one: dict[str, Any]) -> None:
    schema = {"$ref": "#/$defs/a~1b", "$defs": {"a/b": one}}
    assert fits(sample(schema), schema)


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
        {"$ref": "#/$defs/n", "$defs": {"n": {"$ref": "#/$defs/n"}}},
    ],
)
def test_an_open_or_endless_schema_gives_something_and_ends(schema: Any) -> None:
    assert sample(schema) == {}


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_line_of_an_example_names_its_endpoint(example: str) -> None:
    plan = read_project(Path(next(iter(examples))) / example).flows[0].artifact.plan
    line = curl("http://x", "k", plan)
    assert ("/stream" in line) == (plan.mode == "pipeline")
    assert ("-sN" in line) == (plan.mode == "pipeline")
