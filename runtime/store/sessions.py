"""Sessions in memory: leases, what each owns, and its mailbox.

Leases need not be durable. After a restart a session that heads still name is unknown, and gets one lease of grace to
beat again; its mailbox then holds all that it owns, because what was in the old one is not known.

A dead session is one whose lease is over or that was ended; what it owns stays on its list until someone claims it.
Not synchronised: the caller holds ``Books.lock``, for beats come from threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .base import Beat, Session
from .entry import Entry

FORGET_MS = 600_000
"""A dead session that owns nothing is remembered for so long, to tell a late beat that it is over."""


class Lease:
    """One session."""

    __slots__ = ("checksum", "ended", "expires_at", "info", "local", "mailbox", "name", "owned")

    def __init__(self, name: str, expires_at: int, info: Mapping[str, Any]) -> None:
        self.name = name
        self.expires_at = expires_at
        self.info = info
        self.ended = False
        self.local = False
        """It lives in the process that holds the store, and dies with it."""
        self.owned: dict[str, Entry] = {}
        self.checksum = 0
        self.mailbox: dict[str, int] = {}

    def alive(self, now: int) -> bool:
        return not self.ended and self.expires_at > now


class Sessions:
    """All sessions by name."""

    def __init__(self) -> None:
        self._leases: dict[str, Lease] = {}

    def beat(
        self,
        session: str,
        lease_ms: int,
        info: Mapping[str, Any],
        seen: Mapping[str, int],
        now: int,
        local: bool,
    ) -> Beat:
        """Open or renew; see ``Beater.beat``."""
        lease = self._leases.get(session)
        if lease is None:
            self._prune(now)
            lease = self._leases[session] = Lease(session, now + lease_ms, info)
        alive = lease.alive(now)
        lease.local = local
        if not lease.ended:
            lease.expires_at, lease.info = now + lease_ms, info
        for execution_id, seq in seen.items():
            if lease.mailbox.get(execution_id, seq + 1) <= seq:
                del lease.mailbox[execution_id]
        mailbox = list(lease.mailbox.items())
        return Beat(now, alive, mailbox, len(lease.owned), lease.checksum, self.orphans(now))

    def grace(self, session: str, until: int) -> Lease:
        """The lease of a session that heads name; unknown ones live until ``until``."""
        lease = self._leases.get(session)
        if lease is None:
            lease = self._leases[session] = Lease(session, until, {})
        return lease

    def end(self, session: str) -> Lease:
        """It is over for good."""
        lease = self.grace(session, 0)
        lease.ended = True
        return lease

    def alive(self, session: str, now: int) -> bool:
        lease = self._leases.get(session)
        return lease is not None and lease.alive(now)

    def is_local(self, session: str) -> bool:
        lease = self._leases.get(session)
        return lease is not None and lease.local

    def own(self, entry: Entry, session: str) -> None:
        """``entry`` is the session's from now on. A session that never beat is born dead."""
        entry.session = session
        lease = self.grace(session, 0)
        lease.owned[entry.execution_id] = entry
        lease.checksum ^= entry.crc

    def release(self, entry: Entry) -> None:
        """``entry`` is nobody's from now on."""
        if entry.session is None:
            return
        lease = self._leases[entry.session]
        del lease.owned[entry.execution_id]
        lease.checksum ^= entry.crc
        entry.session = None

    def mail(self, session: str, execution_id: str, seq: int) -> None:
        lease = self._leases.get(session)
        if lease is not None:
            lease.mailbox[execution_id] = seq

    def dead(self, now: int) -> Iterator[Lease]:
        """Dead sessions that still own something."""
        for lease in list(self._leases.values()):
            if lease.owned and not lease.alive(now):
                yield lease

    def orphans(self, now: int) -> int:
        return sum(len(lease.owned) for lease in self.dead(now))

    def owned(self, session: str) -> list[str]:
        lease = self._leases.get(session)
        return list(lease.owned) if lease else []

    def listed(self, now: int) -> list[Session]:
        """Live sessions, and dead ones that still own something."""
        return [
            Session(lease.name, 0 if lease.ended else lease.expires_at, lease.info, len(lease.owned))
            for lease in self._leases.values()
            if lease.alive(now) or lease.owned
        ]

    def disown_all(self) -> None:
        """Forget what each owns, before it is read again from the file."""
        for lease in self._leases.values():
            lease.owned.clear()
            lease.checksum = 0

    def _prune(self, now: int) -> None:
        for name, lease in list(self._leases.items()):
            if not lease.owned and not lease.alive(now) and lease.expires_at < now - FORGET_MS:
                del self._leases[name]
