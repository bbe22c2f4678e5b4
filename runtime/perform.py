"""One attempt of one node: the only code that calls user code.

It makes the input, calls the handler where its isolation says, bounds it in time, checks the output, and returns the
outcome as an event: ``NodeCompleted`` or ``NodeFailed`` (with ``retry_at`` if another attempt follows). It raises only
when the attempt is killed: then there is no outcome.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from axiom.compiler.expressions import EvaluationError

from . import events as e
from . import limiting, waits
from .configs import timeout_of
from .context import redacted_failure
from .events import Event
from .failures import Failure, secret_in_output
from .limits import CANCEL_GRACE_SECONDS, INLINE_VALUE_BYTES, PAYLOAD_BYTES, SUSPECT_TAKEOVERS
from .outcomes import Ended, Output, Result
from .prepared import BadMessage, Step
from .redaction import held
from .retry import retry_delay_ms
from .state import RATE, Key, Woken

if TYPE_CHECKING:
    from .engine import Execution


class Performer(Protocol):
    """How handlers are called; the worker's."""

    def context(self, attempt: Attempt, resume_after: Any = None) -> Any:
        """Return the ``ctx`` of an attempt."""

    async def unlock(self, execution: Execution, names: Collection[str]) -> Failure | None:
        """Open the secrets that nodes declare by these names, for ``context``; the failure if one can't be."""

    async def elsewhere(self, attempt: Attempt, isolation: str, value: Any) -> Any:
        """Call the handler in a child process or a thread; return its output or raise ``HandlerFailed``."""

    def failed(self, attempt: Attempt, error: BaseException) -> Failure:
        """Return the failure that an exception from a handler on the loop stands for."""

    def observe(self, attempt: Attempt, event: Event, seconds: float) -> None:
        """Count and trace a finished attempt."""

    def stuck(self, attempt: Attempt) -> None:
        """The handler ignores its cancellation: this worker must end."""


class Lost(Exception):
    """The claim is gone, or the run was ended by someone else: stop, write nothing."""


class HandlerFailed(Exception):
    """A handler failed somewhere else; ``failure`` says how."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Attempt:
    """See the top of the file."""

    __slots__ = ("_dropped", "_killed", "_timed_out", "encoded", "execution", "key", "number", "step", "task")

    def __init__(self, execution: Execution, step: Step, key: Key, number: int) -> None:
        self.execution: Final = execution
        self.step: Final = step
        self.key: Final = key
        self.number: Final = number
        self.task: asyncio.Task[Any] | None = None
        """The task that runs it: its own, or the execution's if it runs inline."""
        self.encoded: bytes | None = None
        """The outcome's bytes, once there is one that succeeded."""
        self._timed_out = False
        self._dropped = False
        self._killed = False

    async def run(self) -> Event | None:
        """Perform and return the outcome; ``None`` if it was dropped."""
        host = self.execution.host
        clock = host.clock
        begun = clock.monotonic()
        node = self.step.node
        alarm = None
        if self._isolation != "process":  # a child's counts from when it takes the call
            alarm = host.alarms.set(self.timeout_seconds, self._time_out)
        try:
            outcome = await self._call()
        except asyncio.CancelledError:
            if self._killed or not (self._timed_out or self._dropped):
                raise
            if self.task is not None:
                self.task.uncancel()
            if self._dropped:
                return None
            message = f"{node.alias} took longer than {self.timeout_seconds:g} s"
            outcome = Failure("timeout", message)
        except BadMessage as error:
            outcome = error.failure
        except (HandlerFailed, limiting.BadKey) as error:
            outcome = error.failure
        except Lost:
            raise
        except (Exception, SystemExit) as error:
            outcome = host.performer.failed(self, error)
        finally:
            if alarm is not None:
                host.alarms.off(alarm)
        seconds = clock.monotonic() - begun
        event = self._told(outcome, int(seconds * 1000))
        if event.kind in (e.NODE_COMPLETED, e.NODE_FAILED):
            host.performer.observe(self, event, seconds)
        return event

    def _told(self, outcome: Event | Failure, ms: int) -> Event:
        """Return the event of an outcome, and keep its bytes."""
        if isinstance(outcome, Failure):
            return self._failed(outcome)
        if outcome.kind != e.NODE_COMPLETED:
            return outcome
        outcome.body["ms"] = ms  # type: ignore[index]
        try:
            self.encoded = e.encode(outcome)
        except (TypeError, ValueError, OverflowError) as error:
            text = f"the output of {self.step.node.alias} is not JSON data: {error}"
            return self._failed(Failure("output_invalid", text))
        if self.execution.opened and held(self.encoded, self.execution.opened):
            self.encoded = None
            return self._failed(secret_in_output(self.step.node.alias))
        if len(self.encoded) > PAYLOAD_BYTES:
            text = f"the output of {self.step.node.alias} is {len(self.encoded)} bytes"
            self.encoded = None
            return self._failed(Failure("payload_too_large", text, retryable=False))
        self.execution.messages.keep(self.key, outcome.body["output"]["value"])
        return outcome

    def drop(self) -> None:
        """Stop it without an outcome; the task that it runs in goes on."""
        self._dropped = True
        self._cancel()

    def kill(self) -> None:
        """Stop it: nobody waits for its outcome any more."""
        self._killed = True
        self._cancel()

    async def _call(self) -> Event | Failure:
        step, execution = self.step, self.execution
        try:
            result = await self._result()
        except EvaluationError as error:
            return Failure("edge_adapter", f"{step.node.alias}: {error}", retryable=False)
        if isinstance(result, Ended):
            return Event(result.kind, execution.now(), epoch=execution.epoch, body=result.body)
        if not isinstance(result, Output):
            return result
        output = result.value
        wrong = None if result.checked else step.violations(output)
        if wrong is not None:
            return Failure("output_invalid", f"the output of {step.node.alias} is not valid: {wrong}")
        beside = result.beside or {}
        if self._is_item:
            return self._completed(output, (), beside)
        try:
            skipped = step.skipped(output) if step.conditions else ()
        except EvaluationError as error:
            message = f"a condition after {step.node.alias} can't be told: {error}"
            return Failure("edge_condition", message, retryable=False)
        for edge, bound in step.bounds.items():
            if edge not in skipped and self._rounds(edge) >= bound:
                message = f"the loop after {step.node.alias} went round {bound} times and wants to go on"
                return Failure("loop_exhausted", message, retryable=False)
        return self._completed(output, skipped, beside)

    async def _result(self) -> Result:
        """Do what the node's kind says."""
        step, execution = self.step, self.execution
        if execution.limits is not None:
            missing = await execution.limits.missing(self)
            if missing is not None:
                return missing
        key = self.key if not self._is_item else (self.key[0], self.key[1][:-1])
        message = await execution.messages.into(step, key)
        waiting = waits.KINDS.get(step.node.kind)
        if waiting is not None:
            return await waiting(self, message)
        if step.items_of is not None:
            if not self._is_item:
                return await waits.items(self, message)
            message = execution.messages.items(step, key, message)[self.key[1][-1]]
        elif "hitl" in step.node.config and execution.state.undoing is None and not self._has_heard:
            answer = await waits.pause(self, message)
            if not isinstance(answer, Output):
                return answer
            message = answer.value
        if step.node.kind == "flow":
            return await waits.subflow(self, message)
        if step.limits is None:
            return await self.handle(message)
        return await limiting.call(self, step.limits, message)

    async def handle(self, message: Any) -> Result:
        """Call the handler."""
        execution, handler = self.execution, self.step.handler
        if handler is None:
            return Failure("handler_missing", f"{self.step.node.name} is not on this worker", retryable=False)
        if self.step.node.required_secrets:
            locked = await execution.host.performer.unlock(execution, self.step.node.required_secrets)
            if locked is not None:
                return locked
        isolation = self._isolation
        if isolation != "async":
            return Output(await execution.host.performer.elsewhere(self, isolation, message))
        value = message if handler.decode is None else handler.decode(message)
        return Output(handler.encode(await handler.function(execution.host.performer.context(self), value)))

    @property
    def _isolation(self) -> str:
        """Where to call the handler. What may be killing its workers goes where it does that to itself."""
        if self.step.handler is None:
            return "async"
        if self.execution.state.takeovers >= SUSPECT_TAKEOVERS:
            return "process"
        return self.step.handler.isolation

    @property
    def timeout_seconds(self) -> float:
        """How long it may take: the node's, or what the run's config says."""
        return timeout_of(self.execution.accepted, self.step.node)

    @property
    def woken(self) -> Woken | None:
        """What woke this node, if it had waited for more than its rate."""
        woken = self.execution.state.woken.get(self.key)
        if woken is not None and woken.by == RATE:
            return Woken(*woken.before) if woken.before else None
        return woken

    @property
    def paid(self) -> bool:
        """Whether it has waited for the moment that its rate limit gave it."""
        woken = self.execution.state.woken.get(self.key)
        return woken is not None and woken.by == RATE

    @property
    def timed_out(self) -> bool:
        """Whether its time is up."""
        return self._timed_out

    @property
    def _has_heard(self) -> bool:
        """Whether its child had its time: then there is nobody to ask any more."""
        return self.step.node.kind == "flow" and self.woken is not None and self.woken.child

    @property
    def pause_id(self) -> str:
        """The name of this node's pause: its alias, and its iteration if it has one."""
        return ".".join([self.step.node.alias, *map(str, self.key[1])])

    def event(self, kind: str, body: dict[str, Any]) -> Event:
        """Return an event of this attempt."""
        execution = self.execution
        return Event(
            kind, execution.now(), self.step.node.alias, self.key[1], self.number, execution.epoch, body
        )

    @property
    def _is_item(self) -> bool:
        """Whether this is one item of a map."""
        return (
            self.step.items_of is not None and len(self.key[1]) > self.execution.topology.depths[self.key[0]]
        )

    def _rounds(self, edge: int) -> int:
        """How often a back edge was taken so far."""
        topology = self.execution.topology
        head = topology.plan.edges[edge].target
        return self.key[1][topology.depths[head] - 1]

    def _completed(self, output: Any, skipped: Any, beside: Mapping[str, Any]) -> Event:
        body = {"output": {"value": output}, "ms": 0, **beside}
        if skipped:
            body["skipped"] = skipped
        return self.event(e.NODE_COMPLETED, body)

    def _failed(self, failure: Failure) -> Event:
        execution = self.execution
        node = self.step.node
        failure = redacted_failure(failure, execution.opened)
        now = execution.now()
        delay = retry_delay_ms(node.retry, self.number, failure, execution.host.clock.random())
        body: dict[str, Any] = {"code": failure.code, "message": failure.message}
        if failure.details:
            body["details"] = dict(failure.details)
        if delay is not None:
            body["retry_at"] = now + delay
        elif self.step.error_conditions:
            payload = {**body, "node": node.alias, "attempt": self.number}
            body["skipped"] = [
                number for number, condition in self.step.error_conditions if not _holds(condition, payload)
            ]
        event = Event(e.NODE_FAILED, now, node.alias, self.key[1], self.number, execution.epoch, body)
        try:
            fits = len(e.encode(event)) <= INLINE_VALUE_BYTES
        except (TypeError, ValueError, OverflowError):
            fits = False
        if not fits:  # a handler's details may be anything; the journal takes only what stays readable
            body["details"] = {"dropped": "the details are no data, or too large"}
            body["message"] = failure.message[:4_000]
        return event

    def _time_out(self) -> None:
        self._timed_out = True
        self._cancel()

    def _cancel(self) -> None:
        task = self.task
        if task is None or task.done():
            return
        task.cancel()
        self.execution.host.clock.later(CANCEL_GRACE_SECONDS, self._check_gone)

    def _check_gone(self) -> None:
        execution = self.execution
        task = self.task
        if (
            task is not None
            and not task.done()
            and execution._attempts.get(self.key, self) is self
            and self._stuck()
        ):
            execution.host.performer.stuck(self)

    def _stuck(self) -> bool:
        """Inline, the task goes on when the attempt is over; its own task is over when the attempt is."""
        return self.task is not self.execution.task or self.execution._attempts.get(self.key) is self


def _holds(condition: Callable[[Any, Any], Any], payload: Any) -> bool:
    try:
        return condition(payload, None) is True
    except EvaluationError:
        return False
