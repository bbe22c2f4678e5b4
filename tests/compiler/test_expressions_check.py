"""What the checker lets through, with which schema, and what it says of the rest."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from axiom.compiler.expressions import ExpressionError, check, closure, parse

ORDER: dict[str, Any] = {
    "type": "object",
    "required": ["amount", "qty", "who", "lines", "maybe", "labels", "any", "order-id", "on"],
    "properties": {
        "amount": {"type": "number", "minimum": 0},
        "qty": {"type": "integer"},
        "note": {"type": "string"},
        "who": {"$ref": "#/$defs/Person"},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
        "maybe": {"type": ["string", "null"]},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "any": {},
        "order-id": {"type": "string"},
        "on": {"type": "boolean"},
        "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
        "way": {
            "oneOf": [
                {
                    "type": "object",
                    "required": ["to", "box"],
                    "properties": {"to": {"type": "string"}, "box": {}},
                },
                {"type": "object", "required": ["to"], "properties": {"to": {"type": "integer"}}},
            ]
        },
    },
    "$defs": {
        "Person": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string"},
                "age": {"type": "integer"},
                "boss": {"$ref": "#/$defs/Person"},
            },
        },
        "Line": {
            "type": "object",
            "required": ["sku", "n"],
            "properties": {"sku": {"type": "string"}, "n": {"type": "integer"}},
        },
    },
}
MESSAGE: dict[str, Any] = {
    "amount": 150,
    "qty": 3,
    "who": {"name": "ada", "boss": {"name": "bob"}},
    "lines": [{"sku": "a", "n": 1}, {"sku": "b", "n": 0}],
    "maybe": None,
    "labels": {"x": "y"},
    "any": 4,
    "order-id": "o1",
    "on": True,
}


def evaluate(text: str, message: Any = MESSAGE, schema: Any = ORDER) -> Any:
    return closure(check(parse(text), schema)[0])(message, {})


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("amount > 100.0", True),
        ("amount > 100", True),
        ("value.amount == 150", True),
        ("amount / 4.0", 37.5),
        ("qty / 2 + qty % 2", 2),
        ("-7 / 2", -3),
        ("-7 % 3", -1),
        ("has(note) ? note : 'none'", "none"),
        ("has(note) && note == 'x'", False),
        ("!has(note) || note.size() == 0", True),
        ("!has(note) ? 0 : size(note)", 0),
        ("who.?age.orValue(7)", 7),
        ("who.?boss.name.orValue('nobody')", "bob"),
        ("who.?boss.boss.name.orValue('nobody')", "nobody"),
        ("has(who.boss) && has(who.boss.boss) && who.boss.boss.name == 'x'", False),
        ("maybe != null && maybe.startsWith('x')", False),
        ("maybe == null || size(maybe) > 2", True),
        ("maybe == null ? 'none' : maybe + '!'", "none"),
        ("'x' in labels && labels.x == 'y'", True),
        ("has(labels.z)", False),
        ("labels['x']", "y"),
        ("value['order-id']", "o1"),
        ("lines.all(line, line.n > 0)", False),
        ("lines.exists(line, 1 / line.n > 0)", True),
        ("lines.exists_one(line, line.n == 0)", True),
        ("lines.map(line, line.sku)", ["a", "b"]),
        ("lines.map(line, line.n > 0, line.n * 2)", [2]),
        ("lines.filter(line, line.n > 0)", [{"sku": "a", "n": 1}]),
        ("lines.map(a, lines.map(b, a.n + b.n))", [[2, 1], [1, 0]]),
        ("labels.all(key, key == 'x')", True),
        ("lines[0].sku + lines[1].sku", "ab"),
        ("who.name in ['ada', 'eve']", True),
        ("qty in [1, 2, 3]", True),
        ("4 in [1, 2, 3]", False),
        ("any + 1", 5),
        ("any > 3.5", True),
        ("string(amount) + string(on) + string(qty) + string(0.5)", "150true30.5"),
        ("int('12') + int(3.9) + int(-3.9)", 12),
        ("double('1.5') + double(1)", 2.5),
        ("bool('true') && !bool('false')", True),
        ("who.name.matches('^a.a$')", True),
        ("' Ärger '.trim().upperAscii() + 'ABC'.lowerAscii()", "ÄRGERabc"),
        ("toJson(who)", '{"boss":{"name":"bob"},"name":"ada"}'),
        ("{'b': qty, 'a': [amount, 1.0]}", {"a": [150, 1.0], "b": 3}),
        ("[1, 2] + [qty]", [1, 2, 3]),
        ("r'\\n' + '\\n\\x41\\u00e9\\U0001F600\\101'", "\\n\nAé😀A"),
        ('"""a\n"b" """', 'a\n"b" '),
        ("on ? 1 : 2", 1),
        ("false && qty / 0 > 0", False),
        ("qty / 0 > 0 || true", True),
        ("any.?x.orValue(1) == 1 || true", True),
    ],
)
def test_an_expression_has_the_value_that_cel_gives_it(text: str, result: Any) -> None:
    found = evaluate(text)
    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    ("text", "message", "suggestion", "at"),
    [
        ("amont > 1", "no field `amont`", "did you mean `amount`?", "amont"),
        ("1 + who.nme", "`who` has no field `nme`", "did you mean `name`?", "nme"),
        ("value['order-ix'] == ''", "no field `order-ix`", "did you mean `order-id`?", "value['order-ix']"),
        ("note + 'x'", "`note` may be missing", "guard it: has(note) ? note : …", "note"),
        ("who.boss.name", "`who.boss` may be missing", "guard it: has(who.boss) ? who.boss : …", "who.boss"),
        ("has(note) || note == ''", "`note` may be missing", "guard it: has(note) ? note : …", "note == "),
        (
            "has(who.boss.boss)",
            "`who.boss` may be missing",
            "guard it: has(who.boss) ? who.boss : …",
            "who.boss",
        ),
        ("labels.x", "`labels.x` may be missing", "guard it: has(labels.x) ? labels.x : …", "labels.x"),
        ("way.box == 1", "`way` may be missing", "guard it: has(way) ? way : …", "way"),
        ("maybe + 'x'", "may be null", "guard it: maybe != null && …", "maybe"),
        ("amount + 1", "does not mix int and double", "write 1.0", "amount + 1"),
        ("qty + amount", "does not mix int and double", "use double(…)", "qty + amount"),
        ("'o' + qty", "not defined for string and int", "use string(…)", "'o' + qty"),
        ("qty == 'a'", "int is never equal to string", "", "qty == 'a'"),
        ("qty < 'a'", "does not compare int with string", "", "qty < 'a'"),
        ("qty && on", "`&&` joins bools, this is int", "", "qty"),
        ("amount ? 1 : 2", "is a bool, this is double", "", "amount"),
        ("!qty", "`!` takes a bool, this is int", "", "qty"),
        ("amount % 2.0", "`%` takes int", "use int(…)", "amount"),
        ("who + 1", "this is map", "", "who"),
        ("qty.foo", "`foo` is a field of int", "", "qty.foo"),
        ("lines['a']", "the index of a list is an int, this is string", "use int(…)", "'a'"),
        ("lines[-1]", "an index is not negative", "the last item is x[size(x) - 1]", "-1"),
        ("'a' in [1]", "the list holds int, never string", "", "'a' in [1]"),
        ("nosuch(1)", "there is no function `nosuch`", "", "nosuch(1)"),
        (
            "who.name.lower()",
            "there is no function `lower`",
            "did you mean `lowerAscii`?",
            "who.name.lower()",
        ),
        (
            "contains('a', 'b')",
            "there is no function `contains`",
            "write x.contains(…)",
            "contains('a', 'b')",
        ),
        ("who.name.string()", "there is no function `string`", "write string(x)", "who.name.string()"),
        ("size(qty)", "size takes list or map or string, this is int", "", "qty"),
        ("who.name.contains()", "contains takes 1 argument", "", "who.name.contains()"),
        ("who.name.matches('(')", "not an RE2 pattern", "", "'('"),
        ("who.name.matches(who.name)", "a literal", "", "who.name)"),
        ("{'a': 1, 'a': 2}", "the key 'a' is there twice", "", "'a': 2"),
        ("{1: 2}", "the keys of a map are strings, this is int", "", "1"),
        ("who.?age", "may be missing", "end with .orValue(…)", "who.?age"),
        ("who.age.orValue(1)", "stands behind an optional path", "", "who.age.orValue(1)"),
        ("qty.all(x, true)", "goes over a list or a map, this is int", "", "qty"),
        ("lines.all(x, x.n)", "takes a condition, this is int", "", "x.n"),
        ("lines.all(x, x.m > 0)", "has no field `m`", "known are n, sku", "m > 0"),
        ("inputs.a", "no field `inputs`", "", "inputs"),
    ],
)
def test_a_fault_is_named_with_its_place_and_what_to_do(
    text: str, message: str, suggestion: str, at: str
) -> None:
    with pytest.raises(ExpressionError) as caught:
        check(parse(text), ORDER)
    assert message in caught.value.message
    if suggestion:
        assert caught.value.suggestion == suggestion
    place = text[caught.value.offset : caught.value.offset + caught.value.length]
    assert text.rfind(at) == caught.value.offset or at.startswith(place)


def test_a_plain_path_has_its_exact_schema() -> None:
    def schema(text: str) -> Any:
        return check(parse(text), ORDER)[1]

    assert schema("amount") == {"type": "number", "minimum": 0}
    assert schema("value") == ORDER
    assert schema("lines[0].sku") == {"type": "string"}
    assert schema("lines[0]") == {"$ref": "#/$defs/Line", "$defs": {"Line": ORDER["$defs"]["Line"]}}
    assert schema("who") == {"$ref": "#/$defs/Person", "$defs": {"Person": ORDER["$defs"]["Person"]}}
    assert schema("has(pair) ? pair[1] : 2")["anyOf"][0] == {"type": "integer"}
    assert schema("has(way) ? way.to : 'x'")["anyOf"][0] == {
        "anyOf": [{"type": "string"}, {"type": "integer"}]
    }


def test_any_other_expression_has_a_schema_of_its_type() -> None:
    def schema(text: str) -> Any:
        return check(parse(text), ORDER)[1]

    assert schema("amount > 1.0") == {"type": "boolean"}
    assert schema("'EUR'") == {"type": "string", "const": "EUR"}
    assert schema("qty + 1") == {"type": "integer"}
    assert schema("amount * 2.0") == {"type": "number"}
    assert schema("size(lines)") == {"type": "integer", "minimum": 0}
    assert schema("lines.map(x, x.n)") == {"type": "array", "items": {"type": "integer"}}
    assert schema("{'a': amount, 'b': 'x'}") == {
        "type": "object",
        "properties": {"a": {"type": "number", "minimum": 0}, "b": {"type": "string", "const": "x"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    }
    assert schema("on ? who : who.?boss.orValue(who)")["$defs"] == {"Person": ORDER["$defs"]["Person"]}


def test_definitions_of_the_same_name_from_two_messages_stay_apart() -> None:
    left = {
        "type": "object",
        "required": ["x"],
        "properties": {"x": {"$ref": "#/$defs/X"}},
        "$defs": {"X": {"type": "string"}},
    }
    right = {
        "type": "object",
        "required": ["x"],
        "properties": {"x": {"$ref": "#/$defs/X"}},
        "$defs": {"X": {"type": "integer"}},
    }
    _, schema = check(
        parse("{'l': inputs.left.x, 'r': inputs.right.x}"), True, {"left": left, "right": right}
    )
    assert isinstance(schema, dict)
    names = {key: part["$ref"].removeprefix("#/$defs/") for key, part in schema["properties"].items()}
    assert schema["$defs"][names["l"]] == {"type": "string"}
    assert schema["$defs"][names["r"]] == {"type": "integer"}


def test_the_arms_of_a_join_are_read_by_their_alias() -> None:
    arms = {"pay": ORDER, "ship-it": {"type": "string"}}
    expression, schema = check(parse("inputs.pay.qty + size(inputs['ship-it'])"), True, arms)
    assert closure(expression)(None, {"pay": MESSAGE, "ship-it": "four"}) == 7
    assert schema == {"type": "integer"}
    expression, _ = check(parse("has(inputs.pay)"), True, arms)
    assert closure(expression)(None, {}) is False
    with pytest.raises(ExpressionError, match="no arm of this join is called `pya`") as caught:
        check(parse("inputs.pya"), True, arms)
    assert caught.value.suggestion == "did you mean `pay`?"
    with pytest.raises(ExpressionError, match="not a value itself"):
        check(parse("inputs"), True, arms)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("amount>100.0", " ( amount )  > (100.0) // limit"),
        ("amount > 100", "value.amount > 100.0"),
        ("on && (on && qty == 1)", "(on && on) && qty == 1"),
        ("'a' + \"b\"", "('a') + 'b'"),
        ("{'a': qty, 'b': on}", "{'b': on, 'a': qty}"),
        ("lines.all(x, x.n > 0)", "lines.all(line, line.n > 0)"),
        ("value['qty']", ".qty"),
        ("- 1", "-1"),
    ],
)
def test_one_meaning_has_one_spelling_in_the_artifact(one: str, other: str) -> None:
    first, second = (msgpack.packb(check(parse(text), ORDER)[0]) for text in (one, other))
    assert first == second


def test_a_checked_tree_survives_the_artifacts_encoding() -> None:
    for text in (
        "lines.map(l, l.n > 0, {'n': l.n, 's': [1.5, null]})",
        "who.?boss.name.orValue('x') in ['a']",
    ):
        expression, _ = check(parse(text), ORDER)
        thawed = msgpack.unpackb(msgpack.packb(expression))
        assert thawed == expression
        assert closure(thawed)(MESSAGE, {}) == closure(expression)(MESSAGE, {})
