"""The pauses of an execution, as people see them.

A pause is read from the journal, never kept beside it: a node's ``NodeWaiting`` opens it, ``PauseAnswered`` and
``PauseChanged`` are what people (and the clock) did to it, and the state says whether it is still open. Its status:

* ``open``: it takes answers;
* ``answered``: it has as many as it needs, the node goes on with the last one;
* ``escalating``: its time was up, and the next person is about to be asked: open again in a moment;
* ``expired``: its time was up, and its policy was followed;
* ``cancelled``: the run ended, or went on without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from axiom.compiler.artifact import Schema

from . import events as e
from .events import Event
from .fold import fold
from .reading import carried, history
from .state import BLANK, State
from .store.base import Store
from .topology import Topology

OPEN: Final = "open"
ANSWERED: Final = "answered"
ESCALATING: Final = "escalating"
EXPIRED: Final = "expired"
CANCELLED: Final = "cancelled"


class Pause(NamedTuple):
    """One pause. Times are in ms."""

    pause_id: str
    node: str
    iteration: tuple[int, ...]
    status: str
    message: Any
    schema: Schema
    """What an answer must be."""
    opened_at: int
    """When people were first asked."""
    deadline: int | None
    config: Mapping[str, Any]
    """``hitl`` of the plan's node: the policy."""
    quorum: int
    level: int
    """How often it was escalated."""
    assignees: tuple[str, ...]
    """Who is asked; empty: anyone."""
    remind_at: int | None
    seq: int
    """Of the event that asked last: answers before it don't count."""
    answers: tuple[Event, ...] = ()
    """``PauseAnswered`` since people were asked last."""
    changes: tuple[Event, ...] = ()
    """``PauseChanged``: reminders, comments, extensions, reassignments."""
    used: frozenset[str] = frozenset()
    """The numbers of the approval links that were used, also before an escalation."""

    def actions(self, action: str) -> list[Event]:
        """The changes of one kind: ``remind``, ``comment``, ``extend`` or ``reassign``."""
        return [event for event in self.changes if event.body["action"] == action]


class Pauses(NamedTuple):
    """All pauses of an execution, in the order in which they were opened, and the state that they were read at."""

    state: State
    pauses: dict[str, Pause]


async def read_pauses(store: Store, execution_id: str, topology: Topology) -> Pauses:
    """Return an execution's pauses, closed ones too. ``StoreError``, ``UnknownKind``."""
    found: dict[str, Pause] = {}
    if not topology.asks:
        return Pauses(BLANK, found)
    events = carried(await history(store, execution_id))
    note(topology, found, events)
    state = fold(topology, BLANK, events)
    return Pauses(state, {name: _standing(topology, state, pause) for name, pause in found.items()})


def note(topology: Topology, pauses: dict[str, Pause], events: Iterable[Event]) -> None:
    """Take up what ``events`` say of pauses."""
    for event in events:
        if event.kind == e.NODE_WAITING and event.body["for"] == "pause":
            pauses[event.body["name"]] = opened(topology, event, pauses.get(event.body["name"]))
        elif event.kind == e.NODE_WOKEN:
            for name, pause in pauses.items():
                if pause.node == event.node and pause.iteration == event.iteration and pause.status == OPEN:
                    pauses[name] = pause._replace(status=_woken(pause, event.body["by"]))
        elif event.kind == e.PAUSE_ANSWERED:
            pause = pauses[event.body["pause_id"]]
            used = pause.used | {event.body["link"]} if "link" in event.body else pause.used
            pauses[pause.pause_id] = pause._replace(answers=(*pause.answers, event), used=used)
        elif event.kind == e.PAUSE_CHANGED:
            pauses[event.body["pause_id"]] = changed(pauses[event.body["pause_id"]], event)


def opened(topology: Topology, event: Event, before: Pause | None = None) -> Pause:
    """Return the pause that an event opens, or opens anew for the next person."""
    body, plan = event.body, topology.plan
    config = plan.nodes[topology.numbers[event.node or ""]].config.get("hitl", {})
    schema = body["schema"]  # of a message's name; a coded workflow's own
    return Pause(
        body["name"],
        event.node or "",
        event.iteration,
        OPEN,
        body.get("message"),
        plan.messages.get(schema, True) if isinstance(schema, str) else schema,
        event.at if before is None else before.opened_at,
        body.get("due"),
        config,
        body.get("quorum", 1),
        body.get("level", 0),
        names(body.get("to")),
        body.get("remind_at"),
        event.seq,
        (),
        () if before is None else before.changes,
        frozenset() if before is None else before.used,
    )


def changed(pause: Pause, event: Event) -> Pause:
    """Return a pause after a ``PauseChanged``."""
    body = event.body
    return pause._replace(
        deadline=body.get("due", pause.deadline),
        remind_at=body.get("remind_at", pause.remind_at),
        assignees=names(body["to"]) if "to" in body else pause.assignees,
        changes=(*pause.changes, event),
    )


def names(to: Any) -> tuple[str, ...]:
    """Return the people that an event names: one, several or none."""
    return (to,) if isinstance(to, str) else tuple(to or ())


def _woken(pause: Pause, by: str) -> str:
    if by == "answer":
        return ANSWERED
    if pause.config.get("timeout_policy") == "ESCALATE" and pause.level < len(pause.config["escalate_to"]):
        return ESCALATING
    return EXPIRED


def _standing(topology: Topology, state: State, pause: Pause) -> Pause:
    """What the state says of a pause: the journal has no event for one that was dropped."""
    if pause.status == OPEN:
        if pause.pause_id not in state.pauses:
            return pause._replace(status=CANCELLED)
        return pause._replace(status=ANSWERED) if len(pause.answers) >= pause.quorum else pause
    if pause.status == ESCALATING:
        key = topology.numbers[pause.node], pause.iteration
        return pause if key in state.running else pause._replace(status=EXPIRED)
    return pause
