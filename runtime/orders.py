"""What an execution orders from the outbox, in the step of the events that order it: child starts, cancels, its end.

A child is an execution of its own. Its id is made of its parent's id, the node, the iteration and the attempt, so that
whoever performs that attempt again after a crash, and whoever carries its start twice, names the same child. The start
itself says only which event of the parent holds the child's input.

A child's end is told to its parent as a signal, named after the child under the key ``CHILD``, which no event from
outside can have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from . import events as e
from .configs import inheritance
from .events import Event, pack_value
from .state import COMPLETED, Key, State
from .store.base import Outgoing
from .store.lanes import CANCEL, SIGNAL, START
from .topology import Topology

if TYPE_CHECKING:
    from .engine import Execution

CHILD: Final = "@child"
"""The key of the signals that tell of children's ends."""


def child_id(execution_id: str, node: str, iteration: Sequence[int], attempt: int) -> str:
    """Return the id of the child that an attempt of a node starts.

    >>> len(child_id("00" * 16, "audit", (), 1))
    32
    """
    name = f"{execution_id}/{node}/{'.'.join(map(str, iteration))}/{attempt}"
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def of_step(execution: Execution, after: State, events: Sequence[Event]) -> list[Outgoing]:
    """Return what the owner's next append orders: the children that begin, and the ends of those not wanted any more.

    ``events`` lead from the execution's present state to ``after``.
    """
    before, topology = execution.state, execution.topology
    orders = []
    for seq, event in enumerate(events, before.seq + 1):
        child = started_by(event)
        if child is not None and _is_wanted(topology, after, event):
            orders.append(Outgoing(START, child, pack_value(_start(execution, event, seq))))
    for key, wait in before.waiting.items():
        if wait.kind == "child" and key not in after.waiting and not _has_ended(after, key):
            orders.append(cancel_of(wait.name, f"its parent {execution.id} went on without it"))
    if after.final and events[-1].kind == e.CANCELLED:
        reason = f"its parent {execution.id} was cancelled"
        orders += [cancel_of(child, reason) for child in detached(execution.id, topology, after)]
    return orders


def of_end(execution_id: str, accepted: Mapping[str, Any], final: Event) -> list[Outgoing]:
    """Return the order to tell a run's parent of its end, if it has one that waits for it."""
    parent = accepted.get("parent")
    if not parent or not parent["waits"] or final.kind not in (e.COMPLETED, e.FAILED, e.CANCELLED):
        return []
    return [Outgoing(SIGNAL, parent["execution_id"], pack_value({"child": execution_id}))]


def of_cancel(execution_id: str, topology: Topology, state: State) -> list[Outgoing]:
    """Return the orders to cancel all the children of a run that is cancelled, also those that nobody waits for."""
    awaited = [wait.name for wait in state.waiting.values() if wait.kind == "child"]
    reason = f"its parent {execution_id} was cancelled"
    return [cancel_of(child, reason) for child in (*awaited, *detached(execution_id, topology, state))]


def numbered(orders: Sequence[Outgoing]) -> tuple[Outgoing, ...]:
    """Return the orders of one append, each with its number in it."""
    return tuple(order._replace(n=n) for n, order in enumerate(orders))


def started_by(event: Event) -> str | None:
    """Return the id of the child that begins with ``event``, if one does."""
    if event.kind == e.NODE_WAITING and event.body["for"] == "child":
        return str(event.body["name"])
    if event.kind == e.NODE_COMPLETED:
        return event.body.get("child")
    return None


def cancel_of(child: str, reason: str) -> Outgoing:
    return Outgoing(CANCEL, child, pack_value({"reason": reason}))


def detached(execution_id: str, topology: Topology, state: State) -> Iterator[str]:
    """The children that were started and not waited for."""
    for number in topology.calls:
        node = topology.plan.nodes[number]
        if node.config["wait"]:
            continue
        for key, run in state.nodes.items():
            if key[0] == number and run.phase == COMPLETED and not _is_map(topology, key):
                yield child_id(execution_id, node.alias, key[1], run.attempt)


def _has_ended(after: State, key: Key) -> bool:
    """Whether a node waits no more because its child has ended."""
    woken = after.woken.get(key)
    return woken is not None and woken.by == "signal"


def _is_map(topology: Topology, key: Key) -> bool:
    """Whether this is a map itself and none of its items."""
    return key[0] in topology.mapped and len(key[1]) == topology.depths[key[0]]


def _is_wanted(topology: Topology, after: State, event: Event) -> bool:
    """Whether nothing in the same step has stopped the node that starts a child."""
    return (
        event.kind == e.NODE_COMPLETED
        or (topology.numbers[event.node or ""], event.iteration) in after.waiting
    )


def _start(execution: Execution, event: Event, seq: int) -> dict[str, Any]:
    config = execution.topology.plan.nodes[execution.topology.numbers[event.node or ""]].config
    return {
        "seq": seq,
        "graph_id": config["graph_id"],
        "account": execution.head.account,
        "retention_days": execution.head.retention_days,
        "config_id": execution.accepted.get("config_id"),
        "scope": execution.accepted.get("scope", execution.id),
        **inheritance(execution.accepted),
    }
