"""Why it stands where it stands: each state of an execution has an answer that names the next mover."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axiom.runtime import events as e
from axiom.runtime.clock import VirtualClock, run_virtual
from axiom.runtime.events import Event
from axiom.runtime.store.base import Append, Create, Fence, Head, Ok, Park
from axiom.runtime.store.memory import MemoryStore
from axiom.runtime.why import Why, running, why

DIGEST = "d" * 64


class Scene:
    """One execution in a memory store in virtual time, and what ``why`` says of it."""

    def __init__(self) -> None:
        self.clock = VirtualClock(seed=3)
        self.store = MemoryStore(self.clock)
        self.id = "0" * 32
        self.fence: Fence | None = None
        self.seq = 0

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
            "slots": 4,
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
        return await why(self.store, await self.head(), None, await self.store.sessions())


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
        await at.write(Event(e.STARTED, 0, body={"worker": "w1"}), started("charge"), status="RUNNING")
        told = await at.told()
        assert told.mover == "worker"
        assert "w1 runs node charge" in told.text
        assert told.until == at.store.now() + 1_500
        assert told.details["nodes"] == [{"node": "charge", "iteration": [], "attempt": 1}]

    scene(play)


def test_a_dead_worker_is_named_with_who_takes_over() -> None:
    async def play(at: Scene) -> None:
        await at.open()
        await at.claim(at.worker("w1"))
        await at.write(started("charge"), status="RUNNING")
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
        await at.write(started("charge"), failed, park=Park("default", due))
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
        await at.write(started("charge"), failed)
        told = await at.told()
        assert (told.mover, told.until) == ("timer", due)

    scene(play)


def test_parked_without_a_time_waits_for_someone() -> None:
    async def play(at: Scene) -> None:
        await at.open()
        await at.claim(at.worker("w1"))
        await at.write(started("a"), park=Park("default", None))
        told = await at.told()
        assert (told.mover, told.until) == ("nobody", None)

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

    scene(play)


def test_what_runs_is_what_started_and_did_not_end() -> None:
    done = Event(e.NODE_COMPLETED, 0, "a", (), 1)
    failed = Event(e.NODE_FAILED, 0, "b", (), 1)
    tail = [started("a"), started("b"), done, failed, started("b", 2), started("c")]
    assert running(tail) == [("b", (), 2), ("c", (), 1)]
