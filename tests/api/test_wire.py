"""JSON in: strict and bounded. JSON out: always valid."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom.api.streams import one_line
from axiom.api.wire import DEPTH, BadJson, from_iso, from_json, iso, pointer, to_json
from axiom.runtime.telemetry import trace_of, traceparent

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@given(values)
def test_what_goes_out_comes_back(value: Any) -> None:
    assert from_json(to_json(value)) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_refused(data: bytes) -> None:
    try:
        from_json(data)
    except BadJson:
        pass


@given(st.integers(1, 3 * DEPTH), st.sampled_from(["[]", "{}"]))
def test_nesting_is_bounded_exactly(depth: int, kind: str) -> None:
    text = "[" * depth + "]" * depth if kind == "[]" else '{"a":' * depth + "1" + "}" * depth
    if depth <= DEPTH:
        from_json(text.encode())
    else:
        with pytest.raises(BadJson, match="deeper"):
            from_json(text.encode())


def test_brackets_inside_of_texts_are_no_nesting() -> None:
    text = json.dumps({"a": "[" * 10_000 + '\\"[[{{'})
    assert from_json(text.encode())["a"].startswith("[[[")


def test_many_shallow_brackets_are_fine() -> None:
    assert len(from_json(b"[" + b"[]," * 5_000 + b"[]]")) == 5_001


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "-1e400", "1" + "0" * 400 + ".0"])
def test_a_number_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadJson):
        from_json(f'{{"a": {text}}}'.encode())


@pytest.mark.parametrize("text", ["1e300", "1e-999", "123456789012345678901234567890"])
def test_a_number_that_is_one_is_taken(text: str) -> None:
    assert math.isfinite(from_json(text.encode()))


def test_where_a_mistake_stands_is_told() -> None:
    with pytest.raises(BadJson) as caught:
        from_json(b'{"a": 1,\n "b": }')
    assert (caught.value.line, caught.value.column) == (2, 7)


def test_what_json_has_no_word_for_still_goes_out_as_json() -> None:
    odd = {"nan": math.nan, "inf": [math.inf], "bytes": b"\xff", "tuple": (1, 2), 5: "key", "lone": "\ud800"}
    out = json.loads(to_json(odd))
    assert (out["nan"], out["inf"], out["tuple"], out["5"]) == (None, [None], [1, 2], "key")


@given(st.integers(0, 4_000_000_000_000))
def test_a_moment_comes_back(ms: int) -> None:
    text = iso(ms)
    assert text is not None
    assert text.endswith("Z")
    assert abs(from_iso(text) - ms) <= 1


@pytest.mark.parametrize(
    "text", ["2026-01-02", "2026-01-02T03:04:05", "2026-01-02T03:04:05+02:00", "2026-01-02T03:04:05.678Z"]
)
def test_the_usual_spellings_of_a_moment_are_understood(text: str) -> None:
    assert 1_760_000_000_000 < from_iso(text) < 1_780_000_000_000


def test_pointers_escape() -> None:
    assert pointer("a/b", 0, "c~d") == "/a~1b/0/c~0d"


@given(st.text())
def test_a_frame_is_one_line_for_every_reader_of_lines(text: str) -> None:
    line = one_line(to_json(text)).decode()
    assert len(line.splitlines()) == 1
    assert json.loads(line) == text


@given(st.text(max_size=80))
def test_a_traceparent_is_one_or_nothing(text: str) -> None:
    found = traceparent(text)
    assert found is None or len(found) == 55


def test_an_executions_id_is_its_trace() -> None:
    from opentelemetry import trace

    context = trace.get_current_span(trace_of("0af7651916cd43dd8448eb211c80319c")).get_span_context()
    assert f"{context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert context.is_valid
