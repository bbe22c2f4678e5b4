"""``axiom bench``: what it offers, what it prints, and what it says when something is missing."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from axiom.api.bench import suite
from axiom.api.bench.beds import FULL, QUICK, STORES, Bed, Size
from axiom.api.bench.figures import Figure, Target, compared
from axiom.api.cli import exits
from axiom.api.cli.bench import MEASURES, bench

asked: list[tuple[str, str, Size]] = []


@pytest.fixture(autouse=True)
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measures are tested where they are; here they answer at once."""
    asked.clear()

    def measured(plan: suite.Plan, size: Size) -> list[Figure]:
        asked.append((plan.name, plan.store, size))
        return [compared(f"{plan.name}.figure", plan.store, 1, "ms", 2, Target("≤", 0.4))]

    monkeypatch.setattr(suite, "measured", measured)


def run(*arguments: str) -> tuple[str, str]:
    result = CliRunner().invoke(bench, arguments, catch_exceptions=False, standalone_mode=False)
    assert result.return_value == exits.DONE
    return result.stdout, result.stderr


def test_the_names_offered_are_those_of_the_suite() -> None:
    assert set(MEASURES) == set(suite.MEASURES)


def test_everything_is_measured_on_both_stores() -> None:
    run()
    assert [(name, store) for name, store, _ in asked] == suite.planned((), STORES)


def test_one_measure_on_one_store() -> None:
    run("--only", "frames", "--only", "chain", "--store", "redis", "--quick")
    assert asked == [("chain", "redis", QUICK), ("frames", "redis", QUICK)]


def test_json_is_one_document_on_stdout() -> None:
    out, _ = run("--only", "chain", "--json")
    told = json.loads(out)
    assert told["missing"] == {}
    assert told["machine"]["cpus"] >= 1
    assert [figure["store"] for figure in told["figures"]] == ["sqlite", "redis"]
    assert told["figures"][0] == {
        "name": "chain.figure",
        "store": "sqlite",
        "value": 1,
        "unit": "ms",
        "limit": 2,
        "ratio": 0.5,
        "target": "≤ 0.4",
        "ok": False,
        "note": "",
    }


def test_people_get_a_table_and_a_summary() -> None:
    out, err = run("--only", "chain", "--store", "sqlite")
    assert out.split("\t")[:7] == ["chain.figure", "sqlite", "1 ms", "2 ms", "0.5", "≤ 0.4", "missed"]
    assert "0 of 1 targets reached; missed: chain.figure (sqlite)" in err


def test_without_redis_the_rest_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "missing", lambda stores: {"redis": "there is no redis-server on the PATH"})
    out, err = run("--json")
    assert {store for _, store, _ in asked} == {"sqlite"}
    assert json.loads(out)["missing"] == {"redis": "there is no redis-server on the PATH"}
    assert "redis is left out: there is no redis-server on the PATH" in err


def test_quick_and_full_exclude_each_other() -> None:
    with pytest.raises(exits.Stop, match="contradict"):
        run("--quick", "--full")


def test_full_parks_a_hundred_thousand_runs() -> None:
    run("--only", "parked", "--store", "sqlite", "--full")
    assert asked[0][2] is FULL
    assert FULL.parked == 100_000


def test_a_bed_names_its_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a measure is given says on what it stands."""
    from axiom.api.bench.beds import bed

    with bed("sqlite", QUICK) as made:
        assert isinstance(made, Bed)
        assert made.url == f"sqlite:///{made.folder}/axiom.db"
