"""``@task`` and ``@workflow``: durable programs in plain Python.

A workflow is a coroutine that gets a ``Run`` and a payload. What it awaits — tasks, and what ``run`` offers — is
recorded: after a crash the coroutine runs again from its start, and everything that was done is answered from the
journal. So a workflow does nothing of its own between two awaits that it would not want done again, and asks ``run``
for the time and for chance. Tasks may do anything.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, ParamSpec, TypeVar, cast, overload
from uuid import UUID

from axiom.compiler.artifact import Artifact, Node, Plan, freeze
from axiom.compiler.artifact import Retry as Policy
from axiom.runtime.arguments import decoder_of
from axiom.runtime.binding import encode
from axiom.runtime.coded import Driver
from axiom.runtime.operations import ONCE, Operation, driver
from axiom.runtime.values import plain

from .schemas import Schema, schema_of

P = ParamSpec("P")
T = TypeVar("T")
I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741

NODE: Final = "workflow"
"""The alias of the one node of a coded plan."""
CODED: Final = "coded"
"""Stands for the digest of a package: a workflow's artifact pins its name and version, not its code."""


class Task(Generic[P, T]):
    """A function whose results are kept. Called in a workflow it returns what to await."""

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        retry: Policy,
        timeout_seconds: float,
        secrets: tuple[str, ...] = (),
    ) -> None:
        self.secrets: Final = secrets
        self.function: Final = function
        self.name: Final = name
        self._retry: Final = retry
        self._timeout_seconds: Final = timeout_seconds
        self._blocking: Final = not inspect.iscoroutinefunction(function)
        self._signature: Final = inspect.signature(function)
        self._decode: Final = decoder_of(_returns(function))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        driver(f"task {self.name}")
        bound = self._signature.bind(*args, **kwargs)
        given = plain({"args": list(bound.args), "kwargs": bound.kwargs})
        function = self.function
        operation = Operation(
            "task",
            self.name,
            {"input": given},
            self._decode,
            lambda context: function(*bound.args, **bound.kwargs),
            self._blocking,
            self._retry,
            self._timeout_seconds,
            secrets=self.secrets,
        )
        return cast("Awaitable[T]", operation)

    def with_retry(self, retry: Policy) -> Task[P, T]:
        """Return the same task with another policy, for calls that want one."""
        return Task(self.function, self.name, retry, self._timeout_seconds, self.secrets)


@overload
def task(function: Callable[P, Coroutine[Any, Any, T]], /) -> Task[P, T]: ...
@overload
def task(function: Callable[P, T], /) -> Task[P, T]: ...
@overload
def task(
    *,
    name: str | None = None,
    retry: Policy = ...,
    timeout: float | timedelta = ...,
    secrets: Sequence[str] = ...,
) -> _TaskMaker: ...


def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    retry: Policy = ONCE,
    timeout: float | timedelta = 300.0,
    secrets: Sequence[str] = (),
) -> Any:
    """Make a task of a function, ``async def`` or ``def`` (which runs in a thread). ``timeout`` is in seconds.

    Its arguments and its result are JSON data, dataclasses, TypedDicts, msgspec Structs or pydantic models. ``secrets``
    names those that ``current().secrets`` gives it.
    """
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)

    def make(found: Callable[..., Any]) -> Task[Any, Any]:
        return Task(found, name or found.__name__, retry, seconds, tuple(secrets))

    return make if function is None else make(function)


class _TaskMaker(typing.Protocol):
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, T]], /) -> Task[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, T], /) -> Task[P, T]: ...


class Run:
    """What a workflow may ask for besides its tasks; everything it answers is recorded."""

    def __init__(self, driving: Driver) -> None:
        self._driver: Final = driving
        self.execution_id: Final = driving.execution.id

    async def sleep(self, duration: timedelta | float) -> None:
        """Wait, durably: seconds or a ``timedelta``. A sleeping run costs nothing."""
        await Operation("timer", "sleep", {"ms": _ms(duration)})

    async def wait_event(
        self, name: str, key: str | None = None, timeout: timedelta | float | None = None
    ) -> Any:
        """Wait for a named event and return its payload; one that came before is kept. ``TaskFailed`` in time."""
        ms = None if timeout is None else _ms(timeout)
        return await Operation("event", name, {"key": key, "ms": ms})

    async def pause(
        self, form: type[T], message: str = "", timeout: timedelta | float | None = None, name: str = "pause"
    ) -> T:
        """Wait for a person's answer of the type ``form``. ``TaskFailed`` if nobody answers in time."""
        ms = None if timeout is None else _ms(timeout)
        body = {"message": message, "schema": schema_of(form), "ms": ms}
        return cast("T", await Operation("pause", name, body, decoder_of(form)))

    async def gather(self, *awaitables: Awaitable[Any]) -> list[Any]:
        """Await several at once; their results in order, or the first error."""
        return cast("list[Any]", await Operation("gather", "", together=awaitables))

    def now(self) -> datetime:
        """The time, in UTC, as it was when the workflow first asked here."""
        clock = self._driver.execution
        return datetime.fromtimestamp(self._driver.record("now", clock.now) / 1000, UTC)

    def random(self) -> float:
        """A number in [0, 1)."""
        return cast("float", self._driver.record("random", self._driver.execution.host.clock.random))

    def uuid(self) -> UUID:
        """A random UUID."""
        return UUID(self._driver.record("uuid", lambda: self._driver.execution.host.clock.token(16)))


class Workflow(Generic[I, O]):
    """A workflow: a name, a version and a coroutine function."""

    isolation: Final = "async"

    def __init__(self, function: Callable[[Run, I], Coroutine[Any, Any, O]], name: str, version: str) -> None:
        self.name: Final = name
        self.version: Final = version
        self._function: Final = function
        self._decode: Final = decoder_of(_second(function))
        self.returns: Final = decoder_of(_returns(function))
        """From a result as JSON data to what the workflow returned."""
        self.artifact: Final = _artifact(name, version, schema_of(_second(function)))

    @property
    def decode(self) -> None:
        """The payload is decoded where the coroutine begins."""

    def encode(self, result: Any) -> Any:
        """Return a result as JSON data."""
        return encode(result)

    def function(self, driving: Driver, value: Any) -> Coroutine[Any, Any, O]:
        """Return the coroutine of a run."""
        return self._begin(Run(driving), value)

    async def _begin(self, run: Run, value: Any) -> O:
        return await self._function(run, value if self._decode is None else self._decode(value))


def workflow(
    *, name: str, version: str = "1.0.0"
) -> Callable[[Callable[[Run, I], Coroutine[Any, Any, O]]], Workflow[I, O]]:
    """Make a workflow of ``async def f(run, payload)``."""

    def make(function: Callable[[Run, I], Coroutine[Any, Any, O]]) -> Workflow[I, O]:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"the workflow {name} is no `async def`")
        return Workflow(function, name, version)

    return make


def _artifact(name: str, version: str, payload: Schema) -> Artifact:
    node = Node(0, NODE, name, version, CODED, name, "", "Input", "Output", type="coded", isolation="async")
    messages = {"Input": payload, "Output": True}
    return freeze(Plan(name, version, "unary", "Input", "Output", messages, (node,), (), 0, 0))


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:  # names that only checkers see: the data is passed as it is
        return {}


def _returns(function: Callable[..., Any]) -> Any:
    return _hints(function).get("return", Any)


def _second(function: Callable[..., Any]) -> Any:
    names = list(inspect.signature(function).parameters)
    return _hints(function).get(names[1], Any) if len(names) > 1 else Any


def _ms(duration: timedelta | float) -> int:
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
    return max(0, int(seconds * 1000))
