"""What an ended execution says: the one shape that waiting callers, webhooks and commands all get.

It is read from the journal's last two events: the final one, and in a plain chain the ``NodeCompleted`` just before it
that holds the output.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from . import events as e
from .events import Event
from .store.base import FINAL, Status, Store

STATUS_OF = {e.COMPLETED: Status.COMPLETED, e.FAILED: Status.FAILED, e.CANCELLED: Status.CANCELLED}
"""The final status that each final event stands for."""


class ValueGone(LookupError):
    """A stored value can't be found any more: the execution was deleted meanwhile, or the store is damaged."""

    code = "value_gone"


class NotFinal(ValueError):
    """The execution has not ended."""

    code = "not_final"


class Result(NamedTuple):
    """How an execution ended."""

    execution_id: str
    status: str
    at: int
    """When it ended, in milliseconds."""
    output: Any = None
    error: Mapping[str, Any] | None = None
    """``{"code", "message", "node"}`` unless it is COMPLETED."""
    frames: int | None = None
    """How many frames its caller got, of a pipeline run."""

    @property
    def success(self) -> bool:
        return self.status == Status.COMPLETED

    def as_json(self) -> dict[str, Any]:
        """``{"output", "success", "completed_at"}``, or with ``error`` for ``output``; whole Unix seconds."""
        body: dict[str, Any] = {}
        if not self.success:
            body["error"] = dict(self.error or {})
        elif self.frames is None:
            body["output"] = self.output
        if self.frames is not None:
            body["frames"] = self.frames
        return {**body, "success": self.success, "completed_at": self.at // 1000}


async def result_of(store: Store, execution_id: str, seq: int) -> Result:
    """Return how the execution ended whose final event has number ``seq``. ``NotFinal``, ``ValueGone``."""
    after = max(0, seq - 2)
    events = await store.read(execution_id, after, seq - after)
    if not events or events[-1].seq != seq or events[-1].kind not in STATUS_OF:
        raise NotFinal(f"execution {execution_id} has not ended at event {seq}")
    return await _result(store, execution_id, events)


async def value_of(store: Store, execution_id: str, value: Mapping[str, Any]) -> Any:
    """Return the value that an event holds or names. ``ValueGone`` if it is named and not there."""
    if "value" in value:
        return value["value"]
    data = await store.blob(execution_id, value["blob"])
    if data is None:
        raise ValueGone(f"execution {execution_id} has no value {value['blob']!r} any more")
    return e.unpack_value(data)


def error_of(final: Event) -> dict[str, Any]:
    """Return ``{"code", "message", "node"}`` of a run that did not complete."""
    if final.kind == e.CANCELLED:
        return {"code": "cancelled", "message": str(final.body.get("reason") or "cancelled"), "node": None}
    body = final.body
    return {"code": body["code"], "message": body["message"], "node": body.get("node")}


async def _result(store: Store, execution_id: str, events: list[Event]) -> Result:
    final = events[-1]
    status = STATUS_OF[final.kind]
    frames = final.body.get("frames")
    if final.kind != e.COMPLETED:
        return Result(execution_id, status, final.at, None, error_of(final), frames)
    if frames is not None:
        return Result(execution_id, status, final.at, frames=frames)
    held = final.body.get("output")
    if held is None:
        seq = final.body["output_seq"]
        named = next((event for event in events if event.seq == seq), None)
        if named is None:
            named = (await store.read(execution_id, seq - 1, 1))[0]
        held = named.body["output"]
    return Result(execution_id, status, final.at, await value_of(store, execution_id, held))


def is_final(status: str) -> bool:
    """Whether a status is one that never changes."""
    return status in FINAL
