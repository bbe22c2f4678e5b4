"""Journals of real runs with what ``runtime/fold.py`` makes of them, for the pages' fold to be compared with.

The runs are those of the engine's own tests: their scenarios are played as they stand, and every execution that is in
the store at the end is taken. Random graphs with workers that die come from the simulation.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterator
from typing import Any

import pytest
import test_debugging
import test_delayed_starts
import test_doors_forks
import test_doors_hold
import test_gates
import test_limits
import test_subflows
import test_waits
from rigs import Rig
from test_simulation import outcomes

from axiom.api.http.registry import graph_json
from axiom.api.streams import event_json
from axiom.runtime.clock import run_virtual
from axiom.runtime.events import Event
from axiom.runtime.fold import fold
from axiom.runtime.state import State
from axiom.runtime.store.base import Query
from axiom.runtime.topology import Topology

MOST_EVENTS = 500
SEEDS = 10
MODULES = (
    test_waits,
    test_gates,
    test_delayed_starts,
    test_limits,
    test_subflows,
    test_doors_forks,
    test_doors_hold,
    test_debugging,
)


def told(name: str, topology: Topology, events: list[Event]) -> dict[str, Any]:
    """One run: its graph, its events, and after each event the status and the nodes that changed."""
    states = []
    state = State()
    for event in events:
        after = fold(topology, state, (event,))
        changed = [
            [key[0], list(key[1]), run.phase, run.attempt]
            for key, run in after.nodes.items()
            if state.nodes.get(key) is not run
        ]
        states.append([str(after.status), changed])
        state = after
    graph = graph_json(topology.plan, {})
    return {
        "name": name,
        "graph": graph,
        "events": [{**event_json(event), "body": plain(event.body)} for event in events],
        "states": states,
    }


def plain(body: Any) -> dict[str, Any]:
    """A body without its values: the fold doesn't read them."""
    return {name: value for name, value in body.items() if name not in ("input", "output", "payload")}


def scenarios() -> Iterator[tuple[str, Any]]:
    """The engine's tests that can be called as they are, and seeds of the simulation."""
    tests = [test for module in MODULES for test in inspect.getmembers(module, inspect.isfunction)]
    for name, test in tests:
        if name.startswith("test_") and "thousand" not in name and not inspect.signature(test).parameters:
            yield name.removeprefix("test_").replace("_", " "), test
    for seed in range(SEEDS):
        trouble = random.Random(seed).choice((0, 0.02, 0.1, 0.25))
        yield f"simulation {seed}", lambda seed=seed, trouble=trouble: run_virtual(outcomes(seed, trouble))


def journals(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Play every scenario; what was in its store when it was checked."""
    made: list[dict[str, Any]] = []
    current = ""
    check = Rig.check

    async def checked(rig: Rig) -> None:
        await check(rig)
        page = await rig.store.find(Query("default", limit=100))
        for number, head in enumerate(page.heads):
            events = await rig.history(head.execution_id)
            if len(events) <= MOST_EVENTS:
                made.append(told(f"{current} {number}", rig.prepared[head.graph_id].topology, events))

    monkeypatch.setattr(Rig, "check", checked)
    for name, play in scenarios():
        current = name
        play()
    return made
