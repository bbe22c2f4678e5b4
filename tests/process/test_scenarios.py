"""Faults seen in comparable systems, as scenarios over every store: the engine in one process, the stores real.

Their numbers are those of the list that the project keeps of such faults; ``docs/operations/guarantees.md`` says which
test answers which. What needs processes to die is in the files beside this one.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from graphs import graph
from redis_server import RedisServer, running
from rigs import Rig
from test_waits import with_node

from axiom.api import doors
from axiom.compiler.artifact import Join, Retry
from axiom.runtime import events as e
from axiom.runtime.clock import SystemClock, VirtualClock, run_virtual
from axiom.runtime.failures import NodeFailure
from axiom.runtime.limits import PAYLOAD_BYTES
from axiom.runtime.store.base import Head, Store, Unclear
from axiom.runtime.store.memory import MemoryStore
from axiom.runtime.store.opening import open_store
from axiom.runtime.worker import Worker

pytestmark = pytest.mark.slow
Scenario = Callable[[Rig], Awaitable[Any]]
Play = Callable[[Scenario], Any]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running() as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", "redis"])
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Play:
    """``play(scenario)`` runs it over a store of each kind, and checks every promise at its end."""
    kind = request.param
    url = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/axiom.db"}.get(kind)
    if url is None:
        server: RedisServer = request.getfixturevalue("server")
        server.command("FLUSHALL")
        url = server.url

    async def run(scenario: Scenario) -> Any:
        store = open_store(url)
        await store.open()
        rig = Rig(store, SystemClock())
        try:
            async with asyncio.timeout(300):
                result = await scenario(rig)
            await rig.check()
            return result
        finally:
            await rig.stop()
            await store.close()

    return lambda scenario: asyncio.run(run(scenario))


def virtually(scenario: Scenario) -> None:
    """Run it over the memory store in virtual time, where hours cost nothing."""

    async def run() -> None:
        clock = VirtualClock(seed=1)
        store = MemoryStore(clock)
        await store.open()
        rig = Rig(store, clock)
        try:
            await scenario(rig)
            await rig.check()
        finally:
            await rig.stop()
            await store.close()

    run_virtual(run())


def dies(rig: Rig, worker: Worker) -> None:
    """It ends without a word: no beat, no release."""
    for task in [*worker._tasks, worker._lease._task]:
        assert task is not None
        task.cancel()
    for execution in list(worker.executions.values()):
        execution.kill()
    rig.workers.remove(worker)


async def passes(ctx: Any, value: Any) -> Any:
    return {"by": ctx.node}


ARMS = ("left", "middle", "right")
SUBSETS = [subset for size in range(4) for subset in itertools.combinations(ARMS, size)]
DIAMOND = graph(
    "a left middle right z",
    "a>left a>middle a>right left>z middle>z right>z",
    {"z": Join("AND", "FAIL_FAST")},
)


@pytest.mark.parametrize("done", SUBSETS, ids=lambda arms: "+".join(arms) or "none")
def test_a_worker_dies_after_any_subset_of_branches_is_recorded(play: Play, done: tuple[str, ...]) -> None:
    """Scenario 8: kill after any subset of the branches is recorded: the run resumes with no divergence, the recorded
    branches do not run again, and the join gets all of them."""

    async def scenario(rig: Rig) -> None:
        ran: Counter[str] = Counter()
        begun, hold = asyncio.Event(), asyncio.Event()

        async def arm(ctx: Any, value: Any) -> Any:
            ran[ctx.node] += 1
            if ran.total() >= len(ARMS):
                begun.set()
            if ctx.node not in done:
                await hold.wait()
            return {"by": ctx.node}

        async def join(ctx: Any, value: Any) -> Any:
            return {"arms": sorted(value), "by": sorted(one["by"] for one in value.values())}

        plan_id = rig.add(DIAMOND, {"a": passes, "z": join, **dict.fromkeys(ARMS, arm)})
        first = await rig.worker()
        run = await rig.start(plan_id)
        await begun.wait()
        wanted = {f"NodeStarted {name} 1" for name in ARMS} | {f"NodeCompleted {name} 1" for name in done}
        while not wanted <= set(await rig.kinds(run)):
            await asyncio.sleep(0.005)
        dies(rig, first)
        await rig.store.end_session(first.session)  # as its supervisor would: nobody waits for its lease
        hold.set()
        await rig.worker()
        await rig.ended(run)
        assert await rig.output(run) == {"arms": sorted(ARMS), "by": sorted(ARMS)}
        assert ran == {name: 1 if name in done else 2 for name in ARMS}, (
            "what was recorded does not run again"
        )

    play(scenario)


WIDTH = 60


def test_many_branches_that_finish_together_start_their_join_once(play: Play) -> None:
    """Crash window 9: N parallel branches finish at the same moment, and each of them could start the join."""

    async def scenario(rig: Rig) -> None:
        names = [f"n{number}" for number in range(WIDTH)]
        arrows = " ".join(f"a>{name} {name}>z" for name in names)
        plan = graph(f"a {' '.join(names)} z", arrows, {"z": Join("AND")})
        together = asyncio.Barrier(WIDTH)
        joined = 0

        async def arm(ctx: Any, value: Any) -> Any:
            await together.wait()
            return {"by": ctx.node}

        async def join(ctx: Any, value: Any) -> Any:
            nonlocal joined
            joined += 1
            return {"arms": len(value)}

        plan_id = rig.add(plan, {"a": passes, "z": join, **dict.fromkeys(names, arm)})
        await rig.worker()
        run = await rig.start(plan_id)
        await rig.ended(run)
        assert await rig.output(run) == {"arms": WIDTH}
        assert joined == 1
        assert (await rig.kinds(run)).count("NodeStarted z 1") == 1

    play(scenario)


class LosesAnswers:
    """A store whose ``n``-th append lands, and whose answer is lost."""

    def __init__(self, store: Store, n: int) -> None:
        self._store, self._left, self.lost = store, n, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, batch: Any) -> Any:
        outcomes = await self._store.append(batch)
        self._left -= 1
        if self._left == 0:
            self.lost = True
            raise Unclear("the answer was lost")
        return outcomes


def test_an_append_that_landed_and_was_not_answered_is_no_failure_whichever_it_is(play: Play) -> None:
    """Crash window 1: a write times out and was applied: its retry is no duplicate, and nothing hangs or runs twice.
    Crash window 11: so with the last step, where history and status change in one write."""

    async def scenario(rig: Rig) -> None:
        ran: Counter[str] = Counter()

        async def step(ctx: Any, value: Any) -> Any:
            ran[ctx.execution_id] += 1
            return {"by": ctx.node}

        plan_id = rig.add(graph("a b c", "a>b b>c"), dict.fromkeys("abc", step))
        real, lost = rig.store, 0
        for number in range(1, 8):
            side = LosesAnswers(real, number)
            rig.store = side  # type: ignore[assignment]
            worker = await rig.worker(concurrency=1)
            rig.store = real
            run = await rig.start(plan_id)
            head = await rig.ended(run)
            assert head.status == "COMPLETED"
            assert ran[run] == 3
            assert e.TAKEN_OVER not in await rig.kinds(run)
            lost += side.lost
            rig.workers.remove(worker)
            await worker.stop()
        assert lost == 4, "one answer for each of the four writes of such a run"

    play(scenario)


def test_a_parked_attempt_is_out_of_reach_of_its_timeout_and_of_dying_workers() -> None:
    """Crash window 5: a parked attempt is not timed out. Crash window 6: nobody parks or resumes with a stale count of
    attempts: with a worker dying while the run is parked, each attempt happens once, in order."""

    async def scenario(rig: Rig) -> None:
        attempts: list[int] = []

        async def flaky(ctx: Any, value: Any) -> Any:
            attempts.append(ctx.attempt)
            if ctx.attempt < 4:
                raise NodeFailure("not yet")
            return {}

        plan = graph("a", "", retry={"a": Retry(4, delays_ms=(600_000,))})
        plan_id = rig.add(plan, {"a": flaky})
        run = await rig.start(plan_id)
        for attempt in range(1, 4):
            worker = await rig.worker()
            await rig.until(run, lambda head, least=2 + 2 * attempt: _parked(head, least), 3_000)
            await asyncio.sleep(400)  # longer than its timeout of 300 s
            dies(rig, worker)
        await rig.worker()
        assert (await rig.ended(run, 3_000)).status == "COMPLETED"
        assert attempts == [1, 2, 3, 4]
        kinds = Counter(event.kind for event in await rig.history(run))
        assert kinds[e.NODE_FAILED] == 3
        assert e.TAKEN_OVER not in kinds, "a parked run has no owner to lose"

    virtually(scenario)


def _parked(head: Head, seq: int) -> bool:
    return head.seq >= seq and head.session is None


def test_a_timed_out_attempt_never_runs_beside_its_retry() -> None:
    """Crash window 7: an attempt that takes its time to go after its timeout delays its retry; its late result is not
    the run's."""

    async def scenario(rig: Rig) -> None:
        at_once = most = 0

        async def lingers(ctx: Any, value: Any) -> Any:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            try:
                if ctx.attempt == 1:
                    await asyncio.sleep(10**6)
                return {"attempt": ctx.attempt}
            finally:
                if ctx.attempt == 1:
                    await asyncio.shield(asyncio.sleep(3))
                at_once -= 1

        plan_id = rig.add(graph("a", "", retry={"a": Retry(2, delays_ms=(10,))}), {"a": lingers})
        await rig.worker()
        run = await rig.start(plan_id)
        await rig.ended(run, 1_000)
        assert await rig.output(run) == {"attempt": 2}
        assert most == 1

    virtually(scenario)


def test_cancelled_and_crashed_runs_give_their_slots_back(play: Play) -> None:
    """Crash window 13: slots leak on cancel and on crash. A worker with two slots lives through twenty cancels and
    twenty failures, and has two slots at the end."""

    async def scenario(rig: Rig) -> None:
        begun: asyncio.Queue[str] = asyncio.Queue()

        async def step(ctx: Any, value: Any) -> Any:
            begun.put_nowait(ctx.execution_id)
            if value.get("fails"):
                raise RuntimeError("no")
            if value.get("holds"):
                await asyncio.sleep(10**6)
            return {}

        plan_id = rig.add(graph("a", ""), {"a": step})
        worker = await rig.worker(concurrency=2)
        for _ in range(10):
            held = [await rig.start(plan_id, {"holds": True}) for _ in range(2)]
            assert {await begun.get(), await begun.get()} == set(held)
            waits = await rig.start(plan_id, {"fails": True})
            for run in held:
                await doors.cancel(rig.store, rig.clock, "default", run, "tests")
            assert (await rig.ended(waits)).status == "FAILED"
            assert await begun.get() == waits
        two = [await rig.start(plan_id, {"holds": True}) for _ in range(2)]
        assert {await begun.get(), await begun.get()} == set(two)
        assert len(worker.executions) == 2
        for run in two:
            await doors.cancel(rig.store, rig.clock, "default", run, "tests")

    play(scenario)


def test_an_oversized_result_fails_its_run_and_stalls_nothing(play: Play) -> None:
    """Crash window 16: an oversized record poisons the log and stalls everything behind it. Outputs, error messages and
    details of any size: the run fails or goes on, and the next one completes."""

    async def scenario(rig: Rig) -> None:
        async def big(ctx: Any, value: Any) -> Any:
            if value["what"] == "output":
                return {"text": "x" * (PAYLOAD_BYTES + 1)}
            if value["what"] == "message":
                raise NodeFailure("x" * (3 << 20))
            if value["what"] == "details":
                raise NodeFailure("too much", details={"text": "x" * (3 << 20)})
            if value["what"] == "exception":
                raise ValueError("x" * (3 << 20))
            return {"text": "x" * (2 << 20)}

        plan_id = rig.add(graph("a b", "a>b"), {"a": big, "b": passes})
        await rig.worker(concurrency=1)
        for what in ("output", "message", "details", "exception"):
            run = await rig.start(plan_id, {"what": what})
            assert (await rig.ended(run)).status == "FAILED", what
            code = (await rig.history(run))[-1].body["code"]
            assert code == ("payload_too_large" if what == "output" else "handler_error")
        run = await rig.start(plan_id, {"what": "large, and within bounds"})
        assert (await rig.ended(run)).status == "COMPLETED"

    play(scenario)


def test_a_cancel_keeps_the_results_of_branches_that_had_finished(play: Play) -> None:
    """Crash window 19: a cancel in the middle of a batch loses what its finished siblings made."""

    async def scenario(rig: Rig) -> None:
        async def arm(ctx: Any, value: Any) -> Any:
            if ctx.node == "right":
                await asyncio.sleep(10**6)
            return {"by": ctx.node}

        plan_id = rig.add(DIAMOND, {"a": passes, "z": passes, **dict.fromkeys(ARMS, arm)})
        await rig.worker()
        run = await rig.start(plan_id)
        wanted = {"NodeCompleted left 1", "NodeCompleted middle 1", "NodeStarted right 1"}
        while not wanted <= set(await rig.kinds(run)):
            await asyncio.sleep(0.005)
        await doors.cancel(rig.store, rig.clock, "default", run, "tests")
        kept = {
            event.node: event.body["output"]["value"]
            for event in await rig.history(run)
            if event.kind == e.NODE_COMPLETED
        }
        assert kept == {name: {"by": name} for name in ("a", "left", "middle")}
        assert (await rig.head(run)).status == "CANCELLED"

    play(scenario)


def test_a_cancelled_runs_timer_never_acts_on_a_later_run() -> None:
    """Scenario 14: the timer goes with the run, in the step that cancels it; the same flow's next run has its own."""

    async def scenario(rig: Rig) -> None:
        plan = with_node(graph("a s", "a>s"), "s", kind="sleep", config={"duration_ms": 600_000})
        plan_id = rig.add(plan, {"a": passes, "s": passes})
        await rig.worker()
        gone = await rig.start(plan_id)
        await rig.until(gone, lambda head: head.status == "WAITING" and head.session is None)
        await asyncio.sleep(300)
        await doors.cancel(rig.store, rig.clock, "default", gone, "tests")
        before = await rig.head(gone)
        assert before.ready_at is None
        later = await rig.start(plan_id)
        began = rig.clock.monotonic()
        await rig.ended(later, 3_000)
        assert rig.clock.monotonic() - began >= 600
        assert await rig.head(gone) == before
        assert (await rig.kinds(later)).count("NodeWoken s 1") == 1

    virtually(scenario)


def test_nothing_of_a_waiting_run_has_a_date_of_expiry(server: RedisServer) -> None:
    """Crash window 18: a stream store that collects what is empty or old takes a waiting run's journal along."""
    server.command("FLUSHALL")

    async def run() -> None:
        store = open_store(server.url)
        await store.open()
        rig = Rig(store, SystemClock())
        try:
            plan = with_node(graph("a s", "a>s"), "s", kind="sleep", config={"duration_ms": 3_600_000})
            await rig.worker()
            waiting = await rig.start(rig.add(plan, {"a": passes, "s": passes}))
            await rig.until(waiting, lambda head: head.session is None and head.status == "WAITING")
        finally:
            await rig.stop()
            await store.close()
        keys = server.command("KEYS", f"*{waiting}*").split(b"\r\n")[2::2]
        assert len(keys) >= 2, "its head and its journal"
        assert {server.command("TTL", key.decode()) for key in keys} == {b":-1\r\n"}

    asyncio.run(run())


def test_an_append_log_of_redis_cut_anywhere_in_its_last_record_loses_that_record_only() -> None:
    """Scenario 2, on Redis: cut the log in its last record, start, append, start again: all that was acknowledged
    before the cut and after it is there."""
    with running() as server:
        ids = asyncio.run(_runs(server, 3))
        log = next((Path(server.folder) / "appendonlydir").glob("*.incr.aof"))
        before = log.stat().st_size
        asyncio.run(_runs(server, 1))
        server.kill()
        whole = log.read_bytes()
        last = len(whole) - before
        for cut in sorted({1, 2, 7, last // 3, last // 2, last - 1}):
            log.write_bytes(whole[:-cut])
            server.start()
            more = asyncio.run(_runs(server, 1))
            server.kill()
            server.start()
            asyncio.run(_all_there(server, ids + more))
            server.kill()


async def _runs(server: RedisServer, count: int) -> list[str]:
    """Start and end so many runs; all of it acknowledged."""
    store = open_store(server.url)
    await store.open()
    rig = Rig(store, SystemClock())
    try:
        plan_id = rig.add(graph("a b", "a>b"), dict.fromkeys("ab", passes))
        await rig.worker()
        ids = [await rig.start(plan_id) for _ in range(count)]
        for run in ids:
            await rig.ended(run)
        return ids
    finally:
        await rig.stop()
        await store.close()


async def _all_there(server: RedisServer, ids: list[str]) -> None:
    store = open_store(server.url)
    await store.open()
    rig = Rig(store, SystemClock())
    rig.add(graph("a b", "a>b"), dict.fromkeys("ab", passes))
    try:
        for run in ids:
            assert (await rig.head(run)).status == "COMPLETED"
            assert len(await rig.history(run)) == 7
        await rig.check()
    finally:
        await store.close()
