"""What follows from a schedule, and that a firing happens once however many servers look and die."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from graphs import graph
from rigs import Rig
from test_gates import played
from test_waits import echo, rigged

from axiom.compiler.artifact import freeze
from axiom.runtime import catalog
from axiom.runtime import events as e
from axiom.runtime.calendar import Timing
from axiom.runtime.clock import SystemClock
from axiom.runtime.scheduler import Scheduler
from axiom.runtime.schedules import (
    KIND,
    MARK,
    Firing,
    Schedule,
    Standing,
    decide,
    input_of,
    key_of,
    pack,
    unpack,
    wakes_at,
)
from axiom.runtime.store.base import Query, Store
from axiom.runtime.store.opening import open_store

HOUR = 3_600_000
HOURLY = Timing("0 * * * *")


def hourly(**more: Any) -> Schedule:
    return Schedule("default", "report", HOURLY, "test/flow", **more)


# --- what follows ---------------------------------------------------------------------------------------------------


def steps(schedule: Schedule, standing: Standing, now: int, busy: bool = False) -> tuple[Standing, list[int]]:
    """Decide until nothing follows; the due times that are to be started."""
    fired: list[int] = []
    while (step := decide(schedule, standing, now, busy)) is not None:
        standing = step.standing
        if step.fire is not None:
            fired.append(step.fire)
    return standing, fired


def test_every_due_time_of_a_year_is_fired_once():
    schedule, standing, fired = hourly(), Standing(0), []
    for now in range(0, 365 * 24 * HOUR, 7 * 60_000):
        standing, some = steps(schedule, standing, now)
        fired += some
    assert fired == list(range(HOUR, 365 * 24 * HOUR, HOUR))[: len(fired)]
    assert len(fired) >= 365 * 24 - 2


def test_what_overlap_makes_of_a_run_that_has_not_ended():
    now = 2 * HOUR
    standing, fired = steps(hourly(overlap="SKIP"), Standing(HOUR), now, busy=True)
    assert fired == []
    assert standing.history[0]["outcome"] == "skipped"
    assert steps(hourly(overlap="ALLOW"), Standing(HOUR), now, busy=True)[1] == [now]
    step = decide(hourly(overlap="CANCEL_OTHER"), Standing(HOUR), now, True)
    assert step is not None
    assert (step.fire, step.cancel) == (now, True)


def test_one_firing_waits_for_the_run_before_it_and_the_next_ones_are_skipped():
    schedule = hourly(overlap="BUFFER_ONE")
    standing, fired = steps(schedule, Standing(HOUR), 3 * HOUR, busy=True)
    assert (fired, standing.buffered) == ([], 2 * HOUR)
    assert [(told["due"], told["outcome"]) for told in standing.history] == [(3 * HOUR, "skipped")]
    standing, fired = steps(schedule, standing, 3 * HOUR + 5, busy=False)
    assert (fired, standing.buffered) == ([2 * HOUR], None)


def test_after_a_downtime_what_is_too_old_is_missed_and_told_and_the_rest_is_caught_up():
    schedule = hourly(catch_up_ms=2 * HOUR, overlap="ALLOW")
    standing, fired = steps(schedule, Standing(0), 10 * HOUR + 5)
    assert fired == [9 * HOUR, 10 * HOUR]
    (missed,) = standing.history
    assert (missed["outcome"], missed["due"], missed["until"], missed["count"]) == (
        "missed",
        HOUR,
        8 * HOUR,
        8,
    )


def test_a_paused_schedule_does_nothing_and_never_wakes():
    assert steps(hourly(paused=True), Standing(0), 5 * HOUR)[1] == []
    assert wakes_at(hourly(paused=True), Standing(0)) is None


def test_a_jittered_firing_waits_for_its_own_moment():
    schedule = hourly()._replace(timing=HOURLY._replace(jitter_ms=600_000))
    at = wakes_at(schedule, Standing(0))
    assert at is not None
    assert HOUR <= at <= HOUR + 600_000
    assert steps(schedule, Standing(0), at - 1)[1] == []
    assert steps(schedule, Standing(0), at)[1] == [HOUR]


def test_the_input_is_told_the_time_the_day_and_the_name():
    schedule = hourly(input={"at": "@scheduled_at", "days": ["@scheduled_date"], "by": "@schedule", "x": "@"})
    schedule = schedule._replace(timing=HOURLY._replace(time_zone="Pacific/Auckland"))
    told = {"at": "1970-01-01T12:00:00.000Z", "days": ["1970-01-02"], "by": "report", "x": "@"}
    assert input_of(schedule, 12 * HOUR) == told


def test_a_schedule_comes_back_from_its_bytes_as_it_was():
    schedule = hourly(input={"a": [1]}, catch_up_ms=5)
    standing = Standing(5, Firing(6, "g", True), 7, ("a", "b")).noting(1, 2, "skipped", reason="x")
    assert unpack(pack(schedule, standing)) == (schedule, standing)


# --- the loop -------------------------------------------------------------------------------------------------------


async def scheduled(rig: Rig, schedule: Schedule, handler: Any = echo) -> Schedule:
    """Keep a schedule of a flow ``a``, due from now on."""
    plan = graph("a", "")
    rig.add(plan, {"a": handler})
    await catalog.store_artifact(rig.store, "default", freeze(plan))
    await catalog.move_alias(rig.store, "default", "test/flow", freeze(plan).graph_id)
    await keep(rig.store, schedule)
    return schedule


async def keep(store: Store, schedule: Schedule) -> None:
    await store.put(KIND, f"default/{schedule.name}", pack(schedule, Standing(store.now())))
    await store.put(MARK, "all", b"")


async def runs(store: Store) -> list[str]:
    return [head.key or "" for head in (await store.find(Query("default", limit=500))).heads][::-1]


async def standing(store: Store, name: str = "report") -> Standing:
    document = await store.get(KIND, f"default/{name}")
    assert document is not None
    return unpack(document.value)[1]


def test_three_servers_start_each_firing_once():
    async def scenario(rig: Rig) -> None:
        schedulers = [Scheduler(rig.store, rig.clock) for _ in range(3)]
        schedule = await scheduled(rig, hourly(overlap="ALLOW"))
        for scheduler in schedulers:
            await scheduler.start()
        await rig.clock.sleep(5 * 3_600)
        for scheduler in schedulers:
            await scheduler.stop()
        found = await runs(rig.store)
        assert len(found) == len(set(found)) == 5
        told = (await standing(rig.store)).history
        assert [key_of(schedule, Firing(entry["due"], "")) for entry in told][::-1] == found
        heads = (await rig.store.find(Query("default"))).heads
        assert {entry["execution_id"] for entry in told} == {head.execution_id for head in heads}
        for head in heads:
            due = next(x["due"] for x in told if x["execution_id"] == head.execution_id)
            assert due <= head.created_at < due + 2_000

    rigged(scenario)


@pytest.mark.parametrize("died", ["before it started it", "before it noted it"])
def test_a_firing_of_a_server_that_died_is_finished_by_another_once(died: str):
    async def scenario(rig: Rig) -> None:
        schedule = await scheduled(rig, hourly())
        first, second = Scheduler(rig.store, rig.clock), Scheduler(rig.store, rig.clock)
        await rig.clock.sleep(3_600)
        document = await rig.store.get(KIND, "default/report")
        assert document is not None
        made = await first._step(*unpack(document.value))
        assert made is not None
        assert made.firing is not None
        await rig.store.put(KIND, "default/report", pack(schedule, made), expect=document.version)
        if died == "before it noted it":
            await first._fire(schedule, made, made.firing)
        await second.look()
        assert len(await runs(rig.store)) == 1
        told = await standing(rig.store)
        assert told.firing is None
        assert [entry["outcome"] for entry in told.history] == ["started"]

    rigged(scenario)


def test_an_overlapping_run_is_cancelled_and_the_next_one_started():
    async def scenario(rig: Rig) -> None:
        async def never(ctx: Any, value: Any) -> Any:
            await asyncio.Event().wait()

        await scheduled(rig, hourly(overlap="CANCEL_OTHER"), never)
        scheduler = Scheduler(rig.store, rig.clock)
        await scheduler.start()
        first = rig.store.now() - rig.store.now() % HOUR + HOUR
        await rig.clock.sleep((first - rig.store.now()) / 1000 + 30)
        one = (await standing(rig.store)).runs
        await rig.clock.sleep(3_600)
        await scheduler.stop()
        (head,) = await rig.store.heads(one)
        assert head is not None
        assert head.status in ("CANCELLED", "FAILED"), "a node that never ends may have timed out before"
        assert len(await runs(rig.store)) == 2

    rigged(scenario)


def test_a_firing_that_can_not_start_is_told_and_the_next_one_is_tried():
    async def scenario(rig: Rig) -> None:
        await keep(rig.store, hourly())
        scheduler = Scheduler(rig.store, rig.clock)
        await scheduler.start()
        await rig.clock.sleep(3_601)
        (entry,) = (await standing(rig.store)).history
        assert entry["outcome"] == "failed"
        assert "test/flow" in entry["reason"]
        plan = graph("a", "")
        rig.add(plan, {"a": echo})
        await catalog.store_artifact(rig.store, "default", freeze(plan))
        await catalog.move_alias(rig.store, "default", "test/flow", freeze(plan).graph_id)
        await rig.clock.sleep(3_600)
        await scheduler.stop()
        assert [entry["outcome"] for entry in (await standing(rig.store)).history] == ["started", "failed"]

    rigged(scenario)


def test_a_thousand_schedules_that_are_not_due_cost_one_small_read_a_look():
    async def scenario(rig: Rig) -> None:
        for number in range(1_000):
            await keep(rig.store, hourly()._replace(name=f"s{number}", timing=Timing("0 0 1 1 *")))
        reads: list[str] = []
        get, documents = rig.store.get, rig.store.documents

        async def counted(kind: str, key: str) -> Any:
            reads.append(kind)
            return await get(kind, key)

        async def listed(kind: str, *rest: Any) -> Any:
            reads.append("all")
            return await documents(kind, *rest)

        rig.store.get, rig.store.documents = counted, listed  # type: ignore[method-assign]
        scheduler = Scheduler(rig.store, rig.clock)
        await scheduler.look()
        reads.clear()
        for _ in range(20):
            await scheduler.look()
        assert reads == [MARK] * 20
        await keep(rig.store, hourly()._replace(name="new"))
        await scheduler.look()
        assert "all" in reads, "a change is seen in the next look"

    rigged(scenario)


def test_every_store_fires_a_schedule_once_for_two_servers(store_url: str):
    async def run() -> None:
        store = open_store(store_url)
        await store.open()
        await played(store, SystemClock(), scenario)

    async def scenario(rig: Rig) -> None:
        moved = asyncio.Event()
        schedulers = [Scheduler(rig.store, rig.clock) for _ in range(2)]
        timing = Timing(every_ms=1_000, end_at=rig.store.now() + 2_500)
        await scheduled(rig, hourly(overlap="ALLOW")._replace(timing=timing))
        unwatch = rig.store.watch(lambda hints: moved.set())
        for scheduler in schedulers:
            await scheduler.start()
        async with asyncio.timeout(60):
            while len((await standing(rig.store)).history) < 2 or (await standing(rig.store)).firing:
                moved.clear()
                await rig.clock.sleep(0.05)
        unwatch()
        for scheduler in schedulers:
            await scheduler.stop()
        found = await runs(rig.store)
        assert len(found) == len(set(found)) == len((await standing(rig.store)).history)
        for entry in (await standing(rig.store)).history:
            await rig.ended(entry["execution_id"])
            assert (await rig.history(entry["execution_id"]))[0].kind == e.ACCEPTED

    asyncio.run(run())
