"""The messages of a run that this process does not own, as its nodes get them. For doors; it calls no user code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, Final, TypeVar, cast

from axiom.compiler.artifact import Plan

from .messages import Messages
from .prepared import Prepared
from .state import Key, State
from .store.base import Head, Store

T = TypeVar("T")


class Onlooker:
    """Stands where an owner stands for ``Messages``, and writes nothing."""

    def __init__(self, store: Store, head: Head, plan: Plan, state: State, accepted: dict[str, Any]) -> None:
        self.id: Final = head.execution_id
        self.state: Final = state
        self.accepted: Final = accepted
        self.prepared: Final = Prepared(head.graph_id, plan, lambda node: None)
        self.topology: Final = self.prepared.topology
        self.host: Final = SimpleNamespace(store=store)
        self.writer: Final = self
        self._messages: Final = Messages(cast(Any, self))

    async def patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        return await call()

    async def input_of(self, key: Key) -> Any:
        """Return the message that a node gets when it starts. ``BadMessage`` if it can't be made."""
        whole = key if len(key[1]) <= self.topology.depths[key[0]] else (key[0], key[1][:-1])
        step = self.prepared.steps[key[0]]
        message = await self._messages.into(step, whole)
        return message if whole == key else step.items(message)[key[1][-1]]

    async def output_of(self, key: Key) -> Any:
        """Return what a completed node gave."""
        return await self._messages.of_event(self.state.nodes[key].seq, "output")
