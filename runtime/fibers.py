"""The coroutines of one workflow: its own, and those that it gathers, each of which may gather others."""

from __future__ import annotations

import inspect
from collections.abc import Coroutine
from typing import Any, Final

from .operations import Operation
from .state import Key


class Fiber:
    """A coroutine of the workflow: its own, or one of those that it gathers."""

    __slots__ = ("children", "coroutine", "done", "error", "parent", "result", "waits")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], parent: Fiber | None = None) -> None:
        self.coroutine: Final = coroutine
        self.parent = parent
        self.children: list[Fiber] = []
        self.waits: tuple[Key, Operation] | None = None
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None


def gathered(parent: Fiber) -> tuple[Any, BaseException | None] | None:
    """What a fiber that gathers goes on with: all results, or the first error; ``None``: not yet."""
    if parent.done or parent.waits is not None:
        return None
    failed = next((child for child in parent.children if child.error is not None), None)
    if failed is None and not all(child.done for child in parent.children):
        return None
    children, parent.children = parent.children, []
    for child in children:
        child.parent = None  # what still goes on ends alone
    return ([child.result for child in children], None) if failed is None else (None, failed.error)


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def coroutine_of(awaitable: Any) -> Coroutine[Any, Any, Any]:
    """Return a coroutine that awaits ``awaitable``."""
    return awaitable if inspect.iscoroutine(awaitable) else _awaited(awaitable)
