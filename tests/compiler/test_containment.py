"""Which schemas are proved to lie inside which, and what is said of those that are not."""

from __future__ import annotations

import time
from typing import Any

import pytest

from axiom.compiler.containment import Refusal, contained, schema_of

PERSON = {
    "type": "object",
    "required": ["name", "address"],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "address": {
            "type": "object",
            "required": ["city"],
            "properties": {"city": {"type": "string"}, "zip": {"type": "integer", "minimum": 0}},
        },
    },
}
TREE = {
    "$ref": "#/$defs/T",
    "$defs": {
        "T": {
            "type": "object",
            "required": ["v"],
            "properties": {
                "v": {"type": "integer"},
                "kids": {"type": "array", "items": {"$ref": "#/$defs/T"}},
            },
        }
    },
}
LOOSE_TREE = {"type": "object", "properties": {"v": {"type": "number"}, "kids": {"items": {"$ref": "#"}}}}
CAT = {
    "type": "object",
    "required": ["kind", "lives"],
    "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}},
}
DOG = {
    "type": "object",
    "required": ["kind"],
    "properties": {"kind": {"const": "dog"}, "tail": {"type": "boolean"}},
}

ACCEPTED: list[tuple[str, Any, Any]] = [
    ("anything is contained in true", {"type": "string"}, True),
    ("and in the empty schema", True, {}),
    ("nothing is contained in anything", False, {"type": "string"}),
    ("a schema lies in itself", PERSON, PERSON),
    ("annotations don't matter", PERSON, {**PERSON, "title": "P", "description": "x", "$comment": "y"}),
    ("integer is a number", {"type": "integer"}, {"type": "number"}),
    ("a list of types", {"type": ["string", "null"]}, {"type": ["null", "string", "integer"]}),
    ("a whole multiple is an integer", {"type": "number", "multipleOf": 2}, {"type": "integer"}),
    ("bounds", {"type": "integer", "minimum": 1, "maximum": 5}, {"minimum": 0, "maximum": 9}),
    (
        "an exclusive bound is one more for integers",
        {"type": "integer", "exclusiveMinimum": 0},
        {"minimum": 1},
    ),
    ("a fraction as the bound of integers", {"type": "integer", "minimum": 0.5}, {"minimum": 1}),
    ("exclusive lies in inclusive", {"type": "number", "exclusiveMaximum": 5}, {"maximum": 5}),
    ("multiples", {"type": "integer", "multipleOf": 6}, {"multipleOf": 3}),
    ("any integer is a multiple of one", {"type": "integer"}, {"multipleOf": 1}),
    ("lengths", {"type": "string", "minLength": 3, "maxLength": 4}, {"minLength": 2, "maxLength": 4}),
    ("keywords of other types", {"type": "string"}, {"minimum": 3, "required": ["a"], "items": False}),
    ("enum in enum", {"enum": ["a", "b"]}, {"enum": ["b", "c", "a"]}),
    ("const in enum", {"const": 1}, {"enum": [1.0, "x"]}),
    ("const in const, one spelt as a float", {"const": 1}, {"const": 1.0}),
    ("1.0 is an integer", {"const": 1.0}, {"type": "integer"}),
    ("enum in type", {"enum": ["a", "bb"]}, {"type": "string", "maxLength": 2, "pattern": "^[ab]+$"}),
    ("a range of integers in enum", {"type": "integer", "minimum": 1, "maximum": 3}, {"enum": [1, 2, 3, 4]}),
    ("bool in enum", {"type": "boolean"}, {"enum": [True, False]}),
    ("null in const", {"type": "null"}, {"const": None}),
    ("an equal pattern", {"type": "string", "pattern": "^a"}, {"pattern": "^a"}),
    ("an equal format", {"type": "string", "format": "email", "maxLength": 9}, {"format": "email"}),
    ("a pattern does not judge numbers", {"type": "integer"}, {"pattern": "^a"}),
    (
        "fewer demands",
        PERSON,
        {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
    ),
    ("more properties of an open target", PERSON, {"properties": {"name": {"type": "string"}}}),
    (
        "a closed source in a closed target",
        {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False},
        {"properties": {"a": {"type": "number"}, "b": {"type": "string"}}, "additionalProperties": False},
    ),
    (
        "a closed source carries nothing under a name of the target",
        {"type": "object", "properties": {"a": True}, "additionalProperties": False},
        {"properties": {"b": {"type": "string"}}},
    ),
    (
        "additional values under a name of the target",
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"properties": {"b": {"type": "number"}}, "additionalProperties": {"type": "number"}},
    ),
    (
        "equal patterns of names",
        {"type": "object", "patternProperties": {"^x-": {"type": "integer"}}, "additionalProperties": False},
        {"patternProperties": {"^x-": {"type": "number"}}, "additionalProperties": False},
    ),
    (
        "names that match a pattern of the target",
        {"type": "object", "properties": {"x-a": {"const": 1}}, "additionalProperties": False},
        {"patternProperties": {"^x-": {"type": "number"}}, "additionalProperties": False},
    ),
    ("property counts", {"type": "object", "required": ["a", "b"]}, {"minProperties": 2}),
    (
        "a closed object has no more properties than names",
        {"type": "object", "properties": {"a": {}, "b": {}}, "additionalProperties": False},
        {"maxProperties": 2},
    ),
    ("items", {"type": "array", "items": {"type": "integer"}}, {"items": {"type": "number"}}),
    (
        "tuple in list",
        {"type": "array", "prefixItems": [{"type": "integer"}], "items": False},
        {"items": {"type": "number"}, "maxItems": 1},
    ),
    (
        "tuple in tuple",
        {"type": "array", "prefixItems": [{"const": 1}, {"const": "a"}], "items": False},
        {"prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
    ),
    (
        "no more items than the source has",
        {"type": "array", "maxItems": 1, "items": {"const": 1}},
        {"prefixItems": [{"const": 1}, {"const": 2}]},
    ),
    ("unique", {"type": "array", "uniqueItems": True, "maxItems": 3}, {"uniqueItems": True}),
    ("one item is unique", {"type": "array", "maxItems": 1}, {"uniqueItems": True}),
    ("an option of anyOf", {"type": "string"}, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
    (
        "each option of a source's anyOf",
        {"anyOf": [{"const": 1}, {"type": "string"}]},
        {"type": ["number", "string"]},
    ),
    (
        "anyOf in anyOf, reordered",
        {"anyOf": [{"type": "null"}, PERSON]},
        {"anyOf": [PERSON, {"type": "null"}]},
    ),
    (
        "a nullable type split over options",
        {"type": ["string", "null"]},
        {"anyOf": [{"type": "null"}, {"type": "string"}]},
    ),
    ("an enum split over options", {"enum": [1, "a"]}, {"oneOf": [{"type": "integer"}, {"type": "string"}]}),
    (
        "oneOf of options that exclude one another",
        {"type": "string"},
        {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    ),
    (
        "the same oneOf, in a narrower source",
        {"oneOf": [{"minimum": 1}, {"maximum": 2}], "type": "integer"},
        {"oneOf": [{"minimum": 1}, {"maximum": 2}]},
    ),
    ("variants told apart by a constant", CAT, {"oneOf": [CAT, DOG]}),
    ("all variants", {"oneOf": [DOG, CAT]}, {"oneOf": [CAT, DOG]}),
    (
        "variants that come as an enum",
        {
            "type": "object",
            "required": ["kind", "lives"],
            "properties": {
                "kind": {"enum": ["cat", "dog"]},
                "lives": {"const": 9},
                "tail": {"type": "boolean"},
            },
        },
        {"anyOf": [CAT, DOG]},
    ),
    (
        "allOf of the target",
        {"type": "integer", "minimum": 3},
        {"allOf": [{"type": "number"}, {"minimum": 1}]},
    ),
    (
        "allOf of the source",
        {"allOf": [{"type": "number"}, {"minimum": 1}]},
        {"type": "number", "minimum": 0},
    ),
    (
        "properties that two parts of the source describe",
        {
            "allOf": [
                {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}},
                {"properties": {"a": {"minimum": 3}}},
            ]
        },
        {"properties": {"a": {"type": "number", "minimum": 1}}},
    ),
    ("not, where the types exclude one another", {"type": "string"}, {"not": {"type": "integer"}}),
    ("not null", {"not": {"type": "null"}}, {"type": ["boolean", "number", "string", "array", "object"]}),
    (
        "references",
        {"$ref": "#/$defs/A", "$defs": {"A": {"type": "integer"}}},
        {"$ref": "#/$defs/B", "$defs": {"B": {"type": "number"}}},
    ),
    ("a recursive schema in itself", TREE, TREE),
    ("a recursive schema in a wider one", TREE, LOOSE_TREE),
    (
        "a recursive source in a plain target",
        TREE,
        {"properties": {"kids": {"items": {"properties": {"kids": {"type": "array"}}}}}},
    ),
    ("an equal unknown keyword", {"type": "string", "x-unit": "kg"}, {"x-unit": "kg"}),
    (
        "equal conditions",
        {"type": "object", "if": {"required": ["a"]}, "then": {"required": ["b"]}, "minProperties": 1},
        {"if": {"required": ["a"]}, "then": {"required": ["b"]}},
    ),
    (
        "equal contains",
        {"type": "array", "contains": {"const": 1}, "minContains": 2},
        {"contains": {"const": 1}, "minContains": 2},
    ),
    ("contains does not judge strings", {"type": "string"}, {"contains": {"const": 1}}),
    (
        "dependent names that are always there",
        {"type": "object", "required": ["b"]},
        {"dependentRequired": {"a": ["b"]}},
    ),
    (
        "dependent on a name that never comes",
        {"type": "object", "properties": {"a": False}},
        {"dependentRequired": {"a": ["b"]}},
    ),
    ("an empty source: bounds", {"type": "integer", "minimum": 3, "maximum": 2}, {"type": "string"}),
    ("an empty source: types", {"allOf": [{"type": "string"}, {"type": "integer"}]}, {"type": "null"}),
    (
        "an empty source: an impossible field",
        {"type": "object", "required": ["a"], "properties": {"a": False}},
        {"type": "null"},
    ),
    ("an empty source: enum", {"enum": ["a"], "type": "integer"}, {"type": "null"}),
    (
        "an option that can't be",
        {"anyOf": [{"type": "string"}, {"type": "integer", "enum": ["x"]}]},
        {"type": "string"},
    ),
]

REFUSED: list[tuple[str, Any, Any, tuple[str, ...]]] = [
    ("true is more than false", True, False, ()),
    ("number is no integer", {"type": "number"}, {"type": "integer"}, ()),
    ("another type", {"type": ["string", "null"]}, {"type": "string"}, ()),
    ("no type at all", {"minLength": 3}, {"type": "string"}, ()),
    ("properties without type allow anything", {"properties": {"a": {}}}, {"type": "object"}, ()),
    ("required without type", {"required": ["a"]}, {"type": "object", "required": ["a"]}, ()),
    ("a lower bound", {"type": "integer"}, {"minimum": 0}, ()),
    ("a looser bound", {"type": "number", "minimum": 0}, {"exclusiveMinimum": 0}, ()),
    ("an exclusive bound of numbers", {"type": "number", "exclusiveMinimum": 0}, {"minimum": 1}, ()),
    ("no multiples", {"type": "integer", "multipleOf": 3}, {"multipleOf": 6}, ()),
    ("multiples of fractions", {"type": "number", "multipleOf": 0.2}, {"multipleOf": 0.1}, ()),
    ("lengths", {"type": "string", "maxLength": 5}, {"maxLength": 4}, ()),
    ("any string in enum", {"type": "string"}, {"enum": ["a"]}, ()),
    ("more values", {"enum": ["a", "b"]}, {"enum": ["a"]}, ()),
    ("true is not 1", {"const": True}, {"const": 1}, ()),
    ("1 is not true", {"enum": [1]}, {"enum": [True]}, ()),
    ("false is not 0 inside a list", {"const": [0]}, {"const": [False]}, ()),
    ("another pattern", {"type": "string", "pattern": "^ab"}, {"pattern": "^a"}, ()),
    ("another format", {"type": "string", "format": "uuid"}, {"format": "email"}, ()),
    ("a value without the format", {"const": "x"}, {"format": "email"}, ()),
    ("an optional field", {"type": "object", "properties": {"a": {}}}, {"required": ["a"]}, ("a",)),
    (
        "a field that the source leaves open",
        {"type": "object"},
        {"properties": {"a": {"type": "string"}}},
        ("a",),
    ),
    (
        "an open source in a closed target",
        {"type": "object", "properties": {"a": {}}},
        {"properties": {"a": {}}, "additionalProperties": False},
        ("*",),
    ),
    (
        "a name too many",
        {"type": "object", "properties": {"a": {}, "b": {}}, "additionalProperties": False},
        {"properties": {"a": {}}, "additionalProperties": False},
        ("b",),
    ),
    (
        "a pattern of names too many",
        {"type": "object", "patternProperties": {"^x": {}}, "additionalProperties": False},
        {"additionalProperties": False},
        ("/^x/",),
    ),
    (
        "names that may match",
        {"type": "object", "properties": {"x-a": {"type": "string"}}, "additionalProperties": False},
        {"patternProperties": {"^x-": {"type": "number"}}},
        ("x-a",),
    ),
    (
        "patterns that may overlap",
        {"type": "object", "patternProperties": {"a$": {"type": "string"}}, "additionalProperties": False},
        {"patternProperties": {"^x-": {"type": "number"}}},
        ("/a$/",),
    ),
    (
        "open names that may match",
        {"type": "object"},
        {"patternProperties": {"^x-": {"type": "number"}}},
        ("*",),
    ),
    *(
        (
            f"what is additional only where {pattern} does not match",
            {
                "type": "object",
                "patternProperties": {pattern: {"type": "string"}},
                "additionalProperties": False,
            },
            {"properties": {"x1": {"type": "null"}}},
            ("x1",),
        )
        for pattern in ("^x", r"^\w\d$")
    ),
    ("too few properties", {"type": "object", "required": ["a"]}, {"minProperties": 2}, ()),
    ("an open object has any number", {"type": "object", "properties": {"a": {}}}, {"maxProperties": 2}, ()),
    (
        "items",
        {"type": "array", "items": {"type": ["integer", "null"]}},
        {"items": {"type": "integer"}},
        ("[]",),
    ),
    ("any items", {"type": "array"}, {"items": {"type": "integer"}}, ("[]",)),
    (
        "one item of a tuple",
        {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
        {"prefixItems": [{}, {"type": "integer"}]},
        ("[1]",),
    ),
    (
        "the rest of a tuple",
        {"type": "array", "prefixItems": [{"type": "integer"}]},
        {"items": {"type": "integer"}},
        ("[]",),
    ),
    (
        "items behind the tuple",
        {"type": "array", "prefixItems": [{"const": 1}]},
        {"prefixItems": [{"const": 1}], "items": False},
        ("[]",),
    ),
    ("equal items", {"type": "array"}, {"uniqueItems": True}, ()),
    ("longer lists", {"type": "array"}, {"maxItems": 2}, ()),
    ("an option too many", {"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"type": "integer"}, ()),
    (
        "two options of oneOf at once",
        {"type": "integer"},
        {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        (),
    ),
    ("the same option twice", {"type": "integer"}, {"oneOf": [{"type": "integer"}, {"type": "integer"}]}, ()),
    ("what is excluded", {"type": "integer"}, {"not": {"minimum": 3}}, ()),
    (
        "a field of a recursive schema",
        TREE,
        {"properties": {"v": {"maximum": 3}, "kids": {"items": {"$ref": "#"}}}},
        ("v",),
    ),
    ("recursion that demands more", LOOSE_TREE, TREE, ("v",)),
    (
        "a target that refers to itself without end",
        {"type": "string"},
        {"$ref": "#/$defs/A", "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}]}}},
        (),
    ),
    ("a reference that leads out", {"type": "string"}, {"$ref": "https://example.com/x"}, ()),
    ("a reference that leads nowhere", {"type": "string"}, {"$ref": "#/$defs/B"}, ()),
    (
        "an inner $id",
        {"type": "object", "required": ["a"]},
        {"properties": {"a": {"$id": "https://example.com/a", "type": "string"}}},
        ("a",),
    ),
    ("an unknown keyword", {"type": "string"}, {"x-unit": "kg"}, ()),
    ("conditions", {"type": "object"}, {"if": {"required": ["a"]}, "then": {"required": ["b"]}}, ()),
    (
        "contains",
        {"type": "array", "contains": {"const": 1}},
        {"contains": {"const": 1}, "minContains": 2},
        (),
    ),
    ("names of properties", {"type": "object"}, {"propertyNames": {"maxLength": 3}}, ()),
    (
        "unevaluated properties",
        {"type": "object", "unevaluatedProperties": False},
        {"unevaluatedProperties": False, "properties": {"a": {}}},
        (),
    ),
    ("dependent names", {"type": "object"}, {"dependentRequired": {"a": ["b"]}}, ("b",)),
]


@pytest.mark.parametrize(("source", "target"), [pytest.param(*case[1:], id=case[0]) for case in ACCEPTED])
def test_what_can_be_proved_is_accepted(source: Any, target: Any) -> None:
    assert contained(source, target) is None


@pytest.mark.parametrize(
    ("source", "target", "path"), [pytest.param(*case[1:], id=case[0]) for case in REFUSED]
)
def test_what_can_fail_is_refused_at_its_place(source: Any, target: Any, path: tuple[str, ...]) -> None:
    refusal = contained(source, target)
    assert isinstance(refusal, Refusal)
    assert refusal.path == path
    assert refusal.reason


def test_a_refusal_three_levels_deep_names_the_path_and_both_sides() -> None:
    def order(price: Any) -> Any:
        line = {"type": "object", "required": ["price"], "properties": {"price": price}}
        page = {
            "type": "object",
            "required": ["lines"],
            "properties": {"lines": {"type": "array", "items": line}},
        }
        return {"type": "object", "required": ["page"], "properties": {"page": page}}

    refusal = contained(order({"type": "string"}), order({"type": "number"}))
    assert refusal == Refusal(("page", "lines", "[]", "price"), "is of another type", "string", "number")
    refusal = contained(order({"type": "number"}), order({"type": "number", "minimum": 0}))
    assert refusal == Refusal(
        ("page", "lines", "[]", "price"), "may be lower", "without a bound", "minimum 0"
    )


def test_a_refusal_in_a_reference_is_named_by_the_instances_path() -> None:
    target = {**PERSON, "properties": {**PERSON["properties"], "address": {"$ref": "#/$defs/A"}}}  # type: ignore[dict-item]
    target["$defs"] = {"A": {"type": "object", "required": ["city", "zip"]}}
    refusal = contained(PERSON, target)
    assert refusal is not None
    assert refusal.path == ("address", "zip")
    assert (refusal.found, refusal.expected) == ("optional", "required")


def test_a_refusal_of_one_variant_names_what_is_wrong_in_it() -> None:
    refusal = contained(
        {"anyOf": [{"type": "null"}, PERSON]},
        {"anyOf": [{"type": "null"}, {**PERSON, "required": ["name", "age"]}]},
    )
    assert refusal is not None
    assert refusal.path == ("age",)


def test_a_literal_fits_where_its_value_fits() -> None:
    for value in (None, True, 3, 2.5, "x", [1, "a"], {"a": [None]}):
        assert contained(schema_of(value), {"const": value}) is None
        assert contained(schema_of(value), {"enum": ["other"]}) is not None


def _doubling(depth: int, last: Any) -> dict[str, Any]:
    """Options of options: as many paths as 2 to the power of ``depth``."""
    definitions: dict[str, Any] = {
        f"D{n}": {"anyOf": [{"$ref": f"#/$defs/D{n + 1}"}] * 2} for n in range(depth)
    }
    return {"$ref": "#/$defs/D0", "$defs": {**definitions, f"D{depth}": last}}


def _mesh(size: int, leaf: Any) -> dict[str, Any]:
    """Every definition has every other one as a required field."""
    fields = {f"f{n}": {"$ref": f"#/$defs/D{n}"} for n in range(size)}
    one = {"type": "object", "required": list(fields), "properties": {**fields, "leaf": leaf}}
    return {"$ref": "#/$defs/D0", "$defs": {f"D{n}": dict(one) for n in range(size)}}


def _towers(height: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(height):
        schema = {"type": "object", "required": ["a"], "properties": {"a": schema}}
    return schema


HOSTILE = [
    (_doubling(40, {"type": "string"}), _doubling(40, {"type": "string"})),
    (_doubling(40, {"type": "string"}), _doubling(40, {"type": "integer"})),
    (_doubling(18, {"type": "string"}), {"type": "integer"}),
    (_mesh(24, {"type": "integer"}), _mesh(24, {"type": "number"})),
    (_mesh(24, {"type": "integer"}), _mesh(24, {"type": "string"})),
    (_towers(300), _towers(299)),
    (
        {"allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]} for _ in range(25)]},
        {"type": "boolean"},
    ),
    (
        {
            "allOf": [{"anyOf": [{"required": [f"a{n}"]}, {"required": [f"b{n}"]}]} for n in range(25)],
            "type": "object",
        },
        {"anyOf": [{"required": ["x"]}, {"required": ["y"]}]},
    ),
    ({"type": "integer"}, {"oneOf": [{"minimum": n} for n in range(200)]}),
    (
        {
            "type": "object",
            "required": [f"k{n}" for n in range(40)],
            "properties": {f"k{n}": {"enum": list(range(8))} for n in range(40)},
        },
        {"anyOf": [{"properties": {f"k{n}": {"const": 1} for n in range(40)}}, {"required": ["z"]}]},
    ),
]


@pytest.mark.parametrize(
    ("source", "target"), [pytest.param(*pair, id=str(n)) for n, pair in enumerate(HOSTILE)]
)
def test_a_hostile_pair_is_answered_in_bounded_time(source: Any, target: Any) -> None:
    began = time.process_time()
    contained(source, target)
    assert time.process_time() - began < 10
