"""Moving a run to another artifact: when that is sound, and how its history reads afterwards. Pure.

A run may move if **its history, read under the new artifact, is a legal history that leaves the same work open**, and
every message that is still to be made of it fits. So the proof is the fold itself: the events are applied to the new
graph, and what lives afterwards is compared with what lived before.

Events name nodes by their aliases, which are their names in every artifact of a flow; edges they name by numbers, which
are one artifact's own. ``ExecutionMigrated`` holds what it takes to read the events before it: the new numbers of the
old edges, and which nodes are gone (``reading.carried``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from axiom.compiler.artifact import Edge, Node, Plan
from axiom.compiler.containment import contained

from . import events as e
from .events import Event
from .fold import fold
from .reading import carried
from .state import BLANK, COMPLETED, FAILED, IllegalTransition, State
from .topology import Topology


class Move(NamedTuple):
    """The answer. It is sound if there are no reasons against it."""

    reasons: tuple[dict[str, Any], ...]
    """``{"code", "message", "node"?}`` each."""
    event: Event
    state: State | None
    """After the event, under the new artifact."""
    starts: tuple[str, ...] = ()
    """Nodes that become ready by it."""


def move(
    old: Plan, new: Plan, events: Sequence[Event], at: int, names: tuple[str, str], by: str = ""
) -> Move:
    """Return whether a run with this journal may move from ``old`` to ``new``; ``names``: their graph ids."""
    here = Topology(old)
    state = fold(here, BLANK, carried(events))
    known = {event.node for event in events if event.node is not None}
    gone = sorted(alias for alias in known if alias not in new.numbers)
    edges = _edges(old, new)
    body = {"from": names[0], "to": names[1], "edges": sorted(edges.items()), "gone": gone, "by": by}
    event = Event(e.MIGRATED, at, body=body)
    reasons = [*_standing(old, new, state), *_messages(old, new, state), *_live(old, new, state)]
    reasons += _undecided(old, new, state, edges)
    if reasons:
        return Move(tuple(reasons), event, None)
    there = Topology(new)
    try:
        after = fold(there, BLANK, carried([*events, event]))
    except (IllegalTransition, KeyError, AssertionError) as error:
        text = f"its history is none of the new graph: {error}"
        return Move((_reason("history", text),), event, None)
    reasons = list(_compared(here, there, state, after))
    live = {here.aliases[key[0]] for group in (state.ready, state.retrying) for key in group}
    starts = sorted({there.aliases[key[0]] for key in after.ready} - live)
    return Move(tuple(reasons), event, None if reasons else after, tuple(starts))


def _reason(code: str, message: str, node: str | None = None) -> dict[str, Any]:
    return {"code": code, "message": message, **({"node": node} if node else {})}


def _standing(old: Plan, new: Plan, state: State) -> list[dict[str, Any]]:
    """Only a run between its nodes moves."""
    if old.mode != "unary" or new.mode != "unary":
        return [_reason("mode", "only runs of unary flows move, and only to unary flows")]
    if state.final:
        return [_reason("ended", f"it is {state.status}")]
    if state.undoing is not None or state.cancelling is not None:
        return [_reason("compensating", "it undoes what it did, or is about to")]
    return [
        _reason(
            "running", "the node runs: hold the run, or try again when it has ended", old.nodes[key[0]].alias
        )
        for key in state.running
    ]


def _messages(old: Plan, new: Plan, state: State) -> list[dict[str, Any]]:
    """Every message that was recorded, and may be read again, fits the new graph."""
    found = []
    if (wrong := contained(old.messages.get(old.input, True), new.messages.get(new.input, True))) is not None:
        found.append(_reason("input", f"the flow's input is another message: {wrong.reason}"))
    done = {key[0] for key, run in state.nodes.items() if run.phase == COMPLETED}
    for number in sorted(done):
        node = old.nodes[number]
        if node.alias not in new.numbers:
            continue
        other = new.nodes[new.numbers[node.alias]]
        if ("map" in node.config) != ("map" in other.config):
            found.append(_reason("output", "it completed, with a map in one graph alone", node.alias))
            continue
        wrong = contained(old.messages.get(node.output, True), new.messages.get(other.output, True))
        if wrong is not None:
            found.append(_reason("output", f"its output is another message now: {wrong.reason}", node.alias))
    return found


def _live(old: Plan, new: Plan, state: State) -> list[dict[str, Any]]:
    """Every live node is there; one that has begun waits for the same thing with the same input."""
    found = []
    begun = {key[0] for group in (state.waiting, state.retrying, state.mapping, state.woken) for key in group}
    for number in sorted(begun | {key[0] for key in state.ready}):
        node = old.nodes[number]
        if node.alias not in new.numbers:
            found.append(_reason("gone", "it is live, and the new graph has no such node", node.alias))
            continue
        other = new.nodes[new.numbers[node.alias]]
        if number not in begun:
            continue
        if (node.kind, node.config, _asked(old, node)) != (other.kind, other.config, _asked(new, other)):
            found.append(_reason("wait", "it has begun, and is another kind of node or wait now", node.alias))
        wrong = contained(old.messages.get(node.input, True), new.messages.get(other.input, True))
        if wrong is not None:
            found.append(
                _reason(
                    "node_input", f"it has begun, and takes another message now: {wrong.reason}", node.alias
                )
            )
    return found


def _asked(plan: Plan, node: Node) -> Any:
    """The schema of the answer to a node's pause."""
    hitl = node.config.get("hitl")
    return None if hitl is None else plan.messages.get(hitl["resume_input"], True)


def _undecided(old: Plan, new: Plan, state: State, edges: dict[int, int]) -> list[dict[str, Any]]:
    """A condition behind a node that has ended would never be asked."""
    known = set(edges.values())
    ended = {
        old.nodes[key[0]].alias: run.phase == FAILED
        for key, run in state.nodes.items()
        if run.phase in (COMPLETED, FAILED)
    }
    return [
        _reason(
            "undecided",
            f"it has ended, and nobody asked the new condition before {_target(new, edge)}",
            alias,
        )
        for edge in new.edges
        if edge.source >= 0 and edge.condition is not None and edge.number not in known
        for alias in (new.nodes[edge.source].alias,)
        if ended.get(alias) is edge.on_error
    ]


def _compared(here: Topology, there: Topology, before: State, after: State) -> list[dict[str, Any]]:
    """The same work is open."""
    found = []
    for group in (before.ready, before.retrying, before.waiting, before.mapping):
        for key in group:
            alias = here.aliases[key[0]]
            run, now = before.nodes[key], after.nodes.get((there.numbers[alias], key[1]))
            if now is None or (now.phase, now.attempt) != (run.phase, run.attempt):
                text = f"it is {run.phase}, and would be {now.phase if now else 'in another loop'}"
                found.append(_reason("live", text, alias))
    if (before.end is None) != (after.end is None) or (before.doom is None) != (after.doom is None):
        found.append(
            _reason("terminal", "the new graph's end has been reached already, or can't be any more")
        )
    return found


def _edges(old: Plan, new: Plan) -> dict[int, int]:
    """Old edge number → new one, for edges that both have."""
    there: dict[Any, int] = {}
    for name, number in _named(new):
        there[name] = number
    return {number: there[name] for name, number in _named(old) if name in there}


def _named(plan: Plan) -> list[tuple[Any, int]]:
    counts: dict[Any, int] = {}
    named = []
    for edge in plan.edges:
        source = plan.nodes[edge.source].alias if edge.source >= 0 else ""
        name = (source, _target(plan, edge), edge.on_error, edge.loop)
        counts[name] = counts.get(name, 0) + 1
        named.append(((*name, counts[name]), edge.number))
    return named


def _target(plan: Plan, edge: Edge) -> str:
    return plan.nodes[edge.target].alias if edge.target >= 0 else "@flow_output"
