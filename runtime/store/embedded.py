"""The store in the process that holds it: calls are judged as they come, and share commits.

``append`` judges its items at once, on the loop's thread, and joins the present group. The group is written when the
loop has run what was ready: as long as each turn of the loop brings more, it waits for another turn, at most
``TURNS``; it never waits for time to pass. A quick backing (``inline``) is written to right there, since a thread would
first have to win the interpreter's lock from a busy loop, again and again; a slow one is written to by a thread, and
meanwhile the next group gathers. Answers and hints follow the commit.

If a commit fails, whatever was judged after the last good one is undone by reading the file again; those who wait are
told ``Unclear`` (or ``Full``) and read back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from ..clock import Clock
from ..limits import LEASE_MS
from .backing import Backing, Line
from .base import (
    CLAIM_BYTES,
    Append,
    Beat,
    Document,
    Finding,
    Frame,
    FrameAppend,
    Full,
    Head,
    Hint,
    OutboxEntry,
    Outcome,
    Page,
    Query,
    Session,
    Settle,
    StoreError,
    Unavailable,
    Unclear,
    Watcher,
)
from .embedded_permits import PermitCalls, Permits
from .group import Group, Job
from .judge import Books
from .listing import page
from .sessions import Sessions
from .watching import Watchers, unheard

T = TypeVar("T")

TURNS = 8
"""Turns of the loop that a group gathers at most while each brings more."""
REOPEN_SECONDS = 1.0
"""Between two tries to open a place again that failed."""
READ_BYTES = 1 << 20
"""A longer read of a journal goes on in the reading thread."""

RawClaim = tuple[Head, str | None, tuple[int, bytes] | None, list[Line]]


class Embedded(PermitCalls):
    """All calls of the store protocol, on stored bytes instead of events."""

    def __init__(self, backing: Backing, clock: Clock) -> None:
        self.backing, self.clock = backing, clock
        self.sessions_book = Sessions()
        self._books: Books | None = None
        self._permits: Permits | None = None
        self._now = 0
        self._watchers = Watchers()
        self._gathering = self._writing = self._closing = False
        self._timer: asyncio.TimerHandle | None = None
        self._refill: asyncio.TimerHandle | None = None
        self._writer = ThreadPoolExecutor(1, "axiom-store-writer")
        self._reader = ThreadPoolExecutor(1, "axiom-store-reader")

    # --- opening and closing ----------------------------------------------------------------------------------

    async def open(self) -> None:
        if self._books is None:
            self.backing.open()
            self._loop = asyncio.get_running_loop()
            self._load(1)

    async def close(self) -> None:
        """Write what is judged, then let go of the place."""
        if self._closing:
            return
        try:
            if self._books is not None:
                await self._join(None)
        finally:
            self._closing = True
            for timer in (self._timer, self._refill):
                if timer is not None:
                    timer.cancel()
            self._writer.shutdown()
            self._reader.shutdown()
            self._books = None
            self.backing.close()

    def _load(self, first_group: int) -> None:
        """Make the books from what is stored."""
        now = self.now()
        books = Books(self.backing, self.sessions_book, first_group)
        self.sessions_book.disown_all()
        for ended in self.backing.ended_sessions():
            if not self.sessions_book.is_local(ended):
                self.sessions_book.end(ended)
        for entry in self.backing.loaded_owned():
            session = entry.session
            assert session is not None
            self.sessions_book.grace(session, now + LEASE_MS)
            self.sessions_book.own(entry, session)
            self.sessions_book.mail(session, entry.execution_id, entry.seq)
            books.keep(entry)
        for effect in self.backing.effects():
            books.effects.add(effect)
        self._books = books
        self._permits = Permits(self.backing, self.sessions_book, self.now, self._job)
        if self._refill is not None:
            self._refill.cancel()
        self._look_ahead(-1)

    def _look_ahead(self, after: int) -> None:
        """Queue what will be due before this is called again; what is due by ``after`` is queued already."""
        horizon = self.backing.horizon_ms
        now = self.now()
        until = None if horizon is None else now + horizon
        books = self._open()
        with books.lock:
            books.queue(self.backing.waiting(after, until), now)
        self._arm()
        if horizon is not None and until is not None:
            self._refill = self.clock.later(horizon / 2_000, partial(self._look_ahead, until))

    def _open(self) -> Books:
        if self._books is None:
            raise Unavailable("the store is not open, or its file can't be read at the moment")
        return self._books

    def now(self) -> int:
        """Milliseconds since 1970; never goes back."""
        now = self.clock.wall_ms()
        if now > self._now:
            self._now = now
        return self._now

    # --- group commit -----------------------------------------------------------------------------------------

    def _join(self, answer: T) -> asyncio.Future[T]:
        """Answer with ``answer`` when the present group, and so all before it, is committed."""
        future: asyncio.Future[T] = self._loop.create_future()
        group = self._open().group
        group.waiters.append((future, answer))
        group.size += 1
        if not self._gathering:
            self._gather()
        return future

    def _gather(self) -> None:
        if not self._writing:
            self._gathering = True
            self._loop.call_soon(self._turn, 0, 0)

    def _turn(self, seen: int, turns: int) -> None:
        """Go round once more if the last turn of the loop brought company; else write."""
        books = self._books
        if books is None:
            self._gathering = False
            return
        size = books.group.size
        if size > seen and turns < TURNS:
            self._loop.call_soon(self._turn, size, turns + 1)
            return
        self._gathering = False
        with books.lock:
            group = books.cut()
            self.backing.prepare(group, self.sessions_book.is_local)
        if self.backing.inline:
            self._write(group)
        else:
            self._writing = True
            self._writer.submit(self._write_aside, group)

    def _write(self, group: Group) -> None:
        try:
            self.backing.write(group)
        except Exception as error:
            self._failed(group, error)
        else:
            self._committed(group)

    def _write_aside(self, group: Group) -> None:
        """In the writer's thread."""
        try:
            self.backing.write(group)
        except Exception as error:
            self._loop.call_soon_threadsafe(self._written_aside, group, error)
        else:
            self._loop.call_soon_threadsafe(self._written_aside, group, None)

    def _written_aside(self, group: Group, error: Exception | None) -> None:
        self._writing = False
        if error is not None:
            self._failed(group, error)
        else:
            self._committed(group)
        if self._books is not None and self._books.group.size:
            self._gather()

    def _committed(self, group: Group) -> None:
        books = self._open()
        now = self.now()
        with books.lock:
            hints = books.settle(group, now)
        for future, answer in group.waiters:
            if not future.done():
                future.set_result(answer)
        for job in group.jobs:
            if not job.future.done():
                job.future.set_result(job.answer)
        if hints:
            self._arm()
            if self._watchers:
                self._loop.call_soon(self._watchers.tell, hints)

    def _failed(self, group: Group, error: Exception) -> None:
        """Nobody can tell what landed: read the file again, and let the writers read back."""
        books = self._open()
        with books.lock:
            late = books.cut()
        answer = error if isinstance(error, StoreError) else Unclear(f"the store could not commit: {error}")
        self._books = None
        self._reopen(late.number + 1)
        for lost in (group, late):
            for future, _ in lost.waiters:
                _refuse(future, answer)
            for job in lost.jobs:
                _refuse(job.future, answer)

    def _reopen(self, first_group: int) -> None:
        """Read the file again, now or as soon as it lets us; until then every call is refused."""
        try:
            self.backing.close()
            self.backing.open()
            self._load(first_group)
        except (StoreError, OSError):
            self._refill = self.clock.later(REOPEN_SECONDS, partial(self._reopen, first_group))

    def _arm(self) -> None:
        """Wake up when the next execution or effect becomes due."""
        books = self._open()
        due = [books.queues.next_due(), *books.effects.next_dues()]
        now = self.now()
        ahead = [at for at in due if at is not None and at > now]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if ahead:
            self._timer = self.clock.later((min(ahead) - now) / 1000 + 0.001, self._due)

    def _due(self) -> None:
        self._timer = None
        books = self._books
        if books is None:
            return
        now = self.now()
        with books.lock:
            hints = [Hint("ready", queue) for queue in books.queues.due(now)]
        hints.extend(Hint("outbox", lane) for lane in books.effects.lanes_due(now))
        if hints:
            self._watchers.tell(hints)
        self._arm()

    def watch(self, watcher: Watcher, kinds: Collection[str] | None = None) -> Callable[[], None]:
        return self._watchers.add(watcher, kinds)

    # --- journal ----------------------------------------------------------------------------------------------

    async def append(self, batch: Sequence[Append]) -> list[Outcome]:
        return await self.submit(batch)

    def submit(self, batch: Sequence[Append]) -> asyncio.Future[list[Outcome]]:
        """Judge the items now; their outcomes are told when they are committed."""
        books = self._open()
        for item in batch:
            if item.create is not None:
                self._refuse_when_full()
                break
        now = self.now()
        with books.lock:
            outcomes = [books.append(item, now) for item in batch]
        return self._join(outcomes)

    def _refuse_when_full(self) -> None:
        full = self.backing.full()
        if full is not None:
            raise Full(full)

    async def lines(self, execution_id: str, after: int, limit: int) -> list[Line]:
        """Stored events; short reads are done at once, the rest of long ones aside."""
        self._open()
        part = self.backing.lines(execution_id, after, limit, READ_BYTES)
        lines = part
        while len(lines) < limit and sum(len(line[2]) for line in part) >= READ_BYTES:
            left = limit - len(lines)
            part = await self._aside(self.backing.lines, execution_id, lines[-1][0], left, READ_BYTES)
            lines = lines + part
        return lines

    async def _aside(self, call: Callable[..., T], *args: Any) -> T:
        """Run a reading call in the reader's thread; one that looks at memory alone, here."""
        self._open()
        if not self.backing.aside:
            return call(*args)
        return await self._loop.run_in_executor(self._reader, partial(call, *args))

    async def snapshot(self, execution_id: str) -> tuple[int, bytes] | None:
        self._open()
        return self.backing.snapshot(execution_id)

    async def heads(self, ids: Sequence[str]) -> list[Head | None]:
        books = self._open()
        found = [books.resident(execution_id) for execution_id in ids]
        missing = [execution_id for execution_id, head in zip(ids, found, strict=True) if head is None]
        if missing:
            read = iter(self.backing.heads(missing))
            found = [next(read) if head is None else head for head in found]
        return found

    async def find(self, query: Query) -> Page:
        return await self._aside(self._page, query)

    def _page(self, query: Query) -> Page:
        return page(query, self.backing.streams(query))

    async def scan(self, after: str, limit: int) -> list[Head]:
        return await self._aside(self.backing.scan, after, limit)

    async def expired(self, now: int, limit: int, account: str | None) -> list[Head]:
        return await self._aside(self.backing.expired, now, limit, account)

    async def delete(self, ids: Sequence[str]) -> int:
        await self._join(None)  # so that none of them is in flight
        books = self._open()
        with books.lock:
            count = books.delete(ids)
        return await self._join(count)

    # --- rare writes ------------------------------------------------------------------------------------------

    async def _job(self, call: Callable[[], T]) -> T:
        """Let the backing make ``call`` inside the next commit."""
        books = self._open()
        future: asyncio.Future[T] = self._loop.create_future()
        books.group.jobs.append(Job(call, future))
        self._join(None).add_done_callback(unheard)
        return await future

    async def put_blob(self, execution_id: str, name: str, data: bytes) -> None:
        self._refuse_when_full()
        await self._job(partial(self.backing.put_blob, execution_id, name, data, self.now()))

    async def blob(self, execution_id: str, name: str) -> bytes | None:
        self._open()
        return self.backing.blob(execution_id, name)

    async def put(self, kind: str, key: str, value: bytes, expect: int | None) -> int | None:
        return await self._job(partial(self.backing.put_document, kind, key, value, expect, self.now()))

    async def get(self, kind: str, key: str) -> Document | None:
        self._open()
        return self.backing.document(kind, key)

    async def documents(self, kind: str, prefix: str, after: str, limit: int) -> list[Document]:
        self._open()
        return self.backing.documents(kind, prefix, after, limit)

    async def remove(self, kind: str, key: str) -> bool:
        return await self._job(partial(self.backing.remove_document, kind, key))

    # --- frames -----------------------------------------------------------------------------------------------

    async def append_frames(self, batch: Sequence[FrameAppend]) -> list[Outcome]:
        books = self._open()
        with books.lock:
            outcomes = [books.append_frames(item) for item in batch]
        return await self._join(outcomes)

    async def frames(self, execution_id: str, node: str, after: int, limit: int) -> list[Frame]:
        self._open()
        return self.backing.frames(execution_id, node, after, limit)

    async def frame_counts(self, execution_id: str) -> dict[str, int]:
        self._open()
        return self.backing.frame_counts(execution_id)

    # --- ownership --------------------------------------------------------------------------------------------

    def beat(
        self, session: str, lease_ms: int, info: Mapping[str, Any], seen: Mapping[str, int], local: bool
    ) -> Beat:
        """Renew a session; from any thread."""
        books = self._open()
        with books.lock:
            return books.sessions.beat(session, lease_ms, info, seen, self.now(), local)

    async def claim(
        self, session: str, queues: Sequence[str], limit: int, weights: Mapping[str, float]
    ) -> list[RawClaim]:
        """Take executions. The answer does not wait for the commit: if it is lost, the next claim fences this one."""
        books = self._open()
        claimed: list[RawClaim] = []
        with books.lock:
            now = self.now()
            if not books.sessions.alive(session, now):
                return []
            for entry in books.claimable(queues, limit, now, weights):
                snapshot = self.backing.snapshot(entry.execution_id)
                after = snapshot[0] if snapshot else 0
                lines = self.backing.lines(entry.execution_id, after, entry.seq - after, CLAIM_BYTES)
                former = books.take(entry, session, now)
                whole = len(lines) == entry.seq - after
                claimed.append((entry.head(), former, snapshot, lines if whole else []))
        if claimed:
            self._join(None).add_done_callback(unheard)
        return claimed

    async def end_session(self, session: str) -> None:
        self.finish_session(session)

    def finish_session(self, session: str) -> None:
        """The session is over: what it owned is ready for others, who are told."""
        books = self._books
        if books is None:
            return
        with books.lock:
            lease = books.sessions.end(session)
            queues = {entry.queue for entry in lease.owned.values()}
            held = books.effects.let_go(session)
        hints = [Hint("ready", queue) for queue in sorted(queues)]
        hints.extend(Hint("outbox", lane) for lane in sorted(held))
        if hints:
            self._loop.call_soon(self._watchers.tell, hints)

    async def sessions(self) -> list[Session]:
        books = self._open()
        with books.lock:
            return books.sessions.listed(self.now())

    async def owned(self, session: str) -> list[str]:
        books = self._open()
        with books.lock:
            return books.sessions.owned(session)

    # --- outbox -----------------------------------------------------------------------------------------------

    async def claim_outbox(
        self, session: str, limit: int, lane: str, holding: Sequence[str] | None
    ) -> list[OutboxEntry]:
        books = self._open()
        now = self.now()
        with books.lock:
            if not books.sessions.alive(session, now):
                return []
            for holder in books.effects.holders():
                if not books.sessions.alive(holder, now):
                    books.effects.let_go(holder)
            if holding is not None:
                books.effects.let_go_but(session, lane, holding)
            return [effect.entry() for effect in books.effects.claim(session, limit, lane, now)]

    async def settle_outbox(self, session: str, settled: Sequence[Settle]) -> None:
        books = self._open()
        with books.lock:
            for item in settled:
                effect = books.effects.settle(session, item)
                if effect is not None:
                    books.group.settled.append((effect, item))
        await self._join(None)

    async def outbox(self, account: str | None, dead: bool | None, limit: int) -> list[OutboxEntry]:
        return self._open().effects.listed(account, dead, limit)

    async def redeliver(self, name: str) -> bool:
        books = self._open()
        with books.lock:
            effect = books.effects.redeliver(name, self.now())
            if effect is not None:
                books.group.changed_effects.append(effect)
        return await self._join(effect is not None)

    async def findings(self) -> list[Finding]:
        self._open()
        return self.backing.findings()


def _refuse(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
