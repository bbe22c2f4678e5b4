"""kill -9 of workers that hold permits: nobody is let in beside another, nobody waits for ever, everything ends.

Leases are long and the dead are buried as a supervisor would: on a machine that stands still nobody living loses one.
"""

from __future__ import annotations

import random
import time

import pytest
from process_kit import Bed, Line, Process, until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("limits")]
LEASE = {"AXIOM_LEASE_DURATION_MS": "12000"}
RUNS = 200
KILLS = 5


def beside(lines: list[Line], dead: set[int]) -> list[tuple[Line, Line]]:
    """Calls that began while another one was under way: after ``in``, only its own ``out`` or its death."""
    found, inside = [], None
    for line in lines:
        if line.what == "in":
            if inside is not None and inside.pid not in dead:
                found.append((inside, line))
            inside = line
        elif inside is not None and line.key == inside.key and line.pid == inside.pid:
            inside = None
    return found


def test_two_hundred_runs_under_a_limit_of_one_while_workers_are_killed(bed: Bed) -> None:
    api, chance = bed.serve(), random.Random(7)
    workers = bed.workers("w0", "w1", "w2", **LEASE)
    ids = [api.start("alone", bed.task()) for _ in range(RUNS)]
    dead: set[int] = set()
    for number in range(KILLS):
        goal = (number + 1) * RUNS // (KILLS + 2)
        until(lambda goal=goal: len(bed.lines(what="out")) >= goal, f"{goal} have been in")
        victim = chance.choice(workers)
        _kill(bed, victim)
        dead.add(victim.pid)
        workers.remove(victim)
        workers += bed.workers(f"w{number + 3}", wait=False, **LEASE)
    assert api.all_ended(ids) == {"COMPLETED": RUNS}
    assert beside(bed.lines(), dead) == []
    assert {line.run for line in bed.lines(what="out")} == set(ids)
    bed.check(RUNS)


def test_when_its_holder_is_killed_the_permit_is_free_within_the_lease(bed: Bed) -> None:
    """The run that held it goes on elsewhere, and after it the next in line."""
    api, gate = bed.serve(), bed.gate()
    lease = {"AXIOM_LEASE_DURATION_MS": "4000"}
    first = bed.workers("w1", **lease)[0]
    held = api.start("alone", bed.task(only=gate))
    until(lambda: bed.lines(held, "in"), "it is in")
    waits = api.start("alone", bed.task())
    until(lambda: api.detail(waits)["status"] == "WAITING", "the other waits")
    first.kill()
    died = time.monotonic()
    bed.workers("w2", **lease)
    until(lambda: len(bed.lines(held, "in")) == 2, "the run that held it goes on")
    gate.unlink()
    assert api.ended(held) == api.ended(waits) == "COMPLETED"
    assert time.monotonic() - died < 120
    assert beside(bed.lines(), {first.pid}) == []
    bed.check(2)


def _kill(bed: Bed, victim: Process) -> None:
    victim.kill()
    bed.bury(victim)
