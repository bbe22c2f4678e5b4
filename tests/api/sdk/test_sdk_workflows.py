"""Workflows in plain Python: what they did is never done again, and what they wait for costs nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypedDict

import pytest
from sdk_kit import World, play

from axiom.runtime.configs import Profile, UnknownConfig, put_profile
from axiom.sdk import NodeFailure, OutsideRun, Retry, Run, RunFailed, TaskFailed, current, task, workflow


@dataclass
class Signup:
    email: str


@dataclass
class Sent:
    id: str


@dataclass
class Decision:
    ok: bool
    note: str = ""


calls: list[Any] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    calls.clear()


@task(retry=Retry.fixed(3, 1_000))
async def send(to: str, n: int = 0) -> Sent:
    calls.append((to, n))
    return Sent(f"{to}-{n}")


@task
async def double(x: int) -> int:
    calls.append(x)
    return 2 * x


@workflow(name="onboard", version="1.0.0")
async def onboard(run: Run, payload: Signup) -> Sent:
    first = await send(payload.email)
    await run.sleep(timedelta(seconds=20))
    numbers = await run.gather(*[double(n) for n in range(4)])
    paid = await run.wait_event("paid", key=payload.email, timeout=timedelta(hours=1))
    again = await send(payload.email, sum(numbers))
    return Sent(f"{first.id}/{again.id}/{paid['amount']}")


def test_a_workflow_returns_what_its_tasks_made_typed() -> None:
    async def scenario(world: World) -> None:
        async with world.engine(onboard) as engine:
            handle = await engine.enqueue(onboard, Signup("ada"))
            await handle.signal("paid", {"amount": 5}, key="ada")
            assert await handle.wait() == Sent("ada-0/ada-12/5")
            assert await handle.status() == "COMPLETED"
        assert calls == [("ada", 0), 0, 1, 2, 3, ("ada", 12)]

    play(scenario)


def test_a_worker_that_dies_at_any_event_changes_nothing_and_repeats_only_what_was_in_flight() -> None:
    async def undisturbed(world: World) -> tuple[Sent, int]:
        async with world.engine(onboard) as engine:
            handle = await engine.enqueue(onboard, Signup("ada"))
            await handle.signal("paid", {"amount": 5}, key="ada")
            return await handle.wait(), len(await world.kinds(handle.execution_id))

    expected, length = play(undisturbed)
    assert length > 15
    for seq in range(2, length + 1):
        calls.clear()

        async def disturbed(world: World, seq: int = seq) -> None:
            engine = world.engine(onboard)
            await engine.__aenter__()
            handle = await engine.enqueue(onboard, Signup("ada"))
            await handle.signal("paid", {"amount": 5}, key="ada")
            await world.moved_to(handle.execution_id, seq)
            await engine.kill()
            async with world.engine(onboard) as other:
                assert await other.handle(handle.execution_id, onboard).wait() == expected
            assert set(calls) == {("ada", 0), 0, 1, 2, 3, ("ada", 12)}
            assert len(calls) <= 6 + 4, "only what was in flight is done again"

        play(disturbed)


def test_a_failed_task_is_tried_again_as_its_policy_says_and_a_crash_is_no_attempt() -> None:
    @task(retry=Retry.fixed(3, 10_000))
    async def flaky() -> int:
        calls.append(current().attempt)
        if len(calls) < 3:
            raise RuntimeError("not yet")
        return current().attempt

    @workflow(name="flaky", version="1")
    async def flow(run: Run, payload: None) -> int:
        return await flaky()

    async def scenario(world: World) -> None:
        async with world.engine(flow) as engine:
            assert await engine.run(flow, None) == 3
        assert calls == [1, 2, 3]

    play(scenario)


def test_a_task_that_fails_for_good_raises_where_it_was_awaited() -> None:
    @task(retry=Retry.exponential(5))
    async def declined() -> None:
        calls.append(1)
        raise NodeFailure("no funds", code="declined", retryable=False)

    @workflow(name="pay", version="1")
    async def pay(run: Run, payload: str) -> str:
        try:
            await declined()
        except TaskFailed as error:
            return f"{error.code} by {error.name}"
        return "paid"

    @workflow(name="pay-hard", version="1")
    async def pay_hard(run: Run, payload: str) -> str:
        await declined()
        return "paid"

    async def scenario(world: World) -> None:
        async with world.engine(pay, pay_hard) as engine:
            assert await engine.run(pay, "x") == "declined by declined"
            with pytest.raises(RunFailed, match="no funds") as failed:
                await engine.run(pay_hard, "x")
            assert failed.value.code == "declined"
        assert len(calls) == 2

    play(scenario)


def test_time_and_chance_are_the_same_after_a_restart() -> None:
    @workflow(name="chance", version="1")
    async def chance(run: Run, payload: None) -> list[str]:
        seen = [run.now().isoformat(), str(run.random()), str(run.uuid())]
        calls.append(tuple(seen))
        await run.sleep(60)
        return [*seen, run.now().isoformat()]

    async def scenario(world: World) -> None:
        async with world.engine(chance) as engine:
            made = await engine.run(chance, None)
        assert len(calls) == 2, "the coroutine ran again after its sleep"
        assert len(set(calls)) == 1
        assert made[0] != made[3]

    play(scenario)


def test_an_idempotency_key_starts_one_run() -> None:
    async def scenario(world: World) -> None:
        async with world.engine(onboard) as engine:
            one = await engine.enqueue(onboard, Signup("ada"), idempotency_key="k")
            two = await engine.enqueue(onboard, Signup("ada"), idempotency_key="k")
            assert one.execution_id == two.execution_id
            await one.cancel()
            with pytest.raises(RunFailed, match="cancelled"):
                await two.wait()

    play(scenario)


def test_a_wait_that_runs_out_raises_timeout() -> None:
    @workflow(name="patience", version="1")
    async def patience(run: Run, payload: None) -> str:
        try:
            await run.wait_event("never", timeout=timedelta(minutes=3))
        except TaskFailed as error:
            return error.code
        return "came"

    async def scenario(world: World) -> None:
        async with world.engine(patience) as engine:
            assert await engine.run(patience, None) == "timeout"

    play(scenario)


# --- changed code under a running execution ---------------------------------------------------------------------------


def _versions(before: Any, after: Any) -> str:
    """Run ``before`` until it sleeps, then ``after`` in its place; the result or the failure's code."""

    async def scenario(world: World) -> str:
        engine = world.engine(before)
        await engine.__aenter__()
        handle = await engine.enqueue(before, None)
        while (await handle.status()) != "WAITING":
            await asyncio.sleep(1)
        await engine.kill()
        async with world.engine(after) as other:
            try:
                return str(await other.handle(handle.execution_id).wait())
            except RunFailed as error:
                return f"{error.code}: {error}"

    return play(scenario)


@workflow(name="changing", version="1")
async def plain(run: Run, payload: None) -> int:
    a = await double(1)
    b = await double(2)
    await run.sleep(120)
    return a + b


def test_reordered_tasks_find_their_results() -> None:
    @workflow(name="changing", version="1")
    async def reordered(run: Run, payload: None) -> int:
        b = await double(2)
        a = await double(1)
        await run.sleep(120)
        return a + b

    assert _versions(plain, reordered) == "6"
    assert calls == [1, 2]


def test_a_task_added_at_the_end_is_performed() -> None:
    @workflow(name="changing", version="1")
    async def longer(run: Run, payload: None) -> int:
        a = await double(1)
        b = await double(2)
        await run.sleep(120)
        return await double(a + b)

    assert _versions(plain, longer) == "12"
    assert calls == [1, 2, 6]


def test_a_task_that_the_code_no_longer_calls_fails_the_run_and_says_what_to_do() -> None:
    @workflow(name="changing", version="1")
    async def shorter(run: Run, payload: None) -> int:
        a = await double(1)
        await run.sleep(120)
        return a

    told = _versions(plain, shorter)
    assert told.startswith("diverged")
    assert "double" in told
    assert "give changed code a new version" in told


def test_another_input_is_another_task_and_the_old_result_is_missed() -> None:
    @workflow(name="changing", version="1")
    async def other_input(run: Run, payload: None) -> int:
        a = await double(1)
        b = await double(3)
        await run.sleep(120)
        return a + b

    assert _versions(plain, other_input).startswith("diverged")


def test_another_sleep_in_the_place_of_a_recorded_one_diverges() -> None:
    @workflow(name="changing", version="1")
    async def sleepier(run: Run, payload: None) -> int:
        a = await double(1)
        b = await double(2)
        await run.sleep(121)
        return a + b

    told = _versions(plain, sleepier)
    assert told.startswith("diverged")
    assert "timer" in told


def test_a_run_whose_workflow_nobody_has_waits_for_a_worker_that_has_it() -> None:
    @workflow(name="changing", version="2")
    async def newer(run: Run, payload: None) -> int:
        return 0

    async def scenario(world: World) -> None:
        async with world.engine(newer) as engine:
            handle = await engine.enqueue(plain, None)
            await asyncio.sleep(5)
            assert await handle.status() == "QUEUED"
            async with world.engine(plain):
                assert await handle.wait() == 6

    play(scenario)


# --- bad input --------------------------------------------------------------------------------------------------------


def test_a_task_outside_of_a_run_says_so() -> None:
    with pytest.raises(OutsideRun, match="task double was called outside of a workflow"):
        double(1)
    with pytest.raises(OutsideRun):
        current()


def test_a_workflow_that_awaits_what_is_not_recorded_fails_and_says_what_it_may_await() -> None:
    @workflow(name="foreign", version="1")
    async def foreign(run: Run, payload: None) -> None:
        await asyncio.sleep(1)

    async def scenario(world: World) -> None:
        async with world.engine(foreign) as engine:
            with pytest.raises(RunFailed, match="a workflow awaits tasks and what `run` offers"):
                await engine.run(foreign, None)

    play(scenario)


def test_a_result_that_is_no_data_fails_with_its_place() -> None:
    @task
    async def opaque() -> Any:
        return {"a": object()}

    @workflow(name="opaque", version="1")
    async def flow(run: Run, payload: None) -> Any:
        return await opaque()

    @workflow(name="opaque-end", version="1")
    async def end(run: Run, payload: None) -> Any:
        return object()

    async def scenario(world: World) -> None:
        async with world.engine(flow, end) as engine:
            for each in (flow, end):
                with pytest.raises(RunFailed, match="no JSON data") as failed:
                    await engine.run(each, None)
                assert failed.value.code == "output_invalid"

    play(scenario)


def test_two_workflows_of_one_name_and_version_are_refused() -> None:
    @workflow(name="changing", version="1")
    async def twin(run: Run, payload: None) -> int:
        return 1

    with pytest.raises(ValueError, match="two workflows are called changing 1"):
        World().engine(plain, twin)


class Order(TypedDict):
    total: float


def test_a_task_that_takes_too_long_fails_as_timeout() -> None:
    @task(timeout=timedelta(seconds=5))
    async def slow(order: Order) -> None:
        await asyncio.sleep(3600)

    @workflow(name="slow", version="1")
    async def flow(run: Run, payload: Order) -> None:
        await slow(payload)

    async def scenario(world: World) -> None:
        async with world.engine(flow) as engine:
            with pytest.raises(RunFailed, match="slow took longer than 5 s"):
                await engine.run(flow, {"total": 1.0})

    play(scenario)


def test_the_first_error_of_several_at_once_is_raised_and_the_others_are_kept() -> None:
    @task
    async def fails() -> None:
        raise NodeFailure("no", code="mine")

    @workflow(name="several", version="1")
    async def several(run: Run, payload: None) -> str:
        try:
            await run.gather(double(1), fails(), double(2))
        except TaskFailed as error:
            await run.sleep(120)
            return error.code
        return ""

    async def scenario(world: World) -> None:
        async with world.engine(several) as engine:
            assert await engine.run(several, None) == "mine"
        assert sorted(calls) == [1, 2]

    play(scenario)


def test_a_person_answers_a_pause_with_the_form_that_was_asked_for() -> None:
    @workflow(name="ask", version="1")
    async def ask(run: Run, payload: None) -> str:
        decision = await run.pause(Decision, message="Activate?", timeout=timedelta(minutes=3))
        return f"{decision.ok} {decision.note}"

    async def scenario(world: World) -> None:
        async with world.engine(ask) as engine:
            handle = await engine.enqueue(ask, None)
            while (await handle.status()) != "PAUSED":
                await asyncio.sleep(1)
            waiting = (await world.store.read(handle.execution_id))[-1]
            assert waiting.body["message"] == "Activate?"
            assert waiting.body["name"] == "pause.0"

    play(scenario)


@task
async def region() -> str:
    return str(current().config.get("region", "none"))


@workflow(name="where", version="1.0.0")
async def where(run: Run, payload: None) -> str:
    return await region()


def test_a_task_sees_the_values_that_its_run_is_configured_with() -> None:
    async def scenario(world: World) -> None:
        async with world.engine(where) as engine:
            assert await engine.run(where, None) == "none"
            await put_profile(engine.store, "default", "where/default", Profile({"region": "us"}, {}, {}))
            await put_profile(engine.store, "default", "eu", Profile({"region": "eu"}, {}, {}))
            assert await engine.run(where, None) == "us"
            assert await (await engine.enqueue(where, None, config_id="eu")).wait() == "eu"
            with pytest.raises(UnknownConfig):
                await engine.enqueue(where, None, config_id="none")

    play(scenario)


@task(secrets=["API_KEY"])
async def sing(how: str) -> str:
    secret = current().secrets["API_KEY"]
    if how == "raise":
        raise NodeFailure(f"bad key {secret}", retryable=False)
    return secret if how == "return" else str(len(secret))


@workflow(name="sings", version="1.0.0")
async def sings(run: Run, payload: str) -> str:
    return await sing(payload)


def test_a_task_has_the_secrets_that_it_declares_and_can_not_leave_them_in_the_journal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(world: World) -> None:
        async with world.engine(sings) as engine:
            for how, code in (
                ("fine", "secret_missing"),
                ("return", "secret_in_output"),
                ("raise", "handler_error"),
            ):
                if how == "return":
                    monkeypatch.setenv("AXIOM_SECRET_API_KEY", "canary-canary")
                with pytest.raises(RunFailed) as told:
                    await engine.run(sings, how)
                assert told.value.code == code
                assert "canary" not in str(told.value)
            assert await engine.run(sings, "fine") == str(len("canary-canary"))

    play(scenario)
