"""Forks and restarts: a new execution that begins with what another has done (decision 011).

Its journal opens with ``ExecutionAccepted``, which names its ``origin``, and one ``NodeReused`` for each outcome that
it takes over, in the order in which they came about. They are found by folding the origin's history anew: an outcome
is taken over if its node would be ready at that very place, so that nothing is reused whose inputs are not.

* A **fork** takes what had come about up to a seq; of the last outcome the value may be another. It has an effect
  scope of its own: what runs again, happens again. It compensates nothing that it did not do itself.
* A **restart** takes all that the failed or cancelled run has completed, and runs the rest again in the same effect
  scope: what runs again counts once at receivers that honour idempotency keys. What it took over is its own, also to
  compensate.

Nodes that had not completed start anew: with new attempts, sleeps in full, pauses asked again, new children. What was
undone by a compensation is done again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from . import events as e
from .events import Event, pack_value
from .fold import fold
from .prepared import Prepared
from .state import BLANK, COMPLETED, READY, Key, State
from .topology import Topology

FORK: Final = "fork"
RESTART: Final = "restart"
REUSED_MOST: Final = 20_000
"""Outcomes that a fork takes over at most: they are written in one step."""
INLINE_BYTES: Final = 4 << 20
"""What the values of one fork may take together in the journal; beyond that, larger ones go to blobs."""
SMALL_BYTES: Final = 512
_OWN: Final = ("key", "request_hash", "deadline", "ready_at", "parent", "link", "origin", "scope")
"""What a fork does not inherit of its origin's first event."""


class Unforkable(ValueError):
    """It can't be forked or restarted as it is asked; the text says why."""

    code = "not_forkable"


class Edit(NamedTuple):
    """Another value for a checkpoint: of the event ``seq``; 1 stands for the run's input."""

    seq: int
    value: Any


class Origin(NamedTuple):
    """Where a fork comes from."""

    execution_id: str
    kind: str
    seq: int
    """Nothing that came after it is taken over."""
    edit: Edit | None = None


class Made(NamedTuple):
    """What a fork begins with."""

    accepted: dict[str, Any]
    reused: list[Event]
    blobs: list[str]
    """Names of the origin's blobs that it needs."""
    state: State
    again: list[tuple[str, tuple[int, ...], int]]
    """Alias, iteration and seq of what had come about in the origin and runs again."""


def fork(prepared: Prepared, history: Sequence[Event], origin: Origin, at: int) -> Made:
    """Return how a fork of ``history`` begins at time ``at``. ``Unforkable``."""
    accepted = _accepted(history[0], origin, prepared)
    topology = prepared.topology
    state = fold(topology, BLANK, [Event(e.ACCEPTED, at, body=accepted)])
    if topology.coded:
        return _of_operations(topology, state, accepted, history, origin, at)
    undone, cause = _undone(topology, history), _cause(topology, history)
    reused: list[Event] = []
    again: list[tuple[str, tuple[int, ...], int]] = []
    done = origin.edit is None or origin.edit.seq == 1
    for event in history:
        body = _reusable(topology, event)
        if body is None:
            continue
        key = (topology.numbers[event.node or ""], event.iteration)
        fits = event.seq <= origin.seq and _is_ready(state, key) and key not in undone
        if fits and origin.edit is not None and event.seq == origin.edit.seq:
            body, done = _edited(prepared, event, origin.edit.value), True
        taken = Event(e.NODE_REUSED, at, event.node, event.iteration, 0, 0, {**body, "from": event.seq})
        after = fold(topology, state, (taken,)) if fits else state
        if not fits or ("code" in body and (key == cause or _is_lost(after))):
            again.append((str(event.node), event.iteration, event.seq))
            continue
        state = after
        reused.append(taken)
    if not done:
        raise Unforkable(f"event {origin.seq} is no checkpoint of this run, or what led to it runs again")
    if len(reused) > REUSED_MOST:
        raise Unforkable(f"it would take over {len(reused)} outcomes, and {REUSED_MOST} at most")
    values = [accepted["input"], *(event.body.get("output", {}) for event in reused)]
    return Made(accepted, reused, [value["blob"] for value in values if "blob" in value], state, again)


def _of_operations(
    topology: Topology,
    state: State,
    accepted: dict[str, Any],
    history: Sequence[Event],
    origin: Origin,
    at: int,
) -> Made:
    """A workflow's fork: what its tasks returned and what it recorded is reused; times, events and people come anew."""
    if origin.edit is not None and origin.edit.seq != 1:
        raise Unforkable(
            "a workflow's result is found by what it was called with: only its input may be another"
        )
    hashes: dict[tuple[int, ...], str] = {}
    reused = []
    for event in history:
        body = event.body
        if event.kind == e.NODE_STARTED and event.attempt == 1:
            hashes[event.iteration] = body["hash"]
        elif event.kind in (e.NODE_COMPLETED, e.NODE_REUSED) and event.seq <= origin.seq:
            told = {"output": body["output"], "hash": body.get("hash", hashes.get(event.iteration, ""))}
            taken = {**told, "from": event.seq}
            reused.append(Event(e.NODE_REUSED, at, event.node, event.iteration, 0, 0, taken))
    if len(reused) > REUSED_MOST:
        raise Unforkable(f"it would take over {len(reused)} outcomes, and {REUSED_MOST} at most")
    values = [accepted["input"], *(event.body["output"] for event in reused)]
    blobs = [value["blob"] for value in values if "blob" in value]
    again = [
        (str(event.node), event.iteration, event.seq)
        for event in history
        if event.kind in (e.NODE_COMPLETED, e.NODE_REUSED) and event.seq > origin.seq
    ]
    return Made(accepted, reused, blobs, fold(topology, state, reused), again)


def _accepted(first: Event, origin: Origin, prepared: Prepared) -> dict[str, Any]:
    body = {name: told for name, told in first.body.items() if name not in _OWN}
    if origin.edit is not None and origin.edit.seq == 1:
        body["input"] = {"value": origin.edit.value}
    if origin.kind == RESTART:
        body["scope"] = first.body.get("scope", origin.execution_id)
    else:
        body.pop("webhook", None)
    body["origin"] = {"execution_id": origin.execution_id, "kind": origin.kind, "seq": origin.seq}
    return body


def _reusable(topology: Topology, event: Event) -> dict[str, Any] | None:
    """Return what a ``NodeReused`` tells of an outcome; ``None`` for an event that is none."""
    body = event.body
    if event.kind == e.MAP_OPENED:
        return {"opened": dict(body)}
    if event.kind in (e.NODE_COMPLETED, e.NODE_REUSED):
        return {name: body[name] for name in ("output", "skipped", "ms", "opened", *_FAILURE) if name in body}
    if event.kind == e.NODE_FAILED and "retry_at" not in body:
        return {name: body[name] for name in (*_FAILURE, "skipped") if name in body}
    return None


_FAILURE: Final = ("code", "message", "details")


def _is_ready(state: State, key: Key) -> bool:
    run = state.nodes.get(key)
    if key in state.mapping:  # the outcome of a whole map: its items are settled and tell it
        mapping = state.mapping[key]
        return mapping.done == mapping.total
    return run is not None and run.phase == READY


def _cause(topology: Topology, history: Sequence[Event]) -> Key | None:
    """The node whose failure is that of the run: it is not taken over, whatever else failed and was lived with."""
    state = fold(topology, BLANK, history)
    return (state.doom or state.first) if state.status == "FAILED" else None


def _is_lost(state: State) -> bool:
    """Whether nothing can bring a run to a good end any more."""
    return state.end is not None and state.end[0] != COMPLETED


def _undone(topology: Topology, history: Sequence[Event]) -> set[Key]:
    """The nodes whose compensation has completed, and the compensations themselves."""
    undoes = {undo: node for node, undo in topology.undoes.items()}
    found: set[Key] = set()
    for event in history:
        number = topology.numbers.get(event.node or "")
        if event.kind == e.NODE_COMPLETED and number in undoes:
            found |= {(undoes[number], event.iteration), (number, event.iteration)}
    return found


def _edited(prepared: Prepared, event: Event, value: Any) -> dict[str, Any]:
    """Return the outcome of a checkpoint whose value is replaced: its followers are told by the new one."""
    if "output" not in event.body:
        raise Unforkable(f"event {event.seq} has no value to replace")
    number = prepared.topology.numbers[event.node or ""]
    step = prepared.steps[number]
    is_item = len(event.iteration) > prepared.topology.depths[number]
    is_map = step.items_of is not None and not is_item
    wrong = None if is_map else step.violations(value)
    if wrong is not None:
        raise Unforkable(f"the value is no output of {event.node}: {wrong}")
    body: dict[str, Any] = {"output": {"value": value}, "edited": True}
    if step.conditions and not is_item:
        body["skipped"] = step.skipped(value)
    return body


def compacted(made: Made) -> tuple[Made, dict[str, bytes]]:
    """Return the fork with its larger values out of line where all together are too many, and those values by name."""
    sizes = [len(e.encode(event)) for event in made.reused]
    limit = SMALL_BYTES if sum(sizes) > INLINE_BYTES else 64 << 10
    blobs: dict[str, bytes] = {}
    reused = []
    for size, event in zip(sizes, made.reused, strict=True):
        if size > limit and "value" in event.body.get("output", ()):
            name = f"{event.node}.{'.'.join(map(str, event.iteration))}.reused"
            blobs[name] = pack_value(event.body["output"]["value"])
            output = {"blob": name, "size": len(blobs[name])}
            event = event._replace(body={**event.body, "output": output})
        reused.append(event)
    accepted = made.accepted
    packed = pack_value(accepted["input"].get("value"))
    if "value" in accepted["input"] and len(packed) > 64 << 10:
        blobs["input"] = packed
        accepted = {**accepted, "input": {"blob": "input", "size": len(packed)}}
    return made._replace(accepted=accepted, reused=reused), blobs
