"""What an attempt of a node comes to, before it is an event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .events import Event
from .failures import Failure


class Output(NamedTuple):
    """What a node made. ``checked``: its own schema does not apply (a map's list of outputs)."""

    value: Any
    checked: bool = False
    beside: Mapping[str, Any] | None = None
    """What else its event tells."""


class Ended(NamedTuple):
    """The node ends the whole run, with a final event of ``kind``."""

    kind: str
    body: dict[str, Any]


Result = Output | Ended | Event | Failure
"""An ``Event`` says that the node waits, and for what."""
