"""Webhooks: told at least once, signed, in the face of receivers that fail, stall, redirect or lie."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from axiom.runtime import events as e
from axiom.runtime import webhooks
from axiom.runtime.clock import SystemClock, VirtualClock, run_virtual
from axiom.runtime.egress import Answer, Egress, Refused, Unreachable
from axiom.runtime.events import Event
from axiom.runtime.store.base import Append, Create, Ok, Store, Unclear
from axiom.runtime.store.memory import MemoryStore
from axiom.runtime.webhooks import Deliveries, origin, rotate_secret, secret_of, webhook_entry

URL = "https://hooks.example/a"


class Receiver:
    """Stands for the network: ``says`` decides each answer by URL and how often that was called."""

    def __init__(self, says: Callable[[str, int], int | Exception] = lambda url, n: 200) -> None:
        self.says = says
        self.calls: list[tuple[str, bytes, dict[str, str]]] = []
        self.at: list[float] = []
        self.most_at_once = 0
        self._at_once: dict[str, int] = {}
        self.stall: Callable[[str], Awaitable[None]] | None = None
        self.news = asyncio.Event()

    async def post(self, url: str, content: bytes, headers: dict[str, str]) -> Answer:
        self.calls.append((url, content, dict(headers)))
        self.at.append(asyncio.get_running_loop().time())
        self.news.set()
        self._at_once[url] = self._at_once.get(url, 0) + 1
        self.most_at_once = max(self.most_at_once, self._at_once[url])
        try:
            if self.stall is not None:
                await self.stall(url)
            said = self.says(url, sum(1 for called, _, _ in self.calls if called == url))
        finally:
            self._at_once[url] -= 1
        if isinstance(said, Exception):
            raise said
        return Answer(said, None)


async def ended(store: Store, clock: Any, url: str = URL, output: Any = 7, **hook: Any) -> str:
    """A run that has completed, with its webhook in the outbox."""
    execution_id = clock.token(16)
    now = store.now()
    body = {
        "graph_id": "g" * 32,
        "flow": "acme/fulfil",
        "mode": "unary",
        "account": "default",
        "input": {"value": 1},
        "webhook": {"url": url, "headers": {"x-mine": "yes"}, **hook},
    }
    events = (
        Event(e.ACCEPTED, now, body=body),
        Event(e.NODE_STARTED, now, "n", (), 1),
        Event(e.NODE_COMPLETED, now, "n", (), 1, body={"output": {"value": output}}),
        Event(e.COMPLETED, now, body={"output_seq": 3}),
    )
    create = Create("default", "acme/fulfil", "g" * 32, "unary", "default")
    assert await _write(store, execution_id, events[:1], 0, create=create) == Ok(1)
    outbox = webhook_entry(body, events[-1])
    assert await _write(store, execution_id, events[1:], 1, status="COMPLETED", outbox=outbox) == Ok(4)
    return str(execution_id)


async def _write(store: Store, execution_id: str, events: Any, after: int, **more: Any) -> Any:
    data = tuple(e.encode(event) for event in events)
    crcs = tuple(e.crc(execution_id, one) for one in data)
    return (await store.append([Append(execution_id, data, crcs, events[-1].at, after, **more)]))[0]


@asynccontextmanager
async def delivering(
    receiver: Receiver, clock: Any, store: Store | None = None, **more: Any
) -> AsyncIterator[Store]:
    store = store or MemoryStore(clock)
    await store.open()
    deliveries = Deliveries(store, clock, receiver, threaded=False, **more)  # type: ignore[arg-type]
    await deliveries.start()
    yield store
    await deliveries.stop()
    await store.close()


async def settled(store: Store, dead: int = 0) -> None:
    """Wait until all that is left in the outbox is dead."""
    while len(left := await store.outbox()) != dead or not all(entry.dead for entry in left):
        await asyncio.sleep(0.05)


def virtual(case: Callable[[VirtualClock], Awaitable[None]]) -> None:
    async def work() -> None:
        await case(VirtualClock(seed=1))

    run_virtual(work())


def test_a_delivery_is_signed_so_that_the_receiver_can_tell() -> None:
    """Verified with the library that receivers use; a changed body or another secret is found."""

    async def case() -> None:
        clock, receiver = SystemClock(), Receiver()
        async with delivering(receiver, clock) as store:
            execution_id = await ended(store, clock, output={"naïve": "ü"})
            async with asyncio.timeout(60):
                await settled(store)
            ((url, content, headers),) = receiver.calls
            secret = await secret_of(store, clock, "default")
            told = Webhook(secret).verify(content, headers)
            assert url == URL
            assert told["execution_id"] == execution_id
            assert told["graph_id"] == "g" * 32
            assert told["status"] == "COMPLETED"
            assert told["result"]["output"] == {"naïve": "ü"}
            assert told["result"]["success"] is True
            assert headers["webhook-id"] == f"{execution_id}/4/0"
            assert headers["x-mine"] == "yes"
            assert headers["content-type"] == "application/json"
            with pytest.raises(WebhookVerificationError):
                Webhook(secret).verify(content + b" ", headers)

    asyncio.run(case())


def test_after_a_rotation_both_secrets_verify_until_the_next() -> None:
    async def case() -> None:
        clock, receiver = SystemClock(), Receiver()
        async with delivering(receiver, clock) as store:
            old = await secret_of(store, clock, "default")
            new = await rotate_secret(store, clock, "default")
            assert old != new == await secret_of(store, clock, "default")
            await ended(store, clock)
            async with asyncio.timeout(60):
                await settled(store)
            ((_, content, headers),) = receiver.calls
            for secret in (old, new):
                Webhook(secret).verify(content, headers)
            newest = await rotate_secret(store, clock, "default")
            await ended(store, clock)
            async with asyncio.timeout(60):
                await settled(store)
            _, content, headers = receiver.calls[-1]
            Webhook(newest).verify(content, headers)
            with pytest.raises(WebhookVerificationError):
                Webhook(old).verify(content, headers)

    asyncio.run(case())


def test_a_failing_receiver_is_tried_again_with_the_same_id_until_it_takes_it() -> None:
    async def case(clock: VirtualClock) -> None:
        receiver = Receiver(lambda url, n: [500, Unreachable("timeout", "slow"), 302, 200][n - 1])
        async with delivering(receiver, clock) as store:
            await ended(store, clock)
            await settled(store)
            assert len(receiver.calls) == 4
            assert len({headers["webhook-id"] for _, _, headers in receiver.calls}) == 1
            assert len({content for _, content, _ in receiver.calls}) == 1
            gaps = [after - before for before, after in zip(receiver.at, receiver.at[1:], strict=False)]
            assert gaps == sorted(gaps), f"each wait is longer: {gaps}"
            assert gaps[0] >= 1.5

    virtual(case)


def test_after_a_day_an_entry_is_dead_and_listed_and_can_be_redelivered() -> None:
    async def case(clock: VirtualClock) -> None:
        down = True
        receiver = Receiver(lambda url, n: 503 if down else 200)
        async with delivering(receiver, clock) as store:
            began = clock.monotonic()
            execution_id = await ended(store, clock)
            await settled(store, dead=1)
            assert 86_400 <= clock.monotonic() - began <= 86_400 + 2 * 3_600 * 1.3
            assert 20 < len(receiver.calls) < 60
            (entry,) = await store.outbox(dead=True)
            assert "503" in (entry.error or "")
            down = False
            assert await store.redeliver(entry.name)
            await settled(store)
            assert receiver.calls[-1][2]["webhook-id"] == f"{execution_id}/4/0"

    virtual(case)


@pytest.mark.parametrize("said", [410, Refused("10.0.0.1 is private")])
def test_what_will_never_be_taken_is_not_tried_again(said: Any) -> None:
    async def case(clock: VirtualClock) -> None:
        receiver = Receiver(lambda url, n: said)
        async with delivering(receiver, clock) as store:
            await ended(store, clock)
            await settled(store, dead=1)
            assert len(receiver.calls) == 1

    virtual(case)


def test_one_dead_receiver_delays_nobody_else() -> None:
    async def case(clock: VirtualClock) -> None:
        receiver = Receiver(lambda url, n: 500 if "dead" in url else 200)
        async with delivering(receiver, clock) as store:
            for n in range(100):
                await ended(store, clock, f"https://dead.example/{n}")
            for n in range(20):
                await ended(store, clock, f"https://alive.example/{n}")
            began = clock.monotonic()
            while sum("alive" in url for url, _, _ in receiver.calls) < 20:
                await asyncio.sleep(0.05)
            assert clock.monotonic() - began < 20
            dead = sum("dead" in url for url, _, _ in receiver.calls)
            assert dead <= 30, f"a failing origin is probed, not flooded: {dead} calls"

    virtual(case)


def test_a_receiver_that_stalls_holds_a_bounded_number_of_deliveries() -> None:
    async def case(clock: VirtualClock) -> None:
        receiver = Receiver()
        release = asyncio.Event()

        async def stall(url: str) -> None:
            if "slow" in url:
                await release.wait()

        receiver.stall = stall
        async with delivering(receiver, clock) as store:
            for _ in range(60):
                await ended(store, clock, "https://slow.example/x")
            for n in range(10):
                await ended(store, clock, f"https://quick.example/{n}")
            while sum("quick" in url for url, _, _ in receiver.calls) < 10:
                await asyncio.sleep(0.05)
            assert receiver.most_at_once <= webhooks.PER_DESTINATION
            release.set()
            await settled(store)
            assert receiver.most_at_once <= webhooks.PER_DESTINATION

    virtual(case)


def test_a_process_that_dies_between_call_and_note_tells_twice_with_one_id() -> None:
    """At least once: the receiver sees the same webhook-id and can drop the second."""

    async def case() -> None:
        clock, receiver = SystemClock(), Receiver()
        store = MemoryStore(clock)
        await store.open()
        release = asyncio.Event()

        async def stall(url: str) -> None:
            await release.wait()

        receiver.stall = stall
        first = Deliveries(store, clock, receiver, threaded=False)  # type: ignore[arg-type]
        await first.start()
        await ended(store, clock)
        await receiver.news.wait()
        await first.stop()  # the call went out, its answer was never noted
        release.set()
        second = Deliveries(store, clock, receiver, threaded=False)  # type: ignore[arg-type]
        await second.start()
        async with asyncio.timeout(60):
            await settled(store)
        await second.stop()
        assert len(receiver.calls) == 2
        assert len({headers["webhook-id"] for _, _, headers in receiver.calls}) == 1
        await store.close()

    asyncio.run(case())


@pytest.mark.parametrize("call", ["claim_outbox", "settle_outbox"])
@pytest.mark.parametrize("done", [True, False])
def test_an_entry_is_told_though_a_claim_or_a_settlement_was_lost(call: str, done: bool) -> None:
    """The session lives on; what it can't be sure of it takes again."""

    async def case(clock: VirtualClock) -> None:
        receiver, store = Receiver(), Forgetful(clock)
        async with delivering(receiver, clock, store):
            store.forgets, store.done = call, done
            await ended(store, clock)
            await settled(store)
            assert store.forgets is None
            assert len(receiver.calls) == (2 if call == "settle_outbox" and not done else 1)

    virtual(case)


class Forgetful(MemoryStore):
    """Fails one call of the outbox that would do something, having done it or not."""

    forgets: str | None = None
    done = True

    async def claim_outbox(self, *args: Any) -> Any:
        lost = self.forgets == "claim_outbox"
        entries = await super().claim_outbox(*args) if self.done or not lost else ()
        if lost and (entries or not self.done):
            self.forgets = None
            raise Unclear("the answer was lost")
        return entries

    async def settle_outbox(self, *args: Any) -> None:
        lost, self.forgets = self.forgets == "settle_outbox", None
        if self.done or not lost:
            await super().settle_outbox(*args)
        if lost:
            raise Unclear("the answer was lost")


def test_an_exception_nobody_thought_of_loses_no_entry() -> None:
    async def case(clock: VirtualClock) -> None:
        receiver = Receiver(lambda url, n: RuntimeError("boom") if n == 1 else 200)
        async with delivering(receiver, clock) as store:
            await ended(store, clock)
            await settled(store)
            assert len(receiver.calls) == 2

    virtual(case)


def test_a_failed_and_a_cancelled_run_are_told_of_too() -> None:
    accepted = {"account": "a", "graph_id": "g", "webhook": {"url": URL}}
    for kind, body in ((e.FAILED, {"code": "c", "message": "m"}), (e.CANCELLED, {"reason": "r"})):
        (entry,) = webhook_entry(accepted, Event(kind, 1, body=body))
        assert entry.kind == "webhook"
        assert entry.destination == "https://hooks.example"


def test_a_run_without_a_webhook_makes_no_entry_and_no_other_event_does() -> None:
    accepted = {"account": "a", "graph_id": "g", "webhook": {"url": URL}}
    assert webhook_entry({**accepted, "webhook": None}, Event(e.COMPLETED, 1)) == ()
    assert webhook_entry(accepted, Event(e.NODE_STARTED, 1)) == ()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://A.example/x?y#z", "https://a.example"),
        ("http://a:81?x", "http://a:81"),
        ("http://[::1]:5/a", "http://[::1]:5"),
    ],
)
def test_backoff_is_counted_by_origin(url: str, expected: str) -> None:
    assert origin(url) == expected


def test_a_webhook_over_real_http_reaches_a_real_receiver() -> None:
    async def case() -> None:
        got: list[bytes] = []

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            got.append(await reader.readexactly(length))
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        clock = SystemClock()
        store = MemoryStore(clock)
        await store.open()
        egress = Egress(["127.0.0.1"])
        deliveries = Deliveries(store, clock, egress)
        await deliveries.start()
        await ended(store, clock, f"http://127.0.0.1:{port}/hook")
        async with asyncio.timeout(60):
            await settled(store)
        await deliveries.stop()
        await egress.close()
        server.close()
        await store.close()
        assert json.loads(got[0])["result"]["output"] == 7

    asyncio.run(case())
