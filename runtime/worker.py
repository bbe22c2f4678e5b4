"""A worker: claims executions, owns them while they run here, and gives them back.

It is a handful of small parts around one dictionary of owned executions:

* the **lease** renews the session (``lease.py``) and brings the mailbox;
* the **claimer** takes work when there is room: on a hint, when a slot is freed, and each second without either;
* the **postman** looks at what others wrote to our executions, and stops those that someone ended;
* the **carrier** does what executions order of one another (``carrier.py``);
* the **permits** that its executions ask for, and a look at whose turn it is that nobody told (``permits.py``);
* the **auditor** compares what the store says we own with what we have, and mends the difference when it stands for
  two beats (a claim whose answer was lost, an execution given up after an unclear write).

Draining: claim no more, park each execution at its next checkpoint, end the session.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from axiom.compiler.artifact import Plan

from .alarms import Alarms
from .carrier import Carrier
from .circuits import Circuits
from .clock import Clock
from .engine import Execution, is_over
from .events import Event
from .lease import Lease
from .limits import CONCURRENT_EXECUTIONS, IDLE_LOOK_SECONDS, LEASE_MS, LOOP_STALL_SECONDS
from .perform import Performer
from .permits import Permits
from .prepared import Prepared
from .reading import graph_of
from .state import State
from .store.base import EVEN, Append, Beat, Claimed, Fence, Head, Hint, Outgoing, Park, Store, StoreError

CLAIM_BATCH: Final = 64
"""Executions taken by one claim: leaves some for the others."""

log = structlog.get_logger("axiom.worker")

Preparer = Callable[[str], Any]
"""``graph_id`` → ``Prepared``, an awaitable of one; cached by whoever gives it."""


class Worker:
    """See the top of the file.

    ``prepare(graph_id)`` returns the plan bound to this worker's handlers; ``performer`` calls them; ``effects`` makes
    the outbox entries of a final event; ``info`` is told with each beat, from the lease's thread; ``stalled`` is called
    from there when the loop is blocked. ``weights``: the accounts' shares of what is claimed, 1 if not given.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        prepare: Preparer,
        performer: Performer,
        name: str = "",
        pools: Sequence[str] = ("default",),
        packages: Mapping[str, str] | None = None,
        concurrency: int = CONCURRENT_EXECUTIONS,
        lease_ms: int = LEASE_MS,
        effects: Callable[[Execution, Event], tuple[Outgoing, ...]] | None = None,
        on_final: Callable[[Execution], None] | None = None,
        stalled: Callable[[], None] = lambda: None,
        info: Callable[[], Mapping[str, Any]] | None = None,
        weights: Mapping[str, float] = EVEN,
        threaded: bool = True,
        stall_seconds: float = LOOP_STALL_SECONDS,
    ) -> None:
        self.store: Final = store
        self.clock: Final = clock
        self.session: Final = clock.token(8)
        self.name: Final = name or f"worker-{self.session[:6]}"
        self.pools: Final = frozenset(pools)
        self.performer: Final = performer
        self.alarms: Final = Alarms(clock)
        self.concurrency: Final = concurrency
        self.executions: dict[str, Execution] = {}
        self._prepare: Final = prepare
        self._effects: Final = effects
        self._on_final: Final = on_final
        self._packages = dict(packages or {})
        self._info: Final = info
        self._weights: Final = dict(weights)
        self._queues = self._queue_names()
        self._lease: Final = Lease(
            store,
            clock,
            self.session,
            self._describe,
            self._on_beat,
            stalled,
            lease_ms,
            threaded,
            stall_seconds,
        )
        self.permits: Final = Permits(store, clock, self.session)
        self.circuits: Final = Circuits(store, clock)
        self._carrier: Final = Carrier(store, clock, self.session, self._plan_of)
        self._room = asyncio.Event()
        self._idle = asyncio.Event()
        self._tasks: list[asyncio.Task[Any]] = []
        self._reading: set[asyncio.Task[Any]] = set()
        self._unwatch: Callable[[], None] | None = None
        self._draining = False
        self._differs = 0
        self._early: dict[str, int] = {}
        """Mail for executions that are not here: their claim's answer may still be on its way."""

    # --- life ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the session and begin to claim."""
        self._unwatch = self.store.watch(self._on_hints, ("ready", "mail"))
        await self._lease.start()
        self._room.set()
        self._tasks.append(self.clock.spawn(self._claim_loop(), f"claimer {self.name}"))
        await self._carrier.start()
        await self.permits.start()

    async def drain(self, grace_seconds: float = 30.0) -> None:
        """Claim no more; park everything at its next checkpoint; after ``grace_seconds`` stop what still runs."""
        self._draining = True
        for execution in list(self.executions.values()):
            execution.drain()
        if self.executions:
            self._idle.clear()
            try:
                async with asyncio.timeout(grace_seconds):
                    await self._idle.wait()
            except TimeoutError:
                log.warning("drain_cut_short", worker=self.name, executions=len(self.executions))
        await self.stop()

    async def stop(self) -> None:
        """Stop at once: kill what runs, end the session, so that others go on with it now."""
        self._draining = True
        await self._carrier.stop()
        for task in self._tasks:
            task.cancel()
        tasks = [execution.task for execution in self.executions.values() if execution.task is not None]
        for execution in list(self.executions.values()):
            execution.kill()
        await asyncio.gather(*self._tasks, *tasks, *self._reading, return_exceptions=True)
        self.alarms.stop()
        await self.permits.stop()
        await self.circuits.stop()
        if self._unwatch is not None:
            self._unwatch()
        await self._lease.stop()
        try:
            await self.store.end_session(self.session)
        except StoreError as error:
            log.warning("session_not_ended", worker=self.name, error=str(error))

    def offer(self, packages: Mapping[str, str]) -> None:
        """Serve these packages from now on (``name@version`` → digest)."""
        self._packages = dict(packages)
        self._queues = self._queue_names()
        self._room.set()

    # --- owning -------------------------------------------------------------------------------------------------

    def adopt(self, claimed: Claimed, prepared: Prepared, born: State | None = None) -> Execution:
        """Own a claimed execution and run it; ``born``: its state, if this process wrote all its events."""
        execution = Execution(self, prepared, claimed, born)
        self.executions[execution.id] = execution
        execution.task = self.clock.spawn(execution.run(), execution.id)
        execution.task.add_done_callback(lambda task: self._let_go(execution))
        if self._draining:
            execution.drain()
        if self._early:
            seq = self._early.pop(execution.id, 0)
            if seq > claimed.head.seq:
                self._background(self._look(execution, seq))
        return execution

    def _let_go(self, execution: Execution) -> None:
        """A task that was killed before its first step never came to say so."""
        if self.executions.get(execution.id) is execution:
            self.released(execution)

    def released(self, execution: Execution) -> None:
        """An execution ended, parked or was lost."""
        if self.executions.get(execution.id) is execution:
            del self.executions[execution.id]
        if self._on_final is not None:
            self._on_final(execution)
        if execution.mail:
            self._lease.seen[execution.id] = execution.mail
        self._room.set()
        if not self.executions:
            self._idle.set()

    def unreadable(self, execution: Execution, error: Exception) -> None:
        """Send an execution that can't be read here to a queue that only a newer worker, or nobody, serves."""
        log.error("execution_unreadable", execution_id=execution.id, worker=self.name, exc_info=error)
        head = execution.head._replace(seq=max(execution.state.seq, execution.head.seq))
        self._background(self._send_on(head, f"{head.queue.partition('#')[0]}#unreadable"))

    async def _plan_of(self, graph_id: str) -> Plan:
        prepared = await self._prepare(graph_id)
        return prepared.plan  # type: ignore[no-any-return]

    def final_effects(self, execution: Execution, event: Event) -> tuple[Outgoing, ...]:
        """The outbox entries of a final event."""
        return self._effects(execution, event) if self._effects is not None else ()

    async def _take(self, claimed: Claimed) -> None:
        """Adopt what was claimed; send on what this worker has no code for."""
        try:
            graph_id = await graph_of(self.store, claimed.head, claimed.snapshot)
            prepared = await self._prepare(graph_id)
        except StoreError as error:
            log.warning("artifact_unread", graph_id=claimed.head.graph_id, error=str(error))
            return  # the auditor finds it
        except Exception as error:
            log.error("artifact_unusable", graph_id=claimed.head.graph_id, error=str(error))
            await self._send_on(claimed.head, f"{claimed.head.queue}#{claimed.head.graph_id}")
            return
        if prepared.missing:
            base = claimed.head.queue.partition("#")[0]
            await self._send_on(claimed.head, f"{base}#{prepared.missing[0]}")
            return
        self.adopt(claimed, prepared)

    async def _send_on(self, head: Head, queue: str) -> None:
        fence = Fence(self.session, head.epoch)
        item = Append(head.execution_id, (), (), head.updated_at, head.seq, fence, park=Park(queue, 0))
        try:
            await self.store.append((item,))
        except StoreError as error:
            log.warning("not_sent_on", execution_id=head.execution_id, queue=queue, error=str(error))

    # --- claiming -----------------------------------------------------------------------------------------------

    async def _claim_loop(self) -> None:
        while True:
            try:
                async with asyncio.timeout(IDLE_LOOK_SECONDS * (0.75 + self.clock.random() / 2)):
                    await self._room.wait()
            except TimeoutError:
                pass
            if self._draining:
                return  # also when it was a drained execution that made room
            self._room.clear()
            room = self.concurrency - len(self.executions)
            if room <= 0:
                continue
            try:
                claimed = await self.store.claim(
                    self.session, self._queues, min(room, CLAIM_BATCH), self._weights
                )
            except StoreError as error:
                log.warning("claim_failed", worker=self.name, error=str(error))
                await self.clock.sleep(0.2)
                continue
            for item in claimed:
                if item.head.execution_id not in self.executions:
                    await self._take(item)
            if claimed:
                self._room.set()

    def _queue_names(self) -> list[str]:
        names = sorted(self.pools)
        for pool in self.pools:
            names.extend(f"{pool}#{package}:{digest}" for package, digest in self._packages.items())
        return names

    # --- news ---------------------------------------------------------------------------------------------------

    def _on_hints(self, hints: Sequence[Hint]) -> None:
        for hint in hints:
            if hint.kind == "ready":
                if hint.subject in self._queues:
                    self._room.set()
            elif hint.kind == "mail":
                if hint.subject == self.session:
                    self._deliver(hint.execution_id, hint.seq)
            elif hint.kind == "moved" and not hint.subject:
                self._room.set()

    def _on_beat(self, beat: Beat) -> None:
        if beat.orphans:
            self._room.set()
        waited = self._early
        self._early = {}
        for execution_id, seq in beat.mailbox:
            if execution_id in waited and execution_id not in self.executions:
                self._lease.seen[execution_id] = seq  # for a whole beat nothing came that it could be for
            else:
                self._deliver(execution_id, seq)
        self._audit(beat)

    def _deliver(self, execution_id: str, seq: int) -> None:
        execution = self.executions.get(execution_id)
        if execution is None:
            self._early[execution_id] = seq
            return
        if execution.state.seq >= seq:
            self._lease.seen[execution_id] = seq
            return
        self._background(self._look(execution, seq))

    async def _look(self, execution: Execution, seq: int) -> None:
        """Someone wrote to an execution of ours: stop it if they ended it, else let it read."""
        try:
            head = (await self.store.heads((execution.id,)))[0]
        except StoreError:
            return  # the mailbox still has it
        if is_over(head, execution.epoch):
            execution.kill()
        else:
            execution.notice(seq)

    # --- audit --------------------------------------------------------------------------------------------------

    def _audit(self, beat: Beat) -> None:
        ours = 0
        for execution_id in self.executions:
            ours ^= zlib.crc32(execution_id.encode())
        if beat.owned == len(self.executions) and beat.checksum == ours:
            self._differs = 0
            return
        self._differs += 1
        if self._differs >= 2 and not self._reading:
            self._differs = 0
            self._background(self._mend())

    async def _mend(self) -> None:
        """Drop what the store says isn't ours, and start what it says is; only what stands on both of two looks."""
        try:
            before, had = set(await self.store.owned(self.session)), set(self.executions)
            await self.clock.sleep(0.1)
            owned, have = set(await self.store.owned(self.session)), set(self.executions)
            for execution_id in sorted((had - before) & (have - owned)):
                self.executions[execution_id].kill()
            for execution_id in sorted((before - had) & (owned - have)):
                head = (await self.store.heads((execution_id,)))[0]
                if head is not None and head.session == self.session and execution_id not in self.executions:
                    snapshot = await self.store.snapshot(execution_id)
                    await self._take(Claimed(head, None, snapshot, []))
        except StoreError as error:
            log.warning("audit_failed", worker=self.name, error=str(error))

    def _background(self, work: Any) -> None:
        task = self.clock.spawn(work, f"{self.name} reads")
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    def _describe(self) -> Mapping[str, Any]:
        return {
            **(self._info() if self._info is not None else {}),
            "worker": self.name,
            "pools": sorted(self.pools),
            "packages": self._packages,
            "slots": self.concurrency,
        }
