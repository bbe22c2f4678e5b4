"""Starts and waits over HTTP, with two servers side by side on one store."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from process_kit import Bed

pytestmark = pytest.mark.slow
CALLERS = 32
INVOKE = "/invocations/v1/flows/invoke"


def test_many_starts_with_one_key_at_once_are_one_run(bed: Bed) -> None:
    """Scenario 12: N concurrent starts with one key, over two servers: exactly one run, and all get its id."""
    apis = [bed.serve("one"), bed.serve("two")]
    bed.worker("w1")
    body = {"flow": "proof/chain", "input": bed.task(), "wait": True}
    headers = {"Idempotency-Key": "order-17"}

    def start(number: int) -> dict[str, Any]:
        answered: dict[str, Any] = apis[number % 2].call("POST", INVOKE, json=body, headers=headers)
        return answered

    with ThreadPoolExecutor(CALLERS) as callers:
        answers = list(callers.map(start, range(CALLERS)))
    (run,) = {answer["execution_id"] for answer in answers}
    assert all(answer["result"]["success"] for answer in answers), "each waited for the one result"
    assert bed.runs(run) == {"a": 1, "b": 1, "c": 1}
    other = apis[0].http.post(INVOKE, json={**body, "input": {**bed.task(), "more": 1}}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_mismatch")
    assert len(apis[0].call("GET", "/invocations/v1/executions")["executions"]) == 1
    bed.check(1)


def test_waiting_for_what_has_ended_returns_at_once_with_what_it_ended_as(bed: Bed) -> None:
    """Scenario 13: an await of a run that is over answers at once; of one that failed or was cancelled it never says
    that it succeeded. Crash window 10: a restart of server and worker changes no ended run."""
    api, gate = bed.serve(), bed.gate()
    worker = bed.worker("w1")
    good = api.start("chain", bed.task())
    bad = api.start_node("ExitHard", bed.task())
    gone = api.start("chain", bed.task(b=gate))
    bed.begun(gone, "b")
    api.call("DELETE", f"/invocations/v1/flows/{gone}")
    assert Counter(map(api.ended, (good, bad, gone))) == {"COMPLETED": 1, "FAILED": 1, "CANCELLED": 1}
    before = {run: (api.detail(run), api.events(run), api.output(run)) for run in (good, bad, gone)}
    assert [told[2]["success"] for told in before.values()] == [True, False, False]
    worker.kill()
    api.process.kill()
    api = bed.serve("again")
    bed.worker("w2")
    after = api.start("chain", bed.task())
    assert api.ended(after) == "COMPLETED"
    for run, told in before.items():
        assert (api.detail(run), api.events(run), api.output(run)) == told
    again = api.call(
        "POST",
        INVOKE,
        json={"flow": "proof/chain", "input": bed.task(), "wait": True},
        headers={"Idempotency-Key": "k"},
    )
    twice = api.call(
        "POST",
        INVOKE,
        json={"flow": "proof/chain", "input": bed.task(), "wait": True},
        headers={"Idempotency-Key": "k"},
    )
    assert twice == again, "waiting for a run that is over"
    bed.check(5)


def test_what_is_pushed_live_is_stored_before(bed: Bed) -> None:
    """Crash window 20: a reader of ``/live`` sees nothing that a kill of the store's holder, right then, could take
    back: what it saw is what whoever comes later reads."""
    api, gate = bed.serve(), bed.gate()
    other = bed.serve("other")
    bed.workers("w1", "w2")
    run = api.start("chain", bed.task(c=gate))
    seen: list[int] = []
    with api.http.stream("GET", f"/invocations/v1/executions/{run}/live") as answer:
        for line in answer.iter_lines():
            if line.startswith("id:"):
                seen.append(int(line[3:]))
            if len(seen) == 7:
                break
    api.process.kill()
    if bed.redis is not None:
        bed.redis.kill()
        bed.redis.start()
    assert seen == list(range(1, 8))
    assert [event["seq"] for event in other.events(run)][:7] == seen
    gate.unlink()
    assert other.ended(run) == "COMPLETED"
    bed.check(1)
