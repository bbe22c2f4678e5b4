"""Why an execution stands where it stands, and what will move it next.

The answer is made from what anyone may read: the head, the state that its journal folds to, and the sessions of the
workers. It never guesses: where nothing will move a run by itself, it says so and names what is missing.

``BRANCHES`` is the whole list of what may hold a run up, the most telling first: the first reason is the summary.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from axiom.compiler.artifact import Plan

from . import reasons_head as of_head
from . import reasons_limits as of_limits
from . import reasons_nodes as of_nodes
from .events import Event, UnknownKind
from .reading import state_of
from .reasons import NOBODY, SHOWN, Branch, Reason, View
from .state import IllegalTransition, State
from .store.base import FINAL, Head, Session, Store
from .store.permits import Limit
from .topology import Topology

BRANCHES: Final[tuple[Branch, ...]] = (
    of_head.ended,
    of_head.worker_gone,
    of_head.queued,
    of_head.delayed,
    of_nodes.compensating,
    of_nodes.on_hold,
    of_nodes.running,
    of_nodes.debugged,
    of_nodes.pauses,
    of_nodes.events,
    of_nodes.children,
    of_nodes.timers,
    of_limits.permits,
    of_limits.rates,
    of_limits.circuits,
    of_nodes.retries,
    of_nodes.gates,
    of_nodes.maps,
    of_nodes.loops,
    of_head.held,
    of_head.parked,
    of_nodes.deadline,
)


class Why(NamedTuple):
    """The reasons, the most telling first; the rest is the first one's."""

    reasons: tuple[Reason, ...]

    @property
    def text(self) -> str:
        return self.reasons[0].message

    @property
    def mover(self) -> str:
        return self.reasons[0].mover

    @property
    def until(self) -> int | None:
        return self.reasons[0].until

    @property
    def details(self) -> dict[str, Any]:
        return dict(self.reasons[0].details)


async def why(store: Store, head: Head, plan: Plan | None, sessions: Sequence[Session]) -> Why:
    """Return what an execution waits for. ``plan``: its artifact's; ``None`` if it can't be read."""
    topology, state = None, None
    if plan is not None and plan.mode == "unary":
        topology = Topology(plan)
        try:
            state = await state_of(store, topology, head)
        except (IllegalTransition, UnknownKind, KeyError):
            topology = None
    events = await _events(store, head, state)
    view = View(head, store.now(), sessions, topology, state, events, await _limits(store, state))
    found = tuple(reason for branch in BRANCHES for reason in branch(view))
    return Why(found or (_unknown(head),))


async def _limits(store: Store, state: State | None) -> dict[str, Limit]:
    """The limits under which nodes wait for permits."""
    wanted = {wait.name for wait in state.waiting.values() if wait.kind == "permit"} if state else set()
    found = [limit for name in islice(wanted, SHOWN) for limit in await store.limits(name, "", 1)]
    return {limit.name: limit for limit in found}


async def _events(store: Store, head: Head, state: State | None) -> dict[int, Event]:
    """The events that say more than the state: how it ended, since when nodes run, what failed, what was asked."""
    wanted = {head.seq} if head.status in FINAL else set()
    if state is not None:
        wanted |= {state.held} - {0}
        for group in (state.running, state.retrying, state.waiting):
            wanted.update(state.nodes[key].seq for key in islice(group, SHOWN))
    found = {}
    for seq in sorted(wanted):
        for event in await store.read(head.execution_id, seq - 1, 1):
            found[event.seq] = event
    return found


def _unknown(head: Head) -> Reason:
    text = f"It is {head.status}, and nothing that can be read from here says why."
    return Reason("unknown", text, f"axiom verify {head.execution_id} checks its journal.", NOBODY)
