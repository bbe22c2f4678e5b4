"""What a figure says of itself: ratio, target, verdict, and how it is printed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom.api.bench.figures import Figure, Target, compared, significant
from axiom.api.bench.report import amount, row, summary
from axiom.api.bench.rounds import Pair, Round, latency, throughput


def figure(value: float = 2.0, limit: float = 4.0, target: Target | None = None) -> Figure:
    return compared("a.b", "sqlite", value, "ms", limit, target)


def test_a_ratio_is_value_to_limit() -> None:
    assert figure(2, 4).ratio == 0.5


@pytest.mark.parametrize(
    ("target", "met", "text"),
    [
        (Target("≥", 0.35), True, "≥ 0.35"),
        (Target("≥", 0.6), False, "≥ 0.6"),
        (Target("≤", 0.5), True, "≤ 0.5"),
        (Target("≤", 1.9, "value", "ms"), False, "≤ 1.9 ms"),
        (Target("≤", 5, "excess", "ms"), True, "≤ limit + 5 ms"),
        (Target("≤", -3, "excess", "ms"), False, "≤ limit + -3 ms"),
    ],
)
def test_a_target_judges_what_it_speaks_of(target: Target, met: bool, text: str) -> None:
    judged = figure(2, 4, target)
    assert judged.ok is met
    assert str(target) == text


def test_without_a_target_there_is_no_verdict() -> None:
    assert figure().ok is None
    assert row(figure())[6] == ""


def test_a_target_of_the_ratio_needs_a_limit() -> None:
    with pytest.raises(AssertionError, match="has no limit"):
        _ = Figure("a", "redis", 1, "s", target=Target("≤", 1)).ok


def test_an_excess_over_nothing_is_judged_without_a_ratio() -> None:
    """An idle process may use no CPU time at all."""
    target = Target("≤", 0.01, "excess")
    assert Figure("a", "redis", 0.005, "s", 0.0, None, target).ok
    assert not Figure("a", "redis", 0.5, "s", 0.0, None, target).ok


def test_a_target_of_the_value_needs_none() -> None:
    assert Figure("a", "redis", 1, "s", target=Target("≤", 2, "value", "s")).ok


@given(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9))
def test_a_figure_is_json_and_within_its_digits(value: float, limit: float) -> None:
    told = json.loads(json.dumps(figure(value, limit, Target("≤", 1)).as_json()))
    assert told["value"] == pytest.approx(value, rel=1e-3)
    assert told["ok"] is (value / limit <= 1)


@given(st.floats(1e-6, 1e12))
def test_digits_are_cut_without_moving_the_number(number: float) -> None:
    assert significant(number) == pytest.approx(number, rel=1e-3)


@pytest.mark.parametrize(
    ("number", "text"), [(12345.6, "12,350"), (1.2345, "1.234"), (0, "0"), (0.00001234, "1.234e-05")]
)
def test_amounts_are_short(number: float, text: str) -> None:
    assert amount(number) == text


def test_a_row_has_a_cell_for_each_column() -> None:
    from axiom.api.bench.report import COLUMNS

    cells = row(figure(2000, 4, Target("≤", 1)))
    assert len(cells) == len(COLUMNS)
    assert cells[2:7] == ("2,000 ms", "4 ms", "500", "≤ 1", "missed")


def test_the_summary_names_what_is_missed() -> None:
    figures = [figure(1, 2, Target("≤", 1)), figure(3, 2, Target("≤", 1)), figure()]
    assert summary(figures) == "1 of 2 targets reached; missed: a.b (sqlite)"
    assert summary(figures[:1]) == "1 of 1 targets reached"


def pair(limit: float, engine: float) -> Pair:
    """Rounds of one second with so many runs, each of which took its share of it."""
    return Pair(*(Round(int(runs), 1.0, 0.1, 1000 / runs) for runs in (limit, engine)))


def test_a_ratio_of_rounds_is_the_median_of_their_pairs() -> None:
    """One pair in bad weather, where both were slow, changes nothing."""
    pairs = [pair(1000, 500), pair(10, 4), pair(1000, 500)]
    told = throughput("x", "sqlite", pairs, None)
    assert (told.value, told.limit, told.ratio) == (500, 1000, 0.5)
    assert "200 µs of CPU per run" in told.note


def test_latencies_are_compared_the_same_way() -> None:
    told = latency("x", "sqlite", [pair(1000, 500), pair(100, 10), pair(1000, 500)], Target("≤", 2.5))
    assert (told.value, told.limit, told.ratio, told.ok) == (2, 1, 2, True)
