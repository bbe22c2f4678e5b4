"""Cancel while code doesn't let go: durable before the answer, and the code's process dead soon after.

The time until the answer and until the process is gone are recorded; the promise itself is one second each.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from process_kit import Api, Bed, alive, until

pytestmark = pytest.mark.slow
Record = Callable[[str, object], None]


def cancelled(api: Api, run: str, record: Record) -> float:
    """Cancel, check that it is durable, and return when it was answered."""
    began = time.monotonic()
    answer = api.call("DELETE", f"/invocations/v1/flows/{run}")
    answered = time.monotonic()
    record("cancelled_seconds", round(answered - began, 3))
    assert answer["status"] == "CANCELLED"
    assert api.detail(run)["status"] == "CANCELLED", "durable before it was answered"
    assert api.kinds(run)[-1] == "ExecutionCancelled"
    return answered


@pytest.mark.parametrize("node", ["Sleep", "Spin", "Derive"])
def test_a_cancel_kills_code_that_blocks(bed: Bed, node: str, record_property: Record) -> None:
    """``time.sleep(600)``, a busy loop, and one endless call of C."""
    api = bed.serve()
    worker = bed.worker("w1")
    beside = api.start_node("Work", bed.task(work=bed.gate()))
    run = api.start_node(node, bed.task())
    pid = bed.begun(run, api.only_node(run)).pid
    assert pid != worker.pid
    answered = cancelled(api, run, record_property)
    until(lambda: not alive(pid), "the node's process is dead")
    record_property("process_dead_seconds", round(time.monotonic() - answered, 3))
    assert worker.running
    (bed.folder / "gate").unlink()
    assert api.ended(beside) == "COMPLETED"
    assert api.call("DELETE", f"/invocations/v1/flows/{run}")["status"] == "CANCELLED", (
        "again: the same answer"
    )
    assert api.kinds(run).count("ExecutionCancelled") == 1
    refused = api.http.delete(f"/invocations/v1/flows/{beside}")
    assert refused.status_code == 409, "what has ended otherwise can't be cancelled"
    bed.check(2)


@pytest.mark.parametrize("node", ["Deaf", "SleepInLoop", "SpinInLoop"])
def test_a_worker_that_a_handler_holds_is_replaced_and_its_other_runs_go_on_uncharged(
    bed: Bed, node: str, record_property: Record
) -> None:
    """An ``async def`` that swallows its cancellation or blocks the loop: its run is CANCELLED at once all the same,
    its worker ends itself, and the other runs of that worker carry on elsewhere, at no cost to their attempts."""
    api, gate = bed.serve(), bed.gate()
    first = bed.worker("w1")
    others = [api.start("chain", bed.task(b=gate)) for _ in range(5)]
    others.append(api.start("chain-process", bed.task(b=gate)))
    for other in others:
        bed.begun(other, "b")
    run = api.start_node(node, bed.task())
    assert bed.begun(run, api.only_node(run)).pid == first.pid
    began = time.monotonic()
    bed.worker("w2")
    cancelled(api, run, record_property)
    until(lambda: not first.running, "the worker has ended")
    record_property("worker_ended_seconds", round(time.monotonic() - began, 3))
    assert "worker_ends_itself" in first.said()
    for other in others:
        bed.begun(other, "b", 2)
    gate.unlink()
    assert api.all_ended(others) == {"COMPLETED": len(others)}
    for other in others:
        assert bed.runs(other) == {"a": 1, "b": 2, "c": 1}
        assert not [kind for kind in api.kinds(other) if kind.endswith(" 2")], "no second attempt was charged"
    assert api.detail(run)["status"] == "CANCELLED"
    assert len([line for line in bed.lines(run) if line.what == "begun"]) == 1, (
        "nobody took the cancelled run up"
    )
    bed.check(len(others) + 1)


def test_a_handler_that_blocks_the_loop_costs_its_run_and_nobody_elses(bed: Bed) -> None:
    """Nobody cancels anything here: the blocked worker notices by itself."""
    api, gate = bed.serve(), bed.gate()
    first = bed.worker("w1")
    other = api.start("chain", bed.task(b=gate))
    bed.begun(other, "b")
    run = api.start_node("SleepInLoop", bed.task())
    bed.begun(run, api.only_node(run))
    bed.worker("w2")
    until(lambda: not first.running, "the blocked worker has ended itself")
    gate.unlink()
    assert api.ended(other) == "COMPLETED"
    assert api.ended(run) == "COMPLETED", "the second time it does not block"
    bed.check(2)
