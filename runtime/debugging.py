"""Debug runs: the half of the fold and of ``decide`` that stops nodes before they start. Pure.

A run is **stopped** once a node with a breakpoint has become ready, or someone said ``pause``: from then on no node
starts, in any branch, but those that ``step`` lets through one by one. What has begun goes on: a node that runs ends,
one that waits is woken, one that failed is tried again. Compensation is never stopped.

Being stopped is state and nothing else: a stopped run is parked, and may be stopped for years.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .events import Event
from .state import Debug, IllegalTransition, Key, State
from .store.base import Status
from .topology import Topology

ACTIONS: Final = ("continue", "step", "pause", "breakpoints", "edit")


def free(state: State) -> Iterable[Key]:
    """Return the ready nodes that may start."""
    debug = state.debug
    if debug is None or not debug.stopped or state.undoing is not None:
        return state.ready
    return [key for key in debug.let if key in state.ready]


def stopped(state: State) -> list[Key]:
    """Return the nodes that are ready and held back, the one that came first first."""
    if state.final:
        return []
    let = set(free(state))
    return sorted((key for key in state.ready if key not in let), key=lambda key: (state.ready[key], key))


def opened(topology: Topology, draft: State, event: Event) -> None:
    """The run begins as a debug run, if its first event says so."""
    asked = event.body.get("debug")
    if asked is not None:
        marks = _numbers(topology, asked.get("breakpoints", ()))
        draft.debug = Debug(marks, bool(asked.get("pause_at_start")))


def ordered(topology: Topology, draft: State, event: Event) -> None:
    """What a door said: ``ACTIONS``."""
    debug, action = draft.debug or Debug(), event.body["action"]
    if action == "pause":
        debug = debug._replace(stopped=True)
    elif action == "continue":
        debug = debug._replace(stopped=False, let=())
    elif action == "breakpoints":
        debug = debug._replace(breakpoints=_numbers(topology, event.body["breakpoints"]))
    else:
        key = (topology.numbers[event.node or ""], event.iteration)
        if key not in stopped(draft):
            raise IllegalTransition(f"{event.node} is not stopped")
        if action == "step":
            debug = debug._replace(let=(*debug.let, key))
        else:
            debug = debug._replace(edits=(*debug.edits, (key, draft.seq)))
    draft.debug = debug
    if draft.status == Status.DEBUG_PAUSED:
        draft.status = Status.RUNNING
    if draft.started:
        rest(draft)


def rest(draft: State) -> bool:
    """Show the run as DEBUG_PAUSED if nothing of it runs or may start, and something is stopped; whether it is so."""
    if (
        draft.held
        or draft.running
        or draft.undoing is not None
        or not draft.ready
        or any(True for _ in free(draft))
    ):
        return False
    draft.status = Status.DEBUG_PAUSED
    return True


def begun(draft: State, key: Key) -> None:
    """A node that was let through has started: the next one is not."""
    debug = draft.debug
    if debug is not None and key in debug.let:
        draft.debug = debug._replace(let=tuple(other for other in debug.let if other != key))


def edited(state: State, key: Key) -> int | None:
    """Return the seq of the event that holds the input that a person gave a node; the last one counts."""
    if state.debug is not None:
        for other, seq in reversed(state.debug.edits):
            if other == key:
                return seq
    return None


def _numbers(topology: Topology, aliases: Iterable[str]) -> tuple[int, ...]:
    """A breakpoint on a node that isn't there is none."""
    return tuple(topology.numbers[alias] for alias in aliases if alias in topology.numbers)
