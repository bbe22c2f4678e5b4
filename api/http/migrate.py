"""Moving runs to another artifact: ``/invocations/v1/executions/{execution_id}/migrate``."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .. import doors_migrate as doors
from ..auth import Principal
from ..errors import Problem
from ..requests import Fields, json_of, known_parameters
from ..service import Service, needs
from ..wire import Json


@needs("invoke")
async def migrate(request: Request, service: Service, caller: Principal) -> Response:
    """``POST …/migrate``: ``{"to": graph_id}``; with ``?plan=true`` it only says whether it could."""
    head = await service.head(request, caller)
    known_parameters(request, "plan")
    fields = Fields(await json_of(request, service.settings.max_body_bytes), ("to",))
    to = fields.text("to", 200)
    if to is None and not fields.errors:
        fields.wrong("is missing", "to")
    fields.done()
    told = {"execution_id": head.execution_id, "to": to}
    if request.query_params.get("plan") == "true":
        made = await doors.planned(service.raw_store, caller.account, head, str(to))
        return Json({**told, "possible": not made.reasons, "reasons": made.reasons, "starts": made.starts})
    try:
        made = await doors.migrate(
            service.raw_store, service.clock, caller.account, head, str(to), caller.name or caller.key_id
        )
    except doors.NotMigratable as error:
        raise Problem("not_migratable", str(error), reasons=list(error.reasons)) from error
    return Json({**told, "from": made.event.body["from"], "starts": made.starts})


ROUTES: Final = [
    Route("/invocations/v1/executions/{execution_id}/migrate", migrate, methods=["POST"]),
]
