"""``POST …/executions/{id}/pause`` and ``/resume``: hold a whole run, and let it go on."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .. import doors_hold
from ..auth import Principal
from ..requests import Fields, json_of
from ..service import Service, needs
from ..wire import Json

BASE: Final = "/invocations/v1/executions"
BODY_BYTES: Final = 64 << 10


@needs("invoke")
async def pause(request: Request, service: Service, caller: Principal) -> Response:
    """``POST …/pause`` ``{comment?}``"""
    head = await service.head(request, caller)
    told = await _told(request, caller)
    status = await doors_hold.hold(service.store, service.clock, caller.account, head.execution_id, told)
    return Json({"execution_id": head.execution_id, "status": status}, 202)


@needs("invoke")
async def resume(request: Request, service: Service, caller: Principal) -> Response:
    """``POST …/resume`` ``{comment?}``"""
    head = await service.head(request, caller)
    told = await _told(request, caller)
    status = await doors_hold.resume(service.store, service.clock, caller.account, head.execution_id, told)
    return Json({"execution_id": head.execution_id, "status": status}, 202)


async def _told(request: Request, caller: Principal) -> dict[str, Any]:
    fields = Fields(await json_of(request, BODY_BYTES, empty={}), ("comment",))
    comment = fields.text("comment", 2_000)
    fields.done()
    told = {"by": caller.name or caller.key_id}
    return told if comment is None else {**told, "comment": comment}


ROUTES: Final = [
    Route(BASE + "/{execution_id}/pause", pause, methods=["POST"]),
    Route(BASE + "/{execution_id}/resume", resume, methods=["POST"]),
]
