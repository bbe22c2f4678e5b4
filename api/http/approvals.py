"""Answering without a key: making approval links, and the page behind one, ``/approvals/{token}``."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from axiom.runtime.pauses import ESCALATING, OPEN, Pause
from axiom.runtime.store.base import Head

from .. import doors_pauses as doors
from ..approval_form import value_of
from ..approval_page import CSS, form_page, said_page
from ..approvals import MOST_SECONDS, Link, make_link, read_link
from ..auth import Principal
from ..doors import NotStorable
from ..doors_pauses import LinkInvalid
from ..errors import Problem
from ..requests import Fields, body_of, json_of
from ..service import Service, needs, service_of
from ..wire import Json, iso
from .pauses import BASE, TEXT, by_of

BODY_BYTES: Final = 1 << 20
FIELDS_MOST: Final = 1_000
FORM: Final = "application/x-www-form-urlencoded"
NO_STORE: Final = {"cache-control": "no-store"}


@needs("invoke")
async def link(request: Request, service: Service, caller: Principal) -> Response:
    """``POST …/pauses/{pause_id}/link`` ``{"by"?, "expires_in_seconds"?}``"""
    head = await service.head(request, caller)
    fields = Fields(await json_of(request, BODY_BYTES, empty={}), ("by", "expires_in_seconds"))
    by, seconds = by_of(fields, caller), fields.whole("expires_in_seconds", 1, MOST_SECONDS)
    fields.done()
    found = await doors.pauses_of(service.raw_store, head)
    pause = doors.of_pauses(found, request.path_params["pause_id"])
    if pause.status not in (OPEN, ESCALATING):
        raise doors.PauseClosed(f"{pause.pause_id} of {head.execution_id} is {pause.status}")
    token, made = await make_link(service.raw_store, service.clock, head, pause, by, seconds)
    path = f"/approvals/{token}"
    url = f"{request.url.scheme}://{request.url.netloc}{path}"
    told = {"url": url, "path": path, "by": by, "expires_at": iso(made.expires_at)}
    return Json(told, 201, NO_STORE)


async def show(request: Request) -> Response:
    """``GET /approvals/{token}``: the page that asks. It uses nothing up: programs look at links before people do."""
    service, token = service_of(request), request.path_params["token"]
    try:
        given, head, pause = await _standing(service, token)
    except LinkInvalid as error:
        return _no(str(error))
    return _page(form_page(token, head.flow, pause, given.by))


async def answer(request: Request) -> Response:
    """``POST /approvals/{token}``: the answer, as the page's form sends it."""
    service, token = service_of(request), request.path_params["token"]
    form = await _form(request)
    try:
        given, head, pause = await _standing(service, token)
    except LinkInvalid as error:
        return _no(str(error))
    value, wrong = value_of(form, pause.schema)
    if wrong:
        return _page(form_page(token, head.flow, pause, given.by, form, wrong), 422)
    said = form.get("comment", "").strip()[:TEXT] or None
    try:
        await doors.resume(
            service.raw_store,
            service.clock,
            head,
            pause.pause_id,
            value,
            by=given.by,
            comment=said,
            link=given.number,
        )
    except doors.BadAnswer as error:
        told = [
            f"{one['path'].removeprefix('/input/') or 'answer'}: {one['message']}" for one in error.errors
        ]
        return _page(form_page(token, head.flow, pause, given.by, form, errors=told), 422)
    except NotStorable as error:
        return _page(form_page(token, head.flow, pause, given.by, form, errors=[str(error)]), 422)
    except (LinkInvalid, doors.PauseClosed, doors.AlreadyAnswered):
        return _no("This has been answered, or is not needed any more.")
    return _page(said_page("Thank you", "Your answer was recorded. You may close this page."))


async def css(request: Request) -> Response:
    """``GET /approvals.css``"""
    return Response(CSS, media_type="text/css", headers={"cache-control": "max-age=3600"})


async def _standing(service: Service, token: str) -> tuple[Link, Head, Pause]:
    """Return what a link leads to. ``LinkInvalid`` if it can't be answered by it any more."""
    given = await read_link(service.raw_store, service.clock, token)
    head = (await service.store.heads((given.execution_id,)))[0]
    pause = None
    if head is not None:
        pause = (await doors.pauses_of(service.raw_store, head)).pauses.get(given.pause_id)
    if head is None or pause is None:
        raise LinkInvalid("What this link is about is not there any more.")
    if given.number in pause.used:
        raise LinkInvalid("This link has been used.")
    if pause.status not in (OPEN, ESCALATING):
        raise LinkInvalid("This has been answered, or is not needed any more.")
    return given, head, pause


async def _form(request: Request) -> dict[str, str]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM:
        raise Problem("unsupported_media_type", f"this takes {FORM}, not {kind[:100]}")
    body = await body_of(request, BODY_BYTES)
    try:
        text = body.decode("utf-8", "replace")
        pairs: list[Any] = parse_qsl(
            text, keep_blank_values=True, max_num_fields=FIELDS_MOST, errors="replace"
        )
    except ValueError as error:
        raise Problem("invalid_request", str(error)) from error
    return dict(pairs)


def _page(text: str, status: int = 200) -> Response:
    return HTMLResponse(text, status, NO_STORE)


def _no(text: str) -> Response:
    return _page(said_page("This link can't be used", text), 403)


ROUTES: Final = [
    Route(BASE + "/{pause_id}/link", link, methods=["POST"]),
    Route("/approvals/{token}", show, methods=["GET"]),
    Route("/approvals/{token}", answer, methods=["POST"]),
    Route("/approvals.css", css, methods=["GET"]),
]
