"""How a node comes under its limits: what is asked before its handler is called, and what is said if it must wait.

A run's own permit is asked for before its first node does anything, and given back when its owner lets go of it: it
ended, or parked. A node's permit is held while its handler runs. Both wait as ``NodeWaiting {for: permit}`` and are
woken by a signal named after the limit and the holder (``permits.py``).

A flow without limits never comes here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from axiom.compiler.expressions import EvaluationError, closure

from . import events as e
from .events import Event
from .failures import Failure

if TYPE_CHECKING:
    from .engine import Execution
    from .perform import Attempt

PERMIT: Final = "permit"
"""What a node that waits for a permit waits ``for``."""
KEY_CHARACTERS: Final = 200
"""A longer key is known by its hash."""


class Asked(Protocol):
    """The worker's permits (``permits.Permits``)."""

    async def ask(self, limit: str, most: int, holder: str, epoch: int, number: int) -> bool: ...
    def give(self, limit: str, holder: str, epoch: int) -> None: ...


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


def rule_of(settings: Mapping[str, Any] | None) -> Rule | None:
    """Return what a plan's ``concurrency`` says, ready to use."""
    if settings is None:
        return None
    return Rule(settings, closure(settings["key"]) if "key" in settings else None)


class RunPermit:
    """The permit of one execution, while a worker owns it."""

    __slots__ = ("_execution", "_held", "_limit", "_rule")

    def __init__(self, execution: Execution, rule: Rule) -> None:
        self._execution: Final = execution
        self._rule: Final = rule
        self._limit = ""
        self._held = False

    async def missing(self, attempt: Attempt) -> Event | None:
        """Return what an attempt says if the run may not go on yet."""
        if self._held:
            return None
        execution = self._execution
        if not self._limit:
            value = await execution.messages.flow_input() if self._rule.key is not None else None
            self._limit = self._rule.name(execution, "", value)
        most, number = self._rule.settings["limit"], execution.state.seq
        self._held = await execution.host.permits.ask(
            self._limit, most, execution.id, execution.epoch, number
        )
        return None if self._held else _waiting(attempt, self._limit, execution.id)

    def let_go(self) -> None:
        """The owner lets go of the run: what waits keeps its place, everything else is given back."""
        execution = self._execution
        waits = any(wait.name == self._limit for wait in execution.state.waiting.values())
        if self._limit and (self._held or not waits):
            execution.host.permits.give(self._limit, execution.id, execution.epoch)


class NodePermit(NamedTuple):
    """The permit of one node's iteration, while its handler runs."""

    limit: str
    holder: str

    def give(self, execution: Execution) -> None:
        """The handler has ended."""
        execution.host.permits.give(self.limit, self.holder, execution.epoch)


async def enter(attempt: Attempt, rule: Rule, message: Any) -> NodePermit | Event:
    """Return the node's permit, or what its attempt says if there is none."""
    execution, alias = attempt.execution, attempt.step.node.alias
    limit = rule.name(execution, alias, message)
    holder = f"{execution.id}/{alias}/{'.'.join(map(str, attempt.key[1]))}"
    permit = NodePermit(limit, holder)
    try:
        granted = await execution.host.permits.ask(
            limit, rule.settings["limit"], holder, execution.epoch, execution.state.seq
        )
    except BaseException:
        permit.give(execution)  # the answer may be on its way
        raise
    return permit if granted else _waiting(attempt, limit, holder)


def unheard(execution: Execution) -> None:
    """Leave the lines in which nothing of the run stands any more, though it was called."""
    state = execution.state
    waiting = {(wait.name, wait.key) for wait in state.waiting.values()}
    for name, key in state.signals:
        if key is not None and key.startswith(execution.id) and (name, key) not in waiting:
            execution.host.permits.give(name, key, execution.epoch)


def _waiting(attempt: Attempt, limit: str, holder: str) -> Event:
    return attempt.event(e.NODE_WAITING, {"for": PERMIT, "name": limit, "key": holder})
