"""Why a run stands where it stands, node by node: what runs, sleeps, waits for others or for another attempt.

Each branch goes over one map of the state, which holds live nodes only, and tells of ``SHOWN`` of them at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from .debugging import stopped
from .reasons import EVENT, PERSON, SHOWN, TIMER, WORKER, Reason, View, span, where, worker_name
from .state import ARRIVED, Key, Wait


def running(view: View) -> Iterator[Reason]:
    """Nodes that a living worker performs."""
    state, owner = view.state, view.owner
    if state is None or view.topology is None or owner is None:
        return
    worker = worker_name(owner)
    for key, attempt in islice(state.running.items(), SHOWN):
        alias, node = view.alias(key), view.topology.plan.nodes[key[0]]
        began = view.events.get(state.nodes[key].seq)
        since = began.at if began is not None else state.at
        until = since + int(node.timeout_seconds * 1000)
        tries = f", attempt {attempt} of {node.retry.max_attempts}" if attempt > 1 else ""
        text = f"Worker {worker} runs node {alias}{where(key)}{tries}, for {span(view.now - since)}."
        details = {"attempt": attempt, "since": since, "timeout_seconds": node.timeout_seconds}
        if view.id in owner.info.get("processes_wanted", ()):
            text = f"Node {alias}{where(key)} waits for a free child process of worker {worker}."
            after = (
                "It gets one when another call there ends; more process_slots, or another worker, is sooner."
            )
            yield Reason("process_slot", text, after, WORKER, alias, key[1], None, worker, details)
            continue
        after = f"Its handler ends it, or its time-out of {node.timeout_seconds:g} s does."
        yield Reason("running", text, after, WORKER, alias, key[1], until, worker, details)


def _waits(view: View, kind: str) -> Iterator[tuple[Key, Wait]]:
    if view.state is not None:
        found = ((key, wait) for key, wait in view.state.waiting.items() if wait.kind == kind)
        yield from islice(found, SHOWN)


def debugged(view: View) -> Iterator[Reason]:
    """Nodes that a debug run has stopped before."""
    if view.state is None:
        return
    for key in stopped(view.state)[:SHOWN]:
        alias = view.alias(key)
        text = f"Node {alias}{where(key)} is stopped before its start by the debugger."
        after = f"axiom debug {view.id} --step runs it, --continue lets everything go on."
        yield Reason("debug_paused", text, after, PERSON, alias, key[1])


def pauses(view: View) -> Iterator[Reason]:
    """Questions to people."""
    for key, wait in _waits(view, "pause"):
        alias = view.alias(key)
        if len(wait.answers) >= wait.quorum:
            text = f"The pause at {alias}{where(key)} is answered."
            yield Reason("answered", text, "The next worker goes on with it.", WORKER, alias, key[1])
            continue
        opened = view.events.get(wait.seq)
        asked = opened.body.get("message") if opened is not None else None
        to = opened.body.get("to") if opened is not None else None
        who = ", ".join(to) if isinstance(to, list) else to or "somebody"
        text = f"Node {alias}{where(key)} waits for {who} to answer{f': {asked}' if asked else '.'}"
        if wait.quorum > 1:
            text += f" ({len(wait.answers)} of {wait.quorum} answers)"
        after = f"axiom pauses resume {view.id} {wait.name} -d JSON"
        details = {"pause_id": wait.name, "quorum": wait.quorum, "answers": len(wait.answers)}
        yield Reason("pause", text, after, PERSON, alias, key[1], wait.due, who if to else None, details)


def events(view: View) -> Iterator[Reason]:
    """Things that must happen outside."""
    for key, wait in _waits(view, "event"):
        alias = view.alias(key)
        with_key = f" with the key {wait.key!r}" if wait.key is not None else ""
        text = f"Node {alias}{where(key)} waits for the event {wait.name!r}{with_key}."
        path = f"/invocations/v1/executions/{view.id}/signals/{wait.name}"
        after = f"POST {path} brings it" + (", or its time-out ends the wait." if wait.due else ".")
        details = {"name": wait.name, "key": wait.key}
        yield Reason("event", text, after, EVENT, alias, key[1], wait.due, None, details)


def timers(view: View) -> Iterator[Reason]:
    """Sleeps."""
    for key, wait in _waits(view, "timer"):
        alias, left = view.alias(key), (wait.due or 0) - view.now
        text = f"Node {alias}{where(key)} sleeps for another {span(left)}."
        yield Reason("sleeping", text, "Nothing to do: it wakes then.", TIMER, alias, key[1], wait.due)


def on_hold(view: View) -> Iterator[Reason]:
    """Someone holds the whole run."""
    state = view.state
    event = view.events.get(state.held) if state is not None else None
    if event is None:
        return
    by, comment = event.body.get("by") or "someone", event.body.get("comment")
    text = f"{by} holds the run{f': {comment}' if comment else ''}. Nothing new starts."
    after = f"axiom executions resume {view.head.execution_id}"
    details = {"by": by, "comment": comment, "since": event.at}
    yield Reason("held", text, after, PERSON, None, (), None, by, details)


def children(view: View) -> Iterator[Reason]:
    """Subflows."""
    for key, wait in _waits(view, "child"):
        alias = view.alias(key)
        text = f"Node {alias}{where(key)} waits for its child {wait.name} to end."
        after = f"axiom why {wait.name}"
        yield Reason("child", text, after, EVENT, alias, key[1], wait.due, None, {"child": wait.name})


def retries(view: View) -> Iterator[Reason]:
    """Nodes that failed and are tried again."""
    state = view.state
    if state is None:
        return
    failed_ones = ((key, due) for key, due in state.retrying.items() if state.nodes[key].attempt)
    soonest = sorted(failed_ones, key=lambda item: item[1])
    for key, due in soonest[:SHOWN]:
        alias, run = view.alias(key), state.nodes[key]
        failed = view.events.get(run.seq)
        error = {name: failed.body.get(name) for name in ("code", "message")} if failed is not None else {}
        said = f" ({error['code']}: {str(error['message'])[:200]})" if error else ""
        text = f"Node {alias}{where(key)} failed in attempt {run.attempt}{said}; attempt {run.attempt + 1} follows"
        text += f" in {span(due - view.now)}." if due > view.now else "."
        details = {"attempt": run.attempt, "error": error}
        yield Reason(
            "retry", text, "Nothing to do: it is tried again then.", TIMER, alias, key[1], due, None, details
        )


def gates(view: View) -> Iterator[Reason]:
    """Joins that have heard of some arms and not of others."""
    state, topology = view.state, view.topology
    if state is None or topology is None:
        return
    for key in islice(state.gates, SHOWN):
        alias, join = view.alias(key), topology.joins[key[0]]
        heard: dict[str, str] = {}
        missing: list[str] = []
        for number in topology.arms[key[0]]:
            arm, source = state.arms.get((number, key[1])), topology.plan.edges[number].source
            if arm is None:
                missing.append(topology.aliases[source])
            else:
                heard[topology.aliases[source]] = arm
        arrived = sorted(name for name, arm in heard.items() if arm == ARRIVED)
        text = (
            f"The {join.kind} gate before {alias}{where(key)} waits for {_list(missing)}; "
            f"{_list(arrived) if arrived else 'nothing'} arrived."
        )
        due = state.gate_dues.get(key) or None
        after = f"It goes on when {_list(missing)} ends"
        after += (
            f", or decides without it in {span(due - view.now)}."
            if due
            else "; it has no timeout of its own."
        )
        details: dict[str, Any] = {"join": join.kind, "missing": missing, "heard": heard}
        yield Reason("gate", text, after, WORKER, alias, key[1], due, None, details)


def maps(view: View) -> Iterator[Reason]:
    """Items that are not done."""
    if view.state is None:
        return
    for key, mapping in islice(view.state.mapping.items(), SHOWN):
        alias, left = view.alias(key), mapping.total - mapping.done
        under_way = mapping.begun - mapping.done
        text = (
            f"Node {alias}{where(key)} has {left} of {mapping.total} items outstanding: "
            f"{under_way} begun, at most {mapping.bound} at a time."
        )
        details = {
            "total": mapping.total,
            "done": mapping.done,
            "begun": mapping.begun,
            "bound": mapping.bound,
        }
        yield Reason(
            "map", text, "It goes on when all items are done.", WORKER, alias, key[1], details=details
        )


def loops(view: View) -> Iterator[Reason]:
    """Rounds of loops that live nodes are in."""
    state, topology = view.state, view.topology
    if state is None or topology is None or not topology.looped:
        return
    live = [*state.running, *state.ready, *state.retrying, *state.waiting, *state.mapping]
    for number, body in islice(topology.loops.items(), SHOWN):
        inside = [key for key in live if key[0] in body]
        if not inside:
            continue
        head, depth = topology.aliases[number], topology.depths[number]
        backs = [edge for edge in topology.plan.edges if edge.loop and edge.target == number]
        round_, bound = (
            max(key[1][depth - 1] for key in inside) + 1,
            max(edge.max_iterations for edge in backs),
        )
        text = f"It is in round {round_} of the loop at {head}, which goes back {bound} times at most."
        deciders = sorted({topology.aliases[edge.source] for edge in backs})
        after = f"The condition behind {_list(deciders)} decides whether it goes round again."
        details = {"round": round_, "max_iterations": bound}
        yield Reason("loop", text, after, WORKER, head, inside[0][1][:depth], details=details)


def compensating(view: View) -> Iterator[Reason]:
    """What is being undone."""
    state, topology = view.state, view.topology
    if state is None or topology is None or state.undoing is None or state.final:
        return
    undoes = {undo: topology.aliases[node] for node, undo in topology.undoes.items()}
    left = [{"node": topology.aliases[key[0]], "undoes": undoes.get(key[0])} for key in state.undoing]
    cause = state.outcome or {}
    why = (
        "it was told to stop"
        if state.cancelling is not None
        else f"{cause.get('code')}: {cause.get('message')}"
    )
    if not left:
        text = f"It has undone what it did ({why}) and is about to end."
    else:
        text = (
            f"It undoes what it did ({why}): {left[0]['node']} undoes {left[0]['undoes']}, {len(left)} left."
        )
    node = str(left[0]["node"]) if left else None
    after = (
        "When all is undone it ends as CANCELLED."
        if state.cancelling is not None
        else ("When all is undone it ends as FAILED.")
    )
    yield Reason("compensating", text, after, WORKER, node, details={"left": left, "cause": dict(cause)})


def deadline(view: View) -> Iterator[Reason]:
    """The whole run's time-out."""
    state = view.state
    if state is None or state.final or state.deadline is None or state.undoing is not None:
        return
    text = f"The whole run has {span(state.deadline - view.now)} left."
    yield Reason("deadline", text, "It fails with run_timeout then.", TIMER, until=state.deadline)


def _list(names: list[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"
