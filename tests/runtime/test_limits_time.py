"""Rate limits and circuit breakers through the engine, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from graphs import graph
from rigs import Rig
from test_limits import echo, key, rigged, with_node, write

from axiom.compiler.artifact import Plan, Retry
from axiom.runtime import events as e
from axiom.runtime.circuits import CLOSED, OPEN, Breaker, Circuit, _after
from axiom.runtime.failures import NodeFailure
from axiom.runtime.store.base import StoreError
from axiom.runtime.why import why


class Noted:
    """A handler that notes when it was called, and fails while it is told to."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.at: list[float] = []
        self.failing = False
        self.final = False

    async def __call__(self, ctx: Any, value: Any) -> Any:
        self.at.append(round(self.rig.clock.monotonic(), 1))
        if self.failing:
            raise NodeFailure("down", code="down", retryable=not self.final)
        return value


def bound(noted: Noted, *others: str) -> dict[str, Any]:
    async def work(ctx: Any, value: Any) -> Any:
        return await noted(ctx, value)

    return {"work": work, **dict.fromkeys(others, echo)}


def configured(retry: Retry | None = None, **config: Any) -> Plan:
    plan = with_node(graph("first work", "first>work"), "work", config=config)
    return plan if retry is None else with_node(plan, "work", retry=retry)


# --- rates ----------------------------------------------------------------------------------------------------------


def test_calls_over_the_rate_wait_parked_for_a_moment_of_their_own() -> None:
    async def scenario(rig: Rig) -> None:
        noted = Noted(rig)
        graph_id = rig.add(configured(rate_limit={"per_second": 0.1, "burst": 2}), bound(noted, "first"))
        runs = [await rig.start(graph_id, {"customer": "a", "n": n}) for n in range(5)]
        for run in runs:
            assert (await rig.ended(run, 100)).status == "COMPLETED"
        gaps = [later - sooner for sooner, later in zip(noted.at, noted.at[1:], strict=False)]
        assert gaps[0] < 1
        assert all(9 <= gap <= 11 for gap in gaps[1:]), noted.at
        waits = [event for event in await rig.history(runs[-1]) if event.kind == e.NODE_WAITING]
        assert [event.body["for"] for event in waits] == ["rate"], "it asked once"

    rigged(scenario)


def test_each_key_has_a_rate_of_its_own() -> None:
    async def scenario(rig: Rig) -> None:
        noted = Noted(rig)
        rate = {"per_second": 0.01, "burst": 1, "key": key("input.customer")}
        graph_id = rig.add(configured(rate_limit=rate), bound(noted, "first"))
        runs = [await rig.start(graph_id, {"customer": name, "n": 0}) for name in "abcd"]
        for run in runs:
            await rig.ended(run, 10)

    rigged(scenario)


def test_a_retry_counts_as_a_call_and_takes_its_turn_again() -> None:
    async def scenario(rig: Rig) -> None:
        noted = Noted(rig)
        noted.failing = True
        plan = configured(
            Retry(3, initial_interval_ms=1, jitter=0), rate_limit={"per_second": 0.1, "burst": 1}
        )
        run = await rig.start(rig.add(plan, bound(noted, "first")), {"customer": "a", "n": 0})
        assert (await rig.ended(run, 100)).status == "FAILED"
        assert len(noted.at) == 3
        assert noted.at[1] - noted.at[0] >= 9
        assert noted.at[2] - noted.at[1] >= 9

    rigged(scenario)


def test_what_people_answered_is_kept_over_the_wait_for_a_rate() -> None:
    async def scenario(rig: Rig) -> None:
        noted = Noted(rig)
        plan = configured(rate_limit={"per_second": 0.1, "burst": 1}, hitl={"resume_input": "Any"})
        graph_id = rig.add(plan, bound(noted, "first"))
        runs = [await rig.start(graph_id, {"customer": "a", "n": n}) for n in range(2)]
        for n, run in enumerate(runs):
            await rig.until(run, lambda head: head.status == "PAUSED" and head.session is None)
            await write(rig, run, e.PAUSE_ANSWERED, pause_id="work", input={"value": {"n": n + 5}})
        for n, run in enumerate(runs):
            await rig.ended(run, 60)
            assert await rig.output(run) == {"n": n + 5}

    rigged(scenario)


def test_runs_begin_at_their_rate_and_are_not_held_up_later() -> None:
    async def scenario(rig: Rig) -> None:
        noted = Noted(rig)
        plan = graph("first nap work", "first>nap nap>work", rate_limit={"per_second": 0.1, "burst": 1})
        plan = with_node(plan, "nap", kind="sleep", config={"duration_ms": 100_000})
        graph_id = rig.add(plan, bound(noted, "first", "nap"))
        runs = [await rig.start(graph_id, {"customer": "a", "n": n}) for n in range(4)]
        for run in runs:
            await rig.ended(run, 300)
        assert rig.clock.monotonic() < 140
        assert all(9 <= b - a <= 12 for a, b in zip(noted.at, noted.at[1:], strict=False)), noted.at

    rigged(scenario)


# --- circuits -------------------------------------------------------------------------------------------------------


BREAKER = {"failures": 2, "window_ms": 60_000, "open_ms": 30_000, "on_open": "WAIT"}


def test_after_some_failures_nothing_is_called_until_a_probe_succeeds() -> None:
    async def scenario(rig: Rig) -> None:
        noted = Noted(rig)
        noted.failing = True
        graph_id = rig.add(configured(circuit_breaker=BREAKER), bound(noted, "first"))
        for n in range(2):
            assert (await rig.ended(await rig.start(graph_id, {"n": n}))).status == "FAILED"
        await asyncio.sleep(1)  # what a failure changes is written beside what comes next
        runs = [await rig.start(graph_id, {"n": n}) for n in range(3)]
        await rig.until(runs[2], lambda head: head.status == "WAITING" and head.session is None)
        assert len(noted.at) == 2, "open: nobody is called"
        await asyncio.sleep(40)
        assert len(noted.at) == 3, "half open: one probe"
        noted.failing = False
        for run in runs:
            await rig.ended(run, 200)
        done = [(await rig.head(run)).status for run in runs]
        assert sorted(done) == ["COMPLETED", "COMPLETED", "FAILED"]
        assert len(noted.at) == 5
        assert noted.at[3] - noted.at[2] >= 29, "the failed probe opened it again"

    rigged(scenario, workers=2)


def test_an_open_circuit_may_fail_the_node_instead() -> None:
    async def scenario(rig: Rig) -> None:
        noted = Noted(rig)
        noted.failing = True
        breaker = {**BREAKER, "failures": 1, "on_open": "FAIL"}
        graph_id = rig.add(configured(circuit_breaker=breaker), bound(noted, "first"))
        await rig.ended(await rig.start(graph_id, {"n": 0}))
        await asyncio.sleep(2)
        run = await rig.start(graph_id, {"n": 1})
        await rig.ended(run)
        assert (await rig.history(run))[-1].body["code"] == "circuit_open"
        assert len(noted.at) == 1

    rigged(scenario)


def test_failures_that_another_try_would_meet_as_well_do_not_count() -> None:
    async def scenario(rig: Rig) -> None:
        noted = Noted(rig)
        noted.failing = noted.final = True
        graph_id = rig.add(configured(circuit_breaker={**BREAKER, "failures": 1}), bound(noted, "first"))
        for n in range(4):
            await rig.ended(await rig.start(graph_id, {"n": n}))
        assert len(noted.at) == 4

    rigged(scenario)


def test_a_timeout_counts() -> None:
    async def scenario(rig: Rig) -> None:
        async def work(ctx: Any, value: Any) -> Any:
            await asyncio.sleep(1_000)

        plan = with_node(
            configured(circuit_breaker={**BREAKER, "failures": 1, "on_open": "FAIL"}),
            "work",
            timeout_seconds=5.0,
        )
        graph_id = rig.add(plan, {"first": echo, "work": work})
        await rig.ended(await rig.start(graph_id, {"n": 0}))
        await asyncio.sleep(2)
        run = await rig.start(graph_id, {"n": 1})
        await rig.ended(run)
        assert (await rig.history(run))[-1].body["code"] == "circuit_open"

    rigged(scenario)


def test_a_lost_probe_is_replaced_when_its_time_is_up() -> None:
    async def scenario(rig: Rig) -> None:
        noted = Noted(rig)
        circuits = rig.workers[0].circuits
        name, breaker = "default|test/pkg|Work", Breaker(1, 60_000, 30_000)
        await circuits._write(name, Circuit(OPEN, 0))
        assert (await circuits.admit(name, breaker, 50_000)).probe, "and its worker dies"
        plan = with_node(configured(circuit_breaker={**BREAKER, "failures": 1}), "work", timeout_seconds=50.0)
        run = await rig.start(rig.add(plan, bound(noted, "first")), {"n": 0})
        await rig.ended(run, 200)
        assert 50 <= noted.at[0] <= 62

    rigged(scenario)


def test_while_the_store_can_not_say_calls_go_through(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(rig: Rig) -> None:
        async def away(*args: Any) -> Any:
            raise StoreError("away")

        monkeypatch.setattr(rig.store, "get", away)
        monkeypatch.setattr(rig.store, "take", away)
        noted = Noted(rig)
        plan = configured(circuit_breaker=BREAKER, rate_limit={"per_second": 0.001, "burst": 1})
        run = await rig.start(rig.add(plan, bound(noted, "first")), {"n": 0})
        assert (await rig.ended(run)).status == "COMPLETED"

    rigged(scenario)


def test_only_failures_within_the_window_open_a_circuit() -> None:
    breaker = Breaker(2, 1_000, 5_000)
    once = _after(Circuit(), breaker, True, False, 10_000)
    assert once is not None
    late = _after(once, breaker, True, False, 11_001)
    assert late is not None
    assert (late.state, late.failures) == (CLOSED, (11_001,))
    opened = _after(once, breaker, True, False, 10_500)
    assert opened is not None
    assert (opened.state, opened.until) == (OPEN, 15_500)
    assert _after(opened, breaker, True, False, 10_600) is None, "a call that had begun before"


# --- why ------------------------------------------------------------------------------------------------------------


def test_why_names_the_limit_who_holds_it_and_who_stands_before() -> None:
    async def scenario(rig: Rig) -> None:
        async def work(ctx: Any, value: Any) -> Any:
            await asyncio.sleep(100)
            return value

        plan = configured(concurrency={"limit": 1, "key": key("input.customer")})
        graph_id = rig.add(plan, {"first": echo, "work": work})
        runs = []
        for n in range(3):
            runs.append(await rig.start(graph_id, {"customer": "ada", "n": n}))
            await rig.until(runs[-1], lambda head: head.seq >= 4 and (head.session is None or not runs[1:]))
        found = await why(rig.store, await rig.head(runs[2]), plan, await rig.store.sessions())
        assert found.reasons[0].code == "permit"
        assert "node work of test/flow, key 'ada'" in found.text
        assert runs[0] in found.text
        assert found.details["ahead"] == 1
        found = await why(rig.store, await rig.head(runs[1]), plan, await rig.store.sessions())
        assert "it is the next" in found.text

    rigged(scenario)


def test_why_names_the_moment_of_a_rate_and_of_a_probe() -> None:
    async def scenario(rig: Rig) -> None:
        noted = Noted(rig)
        noted.failing = True
        rate = {"per_second": 0.01, "burst": 1, "key": key("input.customer")}
        plan = configured(rate_limit=rate, circuit_breaker={**BREAKER, "failures": 1})
        graph_id = rig.add(plan, bound(noted, "first"))
        for customer, code in (("a", "failed"), ("a", "rate"), ("b", "circuit")):
            run = await rig.start(graph_id, {"customer": customer, "n": 0})
            await rig.until(run, lambda head: head.session is None and head.seq > 3)
            await asyncio.sleep(2)
            head = await rig.head(run)
            found = await why(rig.store, head, plan, await rig.store.sessions())
            assert found.reasons[0].code == code
            assert code == "failed" or found.until == head.ready_at

    rigged(scenario)
