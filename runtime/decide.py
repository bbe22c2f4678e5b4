"""What should happen next. Pure: plan, state and time in, events out.

``decide`` returns the facts that follow from the state, to be written before anything is done about them: the engine
appends them and then performs each ``NodeStarted``. When they are applied and nothing else has happened, it has nothing
more to say, but after the kinds of ``AGAIN``; so after every append and every wake-up one call is enough.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Final

from . import events as e
from .debugging import free
from .events import Event
from .limits import PARALLEL_NODES, POISON_TAKEOVERS, SHORT_WAIT_MS
from .state import COMPLETED, NOT_TAKEN, Key, State, Wait
from .store.base import Park
from .topology import Topology

NOTHING: Final[tuple[Event, ...]] = ()
AGAIN: Final = (e.COMPENSATION_STARTED, e.GATE_TIMED_OUT)
"""Kinds that something may follow from at once: ``decide`` is asked again after one of them."""


def decide(
    topology: Topology, state: State, now: int, epoch: int, pools: Container[str]
) -> tuple[Event, ...] | list[Event]:
    """Return the next events for a worker that serves ``pools``; none if there is nothing to do but wait."""
    if state.status in ("COMPLETED", "FAILED", "CANCELLED"):
        return NOTHING
    at = max(now, state.at)
    ending = _ending(topology, state, at, epoch)
    if ending is not None:
        return (ending,)
    if state.held or not (state.ready or state.retrying or state.waiting or state.mapping or state.gate_dues):
        return NOTHING
    following: list[Event] = []
    if state.gate_dues:
        overdue = _overdue(topology, state, at, epoch)
        if overdue is not None:
            return (overdue,)
        following += _dues_of_gates(topology, state, at, epoch)
    if state.waiting or state.mapping:
        following += _wake(topology, state, at, epoch)
    room = PARALLEL_NODES - len(state.running)
    for key in state.ready if state.debug is None else free(state):
        if room <= 0:
            break
        if topology.plan.nodes[key[0]].pool in pools:
            following.append(_start(topology, key, 1, at, epoch))
            room -= 1
    for key, due in state.retrying.items():
        if due <= now and room > 0 and topology.plan.nodes[key[0]].pool in pools:
            following.append(_start(topology, key, state.nodes[key].attempt + 1, at, epoch))
            room -= 1
    return following


def _overdue(topology: Topology, state: State, at: int, epoch: int) -> Event | None:
    """A gate whose time is up. One by one: it may end others."""
    for (node, iteration), due in state.gate_dues.items():
        if 0 < due <= at:
            counts = {"arrived": state.counts[node, iteration].arrived, "arms": topology.needs[node]}
            return Event(e.GATE_TIMED_OUT, at, topology.aliases[node], iteration, 0, epoch, counts)
    return None


def _dues_of_gates(topology: Topology, state: State, at: int, epoch: int) -> list[Event]:
    """Until when the gates wait that have just begun to."""
    events: list[Event] = []
    for (node, iteration), due in state.gate_dues.items():
        timeout_ms = topology.joins[node].timeout_ms
        if due == 0 and timeout_ms:
            body = {"due": at + timeout_ms}
            events.append(Event(e.GATE_WAITING, at, topology.aliases[node], iteration, 0, epoch, body))
    return events


def _wake(topology: Topology, state: State, at: int, epoch: int) -> list[Event]:
    """What happens to the nodes that wait: those that have what they wait for go on, and people are reminded."""
    events: list[Event] = []
    taken: set[int] = set()
    for key, wait in state.waiting.items():
        body = waker(state, wait, at, taken)
        if body is not None:
            events.append(_woken(topology, state, key, at, epoch, body))
        elif wait.remind_at is not None and wait.remind_at <= at:
            every = topology.plan.nodes[key[0]].config["hitl"]["remind_every_ms"]
            changed = {"pause_id": wait.name, "action": "remind", "remind_at": at + every}
            events.append(Event(e.PAUSE_CHANGED, at, topology.aliases[key[0]], key[1], 0, epoch, changed))
    for key, mapping in state.mapping.items():
        if mapping.done == mapping.total:
            events.append(_woken(topology, state, key, at, epoch, {"by": "items"}))
    return events


def waker(state: State, wait: Wait, at: int, taken: set[int]) -> dict[str, Any] | None:
    if wait.kind == "pause" and len(wait.answers) >= wait.quorum:
        return {"by": "answer", "seq": wait.answers[-1]}
    if wait.kind == "permit":
        called = state.signals.get((wait.name, wait.key))
        return {"by": "signal", "seq": called[-1]} if called else None
    if wait.kind in ("event", "child"):
        for name in wait.signals:
            for seq in state.signals.get(name, ()):
                if seq not in taken:
                    taken.add(seq)
                    return {"by": "signal", "seq": seq}
    if wait.due is not None and wait.due <= at:
        return {"by": "time"}
    return None


def _woken(topology: Topology, state: State, key: Key, at: int, epoch: int, body: dict[str, Any]) -> Event:
    attempt = state.nodes[key].attempt
    return Event(e.NODE_WOKEN, at, topology.aliases[key[0]], key[1], attempt, epoch, body)


def next_due(state: State) -> int | None:
    """When the state changes by itself: the earliest retry or the deadline; ``None`` if never."""
    if state.held:
        return state.deadline
    dues = list(state.retrying.values())
    for wait in state.waiting.values():
        dues.extend(due for due in (wait.due, wait.remind_at) if due is not None)
    dues.extend(due for due in state.gate_dues.values() if due)
    if state.deadline is not None and state.undoing is None:
        dues.append(state.deadline)
    return min(dues) if dues else None


def park(topology: Topology, state: State, now: int, pools: Container[str]) -> Park | None:
    """How the owner may give the run up once nothing of it runs here: ``None`` if it should stay.

    A ready node of another pool sends it to that pool's queue. A wait of ``SHORT_WAIT_MS`` or more parks it until then.
    """
    if state.running or state.final:
        return None
    if state.held:
        idle = next(iter(state.ready or state.retrying or state.waiting), (topology.entry,))
        return Park(topology.plan.nodes[idle[0]].pool, state.deadline)
    ready = state.ready if state.debug is None else list(free(state))
    if ready:
        pools_wanted = [topology.plan.nodes[key[0]].pool for key in ready]
        return None if any(pool in pools for pool in pools_wanted) else Park(pools_wanted[0], 0)
    due = next_due(state)
    if due is not None and due - now < SHORT_WAIT_MS:
        return None
    waiting = next(iter(state.retrying or state.waiting), None)
    return Park(topology.plan.nodes[waiting[0] if waiting else topology.entry].pool, due)


def _ending(topology: Topology, state: State, at: int, epoch: int) -> Event | None:
    if state.undoing is not None:
        return None if state.undoing else _undone(topology, state, at, epoch)
    if state.end is not None and state.end[0] == COMPLETED:
        return Event(e.COMPLETED, at, epoch=epoch, body={"output_seq": state.end[1]})
    if state.cancelling is not None:
        return _undo(topology, state, at, epoch, {})
    if state.takeovers >= POISON_TAKEOVERS:
        return _poisoned(topology, state, at, epoch)
    if state.deadline is not None and at >= state.deadline:
        body = {"code": "run_timeout", "message": "the run did not end before its deadline"}
        return _undo(topology, state, at, epoch, body)
    if state.live or not state.accepted:
        return None
    return _undo(topology, state, at, epoch, _failure(topology, state))


def _failure(topology: Topology, state: State) -> dict[str, Any]:
    """Why a run in which nothing is alive has failed."""
    cause = state.doom or state.first
    if cause is not None:
        code, message, node, attempt = state.failures[cause]
        return {"code": code, "message": message, "node": node, "attempt": attempt}
    assert state.end is None or state.end[0] == NOT_TAKEN, "a run whose terminal failed has a cause"
    return {"code": "no_path_taken", "message": "no condition led to the terminal node"}


def _undo(topology: Topology, state: State, at: int, epoch: int, failure: dict[str, Any]) -> Event:
    """Begin to compensate if something completed that can be; else end."""
    done = to_undo(topology, state)
    if done:
        undo = [[topology.aliases[topology.undoes[key[0]]], list(key[1])] for key in done]
        return Event(e.COMPENSATION_STARTED, at, epoch=epoch, body={**failure, "undo": undo})
    return _end(state, at, epoch, failure)


def to_undo(topology: Topology, state: State) -> list[Key]:
    """Return what completed here and can be compensated, the latest first."""
    if not topology.undoes:
        return []
    done = (
        (run.seq, key)
        for key, run in state.nodes.items()
        if run.phase == COMPLETED and key[0] in topology.undoes and (run.attempt or state.heir)
    )
    return [key for _, key in sorted(done, reverse=True)]


def _undone(topology: Topology, state: State, at: int, epoch: int) -> Event:
    return _end(state, at, epoch, state.outcome or _failure(topology, state))


def _end(state: State, at: int, epoch: int, failure: dict[str, Any]) -> Event:
    if state.cancelling is not None:
        return Event(e.CANCELLED, at, epoch=epoch, body={"reason": state.cancelling})
    return Event(e.FAILED, at, epoch=epoch, body=failure)


def _poisoned(topology: Topology, state: State, at: int, epoch: int) -> Event:
    body: dict[str, Any] = {
        "code": "poisoned",
        "message": f"{state.takeovers} workers in a row died with this run in their hands",
    }
    suspect = next(iter(state.running), None)
    if suspect is not None:
        body |= {"node": topology.aliases[suspect[0]], "attempt": state.running[suspect]}
    return Event(e.FAILED, at, epoch=epoch, body=body)


def _start(topology: Topology, key: Key, attempt: int, at: int, epoch: int) -> Event:
    return Event(e.NODE_STARTED, at, topology.aliases[key[0]], key[1], attempt, epoch)
