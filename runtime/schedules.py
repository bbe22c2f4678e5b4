"""Schedules: what one says, where it stands, and what follows. Pure; ``scheduler.py`` does it.

A schedule is a document ``account/name``: what it says (``Schedule``) and where it stands (``Standing``). ``cursor`` is
the time up to which every due time has been settled: started, skipped, missed or put aside. A firing is written into
``firing`` before anything is started, with the artifact that it starts; the start has the key ``<name>/<due>``. Whoever
finds a firing may start it again, and finds what was started.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from .calendar import Timing, dues, jitter, local_date, next_due
from .clock import instant
from .events import pack_value, unpack_value

KIND: Final = "schedule"
MARK: Final = "schedule_mark"
"""The kind of the one document whose version grows whenever a schedule is made, changed or removed."""
OVERLAPS: Final = ("SKIP", "BUFFER_ONE", "ALLOW", "CANCEL_OTHER")
HISTORY_KEPT: Final = 50
MISSED_COUNTED: Final = 10_000
"""Missed firings that are counted one by one; more are told as so many."""
RUNS_WATCHED: Final = 20
CATCH_UP_MS: Final = 3_600_000
"""How late a firing may be started after a downtime, if the schedule says nothing: an hour."""


class Schedule(NamedTuple):
    """What a schedule says."""

    account: str
    name: str
    timing: Timing
    flow: str = ""
    """An alias, looked up at each firing; or else ``graph_id``."""
    graph_id: str = ""
    input: Any = None
    """``@scheduled_at``, ``@scheduled_date`` and ``@schedule`` as whole texts in it are replaced at each firing."""
    overlap: str = "SKIP"
    catch_up_ms: int = CATCH_UP_MS
    config_id: str | None = None
    paused: bool = False
    created_at: int = 0


class Firing(NamedTuple):
    """A start that was decided on. ``manual``: by a person, and no due time is settled with it."""

    due: int
    graph_id: str
    manual: bool = False


class Standing(NamedTuple):
    """Where a schedule stands."""

    cursor: int
    firing: Firing | None = None
    buffered: int | None = None
    """A due time that waits for the run before it to end."""
    runs: tuple[str, ...] = ()
    """Executions that were started and are not known to have ended."""
    history: tuple[Mapping[str, Any], ...] = ()
    """Newest first: ``{due, at, outcome, execution_id?, reason?, count?, until?}``."""

    def noting(self, due: int, at: int, outcome: str, **more: Any) -> Standing:
        told = {"due": due, "at": at, "outcome": outcome, **more}
        return self._replace(history=(told, *self.history)[:HISTORY_KEPT])


class Step(NamedTuple):
    """What follows: the new standing, and the due time to start now, if one is."""

    standing: Standing
    fire: int | None = None
    cancel: bool = False
    """End what runs before that."""


def decide(schedule: Schedule, standing: Standing, now: int, busy: bool) -> Step | None:
    """Return what is to be done at ``now``, ``None`` if nothing is. ``busy``: a run of it has not ended."""
    if schedule.paused:
        return None
    if standing.buffered is not None and not busy:
        return Step(standing._replace(buffered=None), standing.buffered)
    due = next_due(schedule.timing, standing.cursor)
    if due is None or fires_at(schedule, due) > now:
        return None
    if due < now - schedule.catch_up_ms - schedule.timing.jitter_ms:
        return Step(_missed(schedule, standing, due, now))
    settled = standing._replace(cursor=due)
    if not busy or schedule.overlap == "ALLOW":
        return Step(settled, due)
    if schedule.overlap == "CANCEL_OTHER":
        return Step(settled, due, cancel=True)
    if schedule.overlap == "BUFFER_ONE" and standing.buffered is None:
        return Step(settled._replace(buffered=due))
    reason = "the run before it has not ended" if schedule.overlap == "SKIP" else "another one waits already"
    return Step(settled.noting(due, now, "skipped", reason=reason))


def _missed(schedule: Schedule, standing: Standing, first: int, now: int) -> Standing:
    """Pass over the due times that are too old to be started."""
    oldest = now - schedule.catch_up_ms - schedule.timing.jitter_ms
    last, count = first, 1
    for due in dues(schedule.timing, first):
        if due >= oldest or count == MISSED_COUNTED:
            break
        last, count = due, count + 1
    reason = f"nobody served it then, and it is started at most {schedule.catch_up_ms // 1000} s late"
    return standing._replace(cursor=last).noting(first, now, "missed", count=count, until=last, reason=reason)


def fires_at(schedule: Schedule, due: int) -> int:
    """Return when a due time is acted on: later by its jitter."""
    return due + jitter(schedule.timing, f"{schedule.account}/{schedule.name}", due)


def wakes_at(schedule: Schedule, standing: Standing) -> int | None:
    """Return when to look at it next; ``None`` if only a change can move it, 0 if something is under way."""
    if standing.firing is not None or (standing.buffered is not None and not schedule.paused):
        return 0
    due = None if schedule.paused else next_due(schedule.timing, standing.cursor)
    return None if due is None else fires_at(schedule, due)


def key_of(schedule: Schedule, firing: Firing) -> str:
    """Return the idempotency key of a firing's start."""
    when = instant(firing.due).strftime("%Y-%m-%dT%H:%M:%S.") + f"{firing.due % 1000:03d}Z"
    return f"{schedule.name}/{'manual/' if firing.manual else ''}{when}"


def input_of(schedule: Schedule, due: int) -> Any:
    """Return the input of a firing."""
    told = {
        "@scheduled_at": instant(due).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "@scheduled_date": local_date(schedule.timing, due),
        "@schedule": schedule.name,
    }
    return _filled(schedule.input, told)


def _filled(value: Any, told: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return told.get(value, value)
    if isinstance(value, Mapping):
        return {name: _filled(item, told) for name, item in value.items()}
    return [_filled(item, told) for item in value] if isinstance(value, (list, tuple)) else value


def pack(schedule: Schedule, standing: Standing) -> bytes:
    """Return a schedule as a document."""
    says = {**schedule._asdict(), "timing": schedule.timing._asdict()}
    stands = {**standing._asdict(), "firing": standing.firing and standing.firing._asdict()}
    return pack_value({"schedule": says, "standing": stands})


def unpack(data: bytes) -> tuple[Schedule, Standing]:
    """Return the schedule of a document."""
    told = unpack_value(data)
    says, stands = told["schedule"], told["standing"]
    says["timing"] = Timing(**says["timing"])
    stands["firing"] = Firing(**stands["firing"]) if stands["firing"] else None
    stands["runs"], stands["history"] = tuple(stands["runs"]), tuple(stands["history"])
    return Schedule(**says), Standing(**stands)
