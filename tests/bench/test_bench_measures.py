"""Every measure runs on real stores and processes and gives its figures; how quick they are is not tested."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from axiom.api.bench import suite
from axiom.api.bench.beds import STORES, TINY, bed
from axiom.api.bench.figures import Figure

FIGURES = {
    "chain": {"chain5.throughput", "chain5.bare", "chain5.latency"},
    "http": {"http.throughput", "http.latency"},
    "fanout": {"fanout10.throughput", "fanout10.latency"},
    "frames": {"frames.throughput", "frames.first"},
    "takeover": {"takeover.longest"},
    "long": {"long.cost", "long.cpu", "long.resume"},
    "stored": {"stored.small", "stored.large"},
    "scale": {"scale.cpu", "scale.throughput"},
    "parked": {"parked.cpu", "parked.memory"},
}
IN_PROCESS = {"chain", "fanout", "long", "stored"}


def measured(name: str, store: str) -> list[Figure]:
    return suite.measured(suite.Plan(name, store), TINY)


def check(name: str, store: str, figures: list[Figure]) -> None:
    assert {figure.name for figure in figures} == FIGURES[name]
    for figure in figures:
        assert figure.store == store
        assert math.isfinite(figure.value)
        assert figure.value >= 0
        assert figure.ok in (True, False, None)
        if figure.limit:
            assert figure.ratio is not None
            assert figure.ratio > 0 or figure.value == 0


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("name", sorted(IN_PROCESS))
def test_a_measure_in_process_gives_its_figures(name: str, store: str) -> None:
    check(name, store, measured(name, store))


@pytest.mark.slow
@pytest.mark.parametrize("plan", [p for p in suite.planned((), STORES) if p.name not in IN_PROCESS], ids=str)
def test_a_measure_with_processes_gives_its_figures(plan: suite.Plan) -> None:
    check(plan.name, plan.store, measured(plan.name, plan.store))


def test_every_measure_is_known_here() -> None:
    assert set(suite.MEASURES) == set(FIGURES)


def test_what_is_stored_grows_with_the_outputs() -> None:
    small, large = measured("stored", "sqlite")
    assert large.value > small.value + 4_000
    assert "5 " not in small.note.split(" with")[0], "a chain of five has more events than nodes"


def test_what_is_planned_is_what_was_asked_for() -> None:
    assert suite.planned(["scale", "chain"], STORES) == [
        suite.Plan("chain", "sqlite"),
        suite.Plan("chain", "redis"),
        suite.Plan("scale", "redis"),
    ]
    assert suite.planned(["scale"], ["sqlite"]) == []
    assert len(suite.planned((), STORES)) == 2 * len(FIGURES) - 1


def test_without_a_redis_server_that_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert suite.missing(STORES) == {"redis": "there is no redis-server on the PATH"}
    assert suite.missing(["sqlite"]) == {}
    assert "redis" not in suite.machine()


def test_a_busy_machine_and_a_disk_in_memory_are_named() -> None:
    calm = {"in_memory": False, "load": [0.1, 0, 0], "cpus": 2}
    assert list(suite.warnings(calm)) == []
    assert "TMPDIR" in next(suite.warnings(calm | {"in_memory": True}))
    assert "busy" in next(suite.warnings(calm | {"load": [3.0, 0, 0]}))


def test_a_run_that_does_not_end_as_it_should_stops_the_measure() -> None:
    """A figure of broken runs would be worth nothing."""
    from axiom.api.bench.rig import Rig, artifacts, opened
    from axiom.api.loops import run_loop

    async def wrong(url: str, rig: Rig) -> None:
        async with opened(url) as store, rig.serving(store):
            prepared = await rig.prepared(store, artifacts()["chain5"])
            await rig.runs(prepared, {"n": 0}, lambda run: bool(run.output == {"n": 4}))()

    with bed("sqlite", TINY) as made, pytest.raises(AssertionError, match="axiom/chain5"):
        run_loop(wrong(made.url, Rig()))
