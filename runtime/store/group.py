"""What one commit writes: rows in flat lists, as the tables take them, and who waits for it.

Rows are made by the judge on the loop's thread. Head rows are made when the group is cut, so that many changes of one
execution in a group are one row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from .base import Hint, Settle
from .effects import Effect
from .entry import Entry

Scope = tuple[str, str, str]


class Job:
    """A rare write that is done by a call inside the commit; its answer is the future's."""

    __slots__ = ("answer", "call", "future")

    def __init__(self, call: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        self.call, self.future = call, future
        self.answer: Any = None


class Group:
    """Writes that share one commit. Groups are numbered and committed in order."""

    __slots__ = (
        "business",
        "changed_effects",
        "created",
        "dedups",
        "deleted",
        "dirty",
        "effects",
        "events",
        "framed",
        "frames",
        "hints",
        "jobs",
        "keys",
        "mails",
        "number",
        "rows",
        "settled",
        "size",
        "snapshots",
        "touched",
        "waiters",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.size = 0
        """Calls that joined; 0: nothing to do."""
        self.touched: dict[Entry, bool] = {}
        """Entries changed; true if their journal moved."""
        self.created: dict[Entry, None] = {}
        self.dirty: dict[Entry, None] = {}
        """Entries whose head row must be written: all but those whose journal only grew."""
        self.events: list[Any] = []
        """Flat: rid, seq, check, data."""
        self.dedups: list[Any] = []
        """Flat: rid, id, seq."""
        self.frames: list[Any] = []
        """Flat: rid, position, node, index, taken, payload."""
        self.framed: dict[Entry, None] = {}
        self.snapshots: dict[int, tuple[int, bytes]] = {}
        self.effects: list[Effect] = []
        self.settled: list[tuple[Effect, Settle]] = []
        self.changed_effects: list[Effect] = []
        self.mails: list[tuple[str, Entry, int]] = []
        self.keys: list[Scope] = []
        self.business: list[Scope] = []
        """Keys in flight, to be let go of once they stand in the tables."""
        self.deleted: list[Entry] = []
        self.hints: list[Hint] = []
        self.jobs: list[Job] = []
        self.rows: Any = None
        """What the backing made of the head rows at the cut."""
        self.waiters: list[tuple[asyncio.Future[Any], Any]] = []

    @property
    def empty(self) -> bool:
        """Nothing changed: those who wait only wait for what came before."""
        return not (
            self.touched or self.dirty or self.jobs or self.deleted or self.settled or self.changed_effects
        )
