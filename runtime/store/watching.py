"""Who listens to the hints of a store, and to which kinds of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any

import structlog

from .base import Hint, Watcher

_log = structlog.get_logger("axiom.store")

LOOK_AT_EVERYTHING = Hint("moved", "")
"""Hints may have been lost; every watcher hears it."""


class Watchers:
    """The watchers of one store in one process. ``changed`` is called when the kinds that they want have changed."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self._watchers: list[tuple[Watcher, frozenset[str] | None]] = []
        self._changed = changed

    def __bool__(self) -> bool:
        return bool(self._watchers)

    @property
    def kinds(self) -> tuple[str, ...] | None:
        """The kinds that somebody wants; ``None``: all."""
        wanted: set[str] = set()
        for _, kinds in self._watchers:
            if kinds is None:
                return None
            wanted |= kinds
        return tuple(sorted(wanted))

    def add(self, watcher: Watcher, kinds: Collection[str] | None = None) -> Callable[[], None]:
        """Tell ``watcher`` from now on; the answer stops it."""
        entry = (watcher, None if kinds is None else frozenset(kinds))
        before = self.kinds
        self._watchers.append(entry)
        if self.kinds != before:
            self._changed()

        def stop() -> None:
            if entry in self._watchers:
                self._watchers.remove(entry)

        return stop

    def tell(self, hints: Sequence[Hint]) -> None:
        """Hand each watcher what it wants of ``hints``; one that fails doesn't keep them from the others."""
        for watcher, kinds in tuple(self._watchers):
            wanted = hints if kinds is None else of_kinds(hints, kinds)
            if wanted:
                try:
                    watcher(wanted)
                except Exception:
                    _log.exception("watcher_failed")


def of_kinds(hints: Sequence[Hint], kinds: Collection[str]) -> list[Hint]:
    """Return the hints of those kinds, and those that say to look at everything."""
    return [hint for hint in hints if hint.kind in kinds or hint == LOOK_AT_EVERYTHING]


def unheard(future: asyncio.Future[Any]) -> None:
    """Of a call whose answer nobody waits for: an error in it was told elsewhere."""
    if not future.cancelled():
        future.exception()
