"""kill -9 of real workers all along one run with everything in it; ``test_every_event.py`` does so in virtual ways.

A run with a pause, a loop, a map, a gate, a subflow and a compensation loses its worker when a reader has seen so many
events of it. Where exactly the signal lands is the machine's business; the end must be the same wherever.

``pytest tests/process/test_process_every_event.py --every-event`` kills at each event instead of at a few.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from process_kit import FINAL, PATIENCE_SECONDS, Api, Bed

pytestmark = pytest.mark.slow
SOME = 5
"""Places along the run, evenly spread."""


class Told:
    """What must not depend on who died."""

    def __init__(self, bed: Bed, api: Api, run: str, child: str) -> None:
        self.length = len(api.events(run))
        self.error = {name: api.output(run)["error"][name] for name in ("code", "node", "message")}
        self.child = api.detail(child)["status"]
        self.effects = bed.effects(run) + bed.effects(child)
        self.runs = bed.runs(run) + bed.runs(child)

    @property
    def same(self) -> tuple[Any, ...]:
        return self.error, self.child, self.effects


def lived(bed: Bed, api: Api, kill_at: int | None) -> Told:
    """One run: its pause is answered, and its worker dies when ``kill_at`` events of it are seen."""
    message = {**bed.task(), "n": 0, "lines": []}
    run, child, answered = api.start("rich", message), "", False
    patience = time.monotonic() + PATIENCE_SECONDS
    while True:
        assert time.monotonic() < patience, f"{run} does not end: {api.kinds(run)}"
        status, events = api.detail(run)["status"], api.events(run)
        if kill_at is not None and len(events) >= max(kill_at, 3):
            kill_at = None
            replaced(bed, api, run)
        if status == "PAUSED" and not answered:
            answer = {**message, "lines": [bed.task() | {"n": number} for number in range(4)]}
            (pause,) = api.call("GET", f"/invocations/v1/executions/{run}/pauses")["pauses"]
            path = f"/invocations/v1/executions/{run}/pauses/{pause['pause_id']}/resume"
            api.call("POST", path, json={"input": answer})
            answered = True
        if status in FINAL:
            break
        time.sleep(0.01)
    child = next(event["body"]["name"] for event in api.events(run) if event["body"].get("for") == "child")
    assert api.ended(child) == "COMPLETED"
    return Told(bed, api, run, child)


def replaced(bed: Bed, api: Api, run: str) -> None:
    """Kill the worker that has the run, or had it last; another one comes."""
    victim = bed.owner(api, run)
    victim.kill()
    bed.bury(victim)
    bed.worker(f"w{len(bed.processes)}")


def test_a_worker_killed_anywhere_along_a_run_changes_nothing_of_it(
    bed: Bed, request: pytest.FixtureRequest
) -> None:
    """Scenarios 7, 8 and 11, crash windows 4 and 11, with real processes: the same end, the same effects."""
    api = bed.serve()
    bed.workers("w1", "w2")
    undisturbed = lived(bed, api, None)
    assert (undisturbed.error["code"], undisturbed.error["node"]) == ("handler_error", "z")
    assert undisturbed.effects == {
        **{"a": 2, "b": 1, "c": 1},  # the run's own `a`, and its subflow's chain
        **{"p": 1, "d": 2, "m": 4, "l": 1, "r": 1, "j": 1, "z": 1, "ua": 1, "us": 1},
    }
    assert undisturbed.runs == undisturbed.effects
    everywhere = range(3, undisturbed.length + 1)
    step = 1 if request.config.getoption("--every-event", default=False) else max(1, len(everywhere) // SOME)
    for kill_at in everywhere[::step]:
        told = lived(bed, api, kill_at)
        assert told.same == undisturbed.same, f"a kill after event {kill_at} shows"
        again = told.runs - undisturbed.runs
        assert again.total() <= 2, f"more than two items or arms in flight ran again: {again}"
    bed.check()
