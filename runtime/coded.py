"""A coded workflow: the engine drives its coroutine, and answers what it awaits from the journal.

The coroutine holds no result that is not in the journal (or on its way there, in the very write that starts what comes
next), so it may be dropped whenever it waits, and made again from its start: each operation that it asks for is found
among those that the journal knows, and answered with what became of it, in the order in which that happened.

* A **task** is known by its name and the hash of its input, and by how many calls alike came before it: tasks may be
  reordered and added under a running execution.
* **Times, events, people** and what ``run.now()`` and its like record are known by their place in the order.

A journal that knows of an operation for which the code no longer asks, or that asks for something else in its place,
fails the run as ``diverged``. After a conflict the coroutine is made again from what the journal then says.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from axiom.compiler.artifact import canonical

from . import events as e
from .coded_tasks import TaskAttempt
from .correlation import follow
from .decide import next_due, waker
from .events import Event
from .failures import failure_of
from .fibers import Fiber, coroutine_of, gathered
from .fold import admits, extend
from .limits import POISON_TAKEOVERS, SHORT_WAIT_MS
from .messages import read_value
from .operations import Operation, TaskFailed, driving
from .perform import Lost
from .state import COMPLETED, FAILED, Key, State
from .store.base import Conflict, Ok, Park

if TYPE_CHECKING:
    from .engine import Execution

Known = tuple[str, str]
"""An operation's name, and the hash of what a task is called with (else '')."""
REMEDY: Final = "give changed code a new version, and let running executions end on the old one"


class Diverged(Exception):
    """The journal and the code disagree."""


class Recorded(NamedTuple):
    """An operation that the journal knows."""

    key: Key
    hash: str


class Driver:
    """Drives the workflow of one owned execution."""

    def __init__(self, execution: Execution) -> None:
        self.execution: Final = execution
        self._known: dict[Known, list[Recorded]] = {}
        self._asked: Counter[Known] = Counter()
        self._values: dict[Key, Any] = {}
        """What completed operations came to: a value as events hold it."""
        self._operations: dict[Key, Operation] = {}
        self._places: dict[Key, int] = {}
        """How many calls alike came before it."""
        self._fibers: list[Fiber] = []
        self._count = 0
        self._draft: State = execution.state
        self._events: list[Event] = []
        self._now = 0

    # --- the loop -----------------------------------------------------------------------------------------------

    async def run(self, opening: list[Event]) -> None:
        """Own the execution until it ends or parks."""
        execution = self.execution
        execution._outcomes = [(event, None) for event in opening]
        await self._begin()
        while not await self._advance():
            await execution._wait()
            if execution.mail > execution.state.seq:
                await execution.catch_up()
                await self._begin()

    async def _begin(self) -> None:
        """Read the journal and make the coroutine; it has not run yet."""
        execution = self.execution
        for fiber in self._fibers:
            fiber.coroutine.close()
        self._known, self._values, self._operations = {}, {}, {}
        self._asked, self._count = Counter(), 0
        events = await self._read(0)
        while events:
            for event in events:
                self._learn(event)
            events = await self._read(events[-1].seq)
        handler = execution.prepared.coded
        assert handler is not None
        message = await execution.messages.flow_input()
        driving.append(self)
        try:
            self._fibers = [Fiber(handler.function(self, message))]
        finally:
            driving.pop()

    async def _read(self, after: int) -> list[Event]:
        execution = self.execution
        return await execution.writer.patiently(lambda: execution.host.store.read(execution.id, after))

    def _learn(self, event: Event) -> None:
        """Note what an event of the journal says of an operation."""
        body, key = event.body, (0, event.iteration)
        if event.kind == e.NODE_STARTED and event.attempt == 1 and event.node:
            self._note((event.node, body["hash"]), Recorded(key, body["hash"]))
        elif event.kind == e.NODE_WAITING and event.node:
            self._note((event.node, ""), Recorded(key, body["hash"]))
        elif event.kind == e.NODE_COMPLETED:
            self._values[key] = body["output"]
            if body.get("recorded") and event.node:
                self._note((event.node, ""), Recorded(key, body["hash"]))
        elif event.kind == e.NODE_REUSED and event.node:
            self._values[key] = body["output"]
            self._note((event.node, body["hash"]), Recorded(key, body["hash"]))
        elif event.kind == e.NODE_WOKEN:
            self._values[key] = {"woken": body["by"], "seq": body.get("seq", 0)}

    def _note(self, known: Known, recorded: Recorded) -> None:
        self._known.setdefault(known, []).append(recorded)
        self._count = max(self._count, recorded.key[1][0] + 1)

    async def _advance(self) -> bool:
        """Write what has happened and what the workflow asks for now, and begin it; true when it is over here."""
        execution = self.execution
        while True:
            taken, execution._outcomes = execution._outcomes, []
            self._now = execution.now()
            self._draft, self._events = execution.state.copy(), []
            for event, _ in taken:
                if event.node is None or admits(execution.topology, self._draft, event):
                    self._append(event._replace(at=max(event.at, self._draft.at)))
                    if event.kind == e.NODE_COMPLETED:
                        self._values[0, event.iteration] = event.body["output"]
            self._wake()
            if not (execution.draining or self._draft.held):
                await self._step()
            leaving = self._leaving()
            if not self._events and leaving is None:
                return False
            await follow(execution, self._events)
            item = await execution.append_of(self._draft, self._events, leaving)
            outcome = await execution.writer.write(item)
            if isinstance(outcome, Ok):
                execution.state = self._draft
                if execution.state.final or leaving is not None:
                    execution.over = True
                    return True
                self._perform()
                return False
            execution._outcomes = taken + execution._outcomes
            if not isinstance(outcome, Conflict):
                raise Lost
            await execution.catch_up(outcome.tail)
            await self._begin()

    def _append(self, event: Event) -> None:
        extend(self.execution.topology, self._draft, (event,))
        self._events.append(event)

    def _event(self, kind: str, name: str, key: Key, attempt: int, body: dict[str, Any]) -> Event:
        return Event(kind, max(self._now, self._draft.at), name, key[1], attempt, self.execution.epoch, body)

    def _end(self, kind: str, body: dict[str, Any]) -> None:
        at = max(self._now, self._draft.at)
        self._append(Event(kind, at, epoch=self.execution.epoch, body=body))

    def _wake(self) -> None:
        """What waits and has what it waits for goes on; what is due is tried again; a run past its time ends."""
        draft = self._draft
        if draft.deadline is not None and self._now >= draft.deadline:
            self._end(e.FAILED, {"code": "run_timeout", "message": "the run did not end before its deadline"})
            return
        if draft.takeovers >= POISON_TAKEOVERS:
            text = f"{draft.takeovers} workers in a row died with this run in their hands"
            self._end(e.FAILED, {"code": "poisoned", "message": text})
            return
        taken: set[int] = set()
        for key, wait in list(draft.waiting.items()):
            body = waker(draft, wait, self._now, taken)
            if body is not None:
                self._values[key] = {"woken": body["by"], "seq": body.get("seq", 0)}
                self._append(self._event(e.NODE_WOKEN, self._name(key), key, 1, body))
        for key, due in () if draft.held else list(draft.retrying.items()):
            if due <= self._now and key in self._operations:
                operation = self._operations[key]
                self._append(self._started(operation, key, draft.nodes[key].attempt + 1))

    def _name(self, key: Key) -> str:
        found = self._operations.get(key)
        if found is not None:
            return _journal_name(found)
        return next(name for (name, _), all_of in self._known.items() if any(r.key == key for r in all_of))

    def _leaving(self) -> Park | None:
        """How to park after this write, if nothing of the run is left to do here."""
        execution, draft = self.execution, self._draft
        if draft.final or draft.running or execution._outcomes:
            return None
        due = next_due(draft)
        if draft.held:
            return Park(execution.head.queue, due)
        if execution.draining:
            return Park(execution.head.queue, due if draft.waiting or draft.retrying else 0)
        if due is not None and due - self._now < SHORT_WAIT_MS:
            return None
        return Park(execution.head.queue, due)

    # --- the coroutine ------------------------------------------------------------------------------------------

    async def _step(self) -> None:
        """Let the workflow run as far as the journal's answers take it; ask for what it then waits for."""
        if self._draft.final:
            return
        main = self._fibers[0]
        try:
            if main.waits is None and not main.children and not main.done:
                self._resume(main, None, None)
            while not main.done and (ready := self._ready()) is not None:
                fiber, key, operation = ready
                value, error = await self._answer(key, operation)
                fiber.waits = None
                self._resume(fiber, value, error)
            if main.done:
                self._check_all_asked()
        except Diverged as error:
            self._end(e.FAILED, {"code": "diverged", "message": f"{error}; {REMEDY}"})
            return
        if main.done:
            self._finish(main)

    def _ready(self) -> tuple[Fiber, Key, Operation] | None:
        """The fiber whose answer came first, of those that have one."""
        found: tuple[int, Fiber, Key, Operation] | None = None
        for fiber in self._fibers:
            if fiber.waits is not None:
                run = self._draft.nodes[fiber.waits[0]]
                if run.phase in (COMPLETED, FAILED) and (found is None or run.seq < found[0]):
                    found = (run.seq, fiber, *fiber.waits)
        return None if found is None else found[1:]

    async def _answer(self, key: Key, operation: Operation) -> tuple[Any, BaseException | None]:
        """The recorded result of an operation, or the error to raise."""
        execution = self.execution
        if self._draft.nodes[key].phase == FAILED:
            code, message, name, _ = self._draft.failures[key]
            return None, TaskFailed(code, message, name)
        held = self._values[key]
        if "woken" in held:
            if held["woken"] == "time":
                if operation.kind == "timer":
                    return None, None
                return None, TaskFailed("timeout", f"{operation.title} did not come in time", operation.name)
            field = "input" if held["woken"] == "answer" else "payload"
            value = await execution.messages.of_event(held["seq"], field)
        else:
            value = await execution.writer.patiently(
                lambda: read_value(execution.host.store, execution.id, held)
            )
        try:
            return (value if operation.decode is None else operation.decode(value)), None
        except Exception as error:
            return None, error

    def _resume(self, fiber: Fiber, value: Any, error: BaseException | None) -> None:
        """Run a fiber until it waits or ends, and then those that waited for it alone."""
        while True:
            driving.append(self)
            try:
                wanted = fiber.coroutine.send(value) if error is None else fiber.coroutine.throw(error)
            except StopIteration as stop:
                fiber.done, fiber.result = True, stop.value
            except Diverged:
                raise
            except (Exception, SystemExit) as raised:
                fiber.done, fiber.error = True, raised
            finally:
                driving.pop()
            if fiber.done:
                parent = fiber.parent
                settled = None if parent is None else gathered(parent)
                if parent is None or settled is None:
                    return
                fiber, (value, error) = parent, settled
                continue
            if not isinstance(wanted, Operation):
                value, error = (
                    None,
                    TypeError(
                        "a workflow awaits tasks and what `run` offers, nothing else: "
                        "put other waiting into a task (use run.gather for several at once)"
                    ),
                )
                continue
            if wanted.kind != "gather":
                fiber.waits = (self._ask(wanted), wanted)
                return
            fiber.children = [Fiber(coroutine_of(each), fiber) for each in wanted.together]
            self._fibers += fiber.children
            if not fiber.children:
                value, error = [], None
                continue
            for child in list(fiber.children):
                self._resume(child, None, None)
            return

    def _ask(self, operation: Operation) -> Key:
        """Find the operation in the journal, or ask for it."""
        name, digest = _journal_name(operation), _digest(operation)
        known = (name, "" if operation.ordered else digest)
        place = self._asked[known]
        self._asked[known] += 1
        recorded = self._known.get(known, ())
        if place < len(recorded):
            key, was = recorded[place]
            if was != digest:
                raise Diverged(f"{operation.title} was asked for with other arguments than the journal holds")
            self._operations[key], self._places[key] = operation, place
            return key
        key = (0, (self._count,))
        self._note(known, Recorded(key, digest))
        self._operations[key], self._places[key] = operation, place
        self._append(self._opening(operation, key, name, digest))
        return key

    def record(self, name: str, make: Callable[[], Any]) -> Any:
        """Return a value that is made once, and read from the journal ever after."""
        known = (name, "")
        place = self._asked[known]
        self._asked[known] += 1
        recorded = self._known.get(known, ())
        if place < len(recorded):
            return self._values[recorded[place].key]["value"]
        value = make()
        key = (0, (self._count,))
        self._note(known, Recorded(key, ""))
        self._values[key] = {"value": value}
        body = {"output": {"value": value}, "recorded": True, "hash": ""}
        self._append(self._event(e.NODE_COMPLETED, name, key, 0, body))
        return value

    def _check_all_asked(self) -> None:
        for (name, digest), recorded in self._known.items():
            asked = self._asked[name, digest]
            if asked < len(recorded):
                number = recorded[asked].key[1][0]
                raise Diverged(
                    f"the journal holds {name} (operation {number}), which the code did not ask for"
                )

    def _finish(self, main: Fiber) -> None:
        """Write the end of the run."""
        execution = self.execution
        handler = execution.prepared.coded
        assert handler is not None
        error = main.error
        if error is None:
            try:
                output = handler.encode(main.result)
            except Exception as wrong:
                error = wrong
            else:
                self._end(e.COMPLETED, {"output": {"value": output}})
                return
        if isinstance(error, TaskFailed):
            body = {"code": error.code, "message": error.message, "node": error.name or None}
        else:
            failure = failure_of(error)
            body = {"code": failure.code, "message": failure.message}
        self._end(e.FAILED, body)

    # --- operations ---------------------------------------------------------------------------------------------

    def _opening(self, operation: Operation, key: Key, name: str, digest: str) -> Event:
        """The event by which an operation begins."""
        if operation.kind == "task":
            return self._started(operation, key, 1)
        body: dict[str, Any] = {"for": operation.kind, "hash": digest}
        if operation.kind == "pause":
            body |= {"name": f"{operation.name}.{key[1][0]}", "quorum": 1, "level": 0}
            body |= {"message": operation.body["message"], "schema": operation.body["schema"]}
        elif operation.kind == "event":
            body |= {"name": operation.name, "key": operation.body["key"]}
        wait_ms = operation.body.get("ms")
        if wait_ms is not None:
            body["due"] = max(self._now, self._draft.at) + wait_ms
        return self._event(e.NODE_WAITING, name, key, 1, body)

    def _started(self, operation: Operation, key: Key, attempt: int) -> Event:
        body: dict[str, Any] = {}
        if attempt == 1:
            body = {"hash": _digest(operation), "input": {"value": operation.body["input"]}}
        return self._event(e.NODE_STARTED, operation.name, key, attempt, body)

    def _perform(self) -> None:
        """Begin every task that is running in the state and not here."""
        execution = self.execution
        for key, number in sorted(execution.state.running.items()):
            if key not in execution._attempts and key in self._operations:
                operation = self._operations[key]
                scope = f"{execution.accepted.get('scope') or execution.id}/{_digest(operation)}"
                attempt = TaskAttempt(execution, operation, key, number, (scope, self._places[key]))
                execution._attempts[key] = attempt
                attempt.task = execution.host.clock.spawn(
                    attempt.work(), f"{execution.id}/{attempt.operation.name}"
                )


async def drive(execution: Execution, opening: list[Event]) -> None:
    """Own a coded execution until it ends, parks or is lost."""
    driver = Driver(execution)
    try:
        await driver.run(opening)
    finally:
        for fiber in driver._fibers:
            fiber.coroutine.close()


def _journal_name(operation: Operation) -> str:
    return operation.name if operation.kind == "task" else operation.kind


def _digest(operation: Operation) -> str:
    """A hash of what the operation is asked for with."""
    return hashlib.sha256(canonical(dict(operation.body))).hexdigest()[:16]
