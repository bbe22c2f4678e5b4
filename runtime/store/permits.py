"""Permits: who may go under a concurrency limit, and who waits for that, in the order in which they asked.

A limit is a name and a number. A **holder** (an execution, or a node's iteration in one) asks; it is let in, or stands
in line. Nothing is counted up or down: who is in is a list of names, each with the session that it runs under, and only
those of live sessions count. So a worker that dies takes nothing with it:

* asking again is harmless: who is in stays in, under its new session and epoch, and who waits keeps its place;
* who lost its session goes back in line, to where it once stood; so a run that was taken over is the next;
* giving back under an older epoch changes nothing: someone else runs that execution by now.

When there is room, those at the head of the line are **called** (``Turn``): someone writes to their journals, and they
ask again. Meanwhile their room is kept; who does not come within ``CALL_MS`` is passed over, and called again now and
then. A turn whose word was lost is told again: the callers' sweep is ``turns``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import ceil
from typing import Final, NamedTuple, Protocol

CALL_MS: Final = 2_000
"""How long room is kept for one who was called."""


class Ask(NamedTuple):
    """May ``holder`` go? Its name begins with its execution's id."""

    limit: str
    most: int
    """How many may go at the same time; the last one asked with is what holds."""
    holder: str
    session: str
    epoch: int
    number: int
    """Tells this wait from an earlier one of the same holder: the seq of its journal."""


class Rate(NamedTuple):
    """One more of ``limit``, at so many a second, of which so many at once."""

    limit: str
    per_second: float
    burst: int


class Given(NamedTuple):
    """``holder`` needs the permit no more, or its place in line."""

    limit: str
    holder: str
    epoch: int


class Turn(NamedTuple):
    """There is room for one who waits: it should be told to ask again."""

    limit: str
    holder: str
    token: str
    """The same for each telling of the same wait: makes a repeated one harmless."""


class Limit(NamedTuple):
    """A limit in use."""

    name: str
    most: int
    holders: tuple[str, ...]
    """In the order in which they asked; those of live sessions."""
    waiting: tuple[str, ...]
    """The first in line, at most ``SHOWN``."""
    line: int
    """How long the line is."""


SHOWN: Final = 100


class PermitStore(Protocol):
    """The part of a store that lets holders in. A call is durable when it answers."""

    async def acquire(self, asks: Sequence[Ask]) -> list[bool]:
        """Whether each may go; who may not stands in line from now on."""

    async def release(self, given: Sequence[Given]) -> list[Turn]:
        """Take permits and places back; who is to be told because of that."""

    async def turns(self) -> list[Turn]:
        """Who is to be told now, over all limits: what a dead worker left behind, and whose call was not heard."""

    async def take(self, rates: Sequence[Rate]) -> list[int]:
        """When each may go, in ms: now or later; that moment is its own. Advice: it need not outlive the store."""

    async def limits(self, prefix: str = "", after: str = "", limit: int = 500) -> list[Limit]:
        """Limits in use, by name."""


def spaced(rate: Rate, booked: float, now: int) -> tuple[int, float]:
    """Return when one more may go, and up to when the rate is booked then (the generic cell rate algorithm).

    >>> spaced(Rate("x", 2.0, 1), 0.0, 1_000)
    (1000, 1500.0)
    >>> spaced(Rate("x", 2.0, 1), 1500.0, 1_000)
    (1500, 2000.0)
    """
    step = 1000 / rate.per_second
    booked = max(booked, float(now))
    return max(now, ceil(booked - (rate.burst - 1) * step)), booked + step


class Place:
    """One holder of one limit, in it or in line."""

    __slots__ = ("called_at", "calls", "epoch", "inside", "number", "session", "ticket")

    def __init__(self, ticket: int, session: str, epoch: int, number: int) -> None:
        self.ticket, self.session, self.epoch, self.number = ticket, session, epoch, number
        self.inside = False
        self.called_at = self.calls = 0

    def wait(self, number: int) -> None:
        """Back in line, or asked again: not called any more."""
        self.inside, self.number, self.called_at, self.calls = False, number, 0, 0

    def absent(self, now: int) -> bool:
        """Whether it was called and did not come."""
        return self.calls > 1 or (self.calls == 1 and now - self.called_at >= CALL_MS)


class Line:
    """One limit."""

    __slots__ = ("inside", "most", "places", "tickets")

    def __init__(self) -> None:
        self.most = 1
        self.places: dict[str, Place] = {}
        """Those in line, by ticket: a new one goes to the end."""
        self.inside: dict[str, Place] = {}
        self.tickets = 0


class PermitBook:
    """The limits of the process that holds a store. ``alive`` says whether a session lives.

    Each call returns the ``(limit, holder)`` whose place changed, to be written down.
    """

    def __init__(self, alive: Callable[[str, int], bool]) -> None:
        self._alive: Final = alive
        self._lines: dict[str, Line] = {}
        self.changed: set[tuple[str, str]] = set()

    def load(self, limit: str, most: int, holder: str, place: Place) -> None:
        """Take up what was written down."""
        line = self._lines.setdefault(limit, Line())
        line.most, line.tickets = most, max(line.tickets, place.ticket)
        if place.inside:
            line.inside[holder] = place
        else:
            _queue(line, holder, place)

    def found(self, limit: str, holder: str) -> tuple[int, Place] | None:
        """Return the limit's number and the holder's place, if it has one."""
        line = self._lines.get(limit)
        place = line and (line.inside.get(holder) or line.places.get(holder))
        return (line.most, place) if line and place else None

    def acquire(self, ask: Ask, now: int) -> bool:
        """See ``PermitStore.acquire``."""
        line = self._lines.setdefault(ask.limit, Line())
        line.most = ask.most
        self.changed.add((ask.limit, ask.holder))
        place = line.inside.get(ask.holder)
        if place is None:
            place = line.places.get(ask.holder)
        if place is not None and ask.epoch < place.epoch:
            return False
        if place is None:
            line.tickets += 1
            place = line.places[ask.holder] = Place(line.tickets, ask.session, ask.epoch, ask.number)
        place.session, place.epoch = ask.session, ask.epoch
        self._expel(ask.limit, line, now)
        if place.inside:
            return True
        place.wait(ask.number)
        if self._alive(ask.session, now) and self._room_for(line, ask.holder, now):
            del line.places[ask.holder]
            line.inside[ask.holder] = place
            place.inside = True
        return place.inside

    def release(self, given: Given, now: int) -> list[Turn]:
        """See ``PermitStore.release``."""
        line = self._lines.get(given.limit)
        if line is None:
            return []
        place = line.inside.get(given.holder) or line.places.get(given.holder)
        if place is not None and place.epoch <= given.epoch:
            (line.inside if place.inside else line.places).pop(given.holder)
            self.changed.add((given.limit, given.holder))
        turns = list(self._call(given.limit, line, now))
        self._tidy(given.limit)
        return turns

    def turns(self, now: int) -> list[Turn]:
        """See ``PermitStore.turns``."""
        return [
            turn for name, line in self._lines.items() if line.places for turn in self._call(name, line, now)
        ]

    def listed(self, prefix: str, after: str, limit: int, now: int) -> list[Limit]:
        """See ``PermitStore.limits``."""
        names = sorted(name for name in self._lines if name.startswith(prefix) and name > after)[:limit]
        return [self._shown(name, self._lines[name], now) for name in names]

    def _shown(self, name: str, line: Line, now: int) -> Limit:
        inside = [
            holder
            for holder, place in sorted(line.inside.items(), key=lambda item: item[1].ticket)
            if self._alive(place.session, now)
        ]
        waiting = [holder for holder, _ in zip(line.places, range(SHOWN), strict=False)]
        return Limit(name, line.most, tuple(inside), tuple(waiting), len(line.places))

    def _expel(self, limit: str, line: Line, now: int) -> None:
        """Those of dead sessions go back in line."""
        for holder, place in list(line.inside.items()):
            if not self._alive(place.session, now):
                del line.inside[holder]
                place.wait(place.number)
                _queue(line, holder, place)
                self.changed.add((limit, holder))

    def _room_for(self, line: Line, holder: str, now: int) -> bool:
        """Whether there is room for it behind those who stand before it."""
        free = line.most - len(line.inside)
        for other, place in line.places.items():
            if free <= 0 or other == holder:
                break
            free -= not place.absent(now)
        return free > 0

    def _call(self, limit: str, line: Line, now: int) -> Iterator[Turn]:
        self._expel(limit, line, now)
        free = line.most - len(line.inside)
        for holder, place in line.places.items():
            if free <= 0:
                return
            absent = place.absent(now)
            if not place.calls or now - place.called_at >= CALL_MS:
                place.calls += 1
                place.called_at = now
                self.changed.add((limit, holder))
                yield Turn(limit, holder, f"{place.epoch}.{place.number}")
            free -= not absent

    def _tidy(self, limit: str) -> None:
        line = self._lines.get(limit)
        if line is not None and not line.inside and not line.places:
            del self._lines[limit]


def _queue(line: Line, holder: str, place: Place) -> None:
    """Put a place where its ticket says."""
    line.places[holder] = place
    if len(line.places) > 1:
        line.places = dict(sorted(line.places.items(), key=lambda item: item[1].ticket))
