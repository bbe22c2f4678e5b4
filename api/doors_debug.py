"""Debug runs: what stands still and with which messages, and the orders that move it. No HTTP in here."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from axiom.compiler.artifact import Plan
from axiom.runtime import events as e
from axiom.runtime.clock import Clock
from axiom.runtime.debugging import stopped
from axiom.runtime.events import Event
from axiom.runtime.fold import fold
from axiom.runtime.limits import DOOR_TRIES, INLINE_VALUE_BYTES, PAYLOAD_BYTES
from axiom.runtime.looking import Onlooker
from axiom.runtime.prepared import BadMessage
from axiom.runtime.reading import state_of
from axiom.runtime.state import COMPLETED, Key, State
from axiom.runtime.store.base import FINAL, Append, Conflict, Head, Missing, Ok, Store
from axiom.runtime.store.base import Final as Ended
from axiom.runtime.topology import Topology

from .doors import AlreadyFinal, Contended, DoorError, NotStorable, UnknownExecution, head_of, persist
from .validation import violations

OUTPUTS_SHOWN: Final = 20
"""The latest outputs that a look at a debug run shows; the others are among its checkpoints."""


class NotStopped(DoorError):
    """The node does not stand before its start."""

    code = "not_stopped"


class BadEdit(DoorError):
    """The value does not fit the node's message; ``errors`` names every violation."""

    code = "invalid_input"

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        self.errors = errors
        super().__init__(f"{errors[0]['path']}: {errors[0]['message']}")


class Order(NamedTuple):
    """What a run is told, checked as far as it can be without its state."""

    action: str
    """One of ``debugging.ACTIONS``."""
    breakpoints: tuple[str, ...] = ()
    node: str | None = None
    """For ``step`` and ``edit``; without it the node that stopped first."""
    iteration: tuple[int, ...] | None = None
    input: Any = None
    by: str = ""


async def order(store: Store, clock: Clock, account: str, head: Head, plan: Plan, told: Order) -> None:
    """Write an order into a run's journal. ``AlreadyFinal``, ``NotStopped``, ``BadEdit``, ``Contended``."""
    topology = Topology(plan)
    for _ in range(DOOR_TRIES):
        if head.status in FINAL:
            raise AlreadyFinal(f"execution {head.execution_id} is {head.status}")
        state = await state_of(store, topology, head)
        event = await _event(store, head, plan, topology, state, told)
        after = fold(topology, state, (event,))
        data = e.encode(event)
        item = Append(
            head.execution_id,
            (data,),
            (e.crc(head.execution_id, data),),
            event.at,
            head.seq,
            status=after.status if after.status != head.status else None,
        )
        outcome = await persist(store, clock, item)
        if isinstance(outcome, Ok):
            return
        if isinstance(outcome, Missing):
            raise UnknownExecution(head.execution_id)
        assert isinstance(outcome, (Conflict, Ended)), f"an order was answered by {outcome}"
        head = await head_of(store, account, head.execution_id)
    raise Contended(f"execution {head.execution_id} moved {DOOR_TRIES} times meanwhile")


async def _event(
    store: Store, head: Head, plan: Plan, topology: Topology, state: State, told: Order
) -> Event:
    body: dict[str, Any] = {"action": told.action, "by": told.by}
    at = max(store.now(), head.updated_at)
    if told.action == "breakpoints":
        body["breakpoints"] = list(told.breakpoints)
    if told.action not in ("step", "edit"):
        return Event(e.DEBUG_ORDERED, at, body=body)
    key = _which(topology, state, told)
    if told.action == "edit":
        _check_edit(plan, topology, key, told.input)
        body["input"] = await _kept(store, head, told.input)
    return Event(e.DEBUG_ORDERED, at, topology.aliases[key[0]], key[1], body=body)


def _which(topology: Topology, state: State, told: Order) -> Key:
    """The stopped node that an order speaks of."""
    found = stopped(state)
    for key in found:
        here = told.node is None or topology.aliases[key[0]] == told.node
        if here and told.iteration in (None, key[1]):
            return key
    there = ", ".join(topology.aliases[key[0]] for key in found[:10])
    raise NotStopped(
        f"{told.node or 'no node'} stands before its start; stopped {'are ' + there if there else 'is none'}"
    )


def _check_edit(plan: Plan, topology: Topology, key: Key, value: Any) -> None:
    node = plan.nodes[key[0]]
    if "map" in node.config and len(key[1]) == topology.depths[key[0]]:
        return  # what it goes over is shaped by its expression, and judged when that is read
    wrong = violations(plan.messages.get(node.input, True), value)
    if wrong:
        raise BadEdit(wrong)


async def _kept(store: Store, head: Head, value: Any) -> dict[str, Any]:
    """The value as an event holds it: a large one goes out of line first."""
    try:
        packed = e.pack_value(value)
    except (ValueError, OverflowError, TypeError) as error:
        raise NotStorable(f"the input can't be kept: {error}") from error
    if len(packed) > PAYLOAD_BYTES:
        raise NotStorable(f"the input has {len(packed)} bytes; at most {PAYLOAD_BYTES} are taken")
    if len(packed) <= INLINE_VALUE_BYTES:
        return {"value": value}
    name = f"edit.{head.seq + 1}"
    await store.put_blob(head.execution_id, name, packed)
    return {"blob": name, "size": len(packed)}


async def look(store: Store, head: Head, plan: Plan) -> dict[str, Any]:
    """Return ``{"stopped", "breakpoints", "nodes", "running", "waiting", "outputs"}`` of a run.

    ``nodes`` are those that stand before their start, each with the input that it will get, or what is wrong with it.
    """
    topology = Topology(plan)
    state = await state_of(store, topology, head)
    accepted = dict((await store.read(head.execution_id, 0, 1))[0].body)
    onlooker = Onlooker(store, head, plan, state, accepted)
    latest = sorted((run.seq, key) for key, run in state.nodes.items() if run.phase == COMPLETED)
    edits = {key for key, _ in state.debug.edits} if state.debug is not None else set()
    nodes = []
    for key in stopped(state):
        told = {**_named(topology, key), "edited": key in edits, "message": plan.nodes[key[0]].input}
        try:
            told["input"] = await onlooker.input_of(key)
        except BadMessage as error:
            told["error"] = {"code": error.failure.code, "message": error.failure.message}
        nodes.append(told)
    return {
        "stopped": state.debug is not None and state.debug.stopped,
        "breakpoints": [topology.aliases[n] for n in (state.debug.breakpoints if state.debug else ())],
        "nodes": nodes,
        "running": [_named(topology, key) for key in state.running],
        "waiting": [_named(topology, key) for key in (*state.waiting, *state.retrying)],
        "outputs": [
            {**_named(topology, key), "seq": seq, "output": await onlooker.output_of(key)}
            for seq, key in latest[-OUTPUTS_SHOWN:]
        ],
    }


def _named(topology: Topology, key: Key) -> dict[str, Any]:
    return {"node": topology.aliases[key[0]], "iteration": list(key[1])}
