"""kill -9 of workers at every kind of moment: what was written stands; what was in flight runs again, and nothing else.

Each run is made durable step by step by a real worker, which is killed; another one, started beside it, goes on under
the same execution id. The times that takeovers take are recorded with the test, and judged by the bench.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from process_kit import Api, Bed, until

pytestmark = pytest.mark.slow
Record = Callable[[str, object], None]
STEPS = {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize("flow", ["chain", "chain-process"])
def test_a_worker_killed_in_the_middle_of_a_node(bed: Bed, flow: str, record_property: Record) -> None:
    """Scenario 7: a crash in the middle of a node with no retry configured: the run resumes, the node runs again."""
    api, gate = bed.serve(), bed.gate()
    bed.workers("w1", "w2")
    run = api.start(flow, bed.task(b=gate))
    bed.begun(run, "b")
    bed.owner(api, run).kill()
    died = time.monotonic()
    second = bed.begun(run, "b", 2)
    record_property("takeover_seconds", round(time.monotonic() - died, 3))
    gate.unlink()
    assert api.ended(run) == "COMPLETED"
    assert bed.runs(run) == {"a": 1, "b": 2, "c": 1}, "only what was in flight runs again"
    assert bed.effects(run) == STEPS, "and its effect has the same key"
    assert second.attempt == 1, "a crash is no attempt"
    kinds = api.kinds(run)
    assert kinds.count("NodeStarted b 1") == kinds.count("ExecutionTakenOver") == 1
    bed.check(1)


def test_a_worker_killed_between_a_checkpoint_and_the_next_node(bed: Bed) -> None:
    """Crash window 4: between two completed steps there is nothing to be stuck in: the write that says that one is
    complete says that the next has started. Each worker here is killed the moment a reader sees a checkpoint."""
    api = bed.serve()
    gates = {node: bed.gate(f"gate-{node}") for node in "abc"}
    bed.workers("w1", "w2")
    run = api.start("chain", bed.task(**gates))
    for number, node in enumerate("ab"):
        bed.begun(run, node)
        gates[node].unlink()
        until(lambda node=node: f"NodeCompleted {node} 1" in api.kinds(run), f"{node} is durable")
        bed.owner(api, run).kill()
        bed.workers(f"w{number + 3}", wait=False)
    gates["c"].unlink()
    assert api.ended(run) == "COMPLETED"
    runs = bed.runs(run)
    assert runs["a"] == 1, "a checkpoint that someone has seen is never worked again"
    assert bed.effects(run) == STEPS
    assert Counter(kind for kind in api.kinds(run) if kind.startswith("NodeCompleted")) == {
        f"NodeCompleted {node} 1": 1 for node in "abc"
    }
    bed.check(1)


def test_two_hundred_executions_in_flight_when_their_worker_is_killed(
    bed: Bed, record_property: Record
) -> None:
    """Scenario 1: what was acknowledged before a kill -9 is there for a fresh interpreter."""
    api, gate = bed.serve(), bed.gate()
    first = bed.worker("w1")
    ids = [api.start("chain", bed.task(b=gate)) for _ in range(200)]
    until(lambda: Counter(line.node for line in bed.lines())["b"] == 200, "all are in the middle of b")
    seen = {run: api.events(run) for run in ids[:20]}
    first.kill()
    died = time.monotonic()
    bed.worker("w2")
    until(lambda: Counter(line.node for line in bed.lines())["b"] == 400, "all run again")
    record_property("takeover_of_200_seconds", round(time.monotonic() - died, 3))
    gate.unlink()
    assert api.all_ended(ids) == {"COMPLETED": 200}
    for run, events in seen.items():
        assert api.events(run)[: len(events)] == events, "what was acknowledged is there as it was"
    lines = bed.lines(what="effect")
    assert Counter(line.node for line in lines) == {"a": 200, "b": 400, "c": 200}
    assert len({line.key for line in lines}) == 600
    bed.check(200)


def stream(api: Api, method: str, path: str, got: list[dict[str, Any]], stop: int = -1, **more: Any) -> bool:
    """Read frames until the final one (``True``), the stream's end, or frame ``stop``."""
    with api.http.stream(method, path, **more) as answer:
        assert answer.status_code == 200, answer.read()
        for line in answer.iter_lines():
            if not line.startswith("data:"):
                continue
            frame = json.loads(line[5:])
            if frame["is_final"]:
                assert frame["success"], frame
                return True
            got.append(frame)
            if frame["frame_index"] == stop:
                return False
    return False


COUNT = 400


def test_a_stream_goes_on_across_its_workers_death_and_on_another_server(bed: Bed) -> None:
    """A pipeline killed in mid-stream: its reader joins again on another API process by ``Last-Event-ID`` and gets
    what an undisturbed run would have given, without a gap or a repeat."""
    here, gate = bed.serve("here"), bed.gate()
    there = bed.serve("there")
    bed.workers("w1", "w2")
    task = {**bed.task(numbers=gate), "count": COUNT}
    got: list[dict[str, Any]] = []
    body = {"flow": "proof/sums", "input": task}
    stream(here, "POST", "/invocations/v1/flows/invoke/stream", got, stop=COUNT // 2 - 1, json=body)
    run = got[0]["execution_id"]
    bed.owner(here, run).kill()
    here.process.kill()
    path = f"/invocations/v1/flows/{run}/stream"
    gate.unlink()
    assert stream(there, "GET", path, got, headers={"Last-Event-ID": str(got[-1]["frame_index"])})
    assert [frame["frame_index"] for frame in got] == list(range(COUNT))
    assert [frame["payload"] for frame in got] == [{"n": n, "sum": n * (n + 1) // 2} for n in range(COUNT)], (
        "the counts equal those of an undisturbed run"
    )
    again: list[dict[str, Any]] = []
    assert stream(there, "GET", path, again)
    assert again == got, "and whoever comes later gets the same"
    assert there.ended(run) == "COMPLETED"
    assert there.takeovers(run) == 1
    assert len({line.key for line in bed.lines(run, "begun")}) == 1
    bed.check(1)
