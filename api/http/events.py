"""Events from outside: ``/executions/{execution_id}/signals/{name}`` and ``/invocations/v1/events/{name}``."""

from __future__ import annotations

import re
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from axiom.runtime.correlation import KEEP_MS
from axiom.runtime.signals import SIGNAL_BYTES

from .. import doors_events as doors
from ..auth import Principal
from ..doors_pauses import BadAnswer
from ..errors import Problem
from ..requests import Fields, json_of
from ..service import Service, needs
from ..wire import Json, iso

BODY_BYTES: Final = SIGNAL_BYTES + (64 << 10)
ID: Final = 255
VALUE: Final = 500
NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")


@needs("invoke")
async def signal(request: Request, service: Service, caller: Principal) -> Response:
    """``POST …/executions/{execution_id}/signals/{name}`` ``{"payload"?, "correlate"?, "id"?}``"""
    head = await service.head(request, caller)
    fields = Fields(await json_of(request, BODY_BYTES, empty={}), ("payload", "correlate", "id"))
    name, value, given = _name(request, fields), _value(fields), fields.text("id", ID)
    fields.done()
    signal_id = given or service.clock.token(16)
    try:
        seq = await doors.send_signal(
            service.raw_store, service.clock, head, name, value, signal_id, fields.raw("payload")
        )
    except BadAnswer as error:
        raise Problem("invalid_input", str(error), errors=error.errors) from error
    told = {"accepted": True, "execution_id": head.execution_id, "id": signal_id, "seq": seq}
    return Json(told, 202)


@needs("invoke")
async def event(request: Request, service: Service, caller: Principal) -> Response:
    """``POST /invocations/v1/events/{name}`` ``{"correlate", "payload"?, "id"?, "keep_seconds"?}``"""
    known = ("payload", "correlate", "id", "keep_seconds")
    fields = Fields(await json_of(request, BODY_BYTES), known)
    name, value, given = _name(request, fields), _value(fields), fields.text("id", ID)
    keep = fields.whole("keep_seconds", 1, doors.KEEP_SECONDS_MOST) or KEEP_MS // 1_000
    if fields.raw("correlate") is None:
        fields.wrong("is missing", "correlate")
    fields.done()
    event_id = given or service.clock.token(16)
    try:
        sent = await doors.send_event(
            service.raw_store, caller.account, name, value or "", event_id, fields.raw("payload"), keep
        )
    except BadAnswer as error:
        raise Problem("invalid_input", str(error), errors=error.errors) from error
    told: dict[str, Any] = {
        "accepted": True,
        "id": event_id,
        "delivered_to": list(sent.to),
        "kept_until": None if sent.to else iso(sent.until),
        "duplicate": sent.duplicate,
    }
    return Json(told, 202)


def _name(request: Request, fields: Fields) -> str:
    name = str(request.path_params["name"])
    if len(name) > ID or not NAME.fullmatch(name):
        fields.errors.append({"path": "", "message": f"{name[:100]!r} is no name of an event"})
    return name


def _value(fields: Fields) -> str | None:
    """What a flow's ``correlate`` must yield: a text or a whole number, told apart by nothing but their spelling."""
    value = fields.raw("correlate")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)) or len(str(value)) > VALUE:
        fields.wrong(f"must be a text of at most {VALUE} characters, or a whole number", "correlate")
        return None
    if isinstance(value, str) and value.startswith("@"):
        fields.wrong("must not begin with @", "correlate")
    return str(value)


ROUTES: Final = [
    Route("/invocations/v1/executions/{execution_id}/signals/{name}", signal, methods=["POST"]),
    Route("/invocations/v1/events/{name}", event, methods=["POST"]),
]
