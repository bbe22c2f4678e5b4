"""People: ``/invocations/v1/executions/{execution_id}/pauses`` and the work list ``/invocations/v1/pauses``."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from axiom.runtime.events import Event
from axiom.runtime.pauses import Pause
from axiom.runtime.store.base import Head

from .. import doors_pauses as doors
from ..auth import Principal
from ..errors import Problem
from ..paging import decode_cursor, encode_cursor
from ..requests import Fields, json_of, known_parameters, limit_of, moment, parameter
from ..service import Service, needs
from ..wire import Json, iso

BASE: Final = "/invocations/v1/executions/{execution_id}/pauses"
NAME: Final = 200
"""Characters of a person's name."""
TEXT: Final = 10_000
"""Characters of a comment."""
PEOPLE: Final = 100
MOST_MS: Final = 10 * 366 * 86_400_000
"""How far a deadline may be moved: ten years."""


@needs("read")
async def find(request: Request, service: Service, caller: Principal) -> Response:
    """``GET …/pauses`` of one execution: open and closed ones."""
    known_parameters(request)
    head = await service.head(request, caller)
    found = await doors.pauses_of(service.raw_store, head)
    return Json({"pauses": [pause_json(pause) for pause in found.pauses.values()]})


@needs("read")
async def worklist(request: Request, service: Service, caller: Principal) -> Response:
    """``GET /invocations/v1/pauses?flow=&assignee=&limit=&cursor=``: what waits for people."""
    known_parameters(request, "flow", "assignee", "limit", "cursor")
    page = await doors.worklist(
        service.raw_store,
        caller.account,
        flow=request.query_params.get("flow") or None,
        assignee=request.query_params.get("assignee") or None,
        limit=limit_of(request),
        cursor=parameter(request, "cursor", decode_cursor),
    )
    rows = [{**_run(row.head), **pause_json(row.pause)} for row in page.rows]
    cursor = encode_cursor(page.cursor) if page.cursor is not None else None
    return Json({"pauses": rows, "next_cursor": cursor})


@needs("invoke")
async def resume(request: Request, service: Service, caller: Principal) -> Response:
    """``POST …/pauses/{pause_id}/resume`` ``{"input", "comment"?, "by"?}``"""
    head, fields = await _asked(request, service, caller, "input", "comment", "by")
    comment, by = fields.text("comment", TEXT), by_of(fields, caller)
    if not fields.has("input"):
        fields.wrong("is missing", "input")
    fields.done()
    pause_id = request.path_params["pause_id"]
    try:
        pause = await doors.resume(
            service.raw_store, service.clock, head, pause_id, fields.raw("input"), by=by, comment=comment
        )
    except doors.BadAnswer as error:
        raise Problem("invalid_input", str(error), errors=error.errors) from error
    return Json(pause_json(pause))


@needs("invoke")
async def reassign(request: Request, service: Service, caller: Principal) -> Response:
    """``POST …/pauses/{pause_id}/reassign`` ``{"to": [names], "comment"?, "by"?}``"""
    head, fields = await _asked(request, service, caller, "to", "comment", "by")
    to, text, by = _people(fields), fields.text("comment", TEXT), by_of(fields, caller)
    fields.done()
    pause_id = request.path_params["pause_id"]
    pause = await doors.reassign(service.raw_store, service.clock, head, pause_id, to, by=by, text=text)
    return Json(pause_json(pause))


@needs("invoke")
async def extend(request: Request, service: Service, caller: Principal) -> Response:
    """``POST …/pauses/{pause_id}/extend`` ``{"deadline"}`` or ``{"timeout_ms"}`` from now, ``{"comment"?, "by"?}``"""
    head, fields = await _asked(request, service, caller, "deadline", "timeout_ms", "comment", "by")
    due = _deadline(fields, service.raw_store.now())
    text, by = fields.text("comment", TEXT), by_of(fields, caller)
    fields.done()
    pause_id = request.path_params["pause_id"]
    pause = await doors.extend(service.raw_store, service.clock, head, pause_id, due, by=by, text=text)
    return Json(pause_json(pause))


@needs("invoke")
async def comment(request: Request, service: Service, caller: Principal) -> Response:
    """``POST …/pauses/{pause_id}/comment`` ``{"text", "by"?}``"""
    head, fields = await _asked(request, service, caller, "text", "by")
    text, by = fields.text("text", TEXT), by_of(fields, caller)
    if not fields.has("text"):
        fields.wrong("is missing", "text")
    fields.done()
    pause_id = request.path_params["pause_id"]
    pause = await doors.comment(service.raw_store, service.clock, head, pause_id, text or "", by=by)
    return Json(pause_json(pause))


async def _asked(request: Request, service: Service, caller: Principal, *known: str) -> tuple[Head, Fields]:
    """The execution first: another account's is not there, whatever the body says."""
    head = await service.head(request, caller)
    return head, Fields(await json_of(request, service.settings.max_body_bytes), known)


def by_of(fields: Fields, caller: Principal) -> str:
    """Return who acts: the key's name, or with the scope ``admin`` whom ``by`` names."""
    own = caller.name or caller.key_id
    by = fields.text("by", NAME)
    if by is not None and by != own and "admin" not in caller.scopes:
        raise Problem(
            "missing_scope", "speaking for another takes a key with the scope 'admin'", scope="admin"
        )
    return by or own


def _people(fields: Fields) -> list[str]:
    given = fields.raw("to")
    people = [given] if isinstance(given, str) else given
    if not isinstance(people, list) or not 0 < len(people) <= PEOPLE:
        fields.wrong(f"must be a name, or a list of 1 to {PEOPLE}", "to")
        return []
    for index, name in enumerate(people):
        if not isinstance(name, str) or not 0 < len(name) <= NAME:
            fields.wrong(f"must be a text of 1 to {NAME} characters", "to", index)
    return list(dict.fromkeys(name for name in people if isinstance(name, str)))


def _deadline(fields: Fields, now: int) -> int:
    if fields.has("deadline") == fields.has("timeout_ms"):
        fields.wrong("one of `deadline` and `timeout_ms` is needed", "deadline")
        return 0
    if fields.has("timeout_ms"):
        return now + (fields.whole("timeout_ms", 1, MOST_MS) or 0)
    text = fields.text("deadline", 40)
    try:
        due = moment(text or "")
    except ValueError as error:
        fields.wrong(str(error), "deadline")
        return 0
    if not now < due <= now + MOST_MS:
        fields.wrong("must lie ahead, and within ten years", "deadline")
    return due


# --- what is shown --------------------------------------------------------------------------------------------------


def _run(head: Head) -> dict[str, Any]:
    return {"execution_id": head.execution_id, "flow": head.flow, "graph_id": head.graph_id}


def pause_json(pause: Pause) -> dict[str, Any]:
    """Return a pause as people see it."""
    config = pause.config
    return {
        "pause_id": pause.pause_id,
        "node": pause.node,
        "iteration": list(pause.iteration),
        "status": pause.status,
        "message": pause.message,
        "schema": pause.schema,
        "opened_at": iso(pause.opened_at),
        "deadline": iso(pause.deadline),
        "policy": {
            "timeout_policy": config.get("timeout_policy"),
            "resume_with": config.get("resume_with"),
            "escalate_to": list(config.get("escalate_to") or ()),
            "remind_every_ms": config.get("remind_every_ms"),
        },
        "quorum": pause.quorum,
        "level": pause.level,
        "assignees": list(pause.assignees),
        "remind_at": iso(pause.remind_at),
        "reminders": [{"at": iso(event.at)} for event in pause.actions("remind")],
        "comments": [_said(event, "text") for event in pause.actions("comment")],
        "answers": [
            {**_said(event, "comment"), "input": _given(event.body["input"])} for event in pause.answers
        ],
    }


def _said(event: Event, field: str) -> dict[str, Any]:
    return {"at": iso(event.at), "by": event.body.get("by"), field: event.body.get(field)}


def _given(value: dict[str, Any]) -> Any:
    """An answer, or where a large one lies."""
    return value.get("value", value)


ROUTES: Final = [
    Route("/invocations/v1/pauses", worklist, methods=["GET"]),
    Route(BASE, find, methods=["GET"]),
    Route(BASE + "/{pause_id}/resume", resume, methods=["POST"]),
    Route(BASE + "/{pause_id}/reassign", reassign, methods=["POST"]),
    Route(BASE + "/{pause_id}/extend", extend, methods=["POST"]),
    Route(BASE + "/{pause_id}/comment", comment, methods=["POST"]),
]
