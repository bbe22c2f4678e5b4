"""A state as bytes: the snapshot beside a journal. A cache, never the truth; ``verify`` folds from 1 and compares."""

from __future__ import annotations

from typing import Any, Final

import msgpack
from immutables import Map

from .state import Arms, Debug, Mapping, Run, State, Wait, Woken

SNAPSHOT_FORMAT: Final = 5
_MAPS: Final = (
    "nodes",
    "ready",
    "running",
    "retrying",
    "waiting",
    "woken",
    "mapping",
    "signals",
    "pauses",
    "arms",
    "counts",
    "gates",
    "gate_dues",
    "joined",
    "looped",
    "came",
    "failures",
)
_TUPLES: Final = ("first", "doom", "end", "undoing")
_PLAIN: Final = tuple(name for name in State.__slots__ if name not in _MAPS + _TUPLES)
_RECORDS: Final[dict[str, Any]] = {
    "nodes": Run,
    "counts": Arms,
    "waiting": Wait,
    "mapping": Mapping,
    "woken": Woken,
}


def dump(state: State) -> bytes:
    """Return a snapshot of ``state``."""
    return msgpack.packb(  # type: ignore[no-any-return]
        (
            SNAPSHOT_FORMAT,
            [getattr(state, name) for name in _PLAIN],
            [getattr(state, name) for name in _TUPLES],
            [list(getattr(state, name).items()) for name in _MAPS],
        )
    )


def load(data: bytes) -> State | None:
    """Return the state of a snapshot, or ``None`` if another version wrote it: fold from the start instead."""
    version, plain, tuples, maps = msgpack.unpackb(data, use_list=False, strict_map_key=False)
    if version != SNAPSHOT_FORMAT:
        return None
    state = State()
    for name, value in zip(_PLAIN + _TUPLES, plain + tuples, strict=True):
        setattr(state, name, value)
    for name, items in zip(_MAPS, maps, strict=True):
        record = _RECORDS.get(name)
        setattr(
            state, name, Map(items if record is None else [(key, record(*value)) for key, value in items])
        )
    if state.debug is not None:
        state.debug = Debug(*state.debug)
    if state.outcome is not None:
        state.outcome = dict(state.outcome)
    return state
