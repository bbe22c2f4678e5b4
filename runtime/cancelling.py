"""Ending a run from outside: the one append that does it, for doors and for parents that end their children."""

from __future__ import annotations

from axiom.compiler.artifact import Plan

from . import events as e
from . import orders
from .decide import to_undo
from .events import Event
from .reading import state_of
from .store.base import Append, Head, Outgoing, Status, Store
from .topology import Topology
from .webhooks import webhook_entry


async def cancellation(store: Store, head: Head, plan: Plan | None, reason: str) -> Append:
    """Return the append that cancels a live execution, and the children that it has, after ``head.seq``.

    Its ``status`` is CANCELLED, or COMPENSATING where a flow of ``on_cancel: compensate`` has something to undo.
    ``plan`` is ``None`` if it can't be read. ``StoreError``.
    """
    accepted = (await store.read(head.execution_id, 0, 1))[0].body
    at = max(store.now(), head.updated_at)
    event, status = Event(e.CANCELLED, at, body={"reason": reason}), Status.CANCELLED
    outbox: list[Outgoing] = []
    if plan is not None and (
        plan.on_cancel == "compensate" or any(node.kind == "flow" for node in plan.nodes)
    ):
        topology = Topology(plan)
        state = await state_of(store, topology, head)
        outbox += orders.of_cancel(head.execution_id, topology, state)
        if plan.on_cancel == "compensate" and to_undo(topology, state):
            event, status = event._replace(kind=e.CANCEL_REQUESTED), Status.COMPENSATING
    outbox += [*webhook_entry(accepted, event), *orders.of_end(head.execution_id, accepted, event)]
    data = e.encode(event)
    return Append(
        head.execution_id,
        (data,),
        (e.crc(head.execution_id, data),),
        at,
        head.seq,
        status=status,
        outbox=orders.numbered(outbox),
    )
