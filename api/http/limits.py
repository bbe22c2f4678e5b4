"""The limits in use: ``/console/v1/limits``."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .. import doors_limits as doors
from ..auth import Principal
from ..requests import known_parameters, limit_of
from ..service import Service, needs
from ..wire import Json


@needs("read")
async def list_limits(request: Request, service: Service, caller: Principal) -> Response:
    """``GET /console/v1/limits``: limits in use with who is in and who waits; the account's circuits."""
    known_parameters(request, "after", "limit")
    after = request.query_params.get("after", "")
    rows, more = await doors.limits(service.raw_store, caller.account, after, limit_of(request))
    circuits = await doors.circuits(service.raw_store, caller.account)
    body: dict[str, Any] = {"limits": rows, "next_after": more, "circuits": circuits}
    return Json(body)


ROUTES: Final = [Route("/console/v1/limits", list_limits, methods=["GET"])]
