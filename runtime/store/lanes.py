"""The outbox's two lanes: what goes to other executions of the store, and what leaves the house.

They are claimed apart, so that a receiver that is slow or away never delays a child's start or its end. A destination
is of one lane: an execution's id inside, an origin (``https://…``) outside.
"""

from __future__ import annotations

from typing import Final

START: Final = "start"
SIGNAL: Final = "signal"
CANCEL: Final = "cancel"

INSIDE: Final = "inside"
OUTSIDE: Final = "outside"
LANES: Final = (INSIDE, OUTSIDE)
_INSIDE_KINDS: Final = frozenset({START, SIGNAL, CANCEL})


def lane_of(kind: str) -> str:
    """Return the lane of an outbox entry's kind.

    >>> lane_of("webhook"), lane_of("start")
    ('outside', 'inside')
    """
    return INSIDE if kind in _INSIDE_KINDS else OUTSIDE
