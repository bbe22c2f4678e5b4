"""A signal: an event from outside to one execution. It is kept in the run's state until a node takes it.

The append has neither ``after`` nor fence: it never conflicts with the run's owner, wakes a parked run in its own step,
and counts once by its de-duplication id, also when the run has ended since.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from . import events as e
from .events import Event, pack_value
from .limits import INLINE_VALUE_BYTES
from .store.base import Append, Head, Store

SIGNAL_BYTES: Final = 256 << 10
"""The largest payload: what comes early is kept, by the thousand."""


def dedup_of(name: str, signal_id: str) -> str:
    """Return what a signal from outside counts once by. No order of another execution has such a name."""
    return f"signal/{name}/{signal_id}"


async def signal(
    store: Store, head: Head, name: str, key: str | None, signal_id: str, payload: Any
) -> Append:
    """Return the append that brings a signal; a large payload is written first. ``StoreError``."""
    packed = pack_value(payload)
    value: dict[str, Any] = {"value": payload}
    if len(packed) > INLINE_VALUE_BYTES:
        blob = f"signal.{hashlib.sha256(dedup_of(name, signal_id).encode()).hexdigest()[:24]}"
        await store.put_blob(head.execution_id, blob, packed)
        value = {"blob": blob, "size": len(packed)}
    at = max(store.now(), head.updated_at)
    body = {"name": name, "key": key, "id": signal_id, "payload": value}
    data = e.encode(Event(e.SIGNAL_RECEIVED, at, body=body))
    crc = e.crc(head.execution_id, data)
    return Append(head.execution_id, (data,), (crc,), at, dedup=dedup_of(name, signal_id))
