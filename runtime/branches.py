"""The gates of an execution, and where each of their arms stands.

An arm is an edge into a join. It is told by the alias of the node that it comes from:

* ``arrived``: it brought its message. ``late``: it did so after the gate had gone or failed, and nobody takes it.
* ``failed``, ``not_taken``: it will bring none.
* ``running``, ``waiting``: a node on the way to it runs, or waits for something; ``node`` names it.
* ``pending``: nothing on the way has begun. ``cancelled``: it was stopped, because the gate or the run was over.

A gate is ``pending`` before it has heard of an arm, then ``waiting``; then it ``went``, or it ``failed``, was
``not_taken`` or ``cancelled``. What its node did once it went is the node's business, not the gate's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .fold import fold
from .reading import carried, history
from .state import ARRIVED, BLANK, CANCELLED, FAILED, NOT_TAKEN, Key, State
from .store.base import Store
from .topology import Topology


class Arm(NamedTuple):
    """One way into a gate; ``since`` in ms, ``None`` while nothing on the way has begun."""

    alias: str
    state: str
    since: int | None
    node: str | None
    """What runs or waits on the way, the first of several."""


class Gate(NamedTuple):
    """One join in one iteration."""

    node: str
    iteration: tuple[int, ...]
    kind: str
    failure_policy: str
    state: str
    since: int | None
    """When its first arm arrived, while it waits."""
    due: int | None
    """When its time is up, while it waits."""
    needs: str
    """What it still needs, in words; empty once it needs nothing."""
    arms: tuple[Arm, ...]


async def branches(store: Store, execution_id: str, topology: Topology) -> list[Gate]:
    """Return the gates of an execution, in the order of the plan, outer iterations first."""
    if not any(count > 1 for count in topology.needs):
        return []
    events = carried(await history(store, execution_id))
    times = [0, *(event.at for event in events)]
    return list(gates_of(topology, fold(topology, BLANK, events), times))


def gates_of(topology: Topology, state: State, times: list[int]) -> Iterator[Gate]:
    """Yield the gates of ``state``; ``times``: when each event was written, by its seq."""
    seen: dict[int, set[tuple[int, ...]]] = {}
    for node, iteration in state.nodes:
        if len(iteration) == topology.depths[node]:  # not an item of a map
            for _, target in topology.follows[node] + topology.rescues[node]:
                if topology.needs[target] > 1:
                    seen.setdefault(target, set()).add(topology.across(node, target, iteration))
    for node, arms in enumerate(topology.arms):
        if len(arms) > 1:
            for iteration in sorted(seen.get(node) or {(0,) * topology.depths[node]}):
                yield _gate(topology, state, times, (node, iteration))


def _gate(topology: Topology, state: State, times: list[int], key: Key) -> Gate:
    node, iteration = key
    join, gate = topology.joins[node], _gate_state(state, key)
    arms = tuple(_arm(topology, state, times, key, gate, edge) for edge in topology.arms[node])
    since, due = state.gates.get(key, 0), state.gate_dues.get(key, 0)
    needs = _needs(join.kind, join.n, arms) if gate in ("pending", "waiting") else ""
    alias, policy = topology.aliases[node], join.failure_policy
    return Gate(alias, iteration, join.kind, policy, gate, since or None, due or None, needs, arms)


def _gate_state(state: State, key: Key) -> str:
    run = state.nodes.get(key)
    if run is None:
        return "cancelled" if state.final else "waiting" if key in state.gates else "pending"
    if run.attempt == 0 and run.phase in (FAILED, NOT_TAKEN):
        return run.phase
    return "cancelled" if run.phase == CANCELLED and run.attempt == 0 else "went"


def _arm(topology: Topology, state: State, times: list[int], key: Key, gate: str, edge: int) -> Arm:
    source = _source(topology, state, edge, key)
    alias, told = topology.aliases[source[0]], state.arms.get((edge, key[1]))
    run = state.nodes.get(source)
    since = times[run.seq] if run is not None else None
    if told == ARRIVED:
        assert run is not None, "an arm arrives when its source completes or fails"
        joined = state.joined.get(key)
        after_failure = gate == FAILED and run.seq > state.nodes[key].seq
        late = after_failure or (joined is not None and edge not in joined)
        return Arm(alias, "late" if late else "arrived", since, None)
    if told is not None:
        return Arm(alias, told, since, None)
    if state.final or (run is not None and run.phase == CANCELLED):
        return Arm(alias, "cancelled", since, None)
    return _on_the_way(topology, state, times, source, alias)


def _source(topology: Topology, state: State, edge: int, key: Key) -> Key:
    """Return the node, in its iteration, that settled or will settle an arm."""
    came = state.came.get((edge, key[1]))
    if came is not None:
        return came
    source = topology.plan.edges[edge].source
    iteration = key[1][: topology.depths[source]]
    return source, iteration + (0,) * (topology.depths[source] - len(iteration))


def _on_the_way(topology: Topology, state: State, times: list[int], source: Key, alias: str) -> Arm:
    """Look from an arm that has not settled back to what has: what runs in between, what waits."""
    found: list[tuple[str, Key]] = []
    work, seen = [source], {source}
    while work:
        key = work.pop()
        run = state.nodes.get(key)
        if run is not None and run.phase in ("waiting", "retrying"):
            found.append(("waiting", key))
        elif run is not None:
            found.append(("running", key))
        else:
            for edge in topology.arms[key[0]]:
                before = _source(topology, state, edge, key)
                if (edge, key[1]) not in state.arms and before not in seen:
                    seen.add(before)
                    work.append(before)
    live = [(word, key) for word, key in found if _alive(state, key)]
    if not live:
        return Arm(alias, "pending", None, None)
    word, key = min(live, key=lambda one: (one[0], one[1]))  # what runs goes before what waits
    return Arm(alias, word, times[state.nodes[key].seq], topology.aliases[key[0]])


def _alive(state: State, key: Key) -> bool:
    groups = (state.ready, state.running, state.retrying, state.waiting, state.mapping)
    return any(key in group for group in groups)


def _needs(kind: str, n: int, arms: tuple[Arm, ...]) -> str:
    open_ = [arm.alias for arm in arms if arm.state in ("running", "waiting", "pending")]
    listed = ", ".join(open_) or "nothing"
    if kind == "AND":
        return listed
    if kind == "OR":
        return f"each of {listed} settled"
    if kind == "N_OF_M":
        arrived = sum(arm.state == "arrived" for arm in arms)
        return f"{max(0, n - arrived)} of {listed}"
    return f"the first of {listed}"
