"""Restarting a run that failed, and forking one from any of its checkpoints: new executions (``runtime/forks.py``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from axiom.compiler.artifact import Plan
from axiom.compiler.expressions import EvaluationError
from axiom.runtime import events as e
from axiom.runtime import telemetry
from axiom.runtime.catalog import owned_plan
from axiom.runtime.clock import Clock
from axiom.runtime.context import idempotency_key
from axiom.runtime.events import Event
from axiom.runtime.family import link_fork
from axiom.runtime.forks import FORK, RESTART, Edit, Made, Origin, Unforkable, compacted, fork
from axiom.runtime.prepared import Prepared
from axiom.runtime.reading import carried
from axiom.runtime.results import ValueGone
from axiom.runtime.starts import Start, born
from axiom.runtime.store.base import Exists, Head, Ok, Status, Store
from axiom.runtime.store.ids import new_execution_id

from .doors import Contended, DoorError, IdempotencyMismatch, persist


class NotForkable(DoorError):
    """It can't be forked or restarted like that."""

    code = "not_forkable"


class Asked(NamedTuple):
    """What is asked for, checked already."""

    kind: str
    node: str | None = None
    iteration: tuple[int, ...] | None = None
    seq: int | None = None
    edit: bool = False
    value: Any = None
    key: str | None = None
    request_hash: str = ""


class Ready(NamedTuple):
    """A fork that could be made."""

    head: Head
    plan: Plan
    made: Made
    origin: Origin
    history: Sequence[Event]


async def prepare(store: Store, head: Head, asked: Asked) -> Ready:
    """Work out how the fork would begin. ``NotForkable``, ``UnknownArtifact``."""
    plan = await owned_plan(store, head.account, head.graph_id)
    if asked.kind == RESTART and head.status not in (Status.FAILED, Status.CANCELLED):
        raise NotForkable(f"execution {head.execution_id} is {head.status}: only what failed is restarted")
    history: list[Event] = []
    while events := await store.read(head.execution_id, len(history)):
        history += events
    history = list(carried(history))
    if asked.kind == RESTART and any(event.kind == e.COMPENSATION_STARTED for event in history):
        raise NotForkable("what this run did was undone: fork it, or start anew")
    if plan.mode == "pipeline" and asked.kind == FORK and asked.seq != 1:
        raise NotForkable("a stream has no checkpoints to fork from but its input: give seq 1, or restart it")
    prepared = Prepared(head.graph_id, plan, lambda node: None)
    seq = _seq(history, asked)
    origin = Origin(head.execution_id, asked.kind, seq, Edit(seq, asked.value) if asked.edit else None)
    try:
        made = fork(prepared, history, origin, store.now())
    except EvaluationError as error:
        raise NotForkable(f"a condition behind the new value can't be told: {error}") from error
    except Unforkable as error:
        raise NotForkable(str(error)) from error
    return Ready(head, plan, made, origin, history)


def _seq(history: Sequence[Event], asked: Asked) -> int:
    last = history[-1].seq
    if asked.seq is not None:
        if asked.seq > last:
            raise NotForkable(f"the journal ends at {last}")
        return asked.seq
    if asked.node is None:
        return last
    found = [
        event.seq
        for event in history
        if event.node == asked.node
        and event.kind in (e.NODE_COMPLETED, e.NODE_REUSED)
        and asked.iteration in (None, event.iteration)
    ]
    if not found:
        raise NotForkable(f"{asked.node} has no checkpoint in this run")
    return found[-1]


def plan_of(ready: Ready) -> dict[str, Any]:
    """Return what would happen, in JSON: what is reused, what runs again, and whose effects happen once more."""
    made, topology = ready.made, Prepared(ready.head.graph_id, ready.plan, lambda node: None).topology
    scope = made.accepted.get("scope")
    reused = [
        {
            "node": event.node,
            "iteration": list(event.iteration),
            "seq": event.body["from"],
            "outcome": "failed"
            if "code" in event.body
            else "opened"
            if "opened" in event.body
            else "completed",
            "edited": bool(event.body.get("edited")),
        }
        for event in made.reused
    ]
    starts = [
        {"node": topology.aliases[number], "iteration": list(iteration)}
        for number, iteration in made.state.ready
    ]
    effects = [
        {
            "node": event.node,
            "iteration": list(event.iteration),
            "seq": event.seq,
            "idempotency_key": idempotency_key(scope, str(event.node), event.iteration) if scope else None,
            "counts_once": scope is not None,
        }
        for event in _began_again(ready)
    ]
    return {
        "kind": ready.origin.kind,
        "origin": {"execution_id": ready.origin.execution_id, "seq": ready.origin.seq},
        "reused": reused,
        "starts": starts,
        "effects": effects,
    }


def _began_again(ready: Ready) -> list[Event]:
    """The nodes with handlers that have begun in the origin and are not taken over: their effects may happen again."""
    taken = {(event.node, event.iteration) for event in ready.made.reused}
    effects: dict[tuple[str | None, tuple[int, ...]], Event] = {}
    numbers = ready.plan.numbers
    for event in ready.history:
        place = (event.node, event.iteration)
        if event.kind == e.NODE_STARTED and place not in taken:
            node = ready.plan.nodes[numbers[event.node or ""]]
            if node.kind == "node" and not node.pure:
                effects[place] = event
    return list(effects.values())


async def make(store: Store, clock: Clock, ready: Ready, asked: Asked) -> tuple[str, bool]:
    """Create the fork; its id, and whether it is new (else the key had made it). ``IdempotencyMismatch``, …"""
    head, plan = ready.head, ready.plan
    execution_id = new_execution_id(clock, head.account, plan.name or head.graph_id, asked.key)
    made, blobs = compacted(ready.made)
    for name in made.blobs:
        data = await store.blob(head.execution_id, name)
        if data is None:
            raise ValueGone(f"execution {head.execution_id} has no value {name!r} any more")
        await store.put_blob(execution_id, name, data)
    for name, data in blobs.items():
        await store.put_blob(execution_id, name, data)
    now = max(store.now(), made.state.at)
    body = {**made.accepted, "graph_id": head.graph_id, "flow": plan.name}  # it may have moved to another
    if plan.timeout_seconds is not None:
        body["deadline"] = now + int(plan.timeout_seconds * 1000)
    if asked.key is not None:
        body |= {"key": asked.key, "request_hash": asked.request_hash}
    start = Start(
        head.account,
        head.graph_id,
        plan,
        None,
        key=asked.key,
        request_hash=asked.request_hash,
        retention_days=head.retention_days,
    )
    await link_fork(store, ready.origin, execution_id)
    reused = [event._replace(at=now) for event in made.reused]
    outcome = await persist(store, clock, born(now, start, execution_id, body, reused))
    if isinstance(outcome, Exists):
        if outcome.request_hash != asked.request_hash:
            raise IdempotencyMismatch(f"the Idempotency-Key {asked.key!r} was used for another request")
        return outcome.execution_id, False
    if not isinstance(outcome, Ok):
        raise Contended(f"the store answered {outcome} to a start")
    telemetry.RUNS_STARTED.labels(plan.mode).inc()
    return execution_id, True
