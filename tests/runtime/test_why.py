"""Why it stands where it stands: each state of an execution has an answer that names the next mover."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from graphs import graph
from rigs import Rig
from test_waits import expression, looping, with_node

from axiom.compiler.artifact import Join, Plan, Retry
from axiom.runtime import events as e
from axiom.runtime.clock import VirtualClock, run_virtual
from axiom.runtime.events import Event
from axiom.runtime.store.base import Append, Create, Fence, Head, Ok, Park
from axiom.runtime.store.memory import MemoryStore
from axiom.runtime.why import Why, why

DIGEST = "d" * 64
PLAN = graph("charge ship", "charge>ship", retry={"charge": Retry(3)})
STARTED = Event(e.STARTED, 0, body={"worker": "w1"})


class Scene:
    """One execution in a memory store in virtual time, and what ``why`` says of it."""

    def __init__(self) -> None:
        self.clock = VirtualClock(seed=3)
        self.store = MemoryStore(self.clock)
        self.id = "0" * 32
        self.fence: Fence | None = None
        self.seq = 0
        self.slots = 4

    async def open(self, queue: str = "default", ready_at: int = 0) -> None:
        await self.store.open()
        create = Create("default", "acme/fulfil", "g", "unary", queue, ready_at=ready_at)
        body = {"graph_id": "g", "account": "default", "input": {"value": 1}}
        await self.write(Event(e.ACCEPTED, self.store.now(), body=body), create=create)

    async def write(self, *events: Event, **more: Any) -> None:
        data = tuple(e.encode(event) for event in events)
        crcs = tuple(e.crc(self.id, one) for one in data)
        item = Append(self.id, data, crcs, self.store.now(), self.seq, self.fence, **more)
        outcome = (await self.store.append([item]))[0]
        assert isinstance(outcome, Ok), outcome
        self.seq = outcome.seq

    def worker(self, name: str, packages: Mapping[str, str] | None = None, pools: Any = ("default",)) -> str:
        info = {
            "worker": name,
            "host": "h",
            "pools": list(pools),
            "packages": dict(packages or {}),
            "slots": self.slots,
        }
        self.store.beater().beat(f"s-{name}", 1_500, info, {})
        return f"s-{name}"

    async def claim(self, session: str, queue: str = "default") -> None:
        (claimed,) = await self.store.claim(session, [queue], 1)
        self.fence = Fence(session, claimed.head.epoch)

    async def head(self) -> Head:
        head = (await self.store.heads([self.id]))[0]
        assert head is not None
        return head

    async def told(self) -> Why:
        return await why(self.store, await self.head(), PLAN, await self.store.sessions())


def scene(play: Any) -> None:
    run_virtual(play(Scene()))


def started(node: str, attempt: int = 1) -> Event:
    return Event(e.NODE_STARTED, 0, node, (), attempt)


def test_queued_with_nobody_in_the_pool() -> None:
    async def play(at: Scene) -> None:
        await at.open("gpu")
        at.worker("w1")
        told = await at.told()
        assert told.mover == "nobody"
        assert "axiom worker --pool gpu" in told.text

    scene(play)


def test_queued_and_about_to_be_claimed() -> None:
    async def play(at: Scene) -> None:
        await at.open()
        at.worker("w1")
        told = await at.told()
        assert told.mover == "worker"
        assert "w1" in told.text
        assert told.details["slots"] == 4

    scene(play)


def test_a_package_that_no_worker_has_is_named() -> None:
    async def play(at: Scene) -> None:
        await at.open(f"default#acme/orders@1.0.0:{DIGEST}")
        at.worker("w1")
        told = await at.told()
        assert told.mover == "nobody"
        assert "acme/orders@1.0.0" in told.text
        assert told.details["digest"] == DIGEST

    scene(play)


def test_a_worker_with_other_code_is_named_with_what_it_has() -> None:
    async def play(at: Scene) -> None:
        await at.open(f"default#acme/orders@1.0.0:{DIGEST}")
        at.worker("w1", {"acme/orders@1.0.0": "e" * 64})
        told = await at.told()
        assert told.mover == "nobody"
        assert told.details["found"] == {"w1": "e" * 64}
        at.worker("w2", {"acme/orders@1.0.0": DIGEST})
        assert (await at.told()).mover == "worker"

    scene(play)


def test_an_artifact_that_nobody_could_read() -> None:
    async def play(at: Scene) -> None:
        await at.open("default#" + "a" * 32)
        at.worker("w1")
        told = await at.told()
        assert told.mover == "nobody"
        assert "could read its artifact" in told.text

    scene(play)


def test_running_names_worker_node_and_lease() -> None:
    async def play(at: Scene) -> None:
        await at.open()
        await at.claim(at.worker("w1"))
        await at.write(STARTED, started("charge"), status="RUNNING")
        told = await at.told()
        assert told.mover == "worker"
        assert "w1 runs node charge" in told.text
        running = told.reasons[0]
        assert (running.code, running.node, running.who) == ("running", "charge", "w1")
        assert running.until == running.details["since"] + 300_000, "its time-out"
        lease = told.reasons[1]
        assert (lease.code, lease.until) == ("lease", at.store.now() + 1_500)

    scene(play)


def test_a_dead_worker_is_named_with_who_takes_over() -> None:
    async def play(at: Scene) -> None:
        await at.open()
        await at.claim(at.worker("w1"))
        await at.write(STARTED, started("charge"), status="RUNNING")
        await at.clock.sleep(2)
        told = await at.told()
        assert told.mover == "nobody"
        assert "w1 is gone" in told.text
        at.worker("w2")
        told = await at.told()
        assert told.mover == "worker"
        assert "w2 will take it over" in told.text

    scene(play)


def test_a_parked_retry_says_when_and_why() -> None:
    async def play(at: Scene) -> None:
        await at.open()
        await at.claim(at.worker("w1"))
        due = at.store.now() + 60_000
        failed = Event(
            e.NODE_FAILED, 0, "charge", (), 1, body={"code": "timeout", "message": "slow", "retry_at": due}
        )
        await at.write(STARTED, started("charge"), failed, park=Park("default", due))
        told = await at.told()
        assert told.mover == "timer"
        assert told.until == due
        assert "attempt 2" in told.text
        assert "timeout: slow" in told.text

    scene(play)


def test_a_short_retry_in_the_workers_hand() -> None:
    async def play(at: Scene) -> None:
        await at.open()
        await at.claim(at.worker("w1"))
        due = at.store.now() + 500
        failed = Event(e.NODE_FAILED, 0, "charge", (), 1, body={"code": "c", "message": "m", "retry_at": due})
        await at.write(STARTED, started("charge"), failed)
        told = await at.told()
        assert (told.mover, told.until) == ("timer", due)

    scene(play)


def test_parked_without_a_time_waits_for_someone() -> None:
    async def play(at: Scene) -> None:
        await at.open()
        await at.claim(at.worker("w1"))
        await at.write(STARTED, park=Park("default", None))
        told = await at.told()
        assert (told.mover, told.until) == ("nobody", None)
        assert told.reasons[0].code == "parked"

    scene(play)


def test_a_start_that_was_ordered_for_later() -> None:
    async def play(at: Scene) -> None:
        await at.open(ready_at=at.store.now() + 5_000)
        told = await at.told()
        assert (told.mover, told.until) == ("timer", at.store.now() + 5_000)

    scene(play)


def test_ended_tells_how() -> None:
    async def play(at: Scene) -> None:
        await at.open()
        await at.claim(at.worker("w1"))
        final = Event(e.FAILED, 0, body={"code": "declined", "message": "no", "node": "charge", "attempt": 1})
        await at.write(final, status="FAILED")
        told = await at.told()
        assert told.mover == "nobody"
        assert told.text == "It has ended: FAILED in node charge, declined: no"
        assert "axiom executions events" in told.reasons[0].next
        assert "--node charge" in told.reasons[0].next

    scene(play)


def test_queued_behind_those_that_fill_every_slot() -> None:
    async def play(at: Scene) -> None:
        at.slots = 1
        await at.open()
        await at.claim(at.worker("w1"))
        at.id = "1" + "0" * 31
        at.seq, at.fence = 0, None
        await at.open()
        told = await at.told()
        assert (told.reasons[0].code, told.mover) == ("queued_behind", "worker")
        assert told.details["ahead"] == 1
        assert "--concurrency" in told.reasons[0].next

    scene(play)


def test_a_journal_that_this_version_can_not_fold_still_has_its_head() -> None:
    async def play(at: Scene) -> None:
        await at.open()
        await at.claim(at.worker("w1"))
        await at.write(started("nowhere"), status="RUNNING")
        told = await at.told()
        assert [reason.code for reason in told.reasons] == ["lease"]

    scene(play)


# --- what nodes wait for: a worker plays, in virtual time ------------------------------------------------------------


def played(plan: Plan, handlers: Any, value: Any, holds: Any) -> tuple[Why, str]:
    """Run a plan until its head is as told, and return what ``why`` says then."""

    async def play() -> tuple[Why, str]:
        clock = VirtualClock(seed=1)
        store = MemoryStore(clock)
        await store.open()
        rig = Rig(store, clock)
        await rig.worker(name="w1")
        try:
            execution_id = await rig.start(rig.add(plan, handlers), value)
            head = await rig.until(execution_id, holds)
            return await why(store, head, plan, await store.sessions()), execution_id
        finally:
            await rig.stop()

    return run_virtual(play())


def codes(told: Why) -> list[str]:
    return [reason.code for reason in told.reasons]


def parked(head: Head) -> bool:
    return head.session is None and head.seq > 2


async def echo(ctx: Any, value: Any) -> Any:
    return value


async def forever(ctx: Any, value: Any) -> Any:
    await asyncio.Event().wait()


async def broken(ctx: Any, value: Any) -> Any:
    raise ConnectionError("refused")


def test_a_sleep_says_until_when() -> None:
    plan = with_node(graph("a s", "a>s"), "s", kind="sleep", config={"duration_ms": 3 * 86_400_000})
    told, _ = played(plan, dict.fromkeys("as", echo), {}, parked)
    assert codes(told) == ["sleeping", "parked"]
    assert (told.mover, told.reasons[0].node, told.until) == ("timer", "s", told.reasons[1].until)
    assert "Node s sleeps for another" in told.text


def test_an_event_is_named_with_its_key_and_the_call_that_brings_it() -> None:
    config = {"name": "paid", "correlate": expression("order"), "timeout_ms": 60_000}
    plan = with_node(graph("a w", "a>w"), "w", kind="event", config=config)
    told, execution_id = played(plan, dict.fromkeys("aw", echo), {"order": "o1"}, parked)
    assert (told.reasons[0].code, told.mover) == ("event", "event")
    assert told.details == {"name": "paid", "key": "o1"}
    assert f"/executions/{execution_id}/signals/paid" in told.reasons[0].next
    assert told.until is not None


def test_a_pause_says_what_it_asks_and_how_to_answer() -> None:
    hitl = {"message": expression("'Charge ' + order + '?'"), "resume_input": "Any", "quorum": 2}
    plan = with_node(graph("a p", "a>p"), "p", config={"hitl": hitl})
    told, execution_id = played(plan, dict.fromkeys("ap", echo), {"order": "o1"}, parked)
    assert (told.reasons[0].code, told.mover, told.until) == ("pause", "person", None)
    assert "Charge o1? (0 of 2 answers)" in told.text
    assert told.reasons[0].next == f"axiom pauses resume {execution_id} p -d JSON"


def test_a_retry_says_what_failed() -> None:
    plan = graph("a b", "a>b", retry={"b": Retry(3, delays_ms=(60_000,))})
    told, _ = played(plan, {"a": echo, "b": broken}, {}, parked)
    assert (told.reasons[0].code, told.mover, told.reasons[0].node) == ("retry", "timer", "b")
    assert "attempt 1 (handler_error: ConnectionError: refused); attempt 2 follows" in told.text
    assert told.details["attempt"] == 1


def test_a_gate_names_the_arms_that_are_missing_and_those_that_came() -> None:
    plan = graph("a b s g", "a>b a>s b>g s>g", joins={"g": Join(timeout_ms=3_600_000)})
    plan = with_node(plan, "s", kind="sleep", config={"duration_ms": 86_400_000})
    told, _ = played(plan, dict.fromkeys("absg", echo), {}, parked)
    gate = next(reason for reason in told.reasons if reason.code == "gate")
    assert (gate.node, gate.details["missing"], gate.details["heard"]) == ("g", ["s"], {"b": "arrived"})
    assert "The AND gate before g waits for s; b arrived." in gate.message
    assert gate.until is not None
    assert codes(told)[0] == "sleeping", "what the gate waits for comes first"


def test_a_map_counts_what_is_outstanding() -> None:
    fan = {"items": expression("lines"), "max_concurrency": 2, "failure_policy": "FAIL_FAST"}
    plan = with_node(graph("a m", "a>m"), "m", config={"map": fan})
    told, _ = played(plan, {"a": echo, "m": forever}, {"lines": [1, 2, 3]}, lambda head: head.seq >= 8)
    assert [(reason.code, reason.iteration) for reason in told.reasons[:2]] == [
        ("running", (0,)), ("running", (1,)),
    ]  # fmt: skip
    fan_reason = next(reason for reason in told.reasons if reason.code == "map")
    assert "3 of 3 items outstanding: 2 begun, at most 2 at a time" in fan_reason.message


def test_a_loop_says_which_round_it_is_in() -> None:
    async def third(ctx: Any, value: Any) -> Any:
        if value["n"] == 2:
            await asyncio.Event().wait()
        return {"n": value["n"] + 1}

    plan = looping(graph("a d z", "a>d d>d d>z"), 1, 9, "n < 7")
    told, _ = played(plan, {"a": echo, "d": third, "z": echo}, {"n": 0}, lambda head: head.seq >= 9)
    loop = next(reason for reason in told.reasons if reason.code == "loop")
    assert loop.details == {"round": 3, "max_iterations": 9}
    assert (loop.node, told.reasons[0].iteration) == ("d", (2,))


def test_compensation_says_what_is_undone_and_why() -> None:
    plan = replace(graph("a b u", "a>b", terminal="b"), compensate={"a": "u"})
    told, _ = played(plan, {"a": echo, "b": broken, "u": forever}, {}, lambda head: head.seq >= 8)
    assert codes(told)[:2] == ["compensating", "running"]
    assert "ConnectionError: refused" in told.text
    assert told.details["left"] == [{"node": "u", "undoes": "a"}]


def test_a_run_with_a_deadline_says_how_long_it_has() -> None:
    async def play() -> Why:
        clock = VirtualClock(seed=1)
        store = MemoryStore(clock)
        await store.open()
        rig = Rig(store, clock)
        try:
            plan = graph("a b", "a>b")
            deadline = store.now() + 7_200_000
            execution_id = await rig.start(rig.add(plan, {"a": echo, "b": echo}), {}, deadline=deadline)
            told = await why(store, await rig.head(execution_id), plan, await store.sessions())
            assert told.reasons[-1].until == deadline
            return told
        finally:
            await rig.stop()

    told = run_virtual(play())
    assert codes(told) == ["no_worker", "deadline"]
    assert "2 hours left" in told.reasons[-1].message


def test_a_worker_that_has_no_free_child_process_says_so() -> None:
    async def play(at: Scene) -> None:
        await at.open()
        session = at.worker("w1")
        await at.claim(session)
        await at.write(STARTED, started("charge"), status="RUNNING")
        at.store.beater().beat(session, 1_500, {"worker": "w1", "processes_wanted": [at.id]}, {})
        told = await at.told()
        assert told.reasons[0].code == "process_slot"
        assert "process_slots" in told.reasons[0].next

    scene(play)
