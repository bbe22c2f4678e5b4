"""Holding a run: nothing new of it starts until someone resumes it. What runs finishes; a cancel still ends it."""

from __future__ import annotations

from typing import Any

from axiom.runtime import events as e
from axiom.runtime.catalog import owned_plan
from axiom.runtime.clock import Clock
from axiom.runtime.events import Event
from axiom.runtime.fold import fold
from axiom.runtime.limits import DOOR_TRIES
from axiom.runtime.reading import state_of
from axiom.runtime.state import IllegalTransition
from axiom.runtime.store.base import FINAL, Append, Missing, Ok, Store
from axiom.runtime.topology import Topology

from .doors import AlreadyFinal, Contended, DoorError, UnknownExecution, head_of, persist


class NotHoldable(DoorError):
    """It is held already, is not held, compensates, or is a stream."""

    code = "not_holdable"


async def hold(store: Store, clock: Clock, account: str, execution_id: str, told: dict[str, Any]) -> str:
    """Hold a run and return its status. ``told``: ``{by?, comment?}``. As ``resume``."""
    return await _write(store, clock, account, execution_id, e.HELD, told)


async def resume(store: Store, clock: Clock, account: str, execution_id: str, told: dict[str, Any]) -> str:
    """Let a held run go on and return its status. ``UnknownExecution``, ``AlreadyFinal``, ``NotHoldable``."""
    return await _write(store, clock, account, execution_id, e.RESUMED, told)


async def _write(
    store: Store, clock: Clock, account: str, execution_id: str, kind: str, told: dict[str, Any]
) -> str:
    for _ in range(DOOR_TRIES):
        head = await head_of(store, account, execution_id)
        if head.status in FINAL:
            raise AlreadyFinal(f"execution {execution_id} is {head.status}")
        if head.mode == "pipeline":
            raise NotHoldable("a stream can't be held: its reader sets the pace")
        topology = Topology(await owned_plan(store, account, head.graph_id))
        before = await state_of(store, topology, head)
        event = Event(kind, max(store.now(), before.at), body=told)
        try:
            after = fold(topology, before, (event,))
        except IllegalTransition as error:
            raise NotHoldable(f"execution {execution_id}: {error}") from error
        data = e.encode(event)
        status = after.status if after.status != head.status else None
        item = Append(execution_id, (data,), (e.crc(execution_id, data),), event.at, head.seq, status=status)
        outcome = await persist(store, clock, item)
        if isinstance(outcome, Ok):
            return after.status
        if isinstance(outcome, Missing):
            raise UnknownExecution(execution_id)
    raise Contended(f"execution {execution_id} moved {DOOR_TRIES} times while it was being held")
