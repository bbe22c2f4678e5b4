"""What goes into the nodes of one execution, and what came out of them, while somebody still needs it.

Outputs are in the journal; this is only a memory of those that the next nodes will ask for. What isn't here is read
from the store when it is needed, so that a resume reads nothing that it doesn't need.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from axiom.compiler.artifact import FLOW_INPUT

from . import events as e
from .debugging import edited
from .failures import Failure
from .limits import MAPS_KEPT, VALUES_KEPT
from .prepared import Arm, BadMessage, Step
from .state import ARRIVED, Key
from .store.base import Store

if TYPE_CHECKING:
    from .engine import Execution


class Messages:
    """See the top of the file. ``output`` is the terminal node's, once it has completed here."""

    __slots__ = ("_execution", "_followers", "_items", "_values", "output")

    def __init__(self, execution: Execution) -> None:
        self.output: Any = None
        self._execution: Final = execution
        self._values: Final[dict[Key, Any]] = {}
        self._items: Final[dict[Key, Any]] = {}
        """The items of the maps that are open, so that no item works them all out again."""
        self._followers: Final[dict[Key, int]] = {}
        """How many nodes have yet to complete with that value."""

    async def into(self, step: Step, key: Key) -> Any:
        """Return the message that a node gets. ``BadMessage`` if it can't be made."""
        state = self._execution.state
        given = None if state.debug is None else edited(state, key)
        if given is not None:
            return await self.of_event(given, "input")
        if state.undoing is not None:
            return await self._to_undo(key)
        if step.backs:
            edge = state.looped.get(key)
            if edge is not None:
                arm = step.backs[edge]
                return arm.carry(await self._sent(state.came[edge, key[1]], False))
        if not step.arms:
            return await self.flow_input()
        if step.single is not None:
            arm = step.single
            if arm.source == FLOW_INPUT:
                return arm.carry(await self.flow_input())
            return arm.carry(await self._sent(self._source(arm, key), arm.on_error))
        chosen = state.joined.get(key)
        if chosen is not None:
            arms = [step.key_arms[edge] for edge in chosen]
        else:
            arms = [arm for arm in step.arms if state.arms.get((arm.edge, key[1])) == ARRIVED]
        return step.merge(
            [(arm, arm.carry(await self._sent(self._source(arm, key), arm.on_error))) for arm in arms]
        )

    def items(self, step: Step, key: Key, message: Any) -> Any:
        """Return the items of the map ``key``. ``EvaluationError`` if they can't be told."""
        if key not in self._items:
            if len(self._items) >= MAPS_KEPT:
                self._items.clear()
            self._items[key] = step.items(message)
        return self._items[key]

    def closed(self, key: Key) -> None:
        """The map ``key`` is over."""
        self._items.pop(key, None)

    async def of_event(self, seq: int, field: str) -> Any:
        """Return the value that an event holds: an answer, a payload, an item's output."""
        execution = self._execution
        events = await execution.writer.patiently(lambda: execution.host.store.read(execution.id, seq - 1, 1))
        return await self._read(events[0].body[field])

    async def _to_undo(self, key: Key) -> Any:
        """The message of a compensation: the output of the node that it undoes."""
        topology = self._execution.topology
        undone = next(node for node, undo in topology.undoes.items() if undo == key[0])
        return await self._sent((undone, key[1]), False)

    def _source(self, arm: Arm, key: Key) -> Key:
        topology = self._execution.topology
        if not topology.looped:
            return arm.source, key[1]
        came = self._execution.state.came.get((arm.edge, key[1]))
        return came or (arm.source, key[1][: topology.depths[arm.source]])

    async def flow_input(self) -> Any:
        """Return the message that the run was started with."""
        execution = self._execution
        value = execution.accepted["input"]
        if "value" not in value:
            value = {"value": await self._read(value)}
            execution.accepted["input"] = value
        return value["value"]

    def keep(self, key: Key, output: Any) -> None:
        """Remember an output for the nodes that come next, and forget those that every follower has had."""
        topology = self._execution.topology
        followers = len(topology.follows[key[0]])
        if key[0] == topology.terminal:
            self.output = output
        if followers or topology.looped:
            self._values[key] = output
            self._followers[key] = followers
            if len(self._values) > VALUES_KEPT:
                oldest = next(iter(self._values))
                del self._values[oldest]
                self._followers.pop(oldest, None)
        if topology.needs[key[0]] and not topology.looped:
            for arm in self._execution.prepared.steps[key[0]].arms:
                self._had((arm.source, key[1]))

    def _had(self, source: Key) -> None:
        left = self._followers.get(source)
        if left is None:
            return
        if left > 1:
            self._followers[source] = left - 1
            return
        del self._followers[source]
        self._values.pop(source, None)

    async def _sent(self, key: Key, error: bool) -> Any:
        """Return what a settled node sent: its output, or its failure along an ``on_error`` edge."""
        execution = self._execution
        if error:
            code, message, node, attempt = execution.state.failures[key]
            return {"code": code, "message": message, "node": node, "attempt": attempt}
        if key in self._values:
            return self._values[key]
        value = await self.of_event(execution.state.nodes[key].seq, "output")
        self._values[key] = value
        return value

    async def _read(self, stored: Mapping[str, Any]) -> Any:
        execution = self._execution
        return await execution.writer.patiently(
            lambda: read_value(execution.host.store, execution.id, stored)
        )


async def read_value(store: Store, execution_id: str, value: Mapping[str, Any]) -> Any:
    """Return the value that an event holds or names. ``BadMessage`` if its blob is gone."""
    if "value" in value:
        return value["value"]
    data = await store.blob(execution_id, value["blob"])
    if data is None:
        raise BadMessage(Failure("blob_missing", f"blob {value['blob']} is gone", retryable=False))
    return e.unpack_value(data)
