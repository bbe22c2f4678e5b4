"""How a node comes under its limits: what is asked before its handler is called, and what is said if it must wait.

A run's own permit is asked for before its first node does anything, and given back when its owner lets go of it: it
ended, or parked. A node's permit is held while its handler runs. Then its rate has its say, then its circuit. Each of
them makes the node wait by ``NodeWaiting``:

* ``{for: permit, name, key}``: woken by a signal named after the limit and the holder (``permits.py``);
* ``{for: rate, name, due}``: the moment was reserved for it, so it goes then without asking again;
* ``{for: circuit, name, due}``: it asks again then.

A flow without limits never comes here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from axiom.compiler.artifact import Node, Plan, Retry
from axiom.compiler.expressions import EvaluationError, closure

from . import events as e
from . import telemetry
from .circuits import Breaker
from .events import Event
from .failures import Failure, failure_of
from .outcomes import Result

if TYPE_CHECKING:
    from .engine import Execution
    from .perform import Attempt

KEY_CHARACTERS: Final = 200
"""A longer key is known by its hash."""


class Asked(Protocol):
    """The worker's permits (``permits.Permits``)."""

    async def ask(self, limit: str, most: int, holder: str, epoch: int, number: int) -> bool: ...
    def give(self, limit: str, holder: str, epoch: int) -> None: ...
    async def take(self, limit: str, per_second: float, burst: int) -> int: ...


class BadKey(Exception):
    """A limit's key can't be told; ``failure`` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Rule(NamedTuple):
    """A limit as a plan says it: ``key`` makes one limit of each of its values."""

    settings: Mapping[str, Any]
    key: Callable[[Any, Any], Any] | None

    def name(self, execution: Execution, alias: str, value: Any) -> str:
        """Return the limit's name: account, flow, node ('' for the run) and key. ``BadKey``."""
        key = ""
        if self.key is not None:
            try:
                key = str(self.key({"input": value}, None))
            except EvaluationError as error:
                text = f"the key of a limit of {alias or 'the run'}: {error}"
                raise BadKey(Failure("limit_key", text, retryable=False)) from error
        if len(key) > KEY_CHARACTERS:
            key = sha256(key.encode()).hexdigest()
        return "|".join((execution.head.account, execution.head.flow, alias, key))


class Limits(NamedTuple):
    """What bounds a run, or a node's calls."""

    permit: Rule | None = None
    rate: Rule | None = None
    breaker: Breaker | None = None


def limits_of_run(plan: Plan) -> Limits | None:
    """Return what a plan says of its runs; ``None``: nothing."""
    return _limits(plan.concurrency, plan.rate_limit, None)


def limits_of_node(node: Node) -> Limits | None:
    """Return what a plan says of a node's calls; ``None``: nothing."""
    config = node.config
    return _limits(config.get("concurrency"), config.get("rate_limit"), config.get("circuit_breaker"))


def _limits(
    permit: Mapping[str, Any] | None, rate: Mapping[str, Any] | None, breaker: Mapping[str, Any] | None
) -> Limits | None:
    if permit is None and rate is None and breaker is None:
        return None
    return Limits(_rule(permit), _rule(rate), None if breaker is None else Breaker(**breaker))


def _rule(settings: Mapping[str, Any] | None) -> Rule | None:
    if settings is None:
        return None
    return Rule(settings, closure(settings["key"]) if "key" in settings else None)


# --- a run ----------------------------------------------------------------------------------------------------------


class RunLimits:
    """The limits of one execution, while a worker owns it."""

    __slots__ = ("_execution", "_held", "_limit", "_permit", "_rate")

    def __init__(self, execution: Execution, limits: Limits) -> None:
        self._execution: Final = execution
        self._permit: Final = limits.permit
        self._rate: Final = limits.rate
        self._limit = ""
        self._held = False

    async def missing(self, attempt: Attempt) -> Event | None:
        """Return what an attempt says if the run may not go on yet."""
        if self._permit is not None and not self._held:
            await self._ask(self._permit)
            if not self._held:
                return _waits(attempt, "permit", {"name": self._limit, "key": self._execution.id})
        if self._rate is not None and _begins(attempt):
            limit = self._rate.name(self._execution, "", await self._value(self._rate))
            return await _rated(attempt, self._rate, limit)
        return None

    async def _ask(self, rule: Rule) -> None:
        execution = self._execution
        if not self._limit:
            self._limit = rule.name(execution, "", await self._value(rule))
        self._held = await execution.host.permits.ask(
            self._limit, rule.settings["limit"], execution.id, execution.epoch, execution.state.seq
        )

    async def _value(self, rule: Rule) -> Any:
        return await self._execution.messages.flow_input() if rule.key is not None else None

    def let_go(self) -> None:
        """The owner lets go of the run: what waits keeps its place, everything else is given back."""
        execution = self._execution
        waits = any(
            wait.kind == "permit" and wait.name == self._limit for wait in execution.state.waiting.values()
        )
        if self._limit and (self._held or not waits):
            execution.host.permits.give(self._limit, execution.id, execution.epoch)


def _begins(attempt: Attempt) -> bool:
    """Whether a run's first node has done nothing yet."""
    execution = attempt.execution
    first = (execution.topology.entry, execution.topology.opening())
    return attempt.key == first and attempt.number == 1 and attempt.key not in execution.state.woken


def unheard(execution: Execution) -> None:
    """Leave the lines in which nothing of the run stands any more, though it was called."""
    state = execution.state
    waiting = {(wait.name, wait.key) for wait in state.waiting.values()}
    for name, key in state.signals:
        if key is not None and key.startswith(execution.id) and (name, key) not in waiting:
            execution.host.permits.give(name, key, execution.epoch)


# --- a node ---------------------------------------------------------------------------------------------------------


async def call(attempt: Attempt, limits: Limits, message: Any) -> Result:
    """Call a node's handler under its limits, or say what it waits for."""
    execution, alias = attempt.execution, attempt.step.node.alias
    if limits.permit is None:
        return await _go(attempt, limits, message)
    limit = limits.permit.name(execution, alias, message)
    holder = f"{execution.id}/{alias}/{'.'.join(map(str, attempt.key[1]))}"
    permits, most = execution.host.permits, limits.permit.settings["limit"]
    waits = False
    try:
        waits = not await permits.ask(limit, most, holder, execution.epoch, execution.state.seq)
        if waits:
            return _waits(attempt, "permit", {"name": limit, "key": holder})
        return await _go(attempt, limits, message)
    finally:
        if not waits:  # also when the answer is still on its way
            permits.give(limit, holder, execution.epoch)


async def _go(attempt: Attempt, limits: Limits, message: Any) -> Result:
    rate, breaker = limits.rate, limits.breaker
    if rate is not None and not attempt.paid:
        limit = rate.name(attempt.execution, attempt.step.node.alias, message)
        wait = await _rated(attempt, rate, limit)
        if wait is not None:
            return wait
    return await (attempt.handle(message) if breaker is None else _guarded(attempt, breaker, message))


async def _rated(attempt: Attempt, rule: Rule, limit: str) -> Event | None:
    settings = rule.settings
    due = await attempt.execution.host.permits.take(limit, settings["per_second"], settings["burst"])
    if due <= attempt.execution.now():
        return None
    return _waits(attempt, "rate", {"name": limit, "due": due})


async def _guarded(attempt: Attempt, breaker: Breaker, message: Any) -> Result:
    """Call the handler if its circuit lets it, and tell the circuit how that ended."""
    node, circuits = attempt.step.node, attempt.execution.host.circuits
    name = "|".join((attempt.execution.head.account, node.package, node.name))
    admitted = await circuits.admit(name, breaker, int(node.timeout_seconds * 1000))
    if admitted.wait_until:
        if breaker.on_open == "FAIL":
            text = f"{node.package} {node.name} keeps failing: its circuit is open"
            return Failure("circuit_open", text, retryable=False)
        return _waits(attempt, "circuit", {"name": name, "due": admitted.wait_until})
    try:
        result = await attempt.handle(message)
    except asyncio.CancelledError:
        if attempt.timed_out:
            circuits.tell(name, breaker, True, admitted.probe)
        raise
    except (Exception, SystemExit) as error:
        circuits.tell(name, breaker, counts(failure_of(error), node.retry), admitted.probe)
        raise
    circuits.tell(name, breaker, False, admitted.probe)
    return result


def counts(failure: Failure, retry: Retry) -> bool:
    """Whether a failure speaks against the node: not one that another try would meet as well."""
    final = retry.non_retryable
    return (
        failure.retryable and failure.code not in final and not any(name in final for name in failure.types)
    )


def _waits(attempt: Attempt, kind: str, body: dict[str, Any]) -> Event:
    telemetry.LIMIT_WAITS.labels(kind).inc()
    return attempt.event(e.NODE_WAITING, {"for": kind, **body})
