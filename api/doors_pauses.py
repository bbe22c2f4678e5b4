"""What people do to a pause: answer it, hand it on, give it more time, say something. No HTTP in here.

Each is an event that is appended behind the seq at which the pause was seen open, so that of two answers one wins and
the other hears that the pause is closed. Who answered stands in the event; a quorum counts each person once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from axiom.runtime import events as e
from axiom.runtime import orders
from axiom.runtime.catalog import load_plan
from axiom.runtime.clock import Clock
from axiom.runtime.events import Event
from axiom.runtime.limits import DOOR_TRIES, INLINE_VALUE_BYTES, PAYLOAD_BYTES
from axiom.runtime.notices import notice, word
from axiom.runtime.pauses import ESCALATING, OPEN, Pause, Pauses, read_pauses
from axiom.runtime.reading import present
from axiom.runtime.store.base import Append, Conflict, Head, Missing, Ok, Query, Status, Store
from axiom.runtime.store.base import Final as Ended
from axiom.runtime.topology import Topology

from .doors import Contended, DoorError, NotStorable, UnknownExecution, persist
from .validation import refusals

ESCALATING_SECONDS: Final = 0.05
"""Between two looks at a pause that is just being handed to the next person."""

Change = Callable[[Pause], dict[str, Any]]
"""The body of an event about an open pause; may raise."""


class UnknownPause(DoorError):
    """The execution never had such a pause."""

    code = "unknown_pause"


class PauseClosed(DoorError):
    """It was answered, its time was up, or the run ended."""

    code = "pause_closed"


class AlreadyAnswered(DoorError):
    """This person has answered, and each counts once."""

    code = "already_answered"


class BadAnswer(DoorError):
    """The answer does not fit the pause's schema; ``errors`` are the violations."""

    code = "invalid_input"

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        self.errors: Final = errors
        super().__init__(f"{errors[0]['path']}: {errors[0]['message']}")


class LinkInvalid(DoorError):
    """An approval link is not signed by this store, was altered, used, or has expired; the message says which."""

    code = "link_invalid"


class NoDeadline(DoorError):
    """There is nothing to extend."""

    code = "no_deadline"


async def pauses_of(store: Store, head: Head) -> Pauses:
    """Return the pauses of an execution, closed ones too."""
    return await read_pauses(store, head.execution_id, Topology(await load_plan(store, head.graph_id)))


async def resume(
    store: Store,
    clock: Clock,
    head: Head,
    pause_id: str,
    value: Any,
    *,
    by: str,
    comment: str | None = None,
    link: str | None = None,
) -> Pause:
    """Answer a pause; what it is then. ``link``: the number of the approval link that it was answered by.

    ``UnknownPause``, ``PauseClosed``, ``AlreadyAnswered``, ``BadAnswer``, ``NotStorable``, ``Contended``.
    """
    body: dict[str, Any] = {
        "pause_id": pause_id,
        "input": await _value(store, clock, head, pause_id, value),
        "by": by,
    }
    body |= {"comment": comment} if comment else {}
    body |= {"link": link} if link else {}

    def answer(pause: Pause) -> dict[str, Any]:
        if link in pause.used:
            raise LinkInvalid("This link has been used.")
        if any(given.body.get("by") == by for given in pause.answers):
            raise AlreadyAnswered(f"{by} has answered {pause_id}: each person counts once")
        if errors := refusals(pause.schema, value):
            raise BadAnswer(errors)
        return body

    return await _append(store, clock, head, pause_id, e.PAUSE_ANSWERED, answer)


async def reassign(
    store: Store, clock: Clock, head: Head, pause_id: str, to: Sequence[str], *, by: str, text: str | None
) -> Pause:
    """Ask others. Errors as of ``resume``."""
    body = {"pause_id": pause_id, "action": "reassign", "to": list(to), "by": by, **_said(text)}
    return await _append(store, clock, head, pause_id, e.PAUSE_CHANGED, lambda pause: body)


async def extend(
    store: Store, clock: Clock, head: Head, pause_id: str, due: int, *, by: str, text: str | None
) -> Pause:
    """Move the deadline to ``due`` (ms). ``NoDeadline`` if the pause has none; else errors as of ``resume``."""
    body = {"pause_id": pause_id, "action": "extend", "due": due, "by": by, **_said(text)}

    def later(pause: Pause) -> dict[str, Any]:
        if pause.deadline is None:
            raise NoDeadline(f"{pause_id} has no deadline: it waits as long as it takes")
        return body

    return await _append(store, clock, head, pause_id, e.PAUSE_CHANGED, later)


async def comment(store: Store, clock: Clock, head: Head, pause_id: str, text: str, *, by: str) -> Pause:
    """Say something. Errors as of ``resume``."""
    body = {"pause_id": pause_id, "action": "comment", "text": text, "by": by}
    return await _append(store, clock, head, pause_id, e.PAUSE_CHANGED, lambda pause: body)


def _said(text: str | None) -> dict[str, str]:
    return {"text": text} if text else {}


def of_pauses(pauses: Pauses, pause_id: str) -> Pause:
    """Return one. ``UnknownPause``."""
    pause = pauses.pauses.get(pause_id)
    if pause is None:
        raise UnknownPause(f"the execution has no pause {pause_id[:200]!r}")
    return pause


async def _append(store: Store, clock: Clock, head: Head, pause_id: str, kind: str, change: Change) -> Pause:
    """Append an event about an open pause; after a conflict look and decide again."""
    accepted = (await store.read(head.execution_id, 0, 1))[0].body
    for _ in range(DOOR_TRIES):
        pauses = await pauses_of(store, head)
        pause = of_pauses(pauses, pause_id)
        if pause.status == ESCALATING:
            await clock.sleep(ESCALATING_SECONDS)
            continue
        if pause.status != OPEN:
            raise PauseClosed(
                f"{pause_id} of {head.execution_id} is {pause.status}: it takes nothing any more"
            )
        at = max(store.now(), pauses.state.at)
        event = Event(kind, at, pause.node, pause.iteration, body=change(pause))
        data = e.encode(event)
        crc = e.crc(head.execution_id, data)
        outbox = orders.numbered(notice(accepted, pause.config, pauses.state.seq + 1) if word(event) else ())
        item = Append(head.execution_id, (data,), (crc,), at, pauses.state.seq, outbox=outbox)
        outcome = await persist(store, clock, item)
        if isinstance(outcome, Ok):
            return of_pauses(await pauses_of(store, head), pause_id)
        if isinstance(outcome, Missing):
            raise UnknownExecution(head.execution_id)
        assert isinstance(outcome, (Conflict, Ended)), f"a change of a pause was answered by {outcome}"
    raise Contended(f"execution {head.execution_id} moved {DOOR_TRIES} times meanwhile")


async def _value(store: Store, clock: Clock, head: Head, pause_id: str, value: Any) -> dict[str, Any]:
    """Return an answer as an event holds it; a large one is written first. ``NotStorable``."""
    try:
        packed = e.pack_value(value)
    except (ValueError, OverflowError, TypeError) as error:
        raise NotStorable(f"the input can't be kept: {error}") from error
    if len(packed) > PAYLOAD_BYTES:
        raise NotStorable(f"the input has {len(packed)} bytes; at most {PAYLOAD_BYTES} are taken")
    if len(packed) <= INLINE_VALUE_BYTES:
        return {"value": value}
    of_pauses(await pauses_of(store, head), pause_id)  # nothing is written for one that isn't there
    name = f"{pause_id}.answer.{clock.token(4)}"
    await store.put_blob(head.execution_id, name, packed)
    return {"blob": name, "size": len(packed)}


# --- the work list ------------------------------------------------------------------------------------------------


class Waiting(NamedTuple):
    """An open pause, and the execution that it is of."""

    head: Head
    pause: Pause


class Worklist(NamedTuple):
    rows: list[Waiting]
    cursor: tuple[int, str] | None
    """``None`` at the end."""


async def worklist(
    store: Store,
    account: str,
    *,
    flow: str | None,
    assignee: str | None,
    limit: int,
    cursor: tuple[int, str] | None,
) -> Worklist:
    """Return what waits for people: the open pauses of at most ``limit`` executions that are PAUSED.

    It is read from the stores' index of that status. A run that still works on another branch is not PAUSED: its
    pause is listed once it waits for people alone.
    """
    page = await store.find(Query(account, (Status.PAUSED,), flow, limit=limit, cursor=cursor))
    topologies: dict[str, Topology] = {}
    rows = []
    for head in page.heads:
        graph_id = (await present(store, head)).graph_id
        topology = topologies.get(graph_id)
        if topology is None:
            topology = topologies[graph_id] = Topology(await load_plan(store, graph_id))
        found = await read_pauses(store, head.execution_id, topology)
        rows += [
            Waiting(head, pause)
            for pause in found.pauses.values()
            if pause.status in (OPEN, ESCALATING) and (assignee is None or assignee in pause.assignees)
        ]
    return Worklist(rows, page.cursor)
