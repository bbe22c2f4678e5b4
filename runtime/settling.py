"""How one settled node settles the next: the graph's half of the fold.

``completed``, ``failed``, ``not_taken`` and ``cancelled`` *settle* a node, and settle the arms that leave it:

* completed: its arrows arrive, but for those whose condition was false (``skipped``): not taken; its ``on_error``
  arrows are not taken. If a loop's back edge is among those that arrive, the loop goes round again and nothing else
  of it is settled yet;
* failed: its ``on_error`` arrows arrive. If one of them leads back to the terminal the error is handled and the other
  arrows are not taken; else they fail;
* not_taken: all its arrows are not taken. cancelled: its arrows fail, its ``on_error`` arrows are not taken.

A node with one arm does as the arm does. A node with several has a join (design §4). Settling is worked off from a
list, so that a long chain costs no recursion, and each arm is settled once: the fold of a whole run is linear in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from immutables import Map

from .state import ARRIVED, CANCELLED, FAILED, NOT_TAKEN, READY, Arms, Key, Run, State
from .topology import Topology

Work = tuple[int, Key, str, Key]
"""An arm to settle: edge, where it leads, what it brings, and the node that a failure on it comes from."""


def completed(topology: Topology, draft: State, key: Key, skipped: Iterable[int]) -> None:
    """Settle what follows from a completion."""
    node, iteration = key
    follows, rescues = topology.follows[node], topology.rescues[node]
    if topology.looped:
        again = [arrow for arrow in topology.backs[node] if arrow[0] not in skipped]
        if again:
            edge, target = again[0]
            head = (target, topology.again(target, iteration))
            draft.looped = draft.looped.set(head, edge)
            draft.came = draft.came.set((edge, head[1]), key)
            make_ready(draft, head)
            return
    if node == topology.terminal:
        draft.end = (draft.nodes[key].phase, draft.seq)
    if len(follows) == 1 and not (rescues or skipped or topology.looped or topology.needs[follows[0][1]] > 1):
        make_ready(draft, (follows[0][1], iteration))  # a chain: the common case
    elif follows or rescues:
        work = _arrows(topology, key, follows, ARRIVED, key, skipped)
        settle(topology, draft, work + _arrows(topology, key, rescues, NOT_TAKEN, key))


def fail(
    topology: Topology,
    draft: State,
    key: Key,
    failure: tuple[str, str, str, int],
    skipped: Iterable[int],
    attempt: int,
) -> list[Work]:
    """Settle ``key`` as failed; the arms that follow from it."""
    node = key[0]
    draft.nodes = draft.nodes.set(key, Run(FAILED, attempt, draft.seq))
    draft.failures = draft.failures.set(key, failure)
    handled = any(edge not in skipped and topology.reaches[target] for edge, target in topology.rescues[node])
    work = _arrows(topology, key, topology.rescues[node], ARRIVED, key, skipped)
    work += _arrows(topology, key, topology.follows[node], NOT_TAKEN if handled else FAILED, key)
    if not handled:
        draft.first = draft.first or key
        _doom(topology, draft, key, key)
    return work


def settle(topology: Topology, draft: State, work: list[Work]) -> None:
    """Work off ``work`` and all that follows from it."""
    work.reverse()
    while work:
        edge, key, arm, cause = work.pop()
        target = key[0]
        verdict: str | None = arm
        if topology.looped and arm == ARRIVED and cause[1] != key[1]:
            draft.came = draft.came.set((edge, key[1]), cause)
        if topology.needs[target] > 1:
            verdict, cause = _hear(topology, draft, key, edge, arm, cause)
        if verdict == ARRIVED:
            make_ready(draft, key)
        elif verdict == NOT_TAKEN:
            draft.nodes = draft.nodes.set(key, Run(NOT_TAKEN, 0, draft.seq))
            if target == topology.terminal:
                draft.end = (NOT_TAKEN, draft.seq)
            arrows = topology.follows[target] + topology.rescues[target]
            work += _arrows(topology, key, arrows, NOT_TAKEN, cause)
        elif verdict == FAILED and topology.needs[target] > 1:
            failure = draft.failures[cause]
            cancel(draft, topology.captives(target).__contains__)
            work += fail(topology, draft, key, failure, (), 0)
        elif verdict == FAILED:
            draft.nodes = draft.nodes.set(key, Run(CANCELLED, 0, draft.seq))
            work += _arrows(topology, key, topology.follows[target], FAILED, cause)
            work += _arrows(topology, key, topology.rescues[target], NOT_TAKEN, cause)
            _doom(topology, draft, key, cause)


def time_out(topology: Topology, draft: State, key: Key) -> None:
    """A gate's time is up: one that tolerates failures goes with what has arrived if its kind admits; else it fails.

    Only OR goes with fewer than all: AND and N_OF_M lack what they need, XOR and FIRST went with the first arrival.
    """
    _shut(draft, key)
    join = topology.joins[key[0]]
    if join.kind == "OR" and join.failure_policy == "TOLERATE_FAILURES":
        draft.joined = draft.joined.set(key, _arrivals(topology, draft, key))
        make_ready(draft, key)
        return
    arrived, arms = draft.counts[key].arrived, topology.needs[key[0]]
    message = f"{arrived} of {arms} arms arrived within {join.timeout_ms} ms"
    failure = ("gate_timeout", message, topology.aliases[key[0]], 0)
    cancel(draft, topology.captives(key[0]).__contains__)
    settle(topology, draft, fail(topology, draft, key, failure, (), 0))


def cancel(draft: State, which: Callable[[int], bool]) -> None:
    """Stop every live node that ``which`` names by its number."""
    for phase in ("ready", "running", "retrying", "waiting", "mapping"):
        group: Map[Key, int] = getattr(draft, phase)
        for key in [key for key in group if which(key[0])]:
            group = group.delete(key)
            draft.nodes = draft.nodes.set(key, Run(CANCELLED, draft.nodes[key].attempt, draft.seq))
        setattr(draft, phase, group)
    for pause, key in list(draft.pauses.items()):
        if which(key[0]):
            draft.pauses = draft.pauses.delete(pause)
    for key in [key for key in draft.gates if which(key[0])]:
        _shut(draft, key)


def make_ready(draft: State, key: Key) -> None:
    """A node may start."""
    draft.nodes = draft.nodes.set(key, Run(READY, 0, draft.seq))
    draft.ready = draft.ready.set(key, draft.seq)
    if draft.debug is not None and key[0] in draft.debug.breakpoints and draft.undoing is None:
        draft.debug = draft.debug._replace(stopped=True)


def _arrows(
    topology: Topology,
    key: Key,
    arrows: Iterable[tuple[int, int]],
    arm: str,
    cause: Key,
    skipped: Iterable[int] = (),
) -> list[Work]:
    node, iteration = key
    if not topology.looped:
        return [
            (edge, (target, iteration), NOT_TAKEN if edge in skipped else arm, cause)
            for edge, target in arrows
        ]
    return [
        (
            edge,
            (target, topology.across(node, target, iteration)),
            NOT_TAKEN if edge in skipped else arm,
            cause,
        )
        for edge, target in arrows
    ]


def _hear(
    topology: Topology, draft: State, key: Key, edge: int, arm: str, cause: Key
) -> tuple[str | None, Key]:
    """Note one arm of a join and say what becomes of it: arrived, not_taken, failed, or ``None``: not yet."""
    draft.arms = draft.arms.set((edge, key[1]), arm)
    arrived, not_taken, failed = draft.counts.get(key) or Arms()
    if arm == ARRIVED:
        arrived += 1
    elif arm == NOT_TAKEN:
        not_taken += 1
    else:
        failed += 1
    counts = Arms(arrived, not_taken, failed)
    draft.counts = draft.counts.set(key, counts)
    if key in draft.nodes:
        return None, cause  # it went without this arm: recorded, and nothing more
    verdict, cause = _verdict(topology, draft, key, edge, arm, counts, cause)
    if verdict is not None:
        _shut(draft, key)
    elif arrived and not draft.gates.get(key):
        draft.gates = draft.gates.set(key, draft.at)
        if topology.joins[key[0]].timeout_ms:
            draft.gate_dues = draft.gate_dues.set(key, 0)
    elif key not in draft.gates:
        draft.gates = draft.gates.set(key, 0)
    return verdict, cause


def _shut(draft: State, key: Key) -> None:
    """A gate waits no more."""
    if key in draft.gates:
        draft.gates = draft.gates.delete(key)
        if key in draft.gate_dues:
            draft.gate_dues = draft.gate_dues.delete(key)


def _verdict(
    topology: Topology, draft: State, key: Key, edge: int, arm: str, counts: Arms, cause: Key
) -> tuple[str | None, Key]:
    join = topology.joins[key[0]]
    if arm == FAILED and join.failure_policy == "FAIL_FAST":
        return FAILED, cause
    arrived = counts.arrived
    missing = topology.needs[key[0]] - sum(counts)
    if join.kind in ("XOR", "FIRST"):
        if arm == ARRIVED:
            draft.joined = draft.joined.set(key, (edge,))
            return ARRIVED, cause
        return (NOT_TAKEN if missing == 0 else None), cause
    if join.kind == "AND":
        if counts.not_taken or counts.failed:
            return NOT_TAKEN, cause
        return (ARRIVED if missing == 0 else None), cause
    if join.kind == "OR":
        if missing:
            return None, cause
        return (ARRIVED if arrived else NOT_TAKEN), cause
    if arrived >= join.n:
        draft.joined = draft.joined.set(key, _arrivals(topology, draft, key))
        return ARRIVED, cause
    if arrived + missing < join.n:
        message = f"{arrived} of {join.n} arms arrived, and the others can't any more"
        draft.failures = draft.failures.set(key, ("gate_unreachable", message, topology.aliases[key[0]], 0))
        return FAILED, key
    return None, cause


def _arrivals(topology: Topology, draft: State, key: Key) -> tuple[int, ...]:
    return tuple(edge for edge in topology.arms[key[0]] if draft.arms.get((edge, key[1])) == ARRIVED)


def _doom(topology: Topology, draft: State, key: Key, cause: Key) -> None:
    """If ``key`` is the terminal, the run will fail: stop all that works towards it."""
    if key[0] == topology.terminal and draft.doom is None and draft.undoing is None:
        draft.doom = cause
        draft.end = (FAILED, draft.seq)
        cancel(draft, topology.reaches.__getitem__)
