"""The state of an execution that this process does not own: its snapshot, and what was written since.

A run may have moved to another artifact (``migration.py``). Its head keeps the one that it was accepted with; the
journal, and so every snapshot behind the move, knows the present one. A move writes its snapshot in its own step, so a
run without a snapshot never moved. Who folds a journal from its start goes through ``carried``.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import events as e
from .events import Event
from .fold import fold
from .snapshot import load
from .state import BLANK, State
from .store.base import Head, Store
from .topology import Topology

BITE = 1_000
"""Events read at once."""


async def state_of(store: Store, topology: Topology, head: Head, seq: int | None = None) -> State:
    """Return the state at ``head.seq``, or at an earlier ``seq``. ``UnknownKind``, ``IllegalTransition``."""
    seq = head.seq if seq is None else seq
    snapshot = await store.snapshot(head.execution_id)
    state = load(snapshot[1]) if snapshot is not None and snapshot[0] <= seq else None
    if state is None and snapshot is not None:
        return fold(topology, BLANK, carried(await history(store, head.execution_id))[:seq])
    state = state or BLANK
    while state.seq < seq:
        events = await store.read(head.execution_id, state.seq, min(BITE, seq - state.seq))
        if not events:
            break
        state = fold(topology, state, events)
    return state


async def history(store: Store, execution_id: str) -> list[Event]:
    """Return a whole journal, as it was written."""
    events: list[Event] = []
    while page := await store.read(execution_id, len(events), BITE):
        events += page
    return events


async def present(store: Store, head: Head) -> Head:
    """Return a head that names the artifact which the run has now."""
    if head.mode != "unary":
        return head
    return head._replace(graph_id=await graph_of(store, head, await store.snapshot(head.execution_id)))


async def graph_of(store: Store, head: Head, snapshot: tuple[int, bytes] | None) -> str:
    """Return the artifact that a run has now."""
    if snapshot is None:
        return head.graph_id
    state = load(snapshot[1])
    if state is not None:
        return state.graph or head.graph_id
    return migrated_to(await history(store, head.execution_id)) or head.graph_id


def migrated_to(events: Sequence[Event]) -> str | None:
    """Return the artifact that a journal was last moved to; ``None`` if it never was."""
    return next((event.body["to"] for event in reversed(events) if event.kind == e.MIGRATED), None)


def carried(events: Sequence[Event]) -> Sequence[Event]:
    """Return a journal from its start as the artifact that the run was last moved to reads it.

    Edges get that one's numbers; what happened to nodes that it does not have is a remark.
    """
    moves = [index for index, event in enumerate(events) if event.kind == e.MIGRATED]
    if not moves:
        return events
    read = list(events)
    for index in moves:
        edges = dict(events[index].body["edges"])
        gone = frozenset(events[index].body["gone"])
        for before in range(index):
            read[before] = _carry(read[before], edges, gone)
    return read


def _carry(event: Event, edges: dict[int, int], gone: frozenset[str]) -> Event:
    pause = str(event.body.get("pause_id", "")).partition(".")[0]
    if event.node in gone or pause in gone:
        return event._replace(kind=e.OUTCOME_DROPPED)
    if event.body.get("skipped"):
        left = [edges[number] for number in event.body["skipped"] if number in edges]
        return event._replace(body={**event.body, "skipped": left})
    return event
