"""The same store without the engine: what its promises cost by themselves.

A run is six appends of one event each through the store's own protocol: a new execution that is owned from birth, then
fenced compare-and-appends, the last one with a final status. Heads, lists and hints are kept as for any run; there is
no plan, no state and no handler.
"""

from __future__ import annotations

import os
from typing import Final

from axiom.runtime import events as e
from axiom.runtime.clock import SystemClock
from axiom.runtime.events import Event
from axiom.runtime.store.base import Append, Create, Fence, Ok, Store
from axiom.runtime.store.ids import new_execution_id

from .rounds import Run

SESSION: Final = "bench"
SESSION_MS: Final = 3_600_000
APPENDS: Final = 6
EPOCH: Final = 1
TEXT: Final = os.urandom(60).hex()
"""Makes an event about as large as one with a small output."""


def stored_run(store: Store) -> Run:
    """Return what appends one run. The session that owns it lasts an hour."""
    clock = SystemClock()
    beater = store.beater()
    beater.beat(SESSION, SESSION_MS, {}, {})
    fence = Fence(SESSION, EPOCH)
    create = Create("bench", "bench/stored", "0" * 32, "unary", "bench", session=SESSION, epoch=EPOCH)

    async def run() -> None:
        name = new_execution_id(clock)
        for after in range(APPENDS):
            kind = e.ACCEPTED if after == 0 else e.COMPLETED if after == APPENDS - 1 else e.NODE_STREAMING
            now = store.now()
            data = e.encode(Event(kind, now, "node", (), 1, EPOCH, {"text": TEXT}))
            crc = e.crc(name, data)
            if after == 0:
                item = Append(name, (data,), (crc,), now, 0, status="RUNNING", create=create)
            else:
                status = "COMPLETED" if after == APPENDS - 1 else None
                item = Append(name, (data,), (crc,), now, after, fence, status=status)
            outcome = (await store.append((item,)))[0]
            assert isinstance(outcome, Ok), outcome

    return run
