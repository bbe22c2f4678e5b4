"""Schedules: ``/console/v1/schedules``."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from axiom.runtime.calendar import BadCron, Timing, check_cron, dues, next_due
from axiom.runtime.configs import resolve
from axiom.runtime.events import pack_value
from axiom.runtime.limits import INLINE_VALUE_BYTES
from axiom.runtime.scheduler import NotStarted
from axiom.runtime.schedules import CATCH_UP_MS, OVERLAPS, Schedule, Standing, fires_at, input_of

from .. import doors_schedules as doors
from ..auth import Principal
from ..errors import Problem
from ..requests import Fields, json_of, known_parameters, number, parameter
from ..service import Service, needs
from ..wire import Json, from_iso, iso

BASE: Final = "/console/v1/schedules"
NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"
FIELDS: Final = (
    "name",
    "flow",
    "graph_id",
    "input",
    "cron",
    "time_zone",
    "every_seconds",
    "start_at",
    "end_at",
    "overlap",
    "catch_up_seconds",
    "jitter_seconds",
    "config_id",
    "paused",
)
MOST_SECONDS: Final = 366 * 86_400
"""The longest interval, jitter and catch-up: a year."""
NEXT_SHOWN: Final = 5


@needs("read")
async def listed(request: Request, service: Service, caller: Principal) -> Response:
    """``GET /console/v1/schedules``"""
    known_parameters(request)
    found = await doors.every(service.raw_store, caller.account)
    now = service.store.now()
    return Json({"schedules": [_row(schedule, standing, now) for schedule, standing in found]})


@needs("admin")
async def create(request: Request, service: Service, caller: Principal) -> Response:
    """``POST /console/v1/schedules``"""
    fields = Fields(await json_of(request, service.settings.max_body_bytes), FIELDS)
    now = service.store.now()
    schedule = _read(fields, caller.account, now)
    fields.done()
    await _check_input(service, caller, schedule)
    return Json(_whole(*await doors.create(service.raw_store, schedule), now), 201)


@needs("read")
async def shown(request: Request, service: Service, caller: Principal) -> Response:
    """``GET /console/v1/schedules/{name}``: with its next times and its last firings."""
    known_parameters(request)
    told = await doors.find(service.raw_store, caller.account, request.path_params["name"])
    return Json(_whole(*told, service.store.now()))


@needs("read")
async def upcoming(request: Request, service: Service, caller: Principal) -> Response:
    """``GET /console/v1/schedules/{name}/next?count=``"""
    known_parameters(request, "count")
    schedule, standing = await doors.find(service.raw_store, caller.account, request.path_params["name"])
    count = parameter(request, "count", number(1, 100), NEXT_SHOWN)
    after = max(standing.cursor, service.store.now())
    return Json({"next": [iso(due) for due in islice(dues(schedule.timing, after), count)]})


@needs("admin")
async def pause(request: Request, service: Service, caller: Principal) -> Response:
    """``POST /console/v1/schedules/{name}/pause``"""
    return await _paused(request, service, caller, True)


@needs("admin")
async def resume(request: Request, service: Service, caller: Principal) -> Response:
    """``POST /console/v1/schedules/{name}/resume``"""
    return await _paused(request, service, caller, False)


async def _paused(request: Request, service: Service, caller: Principal, paused: bool) -> Response:
    name = request.path_params["name"]
    told = await doors.set_paused(service.raw_store, caller.account, name, paused)
    return Json(_whole(*told, service.store.now()))


@needs("admin")
async def trigger(request: Request, service: Service, caller: Principal) -> Response:
    """``POST /console/v1/schedules/{name}/trigger``: start it now, beside its times."""
    name, days = request.path_params["name"], service.settings.retention_days
    try:
        execution_id = await doors.trigger(service.store, service.clock, caller.account, name, days)
    except NotStarted as error:
        raise Problem("invalid_input", str(error)) from error
    return Json({"accepted": True, "execution_id": execution_id}, 202)


@needs("admin")
async def remove(request: Request, service: Service, caller: Principal) -> Response:
    """``DELETE /console/v1/schedules/{name}``"""
    await doors.remove(service.raw_store, caller.account, request.path_params["name"])
    return Response(status_code=204)


# --- reading --------------------------------------------------------------------------------------------------------


def _read(fields: Fields, account: str, now: int) -> Schedule:
    name = fields.text("name", 100, NAME)
    if not fields.has("name"):
        fields.wrong("is missing", "name")
    flow, graph_id = fields.text("flow", 300), fields.text("graph_id", 64)
    if fields.has("flow") == fields.has("graph_id"):
        fields.wrong("give `flow` or `graph_id`: one of them", "flow")
    overlap = fields.text("overlap", 20) or "SKIP"
    if overlap not in OVERLAPS:
        fields.wrong(f"must be one of {', '.join(OVERLAPS)}", "overlap")
    catch_up = fields.seconds("catch_up_seconds", CATCH_UP_MS / 1000, MOST_SECONDS)
    return Schedule(
        account,
        name or "",
        _timing(fields, now),
        flow or "",
        graph_id or "",
        fields.raw("input") if fields.has("input") else {},
        overlap,
        int(catch_up * 1000),
        fields.text("config_id", 200),
        fields.flag("paused", False),
        now,
    )


def _timing(fields: Fields, now: int) -> Timing:
    start_at, end_at = _moment(fields, "start_at"), _moment(fields, "end_at")
    every = int(fields.seconds("every_seconds", 0, MOST_SECONDS) * 1000)
    cron, zone = fields.text("cron", 200) or "", fields.text("time_zone", 60) or "UTC"
    if fields.has("cron") == fields.has("every_seconds"):
        fields.wrong("give `cron` or `every_seconds`: one of them", "cron")
    elif fields.has("every_seconds") and every < 1000:
        fields.wrong("must be one second or more", "every_seconds")
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, LookupError):
        fields.wrong("must be a time zone of the IANA list, such as Europe/Berlin", "time_zone")
        zone = "UTC"
    if cron:
        try:
            check_cron(cron)
        except BadCron as error:
            fields.wrong(f"column {error.column}: {error}", "cron")
    jitter = int(fields.seconds("jitter_seconds", 0, MOST_SECONDS) * 1000)
    timing = Timing(cron, zone, every, start_at or now, start_at, end_at, jitter)
    if not fields.errors and next_due(timing, now) is None:
        fields.wrong("it is never due between `start_at` and `end_at`", "end_at")
    return timing


def _moment(fields: Fields, name: str) -> int | None:
    text = fields.text(name, 40)
    if text is None:
        return None
    try:
        return from_iso(text)
    except (ValueError, OverflowError):
        fields.wrong("must be a time such as 2030-01-31T09:00:00+01:00", name)
        return None


async def _check_input(service: Service, caller: Principal, schedule: Schedule) -> None:
    """``Problem`` if the flow is not there, or would not take the input of the first firing."""
    graph_id = schedule.graph_id or await service.resolve(caller.account, schedule.flow)
    plan = await service.plan(caller.account, graph_id)
    await resolve(service.raw_store, caller.account, plan, schedule.config_id)
    given = input_of(schedule, next_due(schedule.timing, schedule.created_at) or schedule.created_at)
    wrong = service.validators.violations(graph_id, plan, given)
    if wrong:
        raise Problem("invalid_input", f"{wrong[0]['path']}: {wrong[0]['message']}", errors=wrong)
    try:
        size = len(pack_value(given))
    except (ValueError, OverflowError, TypeError) as error:
        raise Problem("invalid_input", f"the input can't be kept: {error}") from error
    if size > INLINE_VALUE_BYTES:
        raise Problem("invalid_input", f"the input has {size} bytes; at most {INLINE_VALUE_BYTES} are taken")


# --- telling --------------------------------------------------------------------------------------------------------


def _row(schedule: Schedule, standing: Standing, now: int) -> dict[str, Any]:
    timing = schedule.timing
    due = None if schedule.paused else next_due(timing, max(standing.cursor, now))
    last = next((told for told in standing.history if told["outcome"] == "started"), None)
    return {
        "name": schedule.name,
        "flow": schedule.flow or None,
        "graph_id": schedule.graph_id or None,
        "cron": timing.cron or None,
        "time_zone": timing.time_zone,
        "every_seconds": timing.every_ms / 1000 or None,
        "overlap": schedule.overlap,
        "paused": schedule.paused,
        "next_at": iso(due),
        "last_execution_id": last["execution_id"] if last else None,
    }


def _whole(schedule: Schedule, standing: Standing, now: int) -> dict[str, Any]:
    timing = schedule.timing
    upcoming = list(islice(dues(timing, max(standing.cursor, now)), NEXT_SHOWN))
    return {
        **_row(schedule, standing, now),
        "input": schedule.input,
        "config_id": schedule.config_id,
        "start_at": iso(timing.start_at),
        "end_at": iso(timing.end_at),
        "catch_up_seconds": schedule.catch_up_ms / 1000,
        "jitter_seconds": timing.jitter_ms / 1000,
        "created_at": iso(schedule.created_at),
        "next": [] if schedule.paused else [iso(fires_at(schedule, due)) for due in upcoming],
        "buffered": iso(standing.buffered),
        "history": [_told(entry) for entry in standing.history],
    }


def _told(entry: Any) -> dict[str, Any]:
    times = {name: iso(entry[name]) for name in ("due", "at", "until") if name in entry}
    return {**entry, **times}


ROUTES: Final = [
    Route(BASE, listed, methods=["GET"]),
    Route(BASE, create, methods=["POST"]),
    Route(BASE + "/{name}", shown, methods=["GET"]),
    Route(BASE + "/{name}", remove, methods=["DELETE"]),
    Route(BASE + "/{name}/next", upcoming, methods=["GET"]),
    Route(BASE + "/{name}/pause", pause, methods=["POST"]),
    Route(BASE + "/{name}/resume", resume, methods=["POST"]),
    Route(BASE + "/{name}/trigger", trigger, methods=["POST"]),
]
