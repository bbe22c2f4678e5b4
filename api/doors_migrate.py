"""Moving runs to another artifact: proved first, then written in one step with the state that it leads to. No HTTP."""

from __future__ import annotations

from typing import Any

from axiom.runtime import events as e
from axiom.runtime.catalog import load_plan, owned_plan
from axiom.runtime.clock import Clock
from axiom.runtime.limits import DOOR_TRIES
from axiom.runtime.migration import Move, move
from axiom.runtime.reading import history
from axiom.runtime.snapshot import dump
from axiom.runtime.store.base import Append, Conflict, Head, Missing, Ok, Store
from axiom.runtime.store.base import Final as Ended

from .doors import Contended, DoorError, UnknownExecution, head_of, persist


class NotMigratable(DoorError):
    """The run can't move there; ``reasons`` say why, each ``{"code", "message", "node"?}``."""

    code = "not_migratable"

    def __init__(self, execution_id: str, reasons: tuple[dict[str, Any], ...]) -> None:
        self.reasons = reasons
        node = f"{reasons[0]['node']}: " if "node" in reasons[0] else ""
        super().__init__(f"execution {execution_id} can't move: {node}{reasons[0]['message']}")


async def planned(store: Store, account: str, head: Head, to: str, by: str = "") -> Move:
    """Return what would happen; ``head`` names the artifact that the run has now.

    ``UnknownArtifact`` if the account has no such artifact.
    """
    new = await owned_plan(store, account, to)
    events = await history(store, head.execution_id)
    at = max(store.now(), head.updated_at)
    if head.graph_id == to:
        same = {"code": "same", "message": "it runs this artifact already"}
        return Move((same,), events[0], None)
    return move(await load_plan(store, head.graph_id), new, events, at, (head.graph_id, to), by)


async def migrate(store: Store, clock: Clock, account: str, head: Head, to: str, by: str) -> Move:
    """Move a run. ``NotMigratable``, ``UnknownArtifact``, ``Contended``."""
    for _ in range(DOOR_TRIES):
        made = await planned(store, account, head, to, by)
        if made.reasons or made.state is None:
            raise NotMigratable(head.execution_id, made.reasons)
        data = e.encode(made.event)
        item = Append(
            head.execution_id,
            (data,),
            (e.crc(head.execution_id, data),),
            made.event.at,
            head.seq,
            status=made.state.status if made.state.status != head.status else None,
            snapshot=dump(made.state),
        )
        outcome = await persist(store, clock, item)
        if isinstance(outcome, Ok):
            return made
        if isinstance(outcome, Missing):
            raise UnknownExecution(head.execution_id)
        assert isinstance(outcome, (Conflict, Ended)), f"a migration was answered by {outcome}"
        head = await head_of(store, account, head.execution_id)
    raise Contended(f"execution {head.execution_id} moved {DOOR_TRIES} times meanwhile")
