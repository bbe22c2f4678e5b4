"""What a coded workflow awaits: tasks, times, events, people, and several of these side by side.

An operation is a wish. Awaiting it hands it to whoever drives the coroutine (``coded.py``), which answers from the
journal or has it done. Nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from axiom.compiler.artifact import Retry

if TYPE_CHECKING:
    from .coded import Driver

ONCE: Final = Retry()

driving: list[Driver] = []
"""Who drives the coroutine that runs at this moment, if one does: a stack of at most one."""


class OutsideRun(RuntimeError):
    """A task, or something of ``run``, was used where no workflow runs."""


def driver(what: str) -> Driver:
    """Return who drives the present coroutine; ``OutsideRun`` if none does."""
    if not driving:
        raise OutsideRun(
            f"{what} was called outside of a workflow: only a running workflow can keep its result"
        )
    return driving[-1]


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing to wait for. Awaiting it returns its result, or raises ``TaskFailed``."""

    kind: str
    """``task``, ``timer``, ``event``, ``pause`` or ``gather``."""
    name: str
    """The task's, or the event's; for people: the pause's."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """Plain data that says which: what the journal is compared with."""
    decode: Callable[[Any], Any] | None = None
    """From the recorded result to what the coroutine gets."""
    call: Callable[[Any], Any] | None = None
    """Of a task: calls its function with the context of the attempt."""
    blocking: bool = False
    """Whether ``call`` is no coroutine function."""
    retry: Retry = ONCE
    timeout_seconds: float = 300.0
    together: tuple[Awaitable[Any], ...] = ()
    """Of a ``gather``."""
    secrets: tuple[str, ...] = ()
    """What a task declares."""

    def __await__(self) -> Generator[Operation, Any, Any]:
        driver(self.title)
        return (yield self)

    @property
    def ordered(self) -> bool:
        """Whether it is told from others by its place in the order; a task is by what it is called with."""
        return self.kind != "task"

    @property
    def title(self) -> str:
        return f"task {self.name}" if self.kind == "task" else f"{self.kind} {self.name}".strip()


class TaskFailed(Exception):
    """A task failed for good, a wait ran out, or the code and the journal of a run disagree (``diverged``)."""

    def __init__(self, code: str, message: str, name: str = "") -> None:
        super().__init__(message)
        self.code: Final = code
        self.message: Final = message
        self.name: Final = name
