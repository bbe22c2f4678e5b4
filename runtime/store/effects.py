"""The outbox in memory: every entry that is written and not yet delivered, in lines.

A line is one execution's entries for one destination, in order; only its first entry can be claimed, once it is due. A
dead entry has left its line. Entries come in when their write is committed and go out when their removal is, so
nothing is delivered that a crash could undo, and nothing behind an entry before that entry is gone for good.
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Iterable

from .base import OutboxEntry, Outgoing, Settle
from .lanes import LANES, lane_of


class Effect:
    """One entry."""

    __slots__ = (
        "account",
        "attempts",
        "created_at",
        "dead",
        "destination",
        "due_at",
        "error",
        "execution_id",
        "holder",
        "kind",
        "n",
        "payload",
        "rid",
        "seq",
    )

    def __init__(
        self, rid: int, execution_id: str, account: str, seq: int, created_at: int, outgoing: Outgoing
    ) -> None:
        self.rid, self.execution_id, self.account, self.seq = rid, execution_id, account, seq
        self.kind, self.destination, self.payload, self.n = outgoing
        self.created_at = self.due_at = created_at
        self.attempts = 0
        self.dead = False
        self.error: str | None = None
        self.holder: str | None = None

    @property
    def name(self) -> str:
        return f"{self.execution_id}/{self.seq}/{self.n}"

    @property
    def place(self) -> tuple[int, int]:
        return self.seq, self.n

    def entry(self) -> OutboxEntry:
        return OutboxEntry(
            self.name,
            self.execution_id,
            self.kind,
            self.destination,
            self.payload,
            self.attempts,
            self.created_at,
            self.due_at,
            self.dead,
            self.error,
        )


Line = tuple[str, str]


class Effects:
    """All entries by name, and the lines."""

    def __init__(self) -> None:
        self.by_name: dict[str, Effect] = {}
        self._of: dict[str, set[str]] = {}
        self._lines: dict[Line, list[Effect]] = {}
        self._due: dict[str, list[tuple[int, int, Line]]] = {lane: [] for lane in LANES}
        self._held: dict[str, set[str]] = {}
        self._pushes = 0

    def add(self, effect: Effect) -> None:
        """A written entry joins its line, unless it is dead."""
        self.by_name[effect.name] = effect
        self._of.setdefault(effect.execution_id, set()).add(effect.name)
        if not effect.dead:
            line = (effect.execution_id, effect.destination)
            bisect.insort(self._lines.setdefault(line, []), effect, key=lambda e: e.place)
            self._push(line)

    def _push(self, line: Line) -> None:
        waiting = self._lines.get(line)
        if not waiting:
            self._lines.pop(line, None)
        elif waiting[0].holder is None:
            self._pushes += 1
            due = self._due[lane_of(waiting[0].kind)]
            heapq.heappush(due, (waiting[0].due_at, self._pushes, line))

    def claim(self, session: str, limit: int, lane: str, now: int) -> list[Effect]:
        """Due first entries of a lane that nobody holds, now held by ``session``."""
        taken: list[Effect] = []
        due = self._due[lane]
        while due and due[0][0] <= now and len(taken) < limit:
            due_at, _, line = heapq.heappop(due)
            first = next(iter(self._lines.get(line, ())), None)
            if first is None or first.holder is not None or first.due_at != due_at:
                continue
            first.holder = session
            self._held.setdefault(session, set()).add(first.name)
            taken.append(first)
        return taken

    def holders(self) -> Iterable[str]:
        return list(self._held)

    def let_go(self, session: str) -> set[str]:
        """What a dead session held may be claimed again; the lanes in which it held something."""
        names = self._held.pop(session, set())
        self._free(session, names)
        return {lane_of(self.by_name[name].kind) for name in names if name in self.by_name}

    def let_go_but(self, session: str, lane: str, holding: Iterable[str]) -> None:
        """Of a lane, the session holds no more than ``holding``."""
        held = self._held.get(session, set())
        here = {name for name in held if name in self.by_name and lane_of(self.by_name[name].kind) == lane}
        names = here.difference(holding)
        held -= names
        self._free(session, names)

    def _free(self, session: str, names: Iterable[str]) -> None:
        for name in names:
            effect = self.by_name.get(name)
            if effect is not None and effect.holder == session:
                effect.holder = None
                self._push((effect.execution_id, effect.destination))

    def settle(self, session: str, settled: Settle) -> Effect | None:
        """What the entry will be; ``None`` if the session does not hold it. A changed one is kept until ``apply``."""
        effect = self.by_name.get(settled.name)
        return effect if effect is not None and effect.holder == session else None

    def apply(self, settled: Settle) -> None:
        """The settlement is committed."""
        effect = self.by_name.get(settled.name)
        if effect is None:
            return
        line = (effect.execution_id, effect.destination)
        if effect.holder is not None:
            self._held.get(effect.holder, set()).discard(effect.name)
            effect.holder = None
        done = settled.due_at is None and not settled.dead
        if done:
            self._forget(effect)
        else:
            effect.attempts += 1
            effect.error, effect.dead = settled.error, settled.dead
            effect.due_at = settled.due_at if settled.due_at is not None else effect.due_at
        if done or settled.dead:
            self._leave(line, effect)
        self._push(line)

    def redeliver(self, name: str, now: int) -> Effect | None:
        """A dead entry goes back to its line."""
        effect = self.by_name.get(name)
        if effect is None or not effect.dead:
            return None
        effect.dead, effect.due_at = False, now
        self.add(effect)
        return effect

    def remove_execution(self, execution_id: str) -> None:
        for name in list(self._of.get(execution_id, ())):
            effect = self.by_name[name]
            self._forget(effect)
            self._leave((execution_id, effect.destination), effect)
            self._push((execution_id, effect.destination))

    def undelivered(self, execution_id: str) -> bool:
        return any(not self.by_name[name].dead for name in self._of.get(execution_id, ()))

    def listed(self, account: str | None, dead: bool | None, limit: int) -> list[OutboxEntry]:
        found: list[OutboxEntry] = []
        for effect in self.by_name.values():
            if account in (None, effect.account) and dead in (None, effect.dead):
                found.append(effect.entry())
                if len(found) == limit:
                    break
        return found

    def next_dues(self) -> list[int]:
        """When each lane's first entry becomes due, as far as is known; may name moments that have passed."""
        return [due[0][0] for due in self._due.values() if due]

    def lanes_due(self, now: int) -> list[str]:
        """The lanes in which an entry is due, as far as is known."""
        return [lane for lane, due in self._due.items() if due and due[0][0] <= now]

    def _forget(self, effect: Effect) -> None:
        del self.by_name[effect.name]
        names = self._of[effect.execution_id]
        names.discard(effect.name)
        if not names:
            del self._of[effect.execution_id]

    def _leave(self, line: Line, effect: Effect) -> None:
        waiting = self._lines.get(line)
        if waiting is not None and effect in waiting:
            waiting.remove(effect)
