"""A worker that stands still past its lease and goes on: a zombie. Its writes are refused, its effects are keyed.

SIGSTOP stops a worker with all its threads, its lease's too, in the middle of a node; SIGCONT lets it go on as if
nothing had happened. It must find out, and write nothing.
"""

from __future__ import annotations

import pytest
from process_kit import Bed, until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("flow", ["chain", "chain-process"])
def test_a_stopped_worker_that_goes_on_is_refused(bed: Bed, flow: str) -> None:
    """Scenario 5: a worker loses its lease, recovers and reports: refused, and another has taken over meanwhile."""
    api, gate = bed.serve(), bed.gate()
    zombie = bed.worker("zombie")
    run = api.start(flow, bed.task(b=gate))
    first = bed.begun(run, "b")
    zombie.stop()
    bed.worker("w2")
    second = bed.begun(run, "b", 2)
    assert second.epoch > first.epoch, "the younger claim has the higher token"
    assert second.key == first.key
    head = api.detail(run)
    zombie.go_on()
    until(lambda: not _owned_by(api, "zombie"), "the zombie has let go")
    assert api.detail(run)["seq"] == head["seq"], "it wrote nothing"
    gate.unlink()
    assert api.ended(run) == "COMPLETED"
    assert bed.runs(run) == {"a": 1, "b": 2, "c": 1}
    assert bed.effects(run) == {"a": 1, "b": 1, "c": 1}
    epochs = [event["epoch"] for event in api.events(run) if event["epoch"]]
    assert epochs == sorted(epochs)
    assert epochs[-1] == second.epoch
    assert zombie.running, "it is fit for other work"
    after = api.start(flow, bed.task())
    assert api.ended(after) == "COMPLETED"
    bed.check(2)


def test_a_zombies_finished_node_is_not_what_counts(bed: Bed) -> None:
    """Scenario 5, the other order: the zombie's node ends before anything tells it that its lease is over, so that its
    result meets the fence. Crash window 7: a late attempt's result beside that of the one that counts."""
    api, gate = bed.serve(), bed.gate()
    zombie = bed.worker("zombie")
    run = api.start("chain", bed.task(b=gate))
    bed.begun(run, "b")
    zombie.stop()
    gate.unlink()  # it will see this first of all, and hand in its result
    bed.worker("w2")
    assert api.ended(run) == "COMPLETED"
    events = api.events(run)
    zombie.go_on()
    until(lambda: not _owned_by(api, "zombie"), "the zombie has let go")
    after = api.start("chain", bed.task())
    assert api.ended(after) == "COMPLETED"
    assert api.events(run) == events, "Scenario 4: a late report for a finished run changes nothing"
    assert bed.effects(run) == {"a": 1, "b": 1, "c": 1}
    bed.check(2)


def test_two_hundred_executions_under_a_zombie(bed: Bed) -> None:
    """Crash window 3: two owners, one of them with a stale list of what it owns: no work after ownership has moved."""
    api, gate = bed.serve(), bed.gate()
    zombie = bed.worker("zombie")
    ids = [api.start("chain", bed.task(b=gate)) for _ in range(200)]
    until(lambda: sum(line.node == "b" for line in bed.lines()) == 200, "all are in the middle of b")
    zombie.stop()
    bed.worker("w2")
    until(lambda: sum(line.node == "b" for line in bed.lines()) == 400, "all run elsewhere")
    zombie.go_on()
    until(lambda: not _owned_by(api, "zombie"), "the zombie has let go")
    gate.unlink()
    assert api.all_ended(ids) == {"COMPLETED": 200}
    lines = bed.lines(what="effect")
    assert sum(line.node == "c" and line.pid == zombie.pid for line in lines) == 0
    assert len(lines) == 800
    assert len({line.key for line in lines}) == 600
    bed.check(200)


def _owned_by(api: object, name: str) -> int:
    """What the store says a worker owns; 1 as long as it has not beaten again."""
    rows = api.call("GET", "/console/v1/workers")["workers"]  # type: ignore[attr-defined]
    mine = [row for row in rows if row["worker"] == name]
    return sum(row["owned"] for row in mine) if any(row["alive"] for row in mine) else 1
