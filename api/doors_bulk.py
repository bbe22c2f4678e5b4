"""Doing one thing to many executions: cancel, restart or delete what a filter finds, a bounded bite per call.

Newest first; the answer's cursor goes on behind the last one that was looked at, so that a call that was broken off is
made again from the cursor before it. Each execution is treated as if it had been named alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from axiom.runtime.catalog import UnknownArtifact
from axiom.runtime.clock import Clock
from axiom.runtime.forks import RESTART
from axiom.runtime.results import NotFinal, ValueGone
from axiom.runtime.store.base import FINAL, Head, Query, Store

from .doors import DoorError, cancel, head_of
from .doors_forks import Asked, make, prepare

COUNT_MOST: Final = 10_000
"""Executions that a dry run counts."""
SHOWN: Final = 20
"""Ids that a dry run names."""


class Bite(NamedTuple):
    """What one call has done."""

    done: list[dict[str, Any]]
    """``{execution_id, …}`` of each that it was done to; of a restart, ``restarted_as``."""
    refused: list[dict[str, Any]]
    """``{execution_id, code, detail}`` of each that would not."""
    cursor: tuple[int, str] | None


async def erase(store: Store, account: str, execution_id: str) -> None:
    """Delete an ended execution with everything of it. ``UnknownExecution``, ``NotFinal``.

    One that its parent may still have to hear of stays until that has ended.
    """
    head = await head_of(store, account, execution_id)
    if head.status not in FINAL:
        raise NotFinal(f"execution {execution_id} is {head.status}: cancel it first")
    parent = (await store.read(execution_id, 0, 1))[0].body.get("parent")
    if parent and parent["waits"]:
        above = (await store.heads((parent["execution_id"],)))[0]
        if above is not None and above.status not in FINAL:
            raise NotFinal(f"its parent {above.execution_id} is {above.status}")
    await store.delete([execution_id])


async def count(store: Store, query: Query) -> tuple[int, bool, list[str]]:
    """Return how many executions the filter finds, whether there are more than were counted, and the first ids."""
    found, shown = 0, list[str]()
    while True:
        page = await store.find(query._replace(limit=500))
        found += len(page.heads)
        shown += [head.execution_id for head in page.heads[: SHOWN - len(shown)]]
        if page.cursor is None or found >= COUNT_MOST:
            return found, page.cursor is not None, shown
        query = query._replace(cursor=page.cursor)


async def bulk(store: Store, clock: Clock, query: Query, action: str, reason: str) -> Bite:
    """Do ``action`` (``cancel``, ``restart``, ``delete``) to one page of what the filter finds. ``StoreError``."""
    page = await store.find(query)
    done: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    for head in page.heads:
        try:
            told = await ACTIONS[action](store, clock, head, reason)
        except (DoorError, NotFinal, ValueGone, UnknownArtifact) as error:
            refused.append({"execution_id": head.execution_id, "code": error.code, "detail": str(error)})
        else:
            done.append({"execution_id": head.execution_id, **told})
    return Bite(done, refused, page.cursor)


async def _cancel(store: Store, clock: Clock, head: Head, reason: str) -> dict[str, Any]:
    return {"status": await cancel(store, clock, head.account, head.execution_id, reason)}


async def _restart(store: Store, clock: Clock, head: Head, reason: str) -> dict[str, Any]:
    asked = Asked(RESTART)
    ready = await prepare(store, await head_of(store, head.account, head.execution_id), asked)
    restarted, _ = await make(store, clock, ready, asked)
    return {"restarted_as": restarted}


async def _delete(store: Store, clock: Clock, head: Head, reason: str) -> dict[str, Any]:
    await erase(store, head.account, head.execution_id)
    return {}


ACTIONS: Final[dict[str, Callable[[Store, Clock, Head, str], Awaitable[dict[str, Any]]]]] = {
    "cancel": _cancel,
    "restart": _restart,
    "delete": _delete,
}
