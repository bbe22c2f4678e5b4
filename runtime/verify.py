"""The promises, checked over what is stored.

``check_history`` looks at one execution's events alone and needs no store: it is the judge of tests, simulation and
chaos runs. ``verify`` walks a live store, execution by execution, in bounded memory, and adds what only the store can
tell: heads, snapshots, blobs, frames, sessions. Each violation says which promise is broken, where, and what was found;
a clean store yields none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Final, NamedTuple

from . import events as e
from .events import Event
from .fold import fold
from .limits import LEASE_MS
from .reading import carried, migrated_to
from .snapshot import load
from .state import BLANK, IllegalTransition
from .store.base import FINAL, Head, Status, Store
from .topology import Topology

PAGE: Final = 500
ORPHAN_MS: Final = 10 * LEASE_MS
"""An execution whose owner has been silent for so long should have been taken over."""
SLEEPERS: Final = frozenset({Status.PAUSED, Status.WAITING_ON_GATE, Status.DEBUG_PAUSED, Status.WAITING})
FINAL_KINDS: Final = frozenset({e.COMPLETED, e.FAILED, e.CANCELLED})
OF_KIND: Final = {e.COMPLETED: Status.COMPLETED, e.FAILED: Status.FAILED, e.CANCELLED: Status.CANCELLED}


class Violation(NamedTuple):
    """One broken promise. ``seq`` is the event's, 0 where none is meant."""

    execution_id: str
    code: str
    seq: int
    message: str


TopologyOf = Callable[[str], Awaitable[Topology | None]]
"""``graph_id`` → its topology, or ``None`` if the artifact is gone."""


def check_history(
    execution_id: str, events: Sequence[Event], topology: Topology | None
) -> Iterator[Violation]:
    """Yield what is wrong with a history that should be whole, from event 1.

    ``gap``: a seq is missing, repeated or out of order. ``check``: an event was altered, or one before it is gone.
    ``time``, ``epoch``: went back. ``opening``, ``ending``: not accepted first, or something after the end.
    ``order``: an event that can't follow (a node that completes twice, starts before its inputs, …).
    ``output``: the run's output is not its terminal node's.
    """
    check, at, epoch = 0, 0, 0
    for number, event in enumerate(events, 1):
        if event.seq != number:
            yield Violation(execution_id, "gap", event.seq, f"event {number} is numbered {event.seq}")
            return
        check = e.chain(check, (e.crc(execution_id, e.encode(event)),))
        if check != event.check:
            yield Violation(
                execution_id, "check", number, f"event {number} or one before it is not what was written"
            )
            return
        if event.at < at and event.kind != e.SIGNAL_RECEIVED:  # written without a look at what is before it
            yield Violation(execution_id, "time", number, f"event {number} is older than the one before")
        if event.epoch and event.epoch < epoch:
            yield Violation(
                execution_id,
                "epoch",
                number,
                f"event {number} was written under an older claim than the one before",
            )
        at, epoch = max(at, event.at), max(epoch, event.epoch)
        if (event.kind == e.ACCEPTED) != (number == 1):
            yield Violation(execution_id, "opening", number, "an execution is accepted once, first of all")
        if event.kind in FINAL_KINDS and number != len(events):
            yield Violation(
                execution_id, "ending", number, f"{len(events) - number} events follow {event.kind}"
            )
            return
    if topology is not None and events:
        yield from _check_order(execution_id, events, topology)


def _check_order(execution_id: str, events: Sequence[Event], topology: Topology) -> Iterator[Violation]:
    state = BLANK
    for event in carried(events):
        try:
            state = fold(topology, state, (event,))
        except (IllegalTransition, KeyError, AssertionError) as error:
            yield Violation(execution_id, "order", event.seq, str(error))
            return
    last = events[-1]
    if last.kind == e.COMPLETED and "output_seq" in last.body:
        seq = last.body["output_seq"]
        source = events[seq - 1] if 0 < seq < len(events) else None
        if (
            source is None
            or source.kind not in (e.NODE_COMPLETED, e.NODE_REUSED)
            or source.node != topology.aliases[topology.terminal]
        ):
            yield Violation(
                execution_id, "output", last.seq, f"event {seq} is not the terminal node's completion"
            )


async def verify(
    store: Store, topology_of: TopologyOf, ids: Sequence[str] | None = None
) -> AsyncIterator[Violation]:
    """Yield every violation of a store's executions, or of the named ones."""
    if ids is not None:
        for head, execution_id in zip(await store.heads(ids), ids, strict=True):
            if head is None:
                yield Violation(execution_id, "missing", 0, "there is no such execution")
            else:
                async for violation in _verify_one(store, topology_of, head, None):
                    yield violation
        return
    after = ""
    while heads := await store.scan(after, PAGE):
        silent_since = store.now() - ORPHAN_MS
        alive = {one.session for one in await store.sessions() if one.expires_at > silent_since}
        for head in heads:
            async for violation in _verify_one(store, topology_of, head, alive):
                yield violation
        after = heads[-1].execution_id


async def _verify_one(
    store: Store, topology_of: TopologyOf, head: Head, alive: set[str] | None
) -> AsyncIterator[Violation]:
    execution_id = head.execution_id
    events: list[Event] = []
    try:
        while page := await store.read(execution_id, len(events), 1_000):
            events.extend(page)
    except e.Damaged as error:
        yield Violation(execution_id, "damaged", len(events) + 1, str(error))
        return
    now_head = (await store.heads((execution_id,)))[0]
    if now_head is None:
        return  # deleted meanwhile
    if now_head.seq == head.seq:  # a live run may have gone on between the two reads
        for violation in _check_head(head, events, alive, store.now()):
            yield violation
    topology = await topology_of(migrated_to(events) or head.graph_id)
    for violation in check_history(execution_id, events, topology):
        yield violation
    async for violation in _check_beside(store, now_head, events, topology):
        yield violation


def _check_head(head: Head, events: Sequence[Event], alive: set[str] | None, now: int) -> Iterator[Violation]:
    name, last = head.execution_id, events[-1] if events else None
    if (last.seq if last else 0) < head.seq:
        yield Violation(
            name,
            "cut_off",
            head.seq,
            f"the journal ends at {last.seq if last else 0}, the head at {head.seq}",
        )
    elif last and last.seq == head.seq and last.check != head.check:
        yield Violation(name, "check", last.seq, "the journal's check is not the head's")
    if last and last.kind in FINAL_KINDS and head.status != OF_KIND[last.kind]:
        yield Violation(
            name, "status", last.seq, f"the run ended with {last.kind}, the head says {head.status}"
        )
    if head.status in FINAL:
        if last and last.kind not in FINAL_KINDS:
            yield Violation(name, "status", last.seq, f"the head says {head.status}, the journal has no end")
        if head.session is not None:
            yield Violation(name, "orphan_lease", 0, f"an ended run is still owned by {head.session}")
        return
    silent = now - head.updated_at > ORPHAN_MS
    if head.session is not None and alive is not None and head.session not in alive and silent:
        yield Violation(
            name, "orphan_lease", 0, f"owned by {head.session}, which is gone, and not taken over"
        )
    if head.session is None and head.ready_at is None and head.status not in SLEEPERS:
        yield Violation(
            name, "no_wake", 0, f"{head.status}, owned by nobody, in no queue: nothing will move it"
        )


async def _check_beside(
    store: Store, head: Head, events: Sequence[Event], topology: Topology | None
) -> AsyncIterator[Violation]:
    execution_id = head.execution_id
    snapshot = await store.snapshot(execution_id)
    if snapshot is not None and topology is not None and snapshot[0] <= len(events):
        stored = load(snapshot[1])
        if stored is not None and stored != fold(topology, BLANK, carried(events)[: snapshot[0]]):
            yield Violation(
                execution_id, "snapshot", snapshot[0], "the snapshot is not the fold of the journal"
            )
    for event in events:
        for field in ("input", "output", "payload"):
            value = event.body.get(field)
            if (
                isinstance(value, dict)
                and "blob" in value
                and await store.blob(execution_id, value["blob"]) is None
            ):
                yield Violation(execution_id, "blob", event.seq, f"blob {value['blob']} is gone")
    if head.mode == "pipeline" and events:
        for violation in await _check_frames(store, head, events[-1], topology):
            yield violation


async def _check_frames(store: Store, head: Head, last: Event, topology: Topology | None) -> list[Violation]:
    found = []
    positions: set[int] = set()
    for node, count in (await store.frame_counts(head.execution_id)).items():
        index = -1
        while page := await store.frames(head.execution_id, node, index):
            for frame in page:
                if frame.index != index + 1:
                    text = f"{node}: frame {index + 1} is missing"
                    found.append(Violation(head.execution_id, "frames", 0, text))
                index = frame.index
                positions.add(frame.position)
        if index + 1 != count:
            text = f"{node}: {index + 1} frames, {count} counted"
            found.append(Violation(head.execution_id, "frames", 0, text))
        told = last.body.get("frames") if last.kind in FINAL_KINDS else None
        if (
            topology is not None
            and told is not None
            and node == topology.aliases[topology.terminal]
            and told != count
        ):
            text = f"the end tells of {told} frames, the log has {count}"
            found.append(Violation(head.execution_id, "frames", last.seq, text))
    if positions and (min(positions) != 1 or max(positions) != len(positions)):
        found.append(Violation(head.execution_id, "frames", 0, "the log's positions are not dense"))
    return found
