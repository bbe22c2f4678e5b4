"""What ``why`` answers with, and what its branches look at.

A branch is a function from a ``View`` to the reasons that it sees; it reads nothing but the view, so that each is
tested alone and another is added by adding a name to ``why.BRANCHES``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from .events import Event
from .state import Key, State
from .store.base import Head, Session
from .store.permits import Limit
from .topology import Topology

SHOWN: Final = 20
"""Nodes told of by one branch; a fan-out of thousands waits for the same thing anyway."""

NOBODY: Final = "nobody"
WORKER: Final = "worker"
TIMER: Final = "timer"
PERSON: Final = "person"
EVENT: Final = "event"


class Reason(NamedTuple):
    """One thing that an execution waits for."""

    code: str
    """Stable, for programs."""
    message: str
    next: str
    """What will move it, or what a person must do, with the command."""
    mover: str = NOBODY
    """``worker``, ``timer``, ``person``, ``event``, or ``nobody`` (it has ended, or something is missing)."""
    node: str | None = None
    iteration: tuple[int, ...] = ()
    until: int | None = None
    """When it is over at the latest, in ms, if that is known."""
    who: str | None = None
    """The worker, or the person."""
    details: Mapping[str, Any] = {}


class View(NamedTuple):
    """An execution as anyone may see it."""

    head: Head
    now: int
    sessions: Sequence[Session]
    topology: Topology | None = None
    """``None`` if the artifact can't be read, or the run is a stream."""
    state: State | None = None
    """``None`` with the topology, and if the journal can't be folded by this version."""
    events: Mapping[int, Event] = {}
    """By seq: the last one, and those that brought the live nodes where they are (``SHOWN`` of each phase)."""
    limits: Mapping[str, Limit] = {}
    """Those under which nodes wait for permits, by name."""

    @property
    def id(self) -> str:
        return self.head.execution_id

    @property
    def owner(self) -> Session | None:
        """The session that owns it, if it lives."""
        for one in self.sessions:
            if one.session == self.head.session and one.expires_at > self.now:
                return one
        return None

    @property
    def due_now(self) -> bool:
        """Whether it lies in its queue, ready to be claimed."""
        head = self.head
        return head.session is None and head.ready_at is not None and head.ready_at <= self.now

    def alias(self, key: Key) -> str:
        assert self.topology is not None
        return self.topology.aliases[key[0]]


Branch = Callable[[View], Iterable[Reason]]


def worker_name(session: Session) -> str:
    """Return the name of a session's worker."""
    return str(session.info.get("worker", session.session))


def serves(session: Session, queue: str) -> bool:
    """Whether a worker claims from ``queue``."""
    pool, _, needs = queue.partition("#")
    if pool not in session.info.get("pools", ()):
        return False
    if not needs:
        return True
    name, _, digest = needs.partition(":")
    return bool(digest) and session.info.get("packages", {}).get(name) == digest


def names(sessions: Sequence[Session]) -> str:
    """Return one of the workers, in words."""
    found = sorted(map(worker_name, sessions))
    return found[0] if len(found) == 1 else f"one of {', '.join(found[:3])}{' …' if len(found) > 3 else ''}"


def span(ms: int) -> str:
    """Return a duration in words.

    >>> span(900), span(90_000), span(3 * 86_400_000)
    ('900 ms', '90 s', '3 days')
    """
    for unit, length in (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000)):
        if ms >= 2 * length:
            return f"{ms // length} {unit}s"
    return f"{ms / 1000:.3g} s" if ms >= 1_000 else f"{max(ms, 0)} ms"


def where(key: Key) -> str:
    """Return a node's iteration in words: nothing outside of loops and maps."""
    return f" [{'.'.join(map(str, key[1]))}]" if key[1] else ""
