"""Scenario 16: a run that kills every worker that takes it is stopped, and blocks nobody meanwhile.

A supervisor keeps two workers alive, as ``axiom dev`` does: whoever dies is replaced.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from process_kit import Bed, Process

pytestmark = pytest.mark.slow
NO_LEASE_MS = "3600000"
"""Nobody is taken over but the dead, whose sessions are ended here: the takeovers can be counted."""
SUSPECTS = 5
"""Runs in flight beside it, which come under suspicion with it: fewer than a worker has child processes."""


@contextmanager
def kept_alive(bed: Bed, count: int) -> Iterator[list[Process]]:
    """``count`` workers, each replaced when it dies; the list grows by each replacement."""
    names = (f"w{number}" for number in itertools.count(1))
    crew = [
        bed.workers(next(names), wait=False, AXIOM_LEASE_DURATION_MS=NO_LEASE_MS)[0] for _ in range(count)
    ]
    started, stop = list(crew), threading.Event()

    def keep() -> None:
        while not stop.wait(0.02):
            for place, process in enumerate(crew):
                if not process.running:
                    bed.bury(process)
                    crew[place] = bed.workers(next(names), wait=False, AXIOM_LEASE_DURATION_MS=NO_LEASE_MS)[0]
                    started.append(crew[place])

    keeper = threading.Thread(target=keep, daemon=True)
    keeper.start()
    try:
        yield started
    finally:
        stop.set()
        keeper.join()


@pytest.mark.parametrize("node", ["KillWorker", "KillProcess"])
def test_a_run_that_kills_its_workers_ends_in_a_child_process_after_two_takeovers(
    bed: Bed, node: str
) -> None:
    """The third attempt at it runs where it can kill nobody but itself, whatever isolation it declares (``async``,
    ``thread``): the run fails by that, two workers are lost and no third, and everybody else's runs complete."""
    api, gate = bed.serve(), bed.gate()
    innocent = [api.start("chain", bed.task(b=gate)) for _ in range(SUSPECTS)]
    run = api.start_node(node, bed.task())
    with kept_alive(bed, 2) as started:
        later = [api.start("chain", bed.task()) for _ in range(10)]
        assert api.ended(run) == "FAILED"
        gate.unlink()
        assert api.all_ended(innocent + later) == {"COMPLETED": SUSPECTS + 10}
        dead = [process for process in started if not process.running]
    error = api.output(run)["error"]
    assert error["code"] == "child_exited", "told as what it is"
    assert "SIGKILL" in error["message"] or "signal 9" in error["message"]
    assert len(bed.lines(run, "begun")) == 3
    assert len(dead) == 2
    assert api.takeovers(run) == 2
    for other in innocent:
        assert not [kind for kind in api.kinds(other) if kind.endswith(" 2")], "no attempt was charged"
    bed.check(SUSPECTS + 11)


def test_a_run_whose_workers_die_ten_times_is_poisoned(bed: Bed) -> None:
    """It is not the handler that kills them here, so that a child process is no help. After ten takeovers without
    progress the run is FAILED ``poisoned``, and the one that came between goes on."""
    api, gate = bed.serve(), bed.gate()
    run = api.start("chain", bed.task(b=gate))
    for number in range(10):
        worker = bed.workers(f"w{number}", wait=False, AXIOM_LEASE_DURATION_MS=NO_LEASE_MS)[0]
        bed.begun(run, "b", number + 1)
        worker.kill()
        bed.bury(worker)
        if number == 5:
            other = api.start("chain", bed.task(c=gate))
    bed.worker("last", AXIOM_LEASE_DURATION_MS=NO_LEASE_MS)
    assert api.ended(run) == "FAILED"
    error = api.output(run)["error"]
    assert (error["code"], error["node"]) == ("poisoned", "b")
    gate.unlink()
    assert api.ended(other) == "COMPLETED"
    assert bed.runs(run)["b"] == 10
    assert bed.effects(run) == {"a": 1, "b": 1}, "one effect, whatever happened"
    assert api.takeovers(run) == 10
    bed.check(2)
