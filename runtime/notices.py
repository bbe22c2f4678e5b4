"""Telling people that they are asked: a webhook when a pause opens, is escalated, handed on, or reminded of.

The order to tell is an outbox entry in the step of the event that asks, so no crash can lose it and each event tells
once. It goes to the node's ``hitl.notify`` if there is one, else to the webhook that the run was started with. What is
told is read when it is sent; signing, retries and the dead are those of every webhook (``webhooks.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import events as e
from .catalog import readable_plan
from .clock import instant
from .events import Event, pack_value
from .pauses import ESCALATING, OPEN, Pause, read_pauses
from .reading import present
from .store.base import Head, Outgoing, Store
from .topology import Topology

if TYPE_CHECKING:
    from .engine import Execution


def of_step(execution: Execution, events: Sequence[Event]) -> list[Outgoing]:
    """Return what the owner's next append tells people."""
    nodes, topology = execution.topology.plan.nodes, execution.topology
    notices: list[Outgoing] = []
    for seq, event in enumerate(events, execution.state.seq + 1):
        if word(event) is not None:
            config = nodes[topology.numbers[event.node or ""]].config.get("hitl", {})
            notices += notice(execution.accepted, config, seq)
    return notices


def notice(accepted: Mapping[str, Any], config: Mapping[str, Any], seq: int) -> list[Outgoing]:
    """Return the order to tell of event ``seq``, if anyone is to be told. ``config``: the node's ``hitl``."""
    from .webhooks import KIND, origin

    hook = {"url": config["notify"]} if "notify" in config else accepted.get("webhook")
    if not hook:
        return []
    order = {
        "url": hook["url"],
        "headers": dict(hook.get("headers") or {}),
        "account": accepted["account"],
        "graph_id": accepted["graph_id"],
        "seq": seq,
    }
    return [Outgoing(KIND, origin(hook["url"]), pack_value(order))]


def word(event: Event) -> str | None:
    """Return what an event is to those who are asked; ``None`` if they need not hear of it."""
    if event.kind == e.NODE_WAITING and event.body["for"] == "pause":
        return "pause.escalated" if event.body.get("level") else "pause.opened"
    if event.kind == e.PAUSE_CHANGED:
        return {"remind": "pause.reminded", "reassign": "pause.reassigned"}.get(event.body["action"])
    return None


async def told(store: Store, head: Head, seq: int) -> dict[str, Any] | None:
    """Return the body of a notice; ``None`` if there is nothing left to tell of."""
    plan, events = (
        await readable_plan(store, (await present(store, head)).graph_id),
        await store.read(head.execution_id, seq - 1, 1),
    )
    if plan is None or not events:
        return None
    event = events[0]
    name = event.body["name"] if event.kind == e.NODE_WAITING else event.body["pause_id"]
    pause = (await read_pauses(store, head.execution_id, Topology(plan))).pauses[name]
    return {
        "event": word(event),
        "execution_id": head.execution_id,
        "graph_id": head.graph_id,
        "flow": head.flow,
        "status": "PAUSED",
        "pause": _pause(pause),
    }


def _pause(pause: Pause) -> dict[str, Any]:
    deadline = None if pause.deadline is None else instant(pause.deadline).isoformat(timespec="milliseconds")
    return {
        "pause_id": pause.pause_id,
        "node": pause.node,
        "iteration": list(pause.iteration),
        "open": pause.status in (OPEN, ESCALATING),
        "message": pause.message,
        "schema": pause.schema,
        "assignees": list(pause.assignees),
        "level": pause.level,
        "quorum": pause.quorum,
        "answers": len(pause.answers),
        "deadline": deadline and deadline.replace("+00:00", "Z"),
    }
