"""What the doors do to schedules: make, look, change, remove, start by hand. No HTTP in here.

Every change is written against the version that was read and, when someone wrote first, made again on what is there
now; after it the mark grows, so that every scheduler looks.
"""

from __future__ import annotations

from collections.abc import Callable

from axiom.runtime import catalog
from axiom.runtime.clock import Clock
from axiom.runtime.limits import DOOR_TRIES
from axiom.runtime.scheduler import fire
from axiom.runtime.schedules import KIND, MARK, RUNS_WATCHED, Firing, Schedule, Standing, pack, unpack
from axiom.runtime.store.base import Store

from .doors import Contended, DoorError


class UnknownSchedule(DoorError):
    """The account has no schedule of that name."""

    code = "unknown_schedule"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no schedule {name[:200]!r}")


class ScheduleTaken(DoorError):
    """The account has a schedule of that name."""

    code = "schedule_taken"


Told = tuple[Schedule, Standing]


async def create(store: Store, schedule: Schedule) -> Told:
    """Make a schedule; nothing before now is due. ``ScheduleTaken``."""
    told = schedule, Standing(schedule.created_at)
    if await store.put(KIND, _key(schedule.account, schedule.name), pack(*told), expect=0) is None:
        raise ScheduleTaken(f"there is a schedule {schedule.name!r} already")
    await _tell(store)
    return told


async def find(store: Store, account: str, name: str) -> Told:
    """Return one schedule. ``UnknownSchedule``."""
    document = await store.get(KIND, _key(account, name))
    if document is None:
        raise UnknownSchedule(name)
    return unpack(document.value)


async def every(store: Store, account: str) -> list[Told]:
    """Return the account's schedules, by name."""
    return [unpack(document.value) for document in await catalog.every(store, KIND, f"{account}/")]


async def set_paused(store: Store, account: str, name: str, paused: bool) -> Told:
    """Pause or resume. What was due while it was paused is passed over. ``UnknownSchedule``, ``Contended``."""

    def change(schedule: Schedule, standing: Standing) -> Told:
        if schedule.paused and not paused:
            standing = standing._replace(cursor=max(standing.cursor, store.now()), buffered=None)
        return schedule._replace(paused=paused), standing

    return await _change(store, account, name, change)


async def remove(store: Store, account: str, name: str) -> None:
    """Remove a schedule; what it started goes on. ``UnknownSchedule``."""
    if not await store.remove(KIND, _key(account, name)):
        raise UnknownSchedule(name)
    await _tell(store)


async def trigger(store: Store, clock: Clock, account: str, name: str, retention_days: float) -> str:
    """Start its flow now, beside its times and whatever runs; the execution's id.

    ``UnknownSchedule``, ``UnknownAlias``, ``NotStarted``, ``Contended``.
    """
    schedule, _ = await find(store, account, name)
    graph_id = schedule.graph_id or await catalog.resolve_alias(store, account, schedule.flow)
    now = store.now()
    execution_id = await fire(store, clock, schedule, Firing(now, graph_id, manual=True), retention_days)

    def note(schedule: Schedule, standing: Standing) -> Told:
        runs = (*standing.runs, execution_id)[-RUNS_WATCHED:]
        noted = standing._replace(runs=runs).noting(
            now, now, "started", execution_id=execution_id, manual=True
        )
        return schedule, noted

    await _change(store, account, name, note)
    return execution_id


async def _change(
    store: Store, account: str, name: str, change: Callable[[Schedule, Standing], Told]
) -> Told:
    for _ in range(DOOR_TRIES):
        document = await store.get(KIND, _key(account, name))
        if document is None:
            raise UnknownSchedule(name)
        told = change(*unpack(document.value))
        if await store.put(KIND, document.key, pack(*told), expect=document.version) is not None:
            await _tell(store)
            return told
    raise Contended(f"the schedule {name} changed {DOOR_TRIES} times meanwhile")


async def _tell(store: Store) -> None:
    """Let every scheduler see that something changed."""
    await store.put(MARK, "all", b"")


def _key(account: str, name: str) -> str:
    return f"{account}/{name}"
