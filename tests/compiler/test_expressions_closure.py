"""What a closure computes: the same as the library's evaluator, within bounds, from any number of threads."""

from __future__ import annotations

import json
import re
import timeit
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from string import Formatter
from typing import Any

import celpy
import jsonschema
import pytest
from celpy.adapter import CELJSONEncoder, json_to_cel
from hypothesis import given, settings
from hypothesis import strategies as st

from axiom.compiler.expressions import EvaluationError, ExpressionError, check, closure, parse

SCHEMA: Any = {
    "type": "object",
    "required": ["i", "j", "d", "e", "s", "t", "b", "c", "l", "m", "o"],
    "properties": {
        "i": {"type": "integer"},
        "j": {"type": "integer"},
        "d": {"type": "number"},
        "e": {"type": "number"},
        "s": {"type": "string"},
        "t": {"type": "string"},
        "b": {"type": "boolean"},
        "c": {"type": "boolean"},
        "l": {"type": "array", "items": {"type": "integer"}},
        "m": {"type": "object", "additionalProperties": {"type": "integer"}},
        "o": {
            "type": "array",
            "items": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}},
        },
    },
}
INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)
DOUBLES = st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: x or 0.0) | st.sampled_from(
    [0.0, 1.5, -2.0, 1e308]
)
TEXTS = st.text("ab é𝄞", max_size=4)
MESSAGES = st.fixed_dictionaries(
    {
        "i": INTEGERS,
        "j": INTEGERS,
        "d": DOUBLES,
        "e": DOUBLES,
        "s": TEXTS,
        "t": TEXTS,
        "b": st.booleans(),
        "c": st.booleans(),
        "l": st.lists(st.integers(-3, 3), max_size=4),
        "m": st.dictionaries(st.sampled_from(["k", "n"]), st.integers(-3, 3)),
        "o": st.lists(st.fixed_dictionaries({"n": st.integers(-3, 3)}), max_size=3),
    }
)


@st.composite
def expressions(draw: st.DrawFn, kind: str = "bool", depth: int = 3, names: tuple[str, ...] = ()) -> str:
    """The text of an expression of a kind; ``names`` are int variables in scope."""
    if depth == 0:
        return draw(st.sampled_from([*LEAVES[kind], *(names if kind == "int" else ())]))

    form = draw(st.sampled_from(FORMS[kind]))
    variable = "xyz"[len(names) % 3] + "v"
    parts = {"v": variable, "open": "{", "close": "}"}
    for part in sorted({name for _, name, _, _ in Formatter().parse(form) if name} - parts.keys()):
        scope = (*names, variable) if part in ("vb", "vi") else names
        parts[part] = draw(expressions(KINDS[part[-1]], depth - 1, scope))
    return form.format(**parts)


KINDS = {
    "b": "bool",
    "c": "bool",
    "i": "int",
    "j": "int",
    "d": "double",
    "e": "double",
    "s": "string",
    "t": "string",
}
KINDS |= {"l": "list", "k": "list"}
LEAVES = {
    "bool": ["b", "c", "true", "false", "has(value.s)", "has(m.k)", "'k' in m"],
    "int": ["i", "j", "0", "1", "-2", "9223372036854775807", "m['k']", "l[0]", "o[1].n", "size(s)"],
    "double": ["d", "e", "0.5", "-1.0", "2e3"],
    "string": ["s", "t", "'a'", "r'b'", "'\\u00e9'"],
    "list": ["l", "[]", "[1, i]"],
}
FORMS = {
    "bool": [
        "({b} && {c})", "({b} || {c})", "!{b}", "({b} ? {c} : {b})", "({i} < {j})", "({i} >= {j})", "({d} > {e})",
        "({s} <= {t})", "({i} == {j})", "({d} != {e})", "({s} == {t})", "({b} == {c})", "({l} == {k})",
        "({i} in {l})", "{s}.contains({t})", "{s}.startsWith({t})", "{s}.endsWith({t})", "{s}.matches('^a.*b?')",
        "{l}.all({v}, {vb})", "{l}.exists({v}, {vb})", "{l}.exists_one({v}, {vb})", "m.all(q, q == {s})",
        "o.exists(p, p.n > {i})",
    ],
    "int": [
        "({i} + {j})", "({i} - {j})", "({i} * {j})", "({i} / {j})", "({i} % {j})", "-({i})", "size({s})", "size({l})",
        "({b} ? {i} : {j})", "int({d})", "{l}[{i}]", "{open}'a': {i}{close}['a']", "int(string({i}))",
    ],
    "double": ["({d} + {e})", "({d} - {e})", "({d} * {e})", "({d} / {e})", "-({d})", "double({i})",
        "({b} ? {d} : {e})"],
    "string": ["({s} + {t})", "string({i})", "({b} ? {s} : {t})"],
    "list": ["({l} + {k})", "[{i}, {j}]", "{l}.filter({v}, {vb})", "{l}.map({v}, {vi})", "o.map(p, p.n)"],
}  # fmt: skip
ENVIRONMENT = celpy.Environment()


def by_library(text: str, message: Any) -> Any:
    """The library's answer; ``None`` for an error."""
    try:
        program = ENVIRONMENT.program(ENVIRONMENT.compile(text))
        activation = {key: json_to_cel(value) for key, value in message.items()}
        found = program.evaluate({**activation, "value": json_to_cel(message)})
    except (
        celpy.CELEvalError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        OverflowError,
        ZeroDivisionError,
    ):
        return None
    return json.loads(json.dumps(found, cls=CELJSONEncoder))


def by_closure(text: str, message: Any) -> Any:
    try:
        return closure(check(parse(text), SCHEMA)[0])(message, {})
    except EvaluationError:
        return None


def _known_difference(text: str, mine: Any, library: Any) -> bool:
    """Where the library departs from the language, or the language from JSON."""
    counted_from_the_end = mine is None and "[" in text
    doubles = re.search(r"\b[de]\b|\.[05]|2e3|double", text) is not None
    beyond_json = mine is None and doubles and any(f" {operator} " in text for operator in "*/+-")
    sum_without_a_type = library is None and " + " in text
    return counted_from_the_end or beyond_json or sum_without_a_type


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(FORMS)).flatmap(expressions), MESSAGES)
def test_a_closure_answers_as_the_librarys_evaluator_does(text: str, message: Any) -> None:
    try:
        mine = by_closure(text, message)
    except ExpressionError:
        return  # too deep, too dear, or an operation that the checker knows to be senseless
    library = by_library(text, message)
    assert mine == library or _known_difference(text, mine, library)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(FORMS)).flatmap(expressions), MESSAGES)
def test_a_result_is_valid_for_the_schema_that_the_checker_gave(text: str, message: Any) -> None:
    try:
        expression, schema = check(parse(text), SCHEMA)
        result = closure(expression)(message, {})
    except (ExpressionError, EvaluationError):
        return
    assert jsonschema.Draft202012Validator(schema).is_valid(result)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("i / 0", "division by zero"),
        ("i % 0", "modulus by zero"),
        ("d / 0.0", "division by zero"),
        ("d * 1e308 * 1e308", "not a finite number"),
        ("9223372036854775807 + i", "integer overflow"),
        ("-9223372036854775807 - 1 - i", "integer overflow"),
        ("9223372036854775807 * 2", "integer overflow"),
        ("(-9223372036854775807 - i) / -1", "integer overflow"),
        ("-(-9223372036854775807 - i)", "integer overflow"),
        ("l[7]", "out of range"),
        ("l[i - 2]", "out of range"),
        ("m['nosuch']", "no field or key 'nosuch'"),
        ("int('x')", "'x' is not an integer"),
        ("int(' 1')", "is not an integer"),
        ("int(1e30)", "integer overflow"),
        ("double('nan')", "is not a number"),
        ("bool('yes')", "neither true nor false"),
        ("{s: 1, 'text': 2}", "is there twice"),
        ("l.map(x, 1 / x)", "division by zero"),
        ("b && i / 0 > 0", "division by zero"),
    ],
)
def test_what_the_data_does_not_allow_is_an_evaluation_error(text: str, message: str) -> None:
    data = {"i": 1, "d": 2.5, "s": "text", "b": True, "l": [0, 1], "m": {}}
    with pytest.raises(EvaluationError, match=message):
        closure(check(parse(text), SCHEMA)[0])(data, {})


@pytest.mark.parametrize(
    "text",
    [
        "any + 1",
        "any && true",
        "any.?x.orValue(1)",
        "any < 3",
        "size(any)",
        "any[0]",
        "-any",
        "any.all(x, true)",
        "1 in any",
        "string(any)",
        "any ? 1 : 2",
        "any.contains('x')",
    ],
)
@pytest.mark.parametrize("value", [None, True, 1, 1.5, "x", [1], {"a": 1}])
def test_a_value_of_which_nothing_is_known_gives_a_result_or_an_evaluation_error(
    text: str, value: Any
) -> None:
    run = closure(check(parse(text), {"type": "object", "required": ["any"], "properties": {"any": {}}})[0])
    with suppress(EvaluationError):
        run({"any": value}, {})


def test_both_spellings_of_a_json_number_count_the_same() -> None:
    schema = {
        "type": "object",
        "required": ["n", "d"],
        "properties": {"n": {"type": "integer"}, "d": {"type": "number"}},
    }
    for text in (
        "n + 1",
        "n / 2",
        "[10, 20, 30, 40][n]",
        "string(n)",
        "string(d)",
        "d / 2.0",
        "d + 1.0",
        "n == 3",
        "d == 3",
        "-n",
        "toJson(n + 1)",
    ):
        run = closure(check(parse(text), schema)[0])
        assert run({"n": 3, "d": 3}, {}) == run({"n": 3.0, "d": 3.0}, {})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5.0, "5"),
        (5, "5"),
        (0.1, "0.1"),
        (1e21, "1e+21"),
        (1e20, "100000000000000000000"),
        (1.5e-7, "1.5e-7"),
        (0.00001, "0.00001"),
        (-2.5, "-2.5"),
        (-0.0, "0"),
        (1e-6, "0.000001"),
        (123456789.125, "123456789.125"),
    ],
)
def test_a_double_is_spelt_as_javascript_spells_it(value: float, text: str) -> None:
    assert closure(check(parse("string(d)"), SCHEMA)[0])({"d": value}, {}) == text


def test_an_int_stays_an_int_through_a_choice() -> None:
    run = closure(check(parse("string(b ? i : 9223372036854775807)"), SCHEMA)[0])
    assert run({"b": False, "i": 1}, {}) == "9223372036854775807"


def test_the_steps_and_the_size_of_one_evaluation_are_bounded() -> None:
    data = {"l": [1] * 2000, "s": "x" * 100_000}
    with pytest.raises(EvaluationError, match="steps"):
        closure(check(parse("l.all(x, l.all(y, x == y))"), SCHEMA)[0])(data, {})
    with pytest.raises(EvaluationError, match="builds more"):
        closure(check(parse("l.map(x, s + s)"), SCHEMA)[0])(data, {})


def test_a_literal_is_made_anew_for_each_evaluation() -> None:
    run = closure(check(parse("{'a': [1, 2]}"), True)[0])
    run({}, {})["a"].append(3)
    assert run({}, {}) == {"a": [1, 2]}


def test_one_closure_runs_in_many_threads() -> None:
    run = closure(check(parse("l.map(x, l.filter(y, y <= x).map(y, y * x))"), SCHEMA)[0])
    lists = [[n, n + 1, n + 2] for n in range(200)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda each: run({"l": each}, {}), lists))
    assert found == [[[y * x for y in each if y <= x] for x in each] for each in lists]


def test_a_condition_costs_less_than_a_microsecond() -> None:
    run = closure(check(parse("d > 100.0"), SCHEMA)[0])
    message = {"d": 150.0}
    assert min(timeit.repeat(lambda: run(message, None), number=2000, repeat=20)) / 2000 < 1e-6
