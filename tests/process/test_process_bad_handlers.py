"""Bad handlers through the whole system: each is the failure of its own run, with a code, and of nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from process_kit import Api, Bed, a_bed, alive, until

pytestmark = pytest.mark.slow
Record = Callable[[str, object], None]


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Bed, Api]]:
    """One server and one worker that all the bad handlers share: it must outlive them."""
    with a_bed(request.param, tmp_path_factory.mktemp(request.param)) as bed:
        api = bed.serve()
        worker = bed.worker("w1")
        yield bed, api
        assert worker.running, "no handler took its worker along"
        assert "Traceback" not in api.process.said()
        good = api.start("chain-process", bed.task())
        assert api.ended(good) == "COMPLETED", "the server goes on"
        bed.check()


@pytest.mark.parametrize(
    ("node", "code", "words"),
    [
        ("Exit", "child_exited", "sys.exit(3)"),
        ("ExitHard", "child_exited", "3"),
        ("WrongType", "output_invalid", "ledger"),
        ("NoData", "output_invalid", ""),
        ("Never", "timeout", "3 s"),
        ("NeverAsync", "timeout", "3 s"),
    ],
)
def test_what_a_handler_does_wrong_fails_its_run_with_a_code_and_a_place(
    house: tuple[Bed, Api], node: str, code: str, words: str
) -> None:
    bed, api = house
    run = api.start_node(node, bed.task())
    assert api.ended(run) == "FAILED"
    result = api.output(run)
    assert result["success"] is False
    assert result["error"]["code"] == code
    assert words in result["error"]["message"]
    assert result["error"]["node"] == api.only_node(run)
    assert not [kind for kind in api.kinds(run) if kind.startswith("NodeCompleted")], "nothing half-written"


def test_what_a_handler_prints_is_no_message(house: tuple[Bed, Api]) -> None:
    bed, api = house
    run = api.start_node("Print", bed.task())
    assert api.ended(run) == "COMPLETED"
    assert api.output(run)["output"] == {"printed": True}


def test_a_copy_that_a_handler_forks_hands_in_nothing(house: tuple[Bed, Api]) -> None:
    bed, api = house
    run = api.start_node("Fork", bed.task())
    assert api.ended(run) == "COMPLETED"
    assert api.output(run)["output"] == {"by": "the original"}
    copy = until(lambda: [line.pid for line in bed.lines(run, "fork")], "the copy has run")[0]
    until(lambda: not alive(copy), "the copy is gone")
    assert sum(kind.startswith("NodeCompleted") for kind in api.kinds(run)) == 1


def test_a_retryable_failure_is_retried_with_its_declared_delays(house: tuple[Bed, Api]) -> None:
    """Scenario 17: two failures, the delays declared (200 and 400 ms), then success; the last attempt's failure ends
    the run. Each attempt has the same key."""
    bed, api = house
    run = api.start_node("Flaky", {**bed.task(), "succeed_at": 3})
    assert api.ended(run) == "COMPLETED"
    assert api.output(run)["output"] == {"attempt": 3}
    assert len({line.key for line in bed.lines(run)}) == 1
    events = api.events(run)
    failed = [_ms(event["at"]) for event in events if event["kind"] == "NodeFailed"]
    started = [_ms(event["at"]) for event in events if event["kind"] == "NodeStarted"]
    assert [
        after - before >= delay for before, after, delay in zip(failed, started[1:], (200, 400), strict=True)
    ]
    hopeless = api.start_node("Flaky", {**bed.task(), "succeed_at": 9})
    assert api.ended(hopeless) == "FAILED"
    assert len(bed.lines(hopeless)) == 3
    assert "attempt 3" in api.output(hopeless)["error"]["message"]


def test_a_handler_that_never_returns_is_dead_after_its_time(
    house: tuple[Bed, Api], record_property: Record
) -> None:
    bed, api = house
    began = time.monotonic()
    run = api.start_node("Never", bed.task())
    pid = bed.begun(run, api.only_node(run)).pid
    assert api.ended(run) == "FAILED"
    until(lambda: not alive(pid), "its process is dead")
    record_property("timeout_of_3_seconds_took", round(time.monotonic() - began, 3))


def _ms(text: str) -> int:
    from datetime import datetime

    return round(datetime.fromisoformat(text).timestamp() * 1000)


def test_pictures_of_the_ledger_are_whole_lines(tmp_path: Path) -> None:
    """The ledger that these tests count with reads a half-written line as none."""
    with a_bed("sqlite", tmp_path) as bed:
        bed.ledger.write_text(
            '{"run":"r","node":"a","key":"k","attempt":1,"epoch":1,"pid":1,"what":"effect"}\n{"run'
        )
        assert [line.run for line in bed.lines()] == ["r"]
