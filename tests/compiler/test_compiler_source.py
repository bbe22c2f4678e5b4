"""Bytes to trees: what YAML 1.2 means, where things stood, and what strangers may send."""

from __future__ import annotations

import json
from typing import Any

import pytest
from compiler_kit import DIAMOND, compiled
from hypothesis import given, settings
from hypothesis import strategies as st

from axiom.compiler.report import Report
from axiom.compiler.source import MAX_VALUES, Scalar, Table, graft, plain, read, within

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc<=~/ ", max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)


def data(source: str | bytes) -> Any:
    report = Report()
    tree = read(source, "f.yaml", report)
    assert tree is not None, report.diagnostics
    assert not report.diagnostics
    return plain(tree)


@pytest.mark.parametrize(
    "word", ["on", "off", "yes", "no", "Y", "n", "2026-01-31", "2026-01-31T10:00:00Z", "1_000", "1:30"]
)
def test_what_yaml_1_1_would_change_stays_a_string(word: str) -> None:
    assert data(f"{word}: {word}") == {word: word}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("~", None),
        ("", None),
        ("true", True),
        ("FALSE", False),
        ("0o17", 15),
        ("0x1f", 31),
        ("-3", -3),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("1.", 1.0),
        ("007", 7),
    ],
)
def test_scalars_mean_what_the_core_schema_says(text: str, value: Any) -> None:
    found = data(f"a: {text}")["a"]
    assert found == value
    assert type(found) is type(value)


@settings(deadline=None)
@given(JSON)
def test_json_reads_as_json(value: Any) -> None:
    """In every spelling that ``json`` has: the reader is one for YAML, and JSON must not notice."""
    for spelling in ({}, {"indent": 2}, {"indent": "\t"}, {"ensure_ascii": False}):
        text = json.dumps({"v": value}, **spelling)  # type: ignore[arg-type]
        assert data(text) == {"v": value}


@settings(deadline=None)
@given(JSON)
def test_grafted_data_reads_back(value: Any) -> None:
    assert plain(graft(value, "x")) == value


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text("{}[]:,&*!|>'\"#-\n \tab1~<", max_size=60).map(str.encode))
def test_no_bytes_are_too_odd_to_be_told_about(source: bytes) -> None:
    report = Report()
    tree = read(source, "f.yaml", report)
    assert (tree is None) <= report.failed


def test_an_alias_costs_what_it_stands_for() -> None:
    fits = "a: &a [1, 2, 3]\nb: [*a, *a]\n"
    assert data(fits) == {"a": [1, 2, 3], "b": [[1, 2, 3], [1, 2, 3]]}
    report = Report()
    row = "[" + "1," * 600 + "]"
    assert read(f"a: &a {row}\nb: [" + "*a," * (MAX_VALUES // 600) + "]", "f", report) is None
    assert [d.code for d in report.diagnostics] == ["AX1005"]


def test_a_byte_order_mark_is_no_part_of_a_key() -> None:
    assert data("﻿name: x".encode()) == {"name": "x"}


def test_graft_refuses_what_json_cannot_hold() -> None:
    for bad in ({1: 2}, {"a": float("nan")}, {"a": {1, 2}}, {"a": 1 << 64}):
        with pytest.raises(ValueError, match="x"):
            graft(bad, "x")


def test_places_of_grafted_data_are_pointers() -> None:
    tree = graft({"a/b": [{"c": 1}]}, "canvas")
    assert isinstance(tree, Table)
    inner = tree.entries[0].value
    assert inner.place.file == "canvas#/a~1b"


@pytest.mark.parametrize(
    ("text", "offset", "line", "column"),
    [
        ("a: total > 1", 8, 1, 12),
        ("a: 'total > 1'", 8, 1, 13),
        ('a: "total > 1"', 8, 1, 13),
        ("a: |\n  x &&\n  total > 1\n", 5, 3, 3),
        ("a: |\n  x &&\n  total > 1\n", 11, 3, 9),
    ],
)
def test_an_offset_inside_a_string_has_a_place(text: str, offset: int, line: int, column: int) -> None:
    report = Report()
    tree = read(text, "f", report)
    assert isinstance(tree, Table)
    scalar = tree.entries[0].value
    assert isinstance(scalar, Scalar)
    place = within(scalar, offset, report)
    assert (place.line, place.column) == (line, column)


@settings(deadline=None)
@given(st.data())
def test_no_damaged_flow_breaks_the_compiler(draw: st.DataObject) -> None:
    """Every cut, and every line replaced by nonsense, is told; none is an exception."""
    lines = DIAMOND.splitlines()
    index = draw.draw(st.integers(0, len(lines) - 1))
    junk = draw.draw(
        st.sampled_from(
            [
                "",
                "  - []",
                "  - {}",
                "nodes: 5",
                "edges: {a: b}",
                "  - {alias: 1}",
                "x",
                "  - {from: start, to: start}",
                "input: [1]",
            ]
        )
    )
    lines[index] = junk
    result = compiled("\n".join(lines))
    assert (result.artifact is None) == any(d.severity == "error" for d in result.diagnostics)
