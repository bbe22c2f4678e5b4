"""The engine over a memory store, in virtual time."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from graphs import graph
from rigs import Rig

from axiom.compiler.artifact import Join, Retry
from axiom.runtime import events as e
from axiom.runtime.clock import VirtualClock, run_virtual
from axiom.runtime.events import Event
from axiom.runtime.failures import NodeFailure
from axiom.runtime.store.base import Append, Fence, Ok
from axiom.runtime.store.memory import MemoryStore


def rigged(scenario: Any) -> Any:
    """Run ``scenario(rig)`` in virtual time and check every promise afterwards."""

    async def run() -> Any:
        clock = VirtualClock(seed=1)
        store = MemoryStore(clock)
        await store.open()
        rig = Rig(store, clock)
        try:
            result = await scenario(rig)
            await rig.check()
            return result
        finally:
            await rig.stop()
            await store.close()

    return run_virtual(run())


async def add_one(ctx: Any, value: Any) -> Any:
    return {"n": value.get("n", 0) + 1}


def test_a_chain_runs_to_its_end_and_each_node_is_one_write():
    async def scenario(rig: Rig) -> None:
        graph_id = rig.add(graph("a b c", "a>b b>c"), dict.fromkeys("abc", add_one))
        await rig.worker()
        execution_id = await rig.start(graph_id, {"n": 0})
        head = await rig.ended(execution_id)
        assert head.status == "COMPLETED"
        assert head.session is None
        assert await rig.output(execution_id) == {"n": 3}
        assert await rig.kinds(execution_id) == [
            e.ACCEPTED,
            e.STARTED,
            "NodeStarted a 1",
            "NodeCompleted a 1",
            "NodeStarted b 1",
            "NodeCompleted b 1",
            "NodeStarted c 1",
            "NodeCompleted c 1",
            e.COMPLETED,
        ]

    rigged(scenario)


def test_branches_overlap_and_their_join_gets_an_object_keyed_by_alias():
    async def slow(ctx: Any, value: Any) -> Any:
        await asyncio.sleep(10)
        return {"from": ctx.node}

    async def scenario(rig: Rig) -> None:
        plan = graph("a b c d", "a>b a>c b>d c>d", {"d": Join("AND")})
        seen: list[Any] = []

        async def last(ctx: Any, value: Any) -> Any:
            seen.append(value)
            return {}

        graph_id = rig.add(plan, {"a": add_one, "b": slow, "c": slow, "d": last})
        await rig.worker()
        begun = rig.clock.monotonic()
        await rig.ended(await rig.start(graph_id))
        assert seen == [{"b": {"from": "b"}, "c": {"from": "c"}}]
        assert 10 <= rig.clock.monotonic() - begun < 11

    rigged(scenario)


def test_a_failed_attempt_is_retried_with_its_backoff_and_a_long_one_parks_the_run():
    async def scenario(rig: Rig) -> None:
        tries: list[float] = []

        async def flaky(ctx: Any, value: Any) -> Any:
            tries.append(rig.clock.monotonic())
            if len(tries) < 4:
                raise ConnectionError("away")
            return {"ok": True}

        policy = Retry(5, delays_ms=(100, 5_000, 3_600_000))
        graph_id = rig.add(graph("a", "", retry={"a": policy}), {"a": flaky})
        worker = await rig.worker()
        execution_id = await rig.start(graph_id)
        await rig.until(execution_id, lambda head: head.status == "WAITING" and head.session is None)
        assert not worker.executions, "a parked run costs its worker nothing"
        await rig.ended(execution_id, 10_000)
        gaps = [round(after - before, 1) for before, after in pairwise(tries)]
        assert gaps[0] == pytest.approx(0.1, abs=0.1)
        assert gaps[1] == pytest.approx(5, abs=1.5)
        assert gaps[2] == pytest.approx(3_600, abs=1.5)

    rigged(scenario)


def test_an_error_branch_gets_the_failure_as_its_message():
    async def scenario(rig: Rig) -> None:
        async def declined(ctx: Any, value: Any) -> Any:
            raise NodeFailure("card declined", code="declined", retryable=False)

        seen: list[Any] = []

        async def refund(ctx: Any, value: Any) -> Any:
            seen.append(value)
            return {"refunded": True}

        plan = graph("a b r d", "a>b a!r b>d r>d", {"d": Join("XOR")}, retry={"a": Retry(3)})

        async def done(ctx: Any, value: Any) -> Any:
            return value

        graph_id = rig.add(plan, {"a": declined, "b": add_one, "r": refund, "d": done})
        await rig.worker()
        execution_id = await rig.start(graph_id)
        assert (await rig.ended(execution_id)).status == "COMPLETED"
        assert seen == [{"code": "declined", "message": "card declined", "node": "a", "attempt": 1}]
        assert await rig.output(execution_id) == {"refunded": True}

    rigged(scenario)


def test_a_node_that_takes_too_long_times_out_and_the_next_attempt_may_do_better():
    async def scenario(rig: Rig) -> None:
        async def slow_once(ctx: Any, value: Any) -> Any:
            if ctx.attempt == 1:
                await asyncio.sleep(3_600)
            return {"attempt": ctx.attempt}

        graph_id = rig.add(graph("a b", "a>b", retry={"a": Retry(2)}), {"a": slow_once, "b": add_one})
        await rig.worker()
        execution_id = await rig.start(graph_id)
        await rig.ended(execution_id, 10_000)
        events = await rig.history(execution_id)
        failed = next(event for event in events if event.kind == e.NODE_FAILED)
        assert failed.body["code"] == "timeout"
        assert failed.at - events[0].at == pytest.approx(300_000, abs=2_000)

    rigged(scenario)


def test_a_cancel_by_a_door_is_final_at_once_and_kills_what_runs():
    async def scenario(rig: Rig) -> None:
        begun, killed = asyncio.Event(), asyncio.Event()

        async def endless(ctx: Any, value: Any) -> Any:
            begun.set()
            try:
                await asyncio.sleep(10**9)
            except asyncio.CancelledError:
                killed.set()
                raise

        graph_id = rig.add(graph("a b", "a>b"), {"a": endless, "b": add_one})
        worker = await rig.worker()
        execution_id = await rig.start(graph_id)
        await begun.wait()
        head = await rig.head(execution_id)
        data = e.encode(Event(e.CANCELLED, rig.store.now(), body={"reason": "asked"}))
        item = Append(
            execution_id,
            (data,),
            (e.crc(execution_id, data),),
            rig.store.now(),
            head.seq,
            status="CANCELLED",
        )
        assert (await rig.store.append([item]))[0] == Ok(head.seq + 1)
        async with asyncio.timeout(1):
            await killed.wait()
        assert execution_id not in worker.executions
        assert (await rig.head(execution_id)).status == "CANCELLED"

    rigged(scenario)


def test_a_dead_workers_run_goes_on_elsewhere_and_only_what_was_in_flight_runs_again():
    async def scenario(rig: Rig) -> None:
        calls: list[str] = []
        hold = asyncio.Event()

        async def step(ctx: Any, value: Any) -> Any:
            calls.append(ctx.node)
            if ctx.node == "b" and len(calls) == 2:
                hold.set()
                await asyncio.sleep(10**9)
            return {}

        graph_id = rig.add(graph("a b c", "a>b b>c"), dict.fromkeys("abc", step))
        first = await rig.worker()
        execution_id = await rig.start(graph_id)
        await hold.wait()
        for task in [*first._tasks, first._lease._task]:
            task.cancel()  # it dies without a word: no beat, no release
        for execution in list(first.executions.values()):
            execution.kill()
        died = rig.clock.monotonic()
        await rig.worker()
        await rig.ended(execution_id)
        assert calls == ["a", "b", "b", "c"]
        assert rig.clock.monotonic() - died <= 3
        kinds = await rig.kinds(execution_id)
        assert kinds.count("NodeStarted b 1") == 1, "a crash is no attempt"
        assert e.TAKEN_OVER in kinds
        rig.workers.remove(first)

    rigged(scenario)


def test_after_two_takeovers_without_progress_an_attempt_runs_outside_its_worker():
    """Whatever its isolation, ``async`` too: what kills its worker again and again must not meet a third one."""

    async def scenario(rig: Rig) -> None:
        lives = 0
        begun = asyncio.Event()

        async def deadly(ctx: Any, value: Any) -> Any:
            nonlocal lives
            lives += 1
            begun.set()
            if lives <= 2:
                await asyncio.sleep(10**9)
            return {}

        graph_id = rig.add(graph("a b", "a>b"), {"a": deadly, "b": add_one})
        execution_id = await rig.start(graph_id)
        for _ in range(2):
            begun.clear()
            worker = await rig.worker()
            await begun.wait()
            for task in [*worker._tasks, worker._lease._task]:
                task.cancel()  # it dies without a word
            for execution in list(worker.executions.values()):
                execution.kill()
            rig.workers.remove(worker)
        await rig.worker()
        assert (await rig.ended(execution_id)).status == "COMPLETED"
        assert rig.hands.elsewhere_calls == [("a", "process")], "and what follows the progress runs as it did"

    rigged(scenario)


def test_a_drain_parks_at_the_next_checkpoint_and_another_worker_goes_on_at_once():
    async def scenario(rig: Rig) -> None:
        begun = asyncio.Event()

        async def step(ctx: Any, value: Any) -> Any:
            begun.set()
            await asyncio.sleep(5)
            return {}

        graph_id = rig.add(graph("a b", "a>b"), dict.fromkeys("ab", step))
        first = await rig.worker()
        execution_id = await rig.start(graph_id)
        await begun.wait()
        await first.drain()
        head = await rig.head(execution_id)
        assert (head.session, head.status) == (None, "RUNNING")
        rig.workers.remove(first)
        await rig.worker()
        await rig.ended(execution_id)
        assert [name for name, _ in rig.hands.calls] == ["a", "b"], "nothing ran twice"
        assert e.TAKEN_OVER not in await rig.kinds(execution_id)

    rigged(scenario)


def test_a_worker_that_drains_claims_nothing_more():
    """Not even when the execution that it has just parked makes room."""

    async def scenario(rig: Rig) -> None:
        begun = asyncio.Event()

        async def step(ctx: Any, value: Any) -> Any:
            begun.set()
            await asyncio.sleep(5)
            return {}

        graph_id = rig.add(graph("a b", "a>b"), dict.fromkeys("ab", step))
        worker = await rig.worker(concurrency=1)
        ids = [await rig.start(graph_id) for _ in range(2)]
        await begun.wait()
        (owned,) = worker.executions
        epoch = (await rig.head(owned)).epoch
        await worker.drain()
        rig.workers.remove(worker)
        heads = {run: await rig.head(run) for run in ids}
        assert heads[owned].epoch == epoch, "what it parked it did not claim again"
        (other,) = set(ids) - {owned}
        assert heads[other].status == "QUEUED"

    rigged(scenario)


def test_a_large_output_goes_out_of_line_and_comes_back():
    async def scenario(rig: Rig) -> None:
        async def big(ctx: Any, value: Any) -> Any:
            return {"text": "x" * 200_000}

        async def measure(ctx: Any, value: Any) -> Any:
            return {"length": len(value["text"])}

        graph_id = rig.add(graph("a b", "a>b"), {"a": big, "b": measure})
        await rig.worker()
        execution_id = await rig.start(graph_id)
        await rig.ended(execution_id)
        assert await rig.output(execution_id) == {"length": 200_000}
        completed = next(event for event in await rig.history(execution_id) if event.kind == e.NODE_COMPLETED)
        assert completed.body["output"]["size"] > 200_000

    rigged(scenario)


def test_a_node_of_another_pool_sends_the_run_there():
    async def scenario(rig: Rig) -> None:
        plan = graph("a b", "a>b")
        nodes = (plan.nodes[0], plan.nodes[1].__class__(**{**_fields(plan.nodes[1]), "pool": "gpu"}))
        plan = plan.__class__(**{**_fields(plan), "nodes": nodes})
        graph_id = rig.add(plan, dict.fromkeys("ab", add_one))
        await rig.worker()
        execution_id = await rig.start(graph_id)
        head = await rig.until(execution_id, lambda head: head.queue == "gpu")
        assert head.session is None
        assert head.ready_at is not None
        await rig.worker(pools=("gpu",))
        await rig.ended(execution_id)

    rigged(scenario)


def test_a_wide_fan_out_is_bounded_in_flight_and_completes():
    async def scenario(rig: Rig) -> None:
        width = 600
        names = [f"n{i}" for i in range(width)]
        arrows = " ".join(f"a>{name} {name}>z" for name in names)
        plan = graph(f"a {' '.join(names)} z", arrows, {"z": Join("AND")})
        running = most = 0

        async def arm(ctx: Any, value: Any) -> Any:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(1)
            running -= 1
            return {"x": 1}

        async def count(ctx: Any, value: Any) -> Any:
            return {"arms": len(value)}

        graph_id = rig.add(plan, {"a": add_one, "z": count, **dict.fromkeys(names, arm)})
        await rig.worker()
        execution_id = await rig.start(graph_id)
        await rig.ended(execution_id)
        assert await rig.output(execution_id) == {"arms": width}
        assert most <= 256

    rigged(scenario)


def test_a_zombies_write_is_refused():
    async def scenario(rig: Rig) -> None:
        begun = asyncio.Event()

        async def step(ctx: Any, value: Any) -> Any:
            begun.set()
            await asyncio.sleep(1)
            return {}

        graph_id = rig.add(graph("a", ""), {"a": step})
        await rig.worker()
        execution_id = await rig.start(graph_id)
        await begun.wait()
        head = await rig.head(execution_id)
        data = e.encode(Event(e.NODE_COMPLETED, rig.store.now(), "a", (), 1, head.epoch - 1, {}))
        zombie = Append(
            execution_id, (data,), (e.crc(execution_id, data),), 0, head.seq, Fence("gone", head.epoch - 1)
        )
        outcome = (await rig.store.append([zombie]))[0]
        assert type(outcome).__name__ == "Fenced"
        await rig.ended(execution_id)

    rigged(scenario)


def _fields(value: Any) -> dict[str, Any]:
    from dataclasses import fields

    return {field.name: getattr(value, field.name) for field in fields(value)}
