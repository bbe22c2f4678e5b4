"""The state of an execution that this process does not own: its snapshot, and what was written since."""

from __future__ import annotations

from .fold import fold
from .snapshot import load
from .state import BLANK, State
from .store.base import Head, Store
from .topology import Topology

BITE = 1_000
"""Events read at once."""


async def state_of(store: Store, topology: Topology, head: Head, seq: int | None = None) -> State:
    """Return the state at ``head.seq``, or at an earlier ``seq``. ``UnknownKind``, ``IllegalTransition``."""
    seq = head.seq if seq is None else seq
    state = None
    snapshot = await store.snapshot(head.execution_id)
    if snapshot is not None and snapshot[0] <= seq:
        state = load(snapshot[1])
    state = state or BLANK
    while state.seq < seq:
        events = await store.read(head.execution_id, state.seq, min(BITE, seq - state.seq))
        if not events:
            break
        state = fold(topology, state, events)
    return state
