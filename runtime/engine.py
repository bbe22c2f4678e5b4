"""One owned execution, from claim to release: read, fold, decide, append, perform.

The loop is the whole engine::

        ┌──────────────────────────────────────────────────────────────┐
        │  outcomes of nodes, mail, due times                          │
        ▼                                                              │
    fold them ──► decide what follows ──► append both (one write) ──► perform what was started

Invariants:

* nothing is performed, and nothing is told to anyone, before the event that says so is durable;
* at most one append is under way; what finishes meanwhile joins the next;
* after a conflict the outcomes are kept and put behind the new tail if the state still admits them (else an
  ``OutcomeDropped`` says so): nothing is done twice;
* once the store says that the claim is lost, nothing more is written and what runs is killed.

When a single node is all that is alive, it runs inside this loop's own task: a chain of ``async def`` nodes costs no
task switch but the one that each durable write needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Final, Protocol

from . import events as e
from . import notices, orders, telemetry
from .alarms import Alarms
from .circuits import Circuits
from .clock import Clock
from .coded import drive
from .coded_tasks import TaskAttempt
from .decide import AGAIN, decide, next_due, park
from .events import Event
from .fold import admits, extend, fold
from .limiting import Asked, RunLimits, unheard
from .messages import Messages
from .perform import Attempt, Lost, Performer
from .prepared import BadMessage, Prepared
from .reading import carried, history, migrated_to
from .snapshot import load
from .state import BLANK, Key, State
from .store.base import (
    FINAL,
    Append,
    Claimed,
    Conflict,
    Fence,
    Head,
    Ok,
    Outgoing,
    Park,
    Store,
    StoreError,
)
from .streaming import stream
from .writing import Writer

Told = tuple[Event, bytes | None]
"""What a node came to, and its bytes if they are known."""


class Host(Protocol):
    """What an execution needs from the worker that owns it."""

    @property
    def store(self) -> Store: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def name(self) -> str: ...
    @property
    def session(self) -> str: ...
    @property
    def pools(self) -> Container[str]: ...
    @property
    def performer(self) -> Performer: ...
    @property
    def alarms(self) -> Alarms: ...
    @property
    def permits(self) -> Asked: ...
    @property
    def circuits(self) -> Circuits: ...

    def released(self, execution: Execution) -> None:
        """The execution is no longer here: ended, parked or lost."""

    def unreadable(self, execution: Execution, error: Exception) -> None:
        """The engine can't go on with it: put it where no worker takes it, and say so."""

    def final_effects(self, execution: Execution, event: Event) -> tuple[Outgoing, ...]:
        """The outbox entries that go with a final event."""


class Execution:
    """An execution while this worker owns it."""

    def __init__(self, host: Host, prepared: Prepared, claimed: Claimed, born: State | None = None) -> None:
        self.host: Final = host
        self.prepared: Final = prepared
        self.topology: Final = prepared.topology
        self.head: Final[Head] = claimed.head
        self.id: Final = claimed.head.execution_id
        self.epoch: Final = claimed.head.epoch
        self.fence: Final = Fence(host.session, claimed.head.epoch)
        self.writer: Final = Writer(host, self.id, self.fence, claimed.head.status)
        self.state = BLANK
        self.accepted: dict[str, Any] = {}
        self.secrets: Final[dict[str, str]] = {}
        """Name that nodes declare → value, as it was opened last."""
        self.opened: Final[dict[str, str]] = {}
        """Every value that was opened here, by itself: what may never be written."""
        self.task: asyncio.Task[Any] | None = None
        self.mail = 0
        """The highest seq that someone else is known to have written."""
        self.over = False
        self.messages: Final = Messages(self)
        self.traced: Final = telemetry.tracing()
        self.limits: Final = RunLimits(self, prepared.limits) if prepared.limits is not None else None
        self.draining = False
        self.on_drain: Callable[[], Any] | None = None
        """Stops a stream, which has no checkpoint of its own to wait for."""
        self._claimed: Claimed | None = claimed
        self._born: State | None = born
        self._outcomes: list[Told] = []
        self._attempts: dict[Key, Attempt | TaskAttempt] = {}
        self._news: asyncio.Future[None] | None = None
        self._inline: Attempt | None = None
        """The attempt that runs inside this execution's own task."""
        self._peeking: asyncio.Task[Any] | None = None
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def output(self) -> Any:
        """The flow's output, once the terminal node has completed here."""
        return self.messages.output

    def unlocked(self, values: Mapping[str, str]) -> None:
        """Secrets were opened for the nodes."""
        self.secrets.update(values)
        self.opened.update((value, value) for value in values.values())

    # --- what the worker calls ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Own the execution until it ends, parks or is lost. Never raises but for cancellation."""
        try:
            await self._own()
        except (Lost, StoreError):
            pass  # the store still says that it is ours: the auditor takes it up again
        except Exception as error:  # a damaged journal, one of a newer version, or a fault of ours
            self.host.unreadable(self, error)
        finally:
            self.over = True
            if self._alarm is not None:
                self._alarm.cancel()
            for attempt in self._attempts.values():
                attempt.kill()
            if self.prepared.limited:
                self._leave_lines()
            self.host.released(self)

    def _leave_lines(self) -> None:
        if self.limits is not None:
            self.limits.let_go()
        unheard(self)

    def notice(self, seq: int) -> None:
        """Someone else wrote up to ``seq``."""
        if seq > self.mail:
            self.mail = seq
            self._wake()
            if self._inline is not None and self._peeking is None:
                self._peeking = self.host.clock.spawn(self._peek(self._inline), f"peek {self.id}")

    def drain(self) -> None:
        """Park at the next checkpoint."""
        self.draining = True
        if self.on_drain is not None:
            self.on_drain()
        self._wake()

    def kill(self) -> None:
        """The claim is lost: stop what runs, write nothing more."""
        self.over = True
        for attempt in self._attempts.values():
            attempt.kill()
        if self.task is not None:
            self.task.cancel()

    # --- the loop -----------------------------------------------------------------------------------------------

    async def _own(self) -> None:
        opening = await self._load()
        if self.prepared.plan.mode == "pipeline":
            await stream(self, opening)
            return
        if self.prepared.coded is not None:
            await drive(self, opening)
            return
        self._outcomes = [(event, None) for event in opening]
        left = list(self.state.running)  # what a former owner left in mid-air
        while True:
            inline = await self._advance()
            if self.over:
                return
            if len(left) == len(self.state.running) == 1 and not self._attempts and not beside(self.state):
                inline = left.pop()
            while left:
                self._spawn(left.pop())
            if inline is not None:
                await self._perform(inline)
            else:
                await self._wait()
            if self.mail > self.state.seq:
                await self.catch_up()

    async def _load(self) -> list[Event]:
        """Fold what the claim brought; return the events that open this ownership."""
        claimed, self._claimed = self._claimed, None
        assert claimed is not None
        events = claimed.events
        if self._born is not None:
            self.state, self._born = self._born, None
            self.accepted = dict(events[0].body)
            return []
        self.state = (load(claimed.snapshot[1]) if claimed.snapshot else None) or BLANK
        self.writer.snapshot_seq = self.state.seq
        if events and events[0].seq == self.state.seq + 1:
            self._take(events)
        if self.state.seq < claimed.head.seq:
            await self.catch_up()
        if not self.accepted:
            first = await self.host.store.read(self.id, 0, 1)
            self.accepted = dict(first[0].body)
        if self.state.started and claimed.former is None:
            return []
        body: dict[str, Any] = {"worker": self.host.name}
        kind = e.STARTED
        if self.state.started:
            kind, body["from"] = e.TAKEN_OVER, str(claimed.former)
            if self.prepared.plan.mode == "pipeline":
                body["frames"] = claimed.head.frames
        opening = [Event(kind, self.now(), epoch=self.epoch, body=body), *self._drift()]
        if self.prepared.secrets and not self.state.started:
            opening += await self._locked()
        return opening

    async def _locked(self) -> list[Event]:
        """End a run that can't have one of its secrets before it begins."""
        failure = await self.host.performer.unlock(self, self.prepared.secrets)
        if failure is None:
            return []
        body: dict[str, Any] = {"code": failure.code, "message": failure.message}
        if self.prepared.plan.mode == "pipeline":
            body["frames"] = 0
        return [Event(e.FAILED, self.now(), epoch=self.epoch, body=body)]

    def _drift(self) -> list[Event]:
        """Tell of code that is not the one the artifact was made with (development only)."""
        return [
            Event(
                e.CODE_DRIFTED,
                self.now(),
                epoch=self.epoch,
                body={"package": package, "pinned": pinned, "running": running},
            )
            for package, (pinned, running) in self.prepared.drifted.items()
        ]

    async def _advance(self) -> Key | None:
        """Write what has happened and what follows, start what was started; the node to run inline, if one is alone."""
        while True:
            taken, self._outcomes = self._outcomes, []
            now = (
                max(taken[-1][0].at, self.state.at) if taken else self.now()
            )  # what has just ended knows the time
            state, events, data = self._propose(taken, now)
            leaving = self._leaving(state, now)
            if not events and leaving is None:
                return None
            outcome = await self.writer.write(await self.append_of(state, events, leaving, data))
            if isinstance(outcome, Ok):
                self.state = state
                if state.final or leaving is not None:
                    self.over = True
                    return None
                return self._start(events)
            self._outcomes = taken + self._outcomes
            if not isinstance(outcome, Conflict):
                raise Lost
            await self.catch_up(outcome.tail)

    def _propose(self, outcomes: list[Told], now: int) -> tuple[State, list[Event], list[bytes | None]]:
        """Return the state after ``outcomes`` and what follows, the events, and the bytes that there are of them."""
        state, topology = self.state.copy(), self.topology
        events: list[Event] = []
        data: list[bytes | None] = []
        for event, encoded in outcomes:
            if event.node is not None and not admits(topology, state, event):
                if state.final:
                    continue
                event, encoded = self._late(event, max(now, state.at)), None
            if event.at < state.at:  # others wrote meanwhile: what is put behind theirs is not older
                event, encoded = event._replace(at=state.at), None
            extend(topology, state, (event,))
            events.append(event)
            data.append(encoded)
        following = decide(topology, state, now, self.epoch, self.host.pools)
        while following:
            if following[0].kind == e.COMPLETED and self.prepared.output is not None:
                following = (self._shaped(following[0]),)
            if self.draining:
                following = [event for event in following if event.kind not in (e.NODE_STARTED, e.NODE_WOKEN)]
            extend(topology, state, following)
            events.extend(following)
            data.extend([None] * len(following))
            if not following or following[0].kind not in AGAIN:
                break
            following = decide(topology, state, now, self.epoch, self.host.pools)
        return state, events, data

    def _late(self, event: Event, at: int) -> Event:
        """What is left of an outcome that the run went on without."""
        body = {"kind": event.kind, "reason": "the run went on without it"}
        return Event(e.OUTCOME_DROPPED, at, event.node, event.iteration, event.attempt, self.epoch, body)

    def _shaped(self, event: Event) -> Event:
        """Put the flow's output into its final event, where it is not the terminal node's as it is."""
        assert self.prepared.output is not None
        try:
            output = self.prepared.output.carry(self.messages.output)
            self.messages.output = output
        except BadMessage as error:
            body = {"code": error.failure.code, "message": error.failure.message}
            return event._replace(kind=e.FAILED, body=body)
        return event._replace(body={"output": {"value": output}})

    def _leaving(self, state: State, now: int) -> Park | None:
        """How to park after this write, if nothing of the run is left to do here."""
        if state.final or self._outcomes:
            return None
        if self.draining and (not state.running or not self._attempts):
            return park(self.topology, state, now, ()) or Park(self.head.queue, 0)
        return park(self.topology, state, now, self.host.pools)

    def _start(self, events: list[Event]) -> Key | None:
        """Stop what the state no longer runs, start what ``events`` say; the key to run inline if it is alone."""
        running = self.state.running
        if len(self._attempts) > 0:
            for key in [key for key in self._attempts if key not in running]:
                self._attempts.pop(key).kill()
        started = [event for event in events if event.kind in (e.NODE_STARTED, e.NODE_WOKEN)]
        if len(started) == len(running) == 1 and not (self._attempts or beside(self.state)):
            return self.topology.numbers[started[0].node or ""], started[0].iteration
        for event in started:
            self._spawn((self.topology.numbers[event.node or ""], event.iteration))
        return None

    # --- performing ---------------------------------------------------------------------------------------------

    async def _perform(self, key: Key) -> None:
        """Run the only node alive inside this task."""
        attempt = self._attempt(key)
        self._attempts[key] = attempt
        attempt.task = self.task
        self._inline = attempt
        deadline = self.state.deadline
        if deadline is not None and self.state.undoing is None:
            self._alarm = self.host.clock.later(max(0, deadline - self.now()) / 1000, attempt.drop)
        try:
            outcome = await attempt.run()
        finally:
            if self._alarm is not None:
                self._alarm.cancel()
                self._alarm = None
            self._inline = None
            self._attempts.pop(key, None)
        if outcome is not None:
            self._outcomes.append((outcome, attempt.encoded))

    async def _peek(self, attempt: Attempt) -> None:
        """While a node runs inside our own task: stop it if what others wrote means that it shouldn't run."""
        try:
            events = await self.writer.patiently(lambda: self.host.store.read(self.id, self.state.seq))
            ahead = fold(self.topology, self.state, events)
        except (Lost, ValueError):
            return  # the next append finds out
        finally:
            self._peeking = None
        if self._inline is attempt and ahead.running.get(attempt.key) != attempt.number:
            attempt.drop()

    def _spawn(self, key: Key) -> None:
        attempt = self._attempt(key)
        self._attempts[key] = attempt

        async def work() -> None:
            try:
                event = await attempt.run()
            except Lost:
                self.kill()
                return
            if self._attempts.get(key) is attempt and event is not None:
                del self._attempts[key]
                self._outcomes.append((event, attempt.encoded))
                self._wake()

        attempt.task = self.host.clock.spawn(work(), f"{self.id}/{self.topology.aliases[key[0]]}")

    def _attempt(self, key: Key) -> Attempt:
        return Attempt(self, self.prepared.steps[key[0]], key, self.state.running[key])

    # --- reading and writing ------------------------------------------------------------------------------------

    async def append_of(
        self,
        state: State,
        events: list[Event],
        leaving: Park | None,
        encoded: Sequence[bytes | None] | None = None,
    ) -> Append:
        """Return the append that takes the journal to ``state``; ``encoded``: the bytes that are known already."""
        outbox: list[Outgoing] = orders.of_step(self, state, events) if self.topology.calls else []
        if self.topology.asks:
            outbox += notices.of_step(self, events)
        if state.final:
            outbox += self.host.final_effects(self, events[-1])
            outbox += orders.of_end(self.id, self.accepted, events[-1])
        return await self.writer.item(
            self.state.seq, state, events, leaving, orders.numbered(outbox), encoded
        )

    async def catch_up(self, tail: int | None = None) -> None:
        """Fold what others wrote. A tail behind our own is a lost one: start over from what there is."""
        if tail is not None and tail < self.state.seq:
            expected = self.state.seq
            self.state = BLANK
            body = {"expected": expected, "found": tail}
            self._outcomes.insert(0, (Event(e.TAIL_LOST, self.now(), epoch=self.epoch, body=body), None))
        while True:
            store = self.host.store
            if self.state.seq:
                events = await store.read(self.id, self.state.seq)
            else:
                events = await history(store, self.id)
            if not events:
                break
            self._take(events)
        self.writer.status = self.state.status
        if self.state.final:
            raise Lost
        self._start([])

    def _take(self, events: list[Event]) -> None:
        if events[0].seq == 1:
            self.accepted = dict(events[0].body)
        if migrated_to(events) not in (None, self.prepared.graph_id):
            raise Lost  # it has another artifact now: the worker takes it up again with that one
        self.state = fold(self.topology, self.state, carried(events))

    # --- waiting ------------------------------------------------------------------------------------------------

    async def _wait(self) -> None:
        """Wait for an outcome, for mail, for the next due time, or for the order to drain."""
        if self._outcomes or self.mail > self.state.seq or (self.draining and not self._attempts):
            return
        self._news = asyncio.get_running_loop().create_future()
        due = next_due(self.state)
        if due is not None:
            seconds = max(0, due - self.now()) / 1000
            self._alarm = self.host.clock.later(seconds, self._wake)
        try:
            await self._news
        finally:
            self._news = None
            if self._alarm is not None:
                self._alarm.cancel()
                self._alarm = None

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def now(self) -> int:
        now, at = self.host.store.now(), self.state.at
        return now if now > at else at


def beside(state: State) -> bool:
    """Whether something else than the nodes that run may move the run by itself."""
    return bool(state.retrying or state.waiting or state.gate_dues)


def is_over(head: Head | None, epoch: int) -> bool:
    """Whether an execution of that epoch has nothing more to do here, by its head."""
    return head is None or head.status in FINAL or head.epoch != epoch
