"""Events from outside: to one run as a signal, or to whichever run waits for them. No HTTP in here."""

from __future__ import annotations

from typing import Any, Final

from axiom.compiler.artifact import Plan
from axiom.runtime import correlation
from axiom.runtime.catalog import load_plan
from axiom.runtime.clock import Clock
from axiom.runtime.correlation import Sent
from axiom.runtime.events import pack_value
from axiom.runtime.signals import SIGNAL_BYTES, signal
from axiom.runtime.store.base import FINAL, Head, Missing, Ok, Store
from axiom.runtime.store.base import Final as Ended

from .doors import AlreadyFinal, DoorError, NotStorable, UnknownExecution, persist
from .doors_pauses import BadAnswer
from .validation import refusals

KEEP_SECONDS_MOST: Final = 30 * 86_400


class UnknownSignal(DoorError):
    """The flow has no node that waits for an event of this name."""

    code = "unknown_signal"


class TooManyEvents(DoorError):
    """Too many events are kept for this name and value."""

    code = "too_many_events"


async def send_signal(
    store: Store, clock: Clock, head: Head, name: str, key: str | None, signal_id: str, payload: Any
) -> int:
    """Bring an event to one run; the seq that it has there, of a repeated id the first one's.

    It is kept until a node takes it. ``UnknownSignal``, ``BadAnswer``, ``NotStorable``, ``AlreadyFinal``.
    """
    _storable(payload)
    if head.status not in FINAL:
        check(await load_plan(store, head.graph_id), name, payload)
    item = await signal(store, head, name, key, signal_id, payload)
    outcome = await persist(store, clock, item)
    if isinstance(outcome, Ok):
        return outcome.seq
    if isinstance(outcome, Missing):
        raise UnknownExecution(head.execution_id)
    assert isinstance(outcome, Ended), f"a signal was answered by {outcome}"
    raise AlreadyFinal(f"execution {head.execution_id} is {outcome.status}")


async def send_event(
    store: Store, account: str, name: str, value: str, event_id: str, payload: Any, keep_seconds: int
) -> Sent:
    """Bring an event to the runs that wait for it, or keep it. ``BadAnswer``, ``NotStorable``, ``TooManyEvents``."""
    _storable(payload)
    for waiter in await correlation.waiters(store, correlation.where(account, name, value), name, value):
        check(waiter.plan, name, payload)
    try:
        return await correlation.send(store, account, name, value, event_id, payload, keep_seconds * 1_000)
    except correlation.TooManyKept as error:
        raise TooManyEvents(str(error)) from error


def check(plan: Plan, name: str, payload: Any) -> None:
    """``UnknownSignal`` if no node of a flow waits for ``name``; ``BadAnswer`` if none of them takes the payload."""
    nodes = [node for node in plan.nodes if node.kind == "event" and node.config["name"] == name]
    if any(node.type == "coded" for node in plan.nodes):
        return  # what a coded workflow waits for stands in its code
    if not nodes:
        known = sorted({node.config["name"] for node in plan.nodes if node.kind == "event"})
        waits = f"it waits for {', '.join(known)}" if known else "it waits for none"
        raise UnknownSignal(f"the flow {plan.name} waits for no event {name[:200]!r}; {waits}")
    wrong = [refusals(plan.messages.get(node.output, True), payload, "payload") for node in nodes]
    if all(wrong):
        raise BadAnswer(wrong[0])


def _storable(payload: Any) -> None:
    try:
        size = len(pack_value(payload))
    except (ValueError, OverflowError, TypeError) as error:
        raise NotStorable(f"the payload can't be kept: {error}") from error
    if size > SIGNAL_BYTES:
        raise NotStorable(f"the payload has {size} bytes; at most {SIGNAL_BYTES} are taken")
