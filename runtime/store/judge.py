"""Who may write what, decided in memory: synchronous, without a clock, a thread or a file.

One process has a store open, so what it holds in memory is the authority: heads of executions in use, sessions, ready
queues, undelivered effects, and the keys of starts that are under way. Each item is judged against that and, if it is
admitted, changes it at once and leaves rows in the present ``Group``. The caller writes one group after the other and
then calls ``settle``.

* An entry whose last group is not committed is *in flight*: it can be appended to, but neither claimed nor read.
* What others act on (ready queues, mailboxes, effects, hints) moves in ``settle``, after the commit.
* If a commit fails nothing here can be believed: the caller makes new books from the file.

Everything runs under ``lock``, for beats come from other threads.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from ..events import CHECK_FACTOR, CHECK_MASK
from .backing import Backing, Waiting
from .base import (
    FINAL,
    Append,
    Conflict,
    Create,
    Exists,
    Fenced,
    Final,
    FrameAppend,
    Head,
    Hint,
    Missing,
    Ok,
    Outcome,
    Outgoing,
)
from .effects import Effect, Effects
from .entry import RECENT_CRCS, Entry
from .group import Group, Scope
from .lanes import lane_of
from .ready import Queues
from .sessions import Sessions


class Books:
    """What the process that holds a store knows, ahead of the file."""

    def __init__(self, backing: Backing, sessions: Sessions, first_group: int = 1) -> None:
        self.lock = threading.Lock()
        self.sessions = sessions
        self.queues = Queues(backing.horizon_ms)
        self.effects = Effects()
        self.group = Group(first_group)
        self.committed = first_group - 1
        self._backing = backing
        self._entries: dict[str, Entry] = {}
        self._idle: OrderedDict[str, Entry] = OrderedDict()
        self._keys: dict[Scope, tuple[int, tuple[str, str]]] = {}
        """Keys of starts in flight: the group that took them, execution and request hash."""
        self._business: dict[Scope, tuple[int, str | None]] = {}
        """Business keys taken or freed in flight: the group that did, and the live execution."""
        self._deleting: set[str] = set()

    # --- entries ----------------------------------------------------------------------------------------------

    def entry(self, execution_id: str) -> Entry | None:
        """The entry, from memory or from the backing."""
        found = self._entries.get(execution_id)
        if found is None and execution_id not in self._deleting:
            found = self._backing.load(execution_id)
            if found is not None:
                self.keep(found)
        return found

    def keep(self, entry: Entry) -> None:
        self._entries[entry.execution_id] = entry
        if entry.session is None:
            self._rest(entry)

    def resident(self, execution_id: str) -> Head | None:
        """The head, if it is in memory and as committed."""
        found = self._entries.get(execution_id)
        return found.head() if found is not None and found.touched <= self.committed else None

    def _rest(self, entry: Entry) -> None:
        """Nobody owns it: keep it for a while, and let go of the one that rested longest."""
        self._idle[entry.execution_id] = entry
        self._idle.move_to_end(entry.execution_id)
        most = self._backing.resident
        while most is not None and len(self._idle) > most:
            execution_id, oldest = self._idle.popitem(last=False)
            if oldest.touched > self.committed:
                self._idle[execution_id] = oldest
                return
            if oldest.session is None:
                del self._entries[execution_id]

    # --- appending --------------------------------------------------------------------------------------------

    def append(self, item: Append, now: int) -> Outcome:
        """Judge one item; if it is admitted, it is done as far as memory goes."""
        entry = self._entries.get(item.execution_id)
        if entry is None:
            entry = self.entry(item.execution_id)
        if item.create is not None:
            return self._create(item, item.create, entry, now)
        if entry is None:
            return Missing()
        count = len(item.events)
        after = item.after
        if item.dedup is not None:
            first = self._dedup(entry, item.dedup)
            if first is not None:
                return Ok(first)
        if (
            after is not None
            and after + count <= entry.seq
            and count
            and self._stands(entry, item, after + count)
        ):
            return Ok(after + count)
        if entry.final:
            return Final(entry.status)
        fence = item.fence
        if fence is not None and (entry.session != fence.session or entry.epoch != fence.epoch):
            return Fenced(entry.epoch)
        if after is not None and after != entry.seq:
            return Conflict(entry.seq)
        self._write(entry, item)
        if item.dedup is not None:
            self._remember(entry, item.dedup)
        if item.status is not None and item.status != entry.status:
            self._status(entry, item.status, item.at, by_owner=fence is not None)
        if entry.final:
            return Ok(entry.seq)
        if fence is None:
            self._wake(entry, now)
        elif item.park is not None:
            self.sessions.release(entry)
            entry.queue, entry.ready_at = item.park
            if entry.ready_at == 0:
                entry.ready_at = now
            self._idle[entry.execution_id] = entry
            self.group.dirty[entry] = None
        return Ok(entry.seq)

    def _stands(self, entry: Entry, item: Append, seq: int) -> bool:
        """Whether the item's last event stands at ``seq`` already."""
        back = entry.seq - seq
        known = entry.crcs[-1 - back] if back < len(entry.crcs) else self._backing.crc_at(entry, seq)
        return known == item.crcs[-1]

    def _dedup(self, entry: Entry, dedup: str) -> int | None:
        if entry.dedups is not None and dedup in entry.dedups:
            return entry.dedups[dedup]
        return self._backing.dedup_seq(entry.rid, dedup)

    def _remember(self, entry: Entry, dedup: str) -> None:
        if entry.dedups is None:
            entry.dedups = {}
        entry.dedups[dedup] = entry.seq
        self.group.dedups += (entry.rid, dedup, entry.seq)

    def _write(self, entry: Entry, item: Append) -> None:
        """The events' rows, and what rides with them."""
        group = self.group
        group.touched[entry] = True
        entry.touched = group.number
        if item.at > entry.updated_at:
            entry.updated_at = item.at
        seq, check, rid = entry.seq, entry.check, entry.rid
        for data, crc in zip(item.events, item.crcs, strict=True):
            seq += 1
            check = (check * CHECK_FACTOR + crc) & CHECK_MASK
            group.events += (rid, seq, check, data)
        entry.seq, entry.check = seq, check
        entry.crcs += item.crcs
        if len(entry.crcs) > 2 * RECENT_CRCS and entry.touched <= self.committed + 1:
            del entry.crcs[:-RECENT_CRCS]
        if item.snapshot is not None:
            group.snapshots[rid] = (seq, item.snapshot)
        if item.outbox:
            for outgoing in item.outbox:
                group.effects.append(effect_of(entry, item.at, outgoing))

    def _status(self, entry: Entry, status: str, at: int, by_owner: bool) -> None:
        """A new status; a final one clears owner, queue entry and business key."""
        entry.status = status
        self.group.dirty[entry] = None
        if status == "RUNNING" and entry.started_at is None:
            entry.started_at = at
        if status not in FINAL:
            return
        entry.final = True
        entry.completed_at = at
        entry.ready_at = None
        self.queues.drop(entry.execution_id)
        if entry.session is not None:
            if not by_owner:
                self.group.mails.append((entry.session, entry, entry.seq))
            self.sessions.release(entry)
            self._idle[entry.execution_id] = entry
        if entry.business_key is not None:
            scope = (entry.account, entry.flow, entry.business_key)
            self._business[scope] = (self.group.number, None)
            self.group.business.append(scope)

    def _wake(self, entry: Entry, now: int) -> None:
        """Someone else wrote: its owner, or whoever claims it, shall know."""
        if entry.session is not None:
            self.group.mails.append((entry.session, entry, entry.seq))
        elif entry.ready_at is None or entry.ready_at > now:
            entry.ready_at = now
            self.queues.drop(entry.execution_id)
            self.group.dirty[entry] = None

    def _create(self, item: Append, create: Create, entry: Entry | None, now: int) -> Outcome:
        count = len(item.events)
        if entry is not None:
            if count and count <= entry.seq and self._stands(entry, item, count):
                return Ok(count)
            return Exists(entry.execution_id, entry.request_hash)
        taken = self._taken(create)
        if taken is not None:
            return taken
        status = item.status or "QUEUED"
        final = status in FINAL
        owned = create.session is not None and not final
        head = Head(
            item.execution_id,
            0,
            0,
            status,
            create.epoch if create.session is not None else 0,
            None,
            create.account,
            create.flow,
            create.graph_id,
            create.mode,
            create.queue,
            None if owned or final else create.ready_at or now,
            create.priority,
            item.at,
            item.at if status == "RUNNING" else None,
            item.at,
            item.at if final else None,
            create.retention_days,
            create.key,
            create.business_key,
            0,
        )
        entry = Entry(self._backing.next_rid(), head, create.request_hash)
        self._entries[entry.execution_id] = entry
        if owned and create.session is not None:
            self.sessions.own(entry, create.session)
        else:
            self._idle[entry.execution_id] = entry
        self.group.created[entry] = None
        self._hold(create, entry)
        self._write(entry, item)
        return Ok(entry.seq)

    def _taken(self, create: Create) -> Exists | None:
        if create.key is not None:
            scope = (create.account, create.flow or create.graph_id, create.key)
            holder = self._keys[scope][1] if scope in self._keys else self._backing.key_holder(*scope)
            if holder is not None and holder[0] not in self._deleting:
                return Exists(*holder)
        if create.business_key is not None:
            scope = (create.account, create.flow, create.business_key)
            if scope in self._business:
                live = self._business[scope][1]
            else:
                live = self._backing.business_holder(*scope)
            if live is not None:
                return Exists(live, self._hash_of(live), True)
        return None

    def _hash_of(self, execution_id: str) -> str:
        entry = self.entry(execution_id)
        return entry.request_hash if entry is not None else ""

    def _hold(self, create: Create, entry: Entry) -> None:
        """The keys are taken from now on; the tables know it once the group is committed."""
        if create.key is not None:
            scope = (create.account, create.flow or create.graph_id, create.key)
            self._keys[scope] = (self.group.number, (entry.execution_id, create.request_hash))
            self.group.keys.append(scope)
        if create.business_key is not None and not entry.final:
            scope = (create.account, create.flow, create.business_key)
            self._business[scope] = (self.group.number, entry.execution_id)
            self.group.business.append(scope)

    # --- frames -----------------------------------------------------------------------------------------------

    def append_frames(self, item: FrameAppend) -> Outcome:
        """Judge one item of the frame log."""
        entry = self.entry(item.execution_id)
        if entry is None:
            return Missing()
        count = len(item.frames)
        end = item.after + count
        if count and end <= entry.frames and self._frame(entry, end) == item.frames[-1]:
            return Ok(end)
        if entry.final:
            return Final(entry.status)
        if entry.session != item.fence.session or entry.epoch != item.fence.epoch:
            return Fenced(entry.epoch)
        if item.after != entry.frames:
            return Conflict(entry.frames)
        group = self.group
        for frame in item.frames:
            group.frames += (entry.rid, *frame)
        entry.frames = end
        if count:
            entry.last_frame = item.frames[-1]
        entry.touched = group.number
        group.touched.setdefault(entry, False)
        group.framed[entry] = None
        return Ok(end)

    def _frame(self, entry: Entry, position: int) -> object:
        last = entry.last_frame
        if last is not None and last.position == position:
            return last
        return self._backing.frame_at(entry.rid, position)

    # --- claiming ---------------------------------------------------------------------------------------------

    def claimable(
        self, queues: Sequence[str], limit: int, now: int, weights: Mapping[str, float]
    ) -> Iterable[Entry]:
        """Entries that may be claimed, those of dead sessions first. The caller takes each of them."""
        names = set(queues)
        count = 0
        for lease in self.sessions.dead(now):
            for entry in list(lease.owned.values()):
                if count == limit:
                    return
                if entry.queue in names and entry.touched <= self.committed:
                    count += 1
                    yield entry
        self.queues.due(now)
        while count < limit:
            execution_id = self.queues.pop(queues, weights)
            if execution_id is None:
                return
            found = self.entry(execution_id)
            if found is None or found.session is not None or found.touched > self.committed:
                continue
            count += 1
            yield found

    def take(self, entry: Entry, session: str, now: int) -> str | None:
        """``entry`` is the session's, with the next epoch; the former dead session, if there was one."""
        former = entry.session
        self.sessions.release(entry)
        self._idle.pop(entry.execution_id, None)
        self.sessions.own(entry, session)
        entry.epoch = max(entry.epoch + 1, now)
        entry.ready_at = None
        self.group.dirty[entry] = (
            None  # but not in flight: the journal did not move, and a younger claim may follow
        )
        return former

    # --- deleting ---------------------------------------------------------------------------------------------

    def delete(self, ids: Iterable[str]) -> int:
        """Forget the final executions among ``ids``; how many. One in flight is left."""
        count = 0
        for execution_id in ids:
            entry = self.entry(execution_id)
            if entry is None or not entry.final or entry.touched > self.committed:
                continue
            del self._entries[execution_id]
            self._idle.pop(execution_id, None)
            self._deleting.add(execution_id)
            self.group.deleted.append(entry)
            count += 1
        return count

    # --- settling ---------------------------------------------------------------------------------------------

    def cut(self) -> Group:
        """The group to be written; what comes now joins the next."""
        group, self.group = self.group, Group(self.group.number + 1)
        for entry, moved in group.touched.items():
            execution_id = entry.execution_id
            if moved:
                group.hints.append(Hint("moved", execution_id, entry.seq, entry.status, execution_id))
            if entry in group.framed:
                group.hints.append(Hint("frames", execution_id, entry.frames, entry.status, execution_id))
        return group

    def settle(self, group: Group, now: int) -> list[Hint]:
        """``group`` is committed: let others act on it. The hints tell what moved."""
        self.committed = group.number
        hints = group.hints
        for entry in group.touched:
            if entry.session is None and entry.touched == group.number:
                self._settle_unowned(entry, now, hints)
        for session, entry, seq in group.mails:
            self.sessions.mail(session, entry.execution_id, seq)
            hints.append(Hint("mail", session, seq, entry.status, entry.execution_id))
        for scope in group.keys:
            if self._keys[scope][0] == group.number:
                del self._keys[scope]
        for scope in group.business:
            if scope in self._business and self._business[scope][0] == group.number:
                del self._business[scope]
        for effect in group.effects:
            self.effects.add(effect)
        for _, settled in group.settled:
            self.effects.apply(settled)
        for entry in group.deleted:
            self.effects.remove_execution(entry.execution_id)
            self._deleting.discard(entry.execution_id)
        if group.effects or group.settled or group.changed_effects:
            moved = (*group.effects, *group.changed_effects, *(effect for effect, _ in group.settled))
            hints.extend(Hint("outbox", lane) for lane in sorted({lane_of(effect.kind) for effect in moved}))
        return hints

    def _settle_unowned(self, entry: Entry, now: int, hints: list[Hint]) -> None:
        if entry.execution_id in self._deleting or entry.execution_id not in self._entries:
            return
        if entry.dedups is not None and len(entry.dedups) > RECENT_CRCS:
            entry.dedups = None
        self._rest(entry)
        if entry.ready_at is None:
            return
        if self.queues.add(
            entry.execution_id, entry.queue, entry.account, entry.ready_at, entry.priority, now
        ):
            hints.append(Hint("ready", entry.queue, entry.seq, entry.status, entry.execution_id))

    def queue(self, waiting: Iterable[Waiting], now: int) -> None:
        """Queue executions that the backing named, unless they are queued already or moved meanwhile."""
        for execution_id, queue, account, ready_at, priority in waiting:
            entry = self._entries.get(execution_id)
            if self.queues.waits(execution_id) or (entry is not None and entry.touched > self.committed):
                continue
            if entry is None or (entry.session is None and entry.ready_at == ready_at):
                self.queues.add(execution_id, queue, account, ready_at, priority, now)


def effect_of(entry: Entry, at: int, outgoing: Outgoing) -> Effect:
    """The outbox entry of an effect of the append just written."""
    return Effect(entry.rid, entry.execution_id, entry.account, entry.seq, at, outgoing)
