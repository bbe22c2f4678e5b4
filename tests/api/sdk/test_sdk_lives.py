"""What may be done with a workflow's run as with any other: hold it, restart it, fork it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sdk_kit import World, play

from axiom.api import doors, doors_forks, doors_hold
from axiom.runtime.forks import FORK, RESTART
from axiom.sdk import NodeFailure, Run, RunFailed, current, task, workflow

calls: list[Any] = []
keys: list[str] = []
broken = True


@task
async def double(x: int) -> int:
    calls.append(x)
    return 2 * x


@task
async def deliver(x: int) -> int:
    keys.append(current().idempotency_key)
    if broken:
        raise NodeFailure("the door is shut", code="shut", retryable=False)
    return x


@workflow(name="lives", version="1")
async def lives(run: Run, payload: int) -> list[Any]:
    token = str(run.uuid())
    made = await run.gather(double(payload), double(payload + 1))
    return [token, await deliver(sum(made))]


@workflow(name="naps", version="1")
async def naps(run: Run, payload: int) -> int:
    await run.sleep(10)
    return await double(payload)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    global broken
    broken = True
    calls.clear()
    keys.clear()


async def _again(world: World, execution_id: str, asked: doors_forks.Asked) -> str:
    head = await doors.head_of(world.store, "default", execution_id)
    ready = await doors_forks.prepare(world.store, head, asked)
    made, fresh = await doors_forks.make(world.store, world.clock, ready, asked)
    assert fresh
    return made


def test_a_restart_reuses_what_was_done_and_repeats_the_failed_task_under_its_own_key() -> None:
    async def scenario(world: World) -> None:
        global broken
        async with world.engine(lives) as engine:
            failed = await engine.enqueue(lives, 1)
            with pytest.raises(RunFailed, match="the door is shut"):
                await failed.wait()
            broken = False
            made = engine.handle(await _again(world, failed.execution_id, doors_forks.Asked(RESTART)), lives)
            token, delivered = await made.wait()
            assert delivered == 6
            recorded = (await world.store.read(failed.execution_id))[2]
            assert token.replace("-", "") == recorded.body["output"]["value"]
        assert sorted(calls) == [1, 2], "nothing that had been done is done again"
        assert keys[0] == keys[1]

    play(scenario)


def test_a_fork_with_another_input_finds_what_is_called_alike_and_no_more() -> None:
    async def scenario(world: World) -> None:
        global broken
        broken = False
        async with world.engine(lives) as engine:
            done = await engine.enqueue(lives, 1)
            await done.wait()
            asked = doors_forks.Asked(FORK, seq=1, edit=True, value=5)
            made = engine.handle(await _again(world, done.execution_id, asked), lives)
            assert (await made.wait())[1] == 22
        assert sorted(calls) == [1, 2, 5, 6]
        assert len(set(keys)) == 2, "a fork has an effect scope of its own"

    play(scenario)


def test_a_held_workflow_begins_nothing_until_it_is_resumed() -> None:
    async def scenario(world: World) -> None:
        async with world.engine(naps) as engine:
            handle = await engine.enqueue(naps, 3)
            while await handle.status() != "WAITING":
                await asyncio.sleep(1)
            told = {"by": "ops"}
            await doors_hold.hold(world.store, world.clock, "default", handle.execution_id, told)
            await asyncio.sleep(30)
            assert await handle.status() == "PAUSED"
            assert calls == []
            await doors_hold.resume(world.store, world.clock, "default", handle.execution_id, told)
            assert await handle.wait() == 6

    play(scenario)
