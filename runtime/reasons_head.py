"""Why a run stands where it stands, as far as its head and the workers' sessions say: ends, queues, leases.

A run that waits for code lies in a queue named ``<pool>#<package>@<version>:<digest>``, which only workers with exactly
that code claim from; ``<pool>#<graph_id>`` is where a run waits whose artifact no worker could read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from . import events as e
from .reasons import NOBODY, TIMER, WORKER, Reason, View, names, serves, span, worker_name
from .results import error_of
from .store.base import FINAL, Session

TAKEOVER_MS: Final = 1_000
"""A worker with room looks for executions of the dead at least so often."""
UNREADABLE: Final = "unreadable"


def ended(view: View) -> Iterator[Reason]:
    """A final status, and how it came to it."""
    head = view.head
    if head.status not in FINAL:
        return
    last = view.events.get(head.seq)
    error: dict[str, Any] = {}
    if last is not None and last.kind in (e.FAILED, e.CANCELLED):
        error = {**error_of(last), "attempt": last.body.get("attempt") or None}
    code, node = str(head.status).lower(), error.get("node")
    if not error:
        text, after = f"It has ended: {head.status}.", f"axiom executions get {view.id} shows the result."
    elif head.status == "CANCELLED":
        text = f"It has ended: {head.status}, {error['code']}: {error['message']}"
        after = "Nothing will move it. Start it again if it should run."
    else:
        attempt = f" (attempt {error['attempt']})" if (error["attempt"] or 0) > 1 else ""
        place = f" in node {node}{attempt}" if node else ""
        text = f"It has ended: {head.status}{place}, {error['code']}: {error['message']}"
        after = f"axiom executions events {view.id}{f' --node {node}' if node else ''} shows what led there."
    details = {"status": head.status, **({"error": error} if error else {})}
    yield Reason(code, text, after, NOBODY, node, (), head.completed_at, None, details)


def worker_gone(view: View) -> Iterator[Reason]:
    """Its owner's lease has run out."""
    head = view.head
    if head.session is None or view.owner is not None or head.status in FINAL:
        return
    session = next((one for one in view.sessions if one.session == head.session), None)
    lost = worker_name(session) if session is not None else head.session
    details = {"worker": lost, "session": head.session, "epoch": head.epoch, "queue": head.queue}
    free = [one for one in view.sessions if serves(one, head.queue) and one.expires_at > view.now]
    if free:
        text = f"Its worker {lost} is gone; {names(free)} will take it over within a second."
        after = "Nothing to do: it goes on from its last checkpoint."
        yield Reason(
            "worker_gone", text, after, WORKER, who=lost, until=view.now + TAKEOVER_MS, details=details
        )
        return
    text = f"Its worker {lost} is gone, and no other serves the queue {head.queue!r}. Start one."
    pool = head.queue.partition("#")[0]
    yield Reason("worker_gone", text, f"axiom worker --pool {pool}", NOBODY, who=lost, details=details)


def queued(view: View) -> Iterator[Reason]:
    """It may be claimed, and nobody has yet."""
    if not view.due_now:
        return
    head = view.head
    alive = [one for one in view.sessions if one.expires_at > view.now]
    pool, _, needs = head.queue.partition("#")
    details: dict[str, Any] = {"queue": head.queue, "pool": pool, "workers": len(alive)}
    can = [one for one in alive if serves(one, head.queue)]
    if can:
        yield _in_line(can, details)
    elif not needs:
        yield _no_pool(pool, details)
    elif ":" not in needs:
        yield _unreadable(needs, pool, details)
    else:
        yield _no_code(needs, pool, [one for one in alive if pool in one.info.get("pools", ())], details)


def _in_line(can: Sequence[Session], details: dict[str, Any]) -> Reason:
    slots = sum(map(_slots, can))
    details["slots"] = slots
    if slots:
        text = f"It is queued; {names(can)} will claim it as soon as a slot is free."
        return Reason("queued", text, "Nothing to do: there are free slots.", WORKER, details=details)
    busy = sum(one.owned for one in can)
    details["ahead"] = busy
    text = f"It is queued behind {busy} executions that fill every slot of {names(can)}."
    after = "It is claimed when one of them ends or parks; another worker, or more --concurrency, is sooner."
    return Reason("queued_behind", text, after, WORKER, details=details)


def _slots(session: Session) -> int:
    return max(0, int(session.info.get("slots", 0)) - session.owned)


def _no_pool(pool: str, details: dict[str, Any]) -> Reason:
    command = f"axiom worker --pool {pool}"
    text = f"No worker serves the pool {pool!r}. Start one: {command}"
    return Reason("no_worker", text, command, NOBODY, details=details)


def _unreadable(name: str, pool: str, details: dict[str, Any]) -> Reason:
    details["package"] = name
    after = f"Start a worker of the version that made it: axiom worker --pool {pool}"
    what = "its journal" if name == UNREADABLE else f"its artifact {name}"
    text = f"No worker could read {what}: a newer version of Axiom made it, or it is damaged."
    return Reason("unreadable", text, after, NOBODY, details=details)


def _no_code(needs: str, pool: str, in_pool: Sequence[Session], details: dict[str, Any]) -> Reason:
    name, _, digest = needs.partition(":")
    details |= {"package": name, "digest": digest}
    others = {worker_name(one): one.info.get("packages", {}).get(name) for one in in_pool}
    has_other = {worker: has for worker, has in others.items() if has}
    after = f"axiom worker FOLDER --pool {pool}, where FOLDER holds {name} as it was compiled."
    if has_other:
        have = ", ".join(f"{worker} has {has[:12]}" for worker, has in sorted(has_other.items()))
        text = f"It needs {name} with the code {digest[:12]}, but {have}. Start a worker with that code."
        return Reason("other_code", text, after, NOBODY, details={**details, "found": has_other})
    text = f"No worker of the pool {pool!r} has the package {name} (code {digest[:12]}). Start one on its folder."
    return Reason("no_package", text, after, NOBODY, details=details)


def delayed(view: View) -> Iterator[Reason]:
    """Its start was ordered for later."""
    head = view.head
    if head.session is None and head.seq == 1 and head.ready_at is not None and head.ready_at > view.now:
        text = f"Its start was ordered for later: {span(head.ready_at - view.now)} from now."
        yield Reason("delayed", text, "Nothing to do: it starts then.", TIMER, until=head.ready_at)


def held(view: View) -> Iterator[Reason]:
    """A worker has it in its hands."""
    owner, head = view.owner, view.head
    if owner is None or head.status in FINAL:
        return
    worker = worker_name(owner)
    details = {"worker": worker, "host": owner.info.get("host"), "session": head.session, "epoch": head.epoch}
    if head.mode == "pipeline":
        text = f"Worker {worker} streams it; {head.frames} frames are in its log. Its lease is renewed all the time."
    else:
        text = f"Worker {worker} holds it; its lease is renewed all the time."
    after = "If that worker dies, another takes it over when the lease is out."
    yield Reason("lease", text, after, WORKER, None, (), owner.expires_at, worker, details)


def parked(view: View) -> Iterator[Reason]:
    """It has no owner, and is in no queue or not yet due."""
    head = view.head
    if head.session is not None or head.status in FINAL or head.seq == 1:
        return
    details = {"queue": head.queue}
    if head.ready_at is None:
        text = "It is parked until someone writes to it: an answer, an event or a cancel."
        yield Reason("parked", text, "It costs nothing meanwhile.", NOBODY, details=details)
    elif head.ready_at > view.now:
        text = f"It is parked for {span(head.ready_at - view.now)}."
        after = "It is claimed then; whoever writes to it wakes it sooner."
        yield Reason("parked", text, after, TIMER, until=head.ready_at, details=details)
