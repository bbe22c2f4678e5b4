"""The carrier: takes what executions order of one another from the outbox, and does it.

``start`` creates a child, ``signal`` tells a parent of its child's end, ``cancel`` ends a child whose parent was
cancelled or went on without it. Every worker has a carrier, and the server has one, in the lane ``inside``: no webhook
stands before them. They wake by hints, and look every ``LOOK_SECONDS`` without one.

Each order may be carried more than once and counts once: a child's id is in its order, and a signal's de-duplication
id is the order's name. What is meant for an execution that is unknown or has ended counts as delivered.

What a carrier does it does in batches: one claim, one append, one settlement. When an answer is lost it says with its
next claim that it holds nothing, and takes the same orders again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import structlog

from axiom.compiler.artifact import Plan

from . import events as e
from .cancelling import cancellation
from .clock import Clock
from .configs import resolve
from .events import Event, pack_value, unpack_value
from .limits import INLINE_VALUE_BYTES
from .orders import CHILD, child_id, started_by
from .reading import present
from .results import NotFinal, ValueGone, result_of
from .starts import Start, creation
from .store.base import (
    FINAL,
    Append,
    Conflict,
    Hint,
    OutboxEntry,
    Settle,
    Store,
    StoreError,
)
from .store.lanes import CANCEL, INSIDE, START
from .store.watching import LOOK_AT_EVERYTHING

BATCH: Final = 64
"""Orders carried at once."""
LOOK_SECONDS: Final = 10.0
"""How long it waits without a hint before it looks all the same (jittered)."""
FIRST_DELAY_MS: Final = 500
MOST_DELAY_MS: Final = 60_000
PAUSE_SECONDS: Final = 0.2

log = structlog.get_logger("axiom.carrier")

PlanOf = Callable[[str], Awaitable[Plan]]
"""``graph_id`` → its plan; cached by whoever gives it."""


class Carrier:
    """See the top of the file. ``session`` is a live one of whoever starts it; what it holds ends with it."""

    def __init__(self, store: Store, clock: Clock, session: str, plan_of: PlanOf) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._session: Final = session
        self._plan_of: Final = plan_of
        self._news = asyncio.Event()
        self._unwatch: Callable[[], None] | None = None
        self._task: asyncio.Task[Any] | None = None

    async def start(self) -> None:
        """Begin to carry."""
        self._unwatch = self._store.watch(self._on_hints, ("outbox",))
        self._news.set()
        self._task = self._clock.spawn(self._loop(), "carrier")

    async def stop(self) -> None:
        """Stop; what is under way is carried by another."""
        if self._unwatch is not None:
            self._unwatch()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _on_hints(self, hints: Sequence[Hint]) -> None:
        if any(hint.subject == INSIDE or hint == LOOK_AT_EVERYTHING for hint in hints):
            self._news.set()

    async def _loop(self) -> None:
        unsure = False
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS * (0.75 + self._clock.random() / 2)):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()
            try:
                holding = () if unsure else None
                entries = await self._store.claim_outbox(self._session, BATCH, INSIDE, holding)
                unsure = False
                if entries:
                    await self._store.settle_outbox(self._session, await self._carry(entries))
                    self._news.set()  # what stood behind them may go now
            except StoreError as error:
                log.warning("orders_not_carried", error=str(error))
                unsure = True
                self._news.set()
                await self._clock.sleep(PAUSE_SECONDS)

    async def _carry(self, entries: Sequence[OutboxEntry]) -> list[Settle]:
        """Do what the entries say, as far as that is possible now, and say what becomes of each. ``StoreError``."""
        settled: dict[str, Settle] = {entry.name: Settle(entry.name, None) for entry in entries}
        made = await asyncio.gather(*(self._made(entry) for entry in entries))
        items = []
        for entry, item in zip(entries, made, strict=True):
            if isinstance(item, Append):
                items.append((entry, item))
            elif item is not None:
                settled[entry.name] = self._again(entry, item)
        for (entry, _), outcome in zip(
            items, await self._store.append([item for _, item in items]) if items else [], strict=True
        ):
            if isinstance(outcome, Conflict):  # a cancel: the child moved meanwhile
                settled[entry.name] = Settle(entry.name, self._store.now(), error="the execution moved")
        return list(settled.values())

    async def _made(self, entry: OutboxEntry) -> Append | str | None:
        """Return the append that an order stands for; ``None`` if there is nothing to do, a text if it failed."""
        try:
            order = unpack_value(entry.payload)
            if entry.kind == START:
                return await self._start(entry, order)
            if entry.kind == CANCEL:
                return await self._cancel(entry, order)
            return await self._signal(entry, order)
        except StoreError:
            raise
        except Exception as error:  # whatever it is, it must not hold up the others
            log.exception("order_broken", order=entry.name, kind=entry.kind)
            return f"{type(error).__name__}: {error}"

    async def _start(self, entry: OutboxEntry, order: dict[str, Any]) -> Append | None:
        parent, child = entry.execution_id, entry.destination
        read = await self._store.read(parent, order["seq"] - 1, 1)
        if not read or started_by(read[0]) != child:
            return None  # the parent is gone, or this end of its journal
        event = read[0]
        value = event.body["input"]
        if "blob" in value:
            data = await self._store.blob(parent, value["blob"])
            if data is None:
                return None  # deleted just now
            await self._store.put_blob(child, "input", data)
            value = {"blob": "input", "size": len(data)}
        plan = await self._plan_of(order["graph_id"])
        start = Start(
            order["account"],
            order["graph_id"],
            plan,
            None,
            config_id=order["config_id"],
            retention_days=order["retention_days"],
            scope=child_id(order["scope"], str(event.node), event.iteration, 0),
            parent={
                "execution_id": parent,
                "node": event.node,
                "iteration": list(event.iteration),
                "attempt": event.attempt,
                "waits": event.kind == e.NODE_WAITING,
            },
            config=await resolve(self._store, order["account"], plan, inherited=order.get("config")),
        )
        return creation(self._store.now(), start, child, value)

    async def _signal(self, entry: OutboxEntry, order: dict[str, Any]) -> Append | None:
        parent, child = entry.destination, order["child"]
        heads = await self._store.heads((parent, child))
        if heads[0] is None or heads[0].status in FINAL or heads[1] is None:
            return None
        try:
            result = await result_of(self._store, child, heads[1].seq)
        except (NotFinal, ValueGone):
            return None  # deleted by hand
        told = {"child": child, "status": result.status, "output": result.output, "error": result.error}
        packed = pack_value(told)
        value: dict[str, Any] = {"value": told}
        if len(packed) > INLINE_VALUE_BYTES:
            name = f"child.{child}"
            await self._store.put_blob(parent, name, packed)
            value = {"blob": name, "size": len(packed)}
        at = max(self._store.now(), heads[0].updated_at)
        body = {"name": child, "key": CHILD, "id": entry.name, "payload": value}
        data = e.encode(Event(e.SIGNAL_RECEIVED, at, body=body))
        return Append(parent, (data,), (e.crc(parent, data),), at, dedup=entry.name)

    async def _cancel(self, entry: OutboxEntry, order: dict[str, Any]) -> Append | None:
        head = (await self._store.heads((entry.destination,)))[0]
        if head is None or head.status in FINAL:
            return None
        plan = await self._plan_of((await present(self._store, head)).graph_id)
        return await cancellation(self._store, head, plan, order["reason"])

    def _again(self, entry: OutboxEntry, error: str) -> Settle:
        delay = min(FIRST_DELAY_MS * 2 ** min(entry.attempts, 10), MOST_DELAY_MS)
        return Settle(entry.name, self._store.now() + delay, error=error[:500])
