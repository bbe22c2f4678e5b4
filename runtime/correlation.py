"""Events that find their runs: by name, and by the value that the flow's ``correlate`` yields.

Two kinds of documents meet, both under the hash of account, name and value. A node that begins to wait writes its
**subscription**, and looks at the events that are kept; whoever sends writes the **event**, and looks at the
subscriptions. Each looks after it wrote, so one of them finds the other. What is found is delivered as a signal, under
the event's id; whoever does that, and however often, the run counts it once.

An event goes to the runs that wait for it when it comes; if none does, it is kept for the first that begins to.
Whom it goes to is written into it before it is delivered (``to``), so that no crash can give it to others as well; when
it is delivered, a note of its id stays (**seen**) as long as it would have been kept, and it goes.

A subscription is not the truth, only where to look: the state of the run says whether it waits. It goes when the
wait is over; what a crash leaves, senders and the ``Sweeper`` remove. The sweeper also ends what a sender began.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from axiom.compiler.artifact import Plan

from . import events as e
from .catalog import readable_plan
from .clock import Clock
from .events import Event, pack_value, unpack_value
from .reading import state_of
from .signals import signal
from .store.base import FINAL, Document, Head, Ok, Store, StoreError
from .topology import Topology

SUBSCRIPTION: Final = "subscription"
EVENT: Final = "event"
SEEN: Final = "event_seen"
SUBSCRIBERS: Final = 100
"""Runs that one event goes to at most."""
KEPT: Final = 100
"""Events that are kept for one name and value; one more is refused."""
KEEP_MS: Final = 7 * 86_400_000
LOOK_SECONDS: Final = 60.0
BITE: Final = 200

if TYPE_CHECKING:
    from .engine import Execution

log = structlog.get_logger("axiom.correlation")


class TooManyKept(Exception):
    """As many events as may be are kept for this name and value, and nobody takes them."""

    code = "too_many_events"


class Sent(NamedTuple):
    """What became of an event."""

    to: tuple[str, ...]
    """The executions that it went to; none: it is kept."""
    until: int
    """How long it is kept, or known by its id; ms."""
    duplicate: bool
    """Whether its id was used before: then nothing else of this call counted."""


class Waiter(NamedTuple):
    """A run that waits for an event."""

    head: Head
    plan: Plan
    nodes: tuple[int, ...]


def where(account: str, name: str, value: str) -> str:
    """Return what documents about one name and value begin with."""
    return hashlib.sha256(f"{account}\n{name}\n{value}".encode()).hexdigest()[:40] + "/"


# --- the side that waits --------------------------------------------------------------------------------------------


async def subscribe(store: Store, account: str, name: str, value: str, execution_id: str, spot: str) -> None:
    """Note that a node (``spot``) is about to wait, and take what has come already. ``StoreError``."""
    place = where(account, name, value)
    await store.put(SUBSCRIPTION, f"{place}{execution_id}/{spot}", pack_value([name, value]))
    for document in await _kept(store, place):
        if execution_id in (await settle(store, document.key)).to:
            return


async def unsubscribe(
    store: Store, account: str, name: str, value: str, execution_id: str, spot: str
) -> None:
    """The wait is over. ``StoreError``."""
    await store.remove(SUBSCRIPTION, f"{where(account, name, value)}{execution_id}/{spot}")


async def follow(execution: Execution, events: Sequence[Event]) -> None:
    """Before a coded workflow's ``events`` are written: subscribe the waits that begin, end those that are over."""
    store, account = execution.host.store, execution.head.account
    for event in events:
        if event.kind == e.NODE_WAITING and event.body["for"] == "event" and event.body["key"] is not None:
            name, value, change = event.body["name"], event.body["key"], subscribe
        elif event.kind == e.NODE_WOKEN and (wait := execution.state.waiting.get((0, event.iteration))):
            if wait.kind != "event" or wait.key is None:
                continue
            name, value, change = wait.name, wait.key, unsubscribe
        else:
            continue
        spot = ".".join(map(str, event.iteration))
        await execution.writer.patiently(partial(change, store, account, name, value, execution.id, spot))


# --- the side that sends --------------------------------------------------------------------------------------------


async def send(
    store: Store, account: str, name: str, value: str, event_id: str, payload: Any, keep_ms: int = KEEP_MS
) -> Sent:
    """Send an event. Durable when it answers: delivered, or kept. ``TooManyKept``, ``StoreError``."""
    place = where(account, name, value)
    key = place + hashlib.sha256(event_id.encode()).hexdigest()[:32]
    seen = await store.get(SEEN, key)
    if seen is not None:
        return _seen(seen)
    if len(await store.documents(EVENT, place, limit=KEPT)) >= KEPT and await store.get(EVENT, key) is None:
        raise TooManyKept(f"{KEPT} events {name!r} are kept for this value, and nobody waits for them")
    now = store.now()
    record = {
        "name": name,
        "value": value,
        "id": event_id,
        "payload": payload,
        "at": now,
        "until": now + keep_ms,
        "to": [],
    }
    written = await store.put(EVENT, key, pack_value(record), expect=0)
    if written is not None and (seen := await store.get(SEEN, key)) is not None:
        await store.remove(EVENT, key)  # another call with this id was quicker, from beginning to end
        return _seen(seen)
    return (await settle(store, key))._replace(duplicate=written is None)


async def settle(store: Store, key: str) -> Sent:
    """Deliver a kept event to whoever waits for it, from wherever someone left off. ``StoreError``."""
    while True:
        document = await store.get(EVENT, key)
        if document is None:
            seen = await store.get(SEEN, key)
            return _seen(seen) if seen is not None else Sent((), 0, True)
        record = unpack_value(document.value)
        if not record["to"]:
            if record["until"] <= store.now():
                await store.remove(EVENT, key)
                return Sent((), record["until"], False)
            waiting = await waiters(store, key.partition("/")[0] + "/", record["name"], record["value"])
            if not waiting:
                return Sent((), record["until"], False)
            record["to"] = [waiter.head.execution_id for waiter in waiting]
            if await store.put(EVENT, key, pack_value(record), document.version) is None:
                continue
        to = await _deliver(store, record)
        if to:
            await store.put(SEEN, key, pack_value({"to": to, "until": record["until"]}))
            await store.remove(EVENT, key)
            return Sent(tuple(to), record["until"], False)
        document = await store.get(EVENT, key)
        if document is not None:  # those who waited have ended meanwhile: it is anyone's again
            await store.put(EVENT, key, pack_value({**record, "to": []}), document.version)


async def _deliver(store: Store, record: dict[str, Any]) -> list[str]:
    """Signal those whom an event goes to; those who have it then."""
    heads = [head for head in await store.heads(record["to"]) if head is not None]
    items = [
        await signal(store, head, record["name"], record["value"], record["id"], record["payload"])
        for head in heads
    ]
    outcomes = await store.append(items) if items else []
    return [
        head.execution_id for head, outcome in zip(heads, outcomes, strict=True) if isinstance(outcome, Ok)
    ]


async def waiters(store: Store, place: str, name: str, value: str) -> list[Waiter]:
    """Return the runs that wait for an event now; the subscriptions of those that don't any more go."""
    documents = await store.documents(SUBSCRIPTION, place, limit=SUBSCRIBERS)
    heads = await store.heads([_of(document) for document in documents])
    found: dict[str, Waiter] = {}
    for document, head in zip(documents, heads, strict=True):
        if head is None or head.status in FINAL:
            await store.remove(SUBSCRIPTION, document.key)
        elif head.execution_id not in found:
            plan = await readable_plan(store, head.graph_id)
            waiter = None if plan is None else await _waiter(store, head, plan, name, value)
            if waiter is None:
                await _remove_stale(store, document, head, plan)
            elif waiter.nodes:
                found[head.execution_id] = waiter
    return list(found.values())


async def _waiter(store: Store, head: Head, plan: Plan, name: str, value: str) -> Waiter | None:
    """What of a run waits for an event, or is about to; ``None`` if nothing. No nodes: it has got one already."""
    state = await state_of(store, Topology(plan), head)
    nodes = {
        key[0]
        for key, wait in state.waiting.items()
        if wait.kind == "event" and (wait.name, wait.key) == (name, value)
    }
    nodes |= {
        key[0]
        for key in state.running
        if key not in state.woken
        and plan.nodes[key[0]].kind == "event"
        and plan.nodes[key[0]].config["name"] == name
    }
    if not nodes and head.session is not None and plan.nodes[0].type == "coded":
        nodes = {0}  # it runs, and was about to wait
    if not nodes:
        return None
    return Waiter(head, plan, () if state.signals.get((name, value)) else tuple(sorted(nodes)))


async def _remove_stale(store: Store, document: Document, head: Head, plan: Plan | None) -> None:
    """Remove a subscription that nothing waits by; one of a run that moved since we looked is left alone."""
    now = (await store.heads((head.execution_id,)))[0]
    if plan is not None and (now is None or now.seq == head.seq):
        await store.remove(SUBSCRIPTION, document.key)


async def _kept(store: Store, place: str) -> list[Document]:
    """The events that are kept, oldest first."""
    found = await store.documents(EVENT, place, limit=KEPT)
    return sorted(found, key=lambda document: unpack_value(document.value)["at"])


def _of(document: Document) -> str:
    return document.key.split("/")[1]


def _seen(document: Document) -> Sent:
    record = unpack_value(document.value)
    return Sent(tuple(record["to"]), record["until"], True)


# --- what a crash leaves --------------------------------------------------------------------------------------------


class Sweeper:
    """Ends deliveries that their sender did not end, and removes what is out of date. Several do no harm."""

    def __init__(self, store: Store, clock: Clock, look_seconds: float = LOOK_SECONDS) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._look_seconds: Final = look_seconds
        self._task: asyncio.Task[Any] | None = None

    async def start(self) -> None:
        """Begin to look."""
        self._task = self._clock.spawn(self._loop(), "sweeper")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def sweep(self) -> None:
        """Look at everything once, a bite at a time. ``StoreError``."""
        for kind, look in ((EVENT, self._events), (SUBSCRIPTION, self._subscriptions), (SEEN, self._notes)):
            after = ""
            while documents := await self._store.documents(kind, "", after, BITE):
                after = documents[-1].key
                await look(documents)
                if len(documents) < BITE:
                    break

    async def _events(self, documents: Sequence[Document]) -> None:
        for document in documents:
            await settle(self._store, document.key)

    async def _subscriptions(self, documents: Sequence[Document]) -> None:
        heads = await self._store.heads([_of(document) for document in documents])
        for document, head in zip(documents, heads, strict=True):
            if head is None or head.status in FINAL:
                await self._store.remove(SUBSCRIPTION, document.key)

    async def _notes(self, documents: Sequence[Document]) -> None:
        for document in documents:
            if unpack_value(document.value)["until"] <= self._store.now():
                await self._store.remove(SEEN, document.key)

    async def _loop(self) -> None:
        while True:
            try:
                await self.sweep()
            except StoreError as error:
                log.warning("sweep_failed", error=str(error))
            await self._clock.sleep(self._look_seconds * (0.75 + self._clock.random() / 2))
