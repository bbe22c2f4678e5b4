"""When schedules are due: cron lines over a year, clocks put forward and back, intervals, jitter."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice, takewhile

import pytest

from axiom.runtime.calendar import BadCron, Timing, check_cron, dues, jitter, local_date, next_due

DAY = 86_400_000


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def told(due: int | None) -> str:
    assert due is not None
    return datetime.fromtimestamp(due / 1000, UTC).strftime("%Y-%m-%dT%H:%M")


def over(timing: Timing, begin: str, end: str) -> list[int]:
    return list(takewhile(lambda due: due < ms(end), dues(timing, ms(begin) - 1)))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"])
@pytest.mark.parametrize("hour", [0, 1, 2, 3])
def test_a_line_that_names_its_hour_and_minute_fires_once_a_day_for_a_year_whatever_the_clocks_do(
    zone: str, hour: int
):
    timing = Timing(f"30 {hour} * * *", zone)
    found = over(timing, "2026-01-05T00:00", "2027-01-05T00:00")
    days = [local_date(timing, due) for due in found]
    assert len(days) == len(set(days)) == 365
    assert found == sorted(set(found))


def test_a_time_that_does_not_exist_is_moved_to_the_end_of_the_gap():
    timing = Timing("30 2 * * *", "Europe/Berlin")
    found = over(timing, "2026-03-28T00:00", "2026-03-31T00:00")
    assert list(map(told, found)) == ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"]


def test_a_time_that_exists_twice_is_the_first_of_the_two():
    timing = Timing("30 2 * * *", "Europe/Berlin")
    found = over(timing, "2026-10-24T12:00", "2026-10-26T12:00")
    assert list(map(told, found)) == ["2026-10-25T00:30", "2026-10-26T01:30"]
    assert told(next_due(timing, ms("2026-10-25T00:30"))) == "2026-10-26T01:30"
    assert told(next_due(timing, ms("2026-10-25T01:29"))) == "2026-10-26T01:30", (
        "not again in the second hour"
    )


def test_a_line_with_a_star_goes_by_the_time_that_passes():
    timing = Timing("*/15 * * * *", "Europe/Berlin")
    assert len(over(timing, "2026-03-28T23:00", "2026-03-29T22:00")) == 23 * 4
    assert len(over(timing, "2026-10-24T22:00", "2026-10-25T23:00")) == 25 * 4


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("60 * * * *", 1),
        ("* 24 * * *", 3),
        ("0 0 32 * *", 5),
        ("0 0 1 13 *", 7),
        ("0 0 * * MOO", 9),
        ("0 0 * *", 8),
        ("0 0 0 * * *", 11),
        ("@often", 1),
        ("", 1),
        ("0 0 30 2 *", 5),
        ("0 0 31 4,6 *", 5),
    ],
)
def test_a_line_that_is_none_or_never_fires_is_refused_with_its_place(line: str, column: int):
    with pytest.raises(BadCron) as caught:
        check_cron(line)
    assert caught.value.column == column


@pytest.mark.parametrize(
    "line", ["0 3 * * *", "*/5 9-17 * * MON-FRI", "0 0 L * *", "0 9 * * MON#1", "@daily", "0 0 29 2 *"]
)
def test_lines_that_fire_are_taken(line: str):
    check_cron(line)
    assert next_due(Timing(line), 0) is not None


def test_an_interval_counts_from_its_anchor_and_drifts_by_nothing():
    timing = Timing(every_ms=90_000, anchor=1_000)
    assert list(islice(dues(timing, 0), 3)) == [1_000, 91_000, 181_000]
    assert next_due(timing, 90_999) == 91_000
    assert next_due(timing, 10**12) == 1_000 + 90_000 * ((10**12 - 1_000) // 90_000 + 1)


def test_nothing_is_due_before_its_start_and_after_its_end():
    begin, end = ms("2026-05-01T00:00"), ms("2026-05-03T00:00")
    timing = Timing("0 0 * * *", start_at=begin, end_at=end)
    assert [told(due) for due in dues(timing, 0)] == [
        "2026-05-01T00:00",
        "2026-05-02T00:00",
        "2026-05-03T00:00",
    ]


def test_jitter_is_the_same_for_the_same_firing_and_spreads_the_others():
    timing = Timing("0 * * * *", jitter_ms=600_000)
    found = [jitter(timing, "a/nightly", due) for due in islice(dues(timing, 0), 200)]
    assert found == [jitter(timing, "a/nightly", due) for due in islice(dues(timing, 0), 200)]
    assert all(0 <= late <= 600_000 for late in found)
    assert len(set(found)) > 150
    assert found != [jitter(timing, "a/other", due) for due in islice(dues(timing, 0), 200)]
