"""The store dies under load and comes back: everything that was acknowledged to anyone is there.

Clients start runs, wait for results and read journals, all the time; each answer that they get is remembered. Then the
process that holds the data is killed -9 (``redis-server``, or the server that holds the SQLite file) and started again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from process_kit import Api, Bed, until

pytestmark = pytest.mark.slow
Record = Callable[[str, object], None]
KILLS = 3
EACH = 40
"""Answers that clients must get between two kills."""


class Clients:
    """Threads that start, wait and read until told to stop, and remember all that they were told."""

    def __init__(self, url: str, key: str, task: dict[str, Any], count: int = 6) -> None:
        self.url, self.task = url, task
        self._headers = {"Authorization": f"Bearer {key}"}
        self._stop = threading.Event()
        self.started: list[str] = []
        self.results: dict[str, dict[str, Any]] = {}
        self.seen: dict[str, list[dict[str, Any]]] = {}
        self.keys: dict[str, str] = {}
        self.refused = 0
        self.answers = 0
        self._threads = [threading.Thread(target=self._work, args=(n,), daemon=True) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, me: int) -> None:
        number = 0
        with httpx.Client(headers=self._headers, timeout=60) as http:
            while not self._stop.is_set():
                number += 1
                try:
                    self._one(http, f"{me}-{number}")
                    self.answers += 1
                except httpx.TransportError:
                    self.refused += 1
                    self._stop.wait(0.02)

    def _one(self, http: httpx.Client, key: str) -> None:
        body = {"flow": "proof/chain", "input": self.task, "wait": True, "timeout_seconds": 5}
        invoke = f"{self.url}/invocations/v1/flows/invoke"
        answer = http.post(invoke, json=body, headers={"Idempotency-Key": key})
        if answer.status_code == 503:
            self.refused += 1
            self._stop.wait(0.02)
            return
        assert answer.status_code == 202, answer.text
        told = answer.json()
        run = told["execution_id"]
        self.keys[key] = run
        self.started.append(run)
        if "result" in told:
            self.results[run] = told["result"]
        journal = http.get(f"{self.url}/invocations/v1/executions/{run}/events", params={"limit": 500})
        if journal.status_code == 200:
            self.seen[run] = journal.json()["events"]


def everything_is_there(api: Api, clients: Clients) -> None:
    """Compare what clients were told with what is."""
    for run, events in clients.seen.items():
        assert api.events(run)[: len(events)] == events, f"{run} has lost or changed what was read of it"
    for run, result in clients.results.items():
        assert api.output(run) == result
    for run in clients.started:
        assert api.ended(run) == "COMPLETED"
    for key, run in list(clients.keys.items())[:20]:
        body = {"flow": "proof/chain", "input": clients.task}
        again = api.call("POST", "/invocations/v1/flows/invoke", json=body, headers={"Idempotency-Key": key})
        assert again["execution_id"] == run, "the key still leads to the run that it started"


def effects_count_once(bed: Bed) -> None:
    lines = bed.lines(what="effect")
    runs = {line.run for line in lines}
    for run in runs:
        mine = [line for line in lines if line.run == run]
        assert {line.node for line in mine} == {"a", "b", "c"}
        assert len({line.key for line in mine}) == 3, "one key for each effect, however often it ran"


def under_load(bed: Bed, api: Api, kill: Callable[[], None], record: Record) -> None:
    """Kill the store again and again while clients work, then check everything."""
    clients = Clients(api.url, bed.key, bed.task())
    back: list[float] = []
    try:
        for _ in range(KILLS):
            mark = clients.answers + EACH
            until(lambda mark=mark: clients.answers >= mark, "clients are answered")
            kill()
            died = time.monotonic()
            mark = clients.answers + 1
            until(lambda mark=mark: clients.answers >= mark, "clients are answered again")
            back.append(round(time.monotonic() - died, 3))
    finally:
        clients.stop()
    record("answered_again_after_seconds", back)
    assert clients.seen
    everything_is_there(api, clients)
    unfinished = [row for row in _rows(api) if row["status"] != "COMPLETED"]
    for row in unfinished:  # started, and its answer lost on the way: it runs all the same
        assert api.ended(row["execution_id"]) == "COMPLETED"
    effects_count_once(bed)
    bed.check(len(_rows(api)))


def _rows(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        params = {"limit": 500, **({"cursor": cursor} if cursor else {})}
        page = api.call("GET", "/invocations/v1/executions", params=params)
        found += page["executions"]
        cursor = page["next_cursor"]
    return found


@pytest.mark.parametrize("bed", ["redis"], indirect=True)
def test_redis_is_killed_and_restarted_under_load(bed: Bed, record_property: Record) -> None:
    """Crash window 2: the store restarts while workers recover: nothing is swallowed, nothing stays behind."""
    api = bed.serve()
    bed.workers("w1", "w2")

    def kill() -> None:
        assert bed.redis is not None
        bed.redis.kill()
        bed.redis.start()

    under_load(bed, api, kill, record_property)


@pytest.mark.parametrize("bed", ["sqlite"], indirect=True)
def test_the_process_that_holds_the_file_is_killed_under_load(bed: Bed, record_property: Record) -> None:
    """Crash window 2, embedded: whoever holds the file dies, another process takes it over; the server is one of them,
    so the clients go to a second one."""
    holder = bed.serve("holder")
    bed.workers("w1", "w2")
    other = bed.serve("other")
    kills = iter([holder.process, *bed.processes[1:3]])

    def kill() -> None:
        process = next(kills)
        process.kill()
        if process is not holder.process:
            bed.workers(f"{process.name}-again", wait=False)

    under_load(bed, other, kill, record_property)


def test_a_server_that_embeds_everything_dies_and_comes_back(bed: Bed) -> None:
    """Scenario 1: every process of a deployment is killed at once; fresh ones find N of N acknowledged checkpoints."""
    api, gate = bed.serve(), bed.gate()
    bed.worker("w1")
    ids = [api.start("chain", bed.task(c=gate)) for _ in range(30)]
    until(lambda: sum(line.node == "c" for line in bed.lines()) == 30, "all are at their last node")
    seen = {run: api.events(run) for run in ids}
    for process in bed.processes:
        process.kill()
    if bed.redis is not None:
        bed.redis.kill()
        bed.redis.start()
    gate.unlink()
    api = bed.serve("serve-again")
    for run, events in seen.items():
        assert api.events(run)[: len(events)] == events
    bed.worker("w2")
    assert api.all_ended(ids) == {"COMPLETED": 30}
    lines = bed.lines(what="effect")
    assert sum(line.node in "ab" for line in lines) == 60, "what was complete did not run again"
    assert len({line.key for line in lines}) == 90
    bed.check(30)
