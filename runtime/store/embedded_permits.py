"""Permits in the process that holds a store: judged in memory, kept as documents in the same commits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

import msgpack

from ..limits import LEASE_MS
from .backing import Backing
from .base import Unavailable
from .permits import Ask, Given, Limit, PermitBook, Place, Rate, Turn, spaced
from .sessions import Sessions

KIND: Final = "permit"
PAGE: Final = 500
RATES_KEPT: Final = 10_000
"""Rates remembered before those with nothing booked are let go of."""


class Permits:
    """``job`` lets a call be made inside the next commit, and waits for it."""

    def __init__(
        self,
        backing: Backing,
        sessions: Sessions,
        now: Callable[[], int],
        job: Callable[[Callable[[], Any]], Awaitable[Any]],
    ) -> None:
        self._backing: Final = backing
        self._now: Final = now
        self._job: Final = job
        self._book: Final = PermitBook(sessions.alive)
        self._booked: dict[str, float] = {}
        self._load(sessions)

    async def acquire(self, asks: Sequence[Ask]) -> list[bool]:
        now = self._now()
        granted = [self._book.acquire(ask, now) for ask in asks]
        await self._write()
        return granted

    async def release(self, given: Sequence[Given]) -> list[Turn]:
        now = self._now()
        turns = [turn for item in given for turn in self._book.release(item, now)]
        await self._write()
        return turns

    async def turns(self) -> list[Turn]:
        turns = self._book.turns(self._now())
        await self._write()
        return turns

    async def take(self, rates: Sequence[Rate]) -> list[int]:
        now, dues = self._now(), []
        for rate in rates:
            due, self._booked[rate.limit] = spaced(rate, self._booked.get(rate.limit, 0.0), now)
            dues.append(due)
        if len(self._booked) > RATES_KEPT:
            self._booked = {limit: booked for limit, booked in self._booked.items() if booked > now}
        return dues

    async def limits(self, prefix: str = "", after: str = "", limit: int = 500) -> list[Limit]:
        return self._book.listed(prefix, after, limit, self._now())

    def _load(self, sessions: Sessions) -> None:
        after = ""
        while found := self._backing.documents(KIND, "", after, PAGE):
            after = found[-1].key
            for document in found:
                limit, _, holder = document.key.rpartition("\n")
                most, inside, ticket, session, epoch, number = msgpack.unpackb(document.value)
                place = Place(ticket, session, epoch, number)
                place.inside = inside
                sessions.grace(session, self._now() + LEASE_MS)
                self._book.load(limit, most, holder, place)

    async def _write(self) -> None:
        changed, self._book.changed = self._book.changed, set()
        if changed:
            rows = [(f"{limit}\n{holder}", self._row(limit, holder)) for limit, holder in sorted(changed)]
            await self._job(partial(self._keep, rows, self._now()))

    def _row(self, limit: str, holder: str) -> bytes | None:
        found = self._book.found(limit, holder)
        if found is None:
            return None
        most, place = found
        row = (most, place.inside, place.ticket, place.session, place.epoch, place.number)
        return msgpack.packb(row)  # type: ignore[no-any-return]

    def _keep(self, rows: Sequence[tuple[str, bytes | None]], now: int) -> None:
        for key, value in rows:
            if value is None:
                self._backing.remove_document(KIND, key)
            else:
                self._backing.put_document(KIND, key, value, None, now)


class PermitCalls:
    """The calls of ``PermitStore``, for who has ``_permits`` while its place is open."""

    _permits: Permits | None

    async def acquire(self, asks: Sequence[Ask]) -> list[bool]:
        return await self._open_permits().acquire(asks)

    async def release(self, given: Sequence[Given]) -> list[Turn]:
        return await self._open_permits().release(given)

    async def turns(self) -> list[Turn]:
        return await self._open_permits().turns()

    async def take(self, rates: Sequence[Rate]) -> list[int]:
        return await self._open_permits().take(rates)

    async def limits(self, prefix: str = "", after: str = "", limit: int = 500) -> list[Limit]:
        return await self._open_permits().limits(prefix, after, limit)

    def _open_permits(self) -> Permits:
        if self._permits is None:
            raise Unavailable("the store is not open, or its file can't be read at the moment")
        return self._permits
