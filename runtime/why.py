"""Why an execution stands where it stands, and what will move it next.

The answer is made from three things that anyone may read: the head, the last events of the journal, and the sessions of
the workers. It never guesses: where nothing will move a run by itself, it says so and names what is missing.

A run that waits for code lies in a queue named ``<pool>#<package>@<version>:<digest>``, which only workers with exactly
that code claim from; ``<pool>#<graph_id>`` is where a run waits whose artifact no worker could read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from axiom.compiler.artifact import Plan

from . import events as e
from .events import Event
from .results import STATUS_OF, error_of
from .store.base import FINAL, Head, Session, Store

TAIL: int = 64
"""Events looked at for what is under way: a parallel run has at most as many of interest at its end."""


class Why(NamedTuple):
    """``mover``: ``nobody`` (it has ended, or something is missing), ``worker``, ``lease``, ``timer``."""

    text: str
    mover: str
    until: int | None
    """When it moves at the latest, in ms, if that is known."""
    details: dict[str, Any]


async def why(store: Store, head: Head, plan: Plan | None, sessions: Sequence[Session]) -> Why:
    """Return what an execution waits for. ``plan`` names the pools of its nodes; ``None`` if it can't be read."""
    if head.status in FINAL:
        return await _ended(store, head)
    now = store.now()
    tail = await store.read(head.execution_id, max(0, head.seq - TAIL), TAIL)
    if head.session is not None:
        return _owned(head, sessions, tail, now)
    retry = _retry(tail, now)
    if head.ready_at is None:
        text = "It is parked until someone writes to it: an answer, an event or a cancel."
        return Why(text, "nobody", None, {"queue": head.queue})
    if head.ready_at > now:
        return _timed(head, plan, retry, tail)
    return _queued(head, sessions, now)


async def _ended(store: Store, head: Head) -> Why:
    last = await store.read(head.execution_id, head.seq - 1, 1)
    text = f"It has ended: {head.status}."
    details: dict[str, Any] = {"status": head.status}
    if last and last[0].kind in (e.FAILED, e.CANCELLED):
        error = error_of(last[0])
        details["error"] = error
        where = f" in node {error['node']}" if error["node"] else ""
        text = f"It has ended: {head.status}{where}, {error['code']}: {error['message']}"
    assert not last or last[0].kind in STATUS_OF
    return Why(text, "nobody", head.completed_at, details)


def _owned(head: Head, sessions: Sequence[Session], tail: Sequence[Event], now: int) -> Why:
    session = next((one for one in sessions if one.session == head.session), None)
    nodes = running(tail)
    doing = f" node {', '.join(sorted({name for name, _, _ in nodes}))}" if nodes else ""
    details: dict[str, Any] = {
        "session": head.session,
        "epoch": head.epoch,
        "nodes": [{"node": name, "iteration": list(at), "attempt": attempt} for name, at, attempt in nodes],
    }
    if session is not None and session.expires_at > now:
        worker = session.info.get("worker", head.session)
        details |= {"worker": worker, "host": session.info.get("host")}
        text = f"Worker {worker} runs{doing or ' it'}; its lease is renewed all the time."
        retry = _retry(tail, now)
        if not nodes and retry is not None:
            text = f"Worker {worker} holds it; {_retry_text(retry)}."
            return Why(text, "timer", retry.body["retry_at"], details)
        return Why(text, "worker", session.expires_at, details)
    lost = session.info.get("worker", head.session) if session is not None else head.session
    details["worker"] = lost
    if free := [one for one in sessions if _serves(one, head.queue) and one.expires_at > now]:
        text = f"Its worker {lost} is gone; {_names(free)} will take it over within a second."
        return Why(text, "worker", now + 1_000, details)
    text = f"Its worker {lost} is gone, and no other serves the queue {head.queue!r}. Start one."
    return Why(text, "nobody", None, {**details, "queue": head.queue})


def _timed(head: Head, plan: Plan | None, retry: Event | None, tail: Sequence[Event]) -> Why:
    details: dict[str, Any] = {"queue": head.queue}
    if retry is not None:
        details |= {"node": retry.node, "attempt": retry.attempt, "code": retry.body["code"]}
        return Why(
            f"{_retry_text(retry)[:1].upper()}{_retry_text(retry)[1:]}.", "timer", head.ready_at, details
        )
    if head.seq == 1:
        return Why("Its start was ordered for later.", "timer", head.ready_at, details)
    gate = _gate(tail, head.ready_at)
    if gate is not None:
        text = f"It waits at the gate {gate.node}, for the arms that have not arrived; its time is up then."
        return Why(text, "timer", head.ready_at, {**details, "node": gate.node})
    pools = sorted({node.pool for node in plan.nodes}) if plan is not None else []
    return Why("It waits for a moment in time.", "timer", head.ready_at, {**details, "pools": pools})


def _queued(head: Head, sessions: Sequence[Session], now: int) -> Why:
    alive = [one for one in sessions if one.expires_at > now]
    pool, _, needs = head.queue.partition("#")
    details: dict[str, Any] = {"queue": head.queue, "pool": pool, "workers": len(alive)}
    if free := [one for one in alive if _serves(one, head.queue)]:
        text = f"It is queued; {_names(free)} will claim it as soon as a slot is free."
        return Why(text, "worker", None, {**details, "slots": sum(_slots(one) for one in free)})
    in_pool = [one for one in alive if pool in one.info.get("pools", ())]
    if not needs:
        return Why(
            f"No worker serves the pool {pool!r}. Start one: axiom worker --pool {pool}",
            "nobody",
            None,
            details,
        )
    name, _, digest = needs.partition(":")
    details["package"] = name
    if not digest:
        text = (
            f"No worker could read its artifact {name}: a newer version of Axiom made it, or it is damaged."
        )
        return Why(text, "nobody", None, details)
    details["digest"] = digest
    others = {one.info.get("worker", one.session): one.info.get("packages", {}).get(name) for one in in_pool}
    has_other = {worker: has for worker, has in others.items() if has}
    if has_other:
        have = ", ".join(f"{worker} has {has[:12]}" for worker, has in sorted(has_other.items()))
        text = f"It needs {name} with the code {digest[:12]}, but {have}. Start a worker with that code."
        return Why(text, "nobody", None, {**details, "found": has_other})
    text = f"No worker of the pool {pool!r} has the package {name} (code {digest[:12]}). Start one on its folder."
    return Why(text, "nobody", None, details)


def running(tail: Sequence[Event]) -> list[tuple[str, tuple[int, ...], int]]:
    """Return ``(node, iteration, attempt)`` of what has started and not ended, by the events given."""
    open_: dict[tuple[str, tuple[int, ...]], int] = {}
    for event in tail:
        if event.node is None:
            continue
        if event.kind == e.NODE_STARTED:
            open_[(event.node, event.iteration)] = event.attempt
        elif event.kind in (e.NODE_COMPLETED, e.NODE_FAILED, e.NODE_CANCELLED):
            open_.pop((event.node, event.iteration), None)
    return [(node, iteration, attempt) for (node, iteration), attempt in open_.items()]


def _gate(tail: Sequence[Event], due: int | None) -> Event | None:
    """The gate whose timeout is the next thing that happens."""
    return next((event for event in tail if event.kind == e.GATE_WAITING and event.body["due"] == due), None)


def _retry(tail: Sequence[Event], now: int) -> Event | None:
    """The attempt that failed and waits for the soonest of the next ones."""
    waiting: dict[tuple[str | None, tuple[int, ...]], Event] = {}
    for event in tail:
        if event.kind == e.NODE_FAILED and event.body.get("retry_at") is not None:
            waiting[(event.node, event.iteration)] = event
        elif event.kind == e.NODE_STARTED:
            waiting.pop((event.node, event.iteration), None)
    return min(waiting.values(), key=lambda event: event.body["retry_at"], default=None)


def _retry_text(retry: Event) -> str:
    message = str(retry.body.get("message", ""))[:200]
    return (
        f"node {retry.node} failed in attempt {retry.attempt} ({retry.body['code']}: {message}); "
        f"attempt {retry.attempt + 1} follows"
    )


def _serves(session: Session, queue: str) -> bool:
    pool, _, needs = queue.partition("#")
    if pool not in session.info.get("pools", ()):
        return False
    if not needs:
        return True
    name, _, digest = needs.partition(":")
    return bool(digest) and session.info.get("packages", {}).get(name) == digest


def _slots(session: Session) -> int:
    return max(0, int(session.info.get("slots", 0)) - session.owned)


def _names(sessions: Sequence[Session]) -> str:
    names = sorted(str(one.info.get("worker", one.session)) for one in sessions)
    return names[0] if len(names) == 1 else f"one of {', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
