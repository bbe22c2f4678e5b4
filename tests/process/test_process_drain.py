"""SIGTERM drains a worker: nothing is lost, nothing waits for a lease to end, nothing runs twice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pytest
from process_kit import Bed, until

pytestmark = pytest.mark.slow
Record = Callable[[str, object], None]
MANY = 60
NO_LEASE_MS = 3_600_000
"""A lease that nobody could wait for."""


def test_a_deploy_loses_nothing_waits_for_nothing_and_repeats_nothing(
    bed: Bed, record_property: Record
) -> None:
    """The leases are an hour long, so that a run that waited for one would never end in this test."""
    api, gate = bed.serve(), bed.gate()
    old = bed.workers("old-1", "old-2", AXIOM_LEASE_DURATION_MS=str(NO_LEASE_MS))
    flows = ("chain", "chain-process")
    ids = [api.start(flows[number % 2 * (number < 16)], bed.task(b=gate)) for number in range(MANY)]
    until(lambda: Counter(line.node for line in bed.lines())["b"] == MANY, "all are in the middle of b")
    bed.workers("new-1", "new-2", AXIOM_LEASE_DURATION_MS=str(NO_LEASE_MS))
    began = time.monotonic()
    for worker in old:
        worker.process.terminate()
    late = [api.start("chain", bed.task()) for _ in range(10)]
    assert api.all_ended(late) == {"COMPLETED": 10}, "new work goes to the new workers at once"
    assert all(worker.running for worker in old), "the old ones let what runs come to its checkpoint"
    gate.unlink()
    assert [worker.process.wait(120) for worker in old] == [0, 0]
    record_property("drained_seconds", round(time.monotonic() - began, 3))
    assert api.all_ended(ids) == {"COMPLETED": MANY}
    for run in ids:
        assert bed.runs(run) == {"a": 1, "b": 1, "c": 1}, "nothing runs twice"
        assert api.takeovers(run) == 0, "nobody died"
    assert {line.pid for line in bed.lines() if line.node == "c"} & {worker.pid for worker in old} == set()
    bed.check(MANY + 10)


def test_a_stream_that_is_drained_goes_on_elsewhere_from_its_log(bed: Bed) -> None:
    api, gate = bed.serve(), bed.gate()
    old = bed.worker("old", AXIOM_LEASE_DURATION_MS=str(NO_LEASE_MS))
    body = {"graph_id": _graph_of(api, "proof/sums"), "input": {**bed.task(numbers=gate), "count": 200}}
    with api.http.stream("POST", "/invocations/v1/flows/invoke/stream", json=body) as answer:
        run = answer.headers["axiom-execution-id"]
        lines = answer.iter_lines()
        frames = [next(lines) for _ in range(20)]
    assert frames
    bed.worker("new", AXIOM_LEASE_DURATION_MS=str(NO_LEASE_MS))
    assert old.terminate() == 0
    gate.unlink()
    assert api.ended(run) == "COMPLETED"
    page = api.call("GET", f"/invocations/v1/executions/{run}/frames", params={"limit": 500})
    sums = [frame["payload"]["sum"] for frame in page["frames"]]
    assert sums == [n * (n + 1) // 2 for n in range(200)]
    assert api.takeovers(run) == 0
    bed.check(1)


def test_a_server_that_is_drained_leaves_runs_alone(bed: Bed) -> None:
    api, gate = bed.serve(), bed.gate()
    bed.worker("w1")
    run = api.start("chain", bed.task(b=gate))
    bed.begun(run, "b")
    assert api.process.terminate() == 0
    gate.unlink()
    other = bed.serve("other")
    assert other.ended(run) == "COMPLETED"
    assert bed.runs(run) == {"a": 1, "b": 1, "c": 1}
    bed.check(1)


def _graph_of(api: object, name: str) -> str:
    rows = api.call("GET", "/registry/v1/aliases")["aliases"]  # type: ignore[attr-defined]
    return str(next(row["graph_id"] for row in rows if row["name"] == name))
