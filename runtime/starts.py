"""How an execution begins: what a start says, and the one append that creates it. For doors, and for subflows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from axiom.compiler.artifact import Plan

from . import events as e
from .events import Event
from .limits import RETENTION_DAYS
from .store.base import Append, Create


class Start(NamedTuple):
    """What is to be started, checked already."""

    account: str
    graph_id: str
    plan: Plan
    input: Any
    webhook: Mapping[str, Any] | None = None
    """``{"url", "headers"}``."""
    config_id: str | None = None
    """The profile that the caller chose."""
    link: str | None = None
    """The caller's ``traceparent``."""
    key: str | None = None
    """The idempotency key."""
    request_hash: str = ""
    retention_days: float = RETENTION_DAYS
    """Where the flow says nothing."""
    scope: str | None = None
    """What the run's effects are counted in, where it isn't the run itself."""
    debug: Mapping[str, Any] | None = None
    """Of a debug run: ``{"breakpoints": [alias], "pause_at_start": bool}``."""
    parent: Mapping[str, Any] | None = None
    """Of a child: ``{"execution_id", "node", "iteration", "attempt", "waits"}``."""
    start_at: int | None = None
    """When it may be claimed, in ms; its deadline counts from then. ``None``: at once."""
    config: Mapping[str, Any] | None = None
    """What the run is configured with: ``configs.resolve``."""


def creation(now: int, start: Start, execution_id: str, value: Mapping[str, Any]) -> Append:
    """Return the append that creates an execution; ``value`` is its input, as its event holds it."""
    plan = start.plan
    body: dict[str, Any] = {
        "graph_id": start.graph_id,
        "flow": plan.name,
        "mode": plan.mode,
        "account": start.account,
        "input": value,
    }
    begins = now if start.start_at is None else max(now, start.start_at)
    if begins > now:
        body["ready_at"] = begins
    if plan.timeout_seconds is not None:
        body["deadline"] = begins + int(plan.timeout_seconds * 1000)
    given = {
        "webhook": start.webhook,
        "config_id": start.config_id,
        "config": start.config,
        "link": start.link,
        "key": start.key,
        "debug": start.debug,
        "parent": start.parent,
        "scope": start.scope,
    }
    if start.key is not None:
        body["request_hash"] = start.request_hash
    body.update({name: told for name, told in given.items() if told is not None})
    return born(now, start, execution_id, body)


def born(
    now: int, start: Start, execution_id: str, body: Mapping[str, Any], following: Sequence[Event] = ()
) -> Append:
    """Return the append that creates an execution whose first event has ``body``; others may follow it at once."""
    data = tuple(e.encode(event) for event in (Event(e.ACCEPTED, now, body=body), *following))
    plan = start.plan
    create = Create(
        start.account,
        plan.name,
        start.graph_id,
        plan.mode,
        plan.nodes[plan.entry].pool,
        plan.priority,
        body.get("ready_at", 0),
        start.retention_days if plan.retention_days is None else plan.retention_days,
        start.key,
        start.request_hash,
    )
    crcs = tuple(e.crc(execution_id, encoded) for encoded in data)
    return Append(execution_id, data, crcs, now, 0, create=create)
