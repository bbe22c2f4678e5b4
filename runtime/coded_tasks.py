"""One attempt of a task of a coded workflow: the code that calls the user's function."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from . import events as e
from .binding import encode
from .configs import values_of
from .context import Context, redacted_failure
from .events import Event
from .failures import Failure, NodeFailure, failure_of, secret_in_output
from .limits import INLINE_VALUE_BYTES
from .operations import Operation, OutsideRun
from .perform import Lost
from .redaction import held
from .retry import retry_delay_ms
from .state import Key
from .threads import Threads
from .values import pack

if TYPE_CHECKING:
    from .engine import Execution

BLOCKING: Final = Threads()
"""For tasks that are plain functions."""
_current: Final[ContextVar[Context]] = ContextVar("axiom_task")


def current() -> Context:
    """Return the ``ctx`` of the task that runs here: its ``idempotency_key``, ``attempt``, ``log`` and so on."""
    try:
        return _current.get()
    except LookupError:
        raise OutsideRun("there is no task here: only a task that a workflow called has a context") from None


def within(context: Context, call: Callable[[Context], Any]) -> Any:
    """Call with ``context`` as the current one, also of what is awaited in it."""
    _current.set(context)
    return call(context)


class TaskAttempt:
    """One attempt of a task."""

    def __init__(
        self, execution: Execution, operation: Operation, key: Key, number: int, effect: tuple[str, int]
    ) -> None:
        self.execution: Final = execution
        self.operation: Final = operation
        self.key: Final = key
        self.number: Final = number
        self._effect: Final = effect
        """The scope of its effects, and how many calls alike came before it: its idempotency key, also in a restart."""
        self.task: asyncio.Task[Any] | None = None
        self._timed_out = False

    def kill(self) -> None:
        """Stop it: nobody waits for its outcome any more."""
        if self.task is not None:
            self.task.cancel()

    async def work(self) -> None:
        """Call the task and hand its outcome to the execution."""
        execution = self.execution
        alarm = execution.host.alarms.set(self.operation.timeout_seconds, self._time_out)
        began = execution.host.clock.monotonic()
        try:
            event = self._completed(await self._call(), execution.host.clock.monotonic() - began)
        except asyncio.CancelledError:
            if not self._timed_out:
                raise
            seconds = self.operation.timeout_seconds
            event = self._failed(Failure("timeout", f"{self.operation.name} took longer than {seconds:g} s"))
        except Lost:
            execution.kill()
            return
        except Exception as error:
            event = self._failed(failure_of(error))
        finally:
            execution.host.alarms.off(alarm)
        if execution._attempts.get(self.key) is self:
            del execution._attempts[self.key]
            execution._outcomes.append((event, None))
            execution._wake()

    async def _call(self) -> Any:
        execution, operation = self.execution, self.operation
        assert operation.call is not None
        scope, place = self._effect
        secrets = await self._unlocked() if operation.secrets else {}
        context = Context(
            execution.id,
            operation.name,
            (place,),
            self.number,
            execution.epoch,
            scope=scope,
            config=values_of(execution.accepted),
            secrets=secrets,
        )
        call = operation.call
        if operation.blocking:
            return await BLOCKING.run(lambda context, _: within(context, call), context, None)
        return await within(context, call)

    async def _unlocked(self) -> dict[str, str]:
        execution, names = self.execution, self.operation.secrets
        failure = await execution.host.performer.unlock(execution, names)
        if failure is not None:
            raise NodeFailure(failure.message, code=failure.code)
        return {name: execution.secrets[name] for name in names}

    def _completed(self, result: Any, seconds: float) -> Event:
        value = encode(result)
        packed = pack(value)  # raises if it is too large to be kept
        if self.execution.opened and held(packed, self.execution.opened):
            return self._failed(secret_in_output(self.operation.name))
        return self._event(e.NODE_COMPLETED, {"output": {"value": value}, "ms": int(seconds * 1000)})

    def _failed(self, failure: Failure) -> Event:
        clock = self.execution.host.clock
        failure = redacted_failure(failure, self.execution.opened)
        body: dict[str, Any] = {"code": failure.code, "message": failure.message[: INLINE_VALUE_BYTES // 16]}
        delay = retry_delay_ms(self.operation.retry, self.number, failure, clock.random())
        if delay is not None:
            body["retry_at"] = self.execution.now() + delay
        return self._event(e.NODE_FAILED, body)

    def _event(self, kind: str, body: dict[str, Any]) -> Event:
        execution = self.execution
        now = execution.now()
        return Event(kind, now, self.operation.name, self.key[1], self.number, execution.epoch, body)

    def _time_out(self) -> None:
        self._timed_out = True
        self.kill()
