"""The fold: one event after another makes the state (``state.py``).

Invariants, raised here as ``IllegalTransition`` and checked over stored histories by ``verify.py``: a node completes at
most once per iteration; a result counts only for the attempt that is running; nothing follows a final status.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from . import debugging
from . import events as e
from .events import Event
from .limits import SHORT_WAIT_MS
from .mapping import close_map, item_done, open_map
from .settling import cancel, completed, fail, make_ready, settle, time_out
from .state import (
    ASKS_AGAIN,
    COMPLETED,
    FAILED,
    RATE,
    READY,
    RETRYING,
    RUNNING,
    WAITING,
    IllegalTransition,
    Key,
    Run,
    State,
    Wait,
    Woken,
)
from .store.base import FINAL, Status
from .topology import Topology


def fold(topology: Topology, state: State, events: Iterable[Event]) -> State:
    """Return the state after ``events``. ``IllegalTransition`` if one can't follow; ``state`` itself never changes."""
    draft = state.copy()
    extend(topology, draft, events)
    return draft


def extend(topology: Topology, draft: State, events: Iterable[Event]) -> None:
    """Apply ``events`` to a state that is the caller's own copy, and nobody else's yet."""
    table = CODED if topology.coded else APPLY
    for event in events:
        if draft.status in FINAL:
            raise IllegalTransition(f"{event.kind} after {draft.status}")
        draft.seq += 1
        if event.at > draft.at:
            draft.at = event.at
        if event.epoch > draft.epoch:
            draft.epoch = event.epoch
        apply = table.get(event.kind)
        if apply is not None:
            apply(topology, draft, event)


def admits(topology: Topology, state: State, event: Event) -> bool:
    """Whether a node's result still counts: the run is on, and this very attempt is running."""
    if state.status in FINAL or event.node is None:
        return False
    return state.running.get((topology.numbers[event.node], event.iteration)) == event.attempt


# --- the run --------------------------------------------------------------------------------------------------------


_NO_ORIGIN: Final = {"kind": ""}


def _accepted(topology: Topology, draft: State, event: Event) -> None:
    if draft.seq != 1:
        raise IllegalTransition("an execution is accepted once, first of all")
    draft.accepted = True
    draft.deadline = event.body.get("deadline")
    draft.heir = event.body.get("origin", _NO_ORIGIN)["kind"] == "restart"
    debugging.opened(topology, draft, event)
    entry = (topology.entry, topology.opening())
    ready_at = event.body.get("ready_at", 0)
    if ready_at > event.at and topology.plan.mode == "unary":
        draft.nodes = draft.nodes.set(entry, Run(RETRYING, 0, draft.seq, ready_at))
        draft.retrying = draft.retrying.set(entry, ready_at)
    else:
        make_ready(draft, entry)


def _started(topology: Topology, draft: State, event: Event) -> None:
    draft.started = True
    draft.status = Status.PAUSED if draft.held else Status.RUNNING
    _rest(draft)  # one that starts later was claimed because somebody wrote to it


def _taken_over(topology: Topology, draft: State, event: Event) -> None:
    draft.takeovers += 1


def _migrated(topology: Topology, draft: State, event: Event) -> None:
    draft.graph = event.body["to"]


def _cancel_requested(topology: Topology, draft: State, event: Event) -> None:
    draft.cancelling = str(event.body.get("reason", ""))
    draft.held = 0
    draft.status = Status.COMPENSATING
    if draft.undoing is None:
        cancel(draft, lambda node: True)


def _held(topology: Topology, draft: State, event: Event) -> None:
    if draft.held or draft.undoing is not None or draft.cancelling is not None:
        raise IllegalTransition("it is held already, or compensates")
    draft.held = draft.seq
    draft.status = Status.PAUSED


def _resumed(topology: Topology, draft: State, event: Event) -> None:
    if not draft.held:
        raise IllegalTransition("it is not held")
    draft.held = 0
    draft.status = Status.RUNNING if draft.started else Status.QUEUED
    _rest(draft)


def _compensation_started(topology: Topology, draft: State, event: Event) -> None:
    draft.held = 0
    cancel(draft, lambda node: True)
    draft.undoing = tuple(
        (topology.numbers[alias], tuple(iteration)) for alias, iteration in event.body["undo"]
    )
    draft.outcome = {name: told for name, told in event.body.items() if name != "undo"}
    draft.status = Status.COMPENSATING
    _undo_next(draft)


def _undo_next(draft: State) -> None:
    assert draft.undoing is not None
    if draft.undoing:
        make_ready(draft, draft.undoing[0])


def _ended(topology: Topology, draft: State, event: Event) -> None:
    draft.status = ENDS[event.kind]
    draft.outcome = dict(event.body)
    cancel(draft, lambda node: True)


# --- nodes ----------------------------------------------------------------------------------------------------------


def _node_started(topology: Topology, draft: State, event: Event) -> None:
    key = _key(topology, event)
    run = draft.nodes.get(key)
    if run is None or run.phase not in (READY, RETRYING) or event.attempt != run.attempt + 1:
        raise IllegalTransition(f"{event.node} starts attempt {event.attempt} while {run and run.phase}")
    if run.phase == READY:
        draft.ready = draft.ready.delete(key)
        debugging.begun(draft, key)
    else:
        draft.retrying = draft.retrying.delete(key)
    _run(draft, key, event.attempt)


def _run(draft: State, key: Key, attempt: int) -> None:
    draft.running = draft.running.set(key, attempt)
    draft.nodes = draft.nodes.set(key, Run(RUNNING, attempt, draft.seq))
    if draft.undoing is None:
        draft.status = Status.RUNNING


def _node_completed(topology: Topology, draft: State, event: Event) -> None:
    _completes(topology, draft, _finish_attempt(topology, draft, event), event)
    _rest(draft)


def _completes(topology: Topology, draft: State, key: Key, event: Event) -> None:
    draft.nodes = draft.nodes.set(key, Run(COMPLETED, event.attempt, draft.seq))
    if draft.undoing is not None:
        draft.undoing = draft.undoing[1:]
        _undo_next(draft)
    elif key[0] in topology.mapped and len(key[1]) > topology.depths[key[0]]:
        item_done(draft, key)
    else:
        completed(topology, draft, key, event.body.get("skipped", ()))


def _node_reused(topology: Topology, draft: State, event: Event) -> None:
    """An outcome of the run that this one is a fork of: as if the node had started and ended here."""
    key, body = _key(topology, event), event.body
    if key in draft.mapping:
        draft.mapping = draft.mapping.delete(key)
    elif key in draft.ready and not draft.started:
        draft.ready = draft.ready.delete(key)
    else:
        raise IllegalTransition(f"{event.node} is reused where it could not run")
    if "opened" in body:
        open_map(draft, key, body["opened"], event.attempt)
    elif "code" in body:
        failure = (body["code"], str(body["message"])[:500], str(event.node), event.attempt)
        _failed_for_good(topology, draft, key, failure, event)
    else:
        _completes(topology, draft, key, event)


def _node_failed(topology: Topology, draft: State, event: Event) -> None:
    retry_at = event.body.get("retry_at")
    if retry_at is not None:
        key = _finish_attempt(topology, draft, event, forget=False)
        draft.nodes = draft.nodes.set(key, Run(RETRYING, event.attempt, draft.seq, retry_at))
        draft.retrying = draft.retrying.set(key, retry_at)
        if draft.woken:
            _ask_once(draft, key)
    else:
        key = _finish_attempt(topology, draft, event)
        failure = (event.body["code"], str(event.body["message"])[:500], str(event.node), event.attempt)
        _failed_for_good(topology, draft, key, failure, event)
    _rest(draft)


def _ask_once(draft: State, key: Key) -> None:
    """What is tried again starts another child, or takes its turn again, with what people had said before."""
    woken = draft.woken.get(key)
    if woken is not None and (woken.child or woken.by == RATE):
        before = woken.before
        draft.woken = draft.woken.set(key, Woken(*before)) if before else draft.woken.delete(key)


def _failed_for_good(
    topology: Topology, draft: State, key: Key, failure: tuple[str, str, str, int], event: Event
) -> None:
    if draft.undoing is not None:
        draft.nodes = draft.nodes.set(key, Run(FAILED, event.attempt, draft.seq))
        draft.failures = draft.failures.set(key, failure)
        draft.undoing = draft.undoing[1:]
        _undo_next(draft)
        return
    if key[0] in topology.mapped and len(key[1]) > topology.depths[key[0]]:
        draft.nodes = draft.nodes.set(key, Run(FAILED, event.attempt, draft.seq))
        draft.failures = draft.failures.set(key, failure)
        parent = (key[0], key[1][:-1])
        if draft.mapping[parent].tolerant:
            item_done(draft, key)
            return
        close_map(draft, parent)
        key = parent
    settle(topology, draft, fail(topology, draft, key, failure, event.body.get("skipped", ()), event.attempt))


def _node_waiting(topology: Topology, draft: State, event: Event) -> None:
    before = draft.woken.get(_key(topology, event)) if event.body["for"] in KEEPS else None
    key = _finish_attempt(topology, draft, event)
    body = event.body
    wait = Wait(
        body["for"],
        body.get("due"),
        body.get("name", ""),
        body.get("key"),
        body.get("quorum", 1),
        (),
        body.get("remind_at"),
        body.get("level", 0),
        draft.seq,
        before,
    )
    draft.nodes = draft.nodes.set(key, Run(WAITING, event.attempt, draft.seq))
    draft.waiting = draft.waiting.set(key, wait)
    if wait.kind == "pause":
        draft.pauses = draft.pauses.set(wait.name, key)
    _rest(draft)


def _node_woken(topology: Topology, draft: State, event: Event) -> None:
    key = _key(topology, event)
    woken = Woken(event.body["by"], event.body.get("seq", 0))
    if key in draft.mapping:
        draft.mapping = draft.mapping.delete(key)
    else:
        wait = draft.waiting.get(key)
        if wait is None:
            raise IllegalTransition(f"{event.node} is woken, and did not wait")
        draft.waiting = draft.waiting.delete(key)
        woken = woken._replace(level=wait.level, child=wait.kind == "child", before=wait.before)
        if wait.kind == "pause":
            draft.pauses = draft.pauses.delete(wait.name)
        if wait.kind in ASKS_AGAIN:
            _asks_again(draft, key, wait)
            _run(draft, key, event.attempt)
            return
        if woken.by == "signal":
            name = next(name for name in wait.signals if woken.seq in draft.signals.get(name, ()))
            left = tuple(other for other in draft.signals[name] if other != woken.seq)
            draft.signals = draft.signals.set(name, left) if left else draft.signals.delete(name)
    draft.woken = draft.woken.set(key, woken)
    _run(draft, key, event.attempt)


def _asks_again(draft: State, key: Key, wait: Wait) -> None:
    """What had woken it before is what it goes on with. One call to a line wakes all that stand there together."""
    if wait.kind == RATE:
        draft.woken = draft.woken.set(key, Woken(RATE, before=wait.before))
    elif wait.before is not None:
        draft.woken = draft.woken.set(key, Woken(*wait.before))
    if (wait.name, wait.key) in draft.signals:
        draft.signals = draft.signals.delete((wait.name, wait.key))


# --- maps -----------------------------------------------------------------------------------------------------------


def _map_opened(topology: Topology, draft: State, event: Event) -> None:
    open_map(draft, _finish_attempt(topology, draft, event), event.body, event.attempt)
    if draft.debug is not None:
        debugging.rest(draft)


# --- gates ----------------------------------------------------------------------------------------------------------


def _gate_waiting(topology: Topology, draft: State, event: Event) -> None:
    draft.gate_dues = draft.gate_dues.set(_gate(topology, draft, event), event.body["due"])
    _rest(draft)


def _gate_timed_out(topology: Topology, draft: State, event: Event) -> None:
    time_out(topology, draft, _gate(topology, draft, event))
    _rest(draft)


def _gate(topology: Topology, draft: State, event: Event) -> Key:
    key = _key(topology, event)
    if key not in draft.gate_dues:
        raise IllegalTransition(f"{event.kind} of {event.node}, which waits for no time")
    return key


# --- what comes from outside ----------------------------------------------------------------------------------------


def _signal_received(topology: Topology, draft: State, event: Event) -> None:
    name = (event.body["name"], event.body.get("key"))
    draft.signals = draft.signals.set(name, (*draft.signals.get(name, ()), draft.seq))


def _pause_answered(topology: Topology, draft: State, event: Event) -> None:
    key, wait = _pause(draft, event)
    draft.waiting = draft.waiting.set(key, wait._replace(answers=(*wait.answers, draft.seq)))


def _pause_changed(topology: Topology, draft: State, event: Event) -> None:
    key, wait = _pause(draft, event)
    body = event.body
    if "due" in body:
        wait = wait._replace(due=body["due"])
    if "remind_at" in body:
        wait = wait._replace(remind_at=body["remind_at"])
    draft.waiting = draft.waiting.set(key, wait)


def _pause(draft: State, event: Event) -> tuple[Key, Wait]:
    key = draft.pauses.get(event.body["pause_id"])
    if key is None:
        raise IllegalTransition(f"the pause {event.body['pause_id']} is not open")
    return key, draft.waiting[key]


KEEPS: Final = ASKS_AGAIN | {"child"}
"""Waits that remember what had woken their nodes before."""
ENDS: Final = {e.COMPLETED: Status.COMPLETED, e.FAILED: Status.FAILED, e.CANCELLED: Status.CANCELLED}

APPLY: Final = {
    e.ACCEPTED: _accepted,
    e.STARTED: _started,
    e.TAKEN_OVER: _taken_over,
    e.NODE_STARTED: _node_started,
    e.NODE_COMPLETED: _node_completed,
    e.NODE_FAILED: _node_failed,
    e.NODE_WAITING: _node_waiting,
    e.NODE_WOKEN: _node_woken,
    e.MAP_OPENED: _map_opened,
    e.GATE_WAITING: _gate_waiting,
    e.GATE_TIMED_OUT: _gate_timed_out,
    e.SIGNAL_RECEIVED: _signal_received,
    e.PAUSE_ANSWERED: _pause_answered,
    e.PAUSE_CHANGED: _pause_changed,
    e.MIGRATED: _migrated,
    e.DEBUG_ORDERED: debugging.ordered,
    e.CANCEL_REQUESTED: _cancel_requested,
    e.COMPENSATION_STARTED: _compensation_started,
    e.NODE_REUSED: _node_reused,
    e.HELD: _held,
    e.RESUMED: _resumed,
    e.COMPLETED: _ended,
    e.FAILED: _ended,
    e.CANCELLED: _ended,
}
"""What each kind changes. A kind that is not here is a remark, and changes nothing but the seq."""


# --- coded workflows: operations come as they are asked for, and settle nothing --------------------------------------


def _coded_accepted(topology: Topology, draft: State, event: Event) -> None:
    if draft.seq != 1:
        raise IllegalTransition("an execution is accepted once, first of all")
    draft.accepted = True
    draft.deadline = event.body.get("deadline")


def _operation_started(topology: Topology, draft: State, event: Event) -> None:
    key = _key(topology, event)
    run = draft.nodes.get(key)
    tried = 0 if run is None else run.attempt if run.phase == RETRYING else -1
    if tried < 0 or event.attempt != tried + 1:
        raise IllegalTransition(f"{event.node} starts attempt {event.attempt} while {run and run.phase}")
    if run is not None:
        draft.retrying = draft.retrying.delete(key)
    _run(draft, key, event.attempt)


def _operation_completed(topology: Topology, draft: State, event: Event) -> None:
    if event.body.get("recorded"):
        key = _new_operation(topology, draft, event)
    else:
        key = _finish_attempt(topology, draft, event)
    draft.nodes = draft.nodes.set(key, Run(COMPLETED, event.attempt, draft.seq))
    _rest(draft)


def _operation_failed(topology: Topology, draft: State, event: Event) -> None:
    key = _finish_attempt(topology, draft, event)
    body, due = event.body, event.body.get("retry_at")
    if due is not None:
        draft.nodes = draft.nodes.set(key, Run(RETRYING, event.attempt, draft.seq, due))
        draft.retrying = draft.retrying.set(key, due)
    else:
        draft.nodes = draft.nodes.set(key, Run(FAILED, event.attempt, draft.seq))
        failure = (body["code"], str(body["message"])[:500], str(event.node), event.attempt)
        draft.failures = draft.failures.set(key, failure)
    _rest(draft)


def _operation_waiting(topology: Topology, draft: State, event: Event) -> None:
    key = _new_operation(topology, draft, event)
    draft.running = draft.running.set(key, event.attempt)
    _node_waiting(topology, draft, event)


def _operation_woken(topology: Topology, draft: State, event: Event) -> None:
    _node_woken(topology, draft, event)
    key = _finish_attempt(topology, draft, event)
    draft.nodes = draft.nodes.set(key, Run(COMPLETED, event.attempt, draft.seq))
    _rest(draft)


def _operation_reused(topology: Topology, draft: State, event: Event) -> None:
    key = _new_operation(topology, draft, event)
    draft.nodes = draft.nodes.set(key, Run(COMPLETED, event.attempt, draft.seq))


def _new_operation(topology: Topology, draft: State, event: Event) -> Key:
    key = _key(topology, event)
    if key in draft.nodes:
        raise IllegalTransition(f"operation {event.iteration} begins twice")
    return key


CODED: Final = {
    **APPLY,
    e.ACCEPTED: _coded_accepted,
    e.NODE_STARTED: _operation_started,
    e.NODE_COMPLETED: _operation_completed,
    e.NODE_FAILED: _operation_failed,
    e.NODE_WAITING: _operation_waiting,
    e.NODE_WOKEN: _operation_woken,
    e.NODE_REUSED: _operation_reused,
}


def _key(topology: Topology, event: Event) -> Key:
    number = topology.numbers.get(event.node or "")
    if number is None:
        raise IllegalTransition(f"there is no node {event.node!r}")
    return number, event.iteration


def _finish_attempt(topology: Topology, draft: State, event: Event, forget: bool = True) -> Key:
    key = _key(topology, event)
    if draft.running.get(key) != event.attempt:
        run = draft.nodes.get(key)
        raise IllegalTransition(
            f"{event.kind} of {event.node} attempt {event.attempt} while {run and run.phase}"
        )
    draft.running = draft.running.delete(key)
    if forget and draft.woken and key in draft.woken:
        draft.woken = draft.woken.delete(key)
    draft.takeovers = 0
    return key


def _rest(draft: State) -> None:
    """The status of a run in which nothing runs: what it waits for, if the wait is worth showing."""
    if draft.debug is not None and debugging.rest(draft):
        return
    if draft.running or draft.ready or draft.undoing is not None or not (draft.retrying or draft.waiting):
        return
    if draft.held:
        return
    if draft.pauses:
        draft.status = Status.PAUSED
    elif draft.gates:
        draft.status = Status.WAITING_ON_GATE
    else:
        dues = [
            *draft.retrying.values(),
            *(wait.due for wait in draft.waiting.values() if wait.due is not None),
        ]
        short = bool(dues) and min(dues) - draft.at < SHORT_WAIT_MS
        draft.status = Status.RUNNING if short else Status.WAITING
