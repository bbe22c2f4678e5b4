"""``POST …/executions/bulk`` and ``DELETE …/executions/{id}/data``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from axiom.runtime.store.base import Query, Status

from .. import doors_bulk
from ..auth import Principal
from ..paging import decode_cursor, encode_cursor
from ..requests import Fields, json_of, moment
from ..service import Service, needs
from ..wire import Json

BASE: Final = "/invocations/v1/executions"
BODY_BYTES: Final = 64 << 10
MOST: Final = 100
"""Executions that one call does something to."""
SCOPE: Final = {"cancel": "cancel", "restart": "invoke", "delete": "admin"}
FILTERS: Final = ("status", "flow", "graph_id", "from", "to", "q")


@needs("read")
async def bulk(request: Request, service: Service, caller: Principal) -> Response:
    """``POST …/bulk`` ``{action, filter, dry_run?, limit?, cursor?}``"""
    body = await json_of(request, BODY_BYTES)
    fields = Fields(body, ("action", "filter", "dry_run", "limit", "cursor"))
    action = fields.text("action", 20)
    if action not in doors_bulk.ACTIONS:
        fields.wrong(f"must be one of {', '.join(doors_bulk.ACTIONS)}", "action")
    dry = fields.flag("dry_run", False)
    limit = fields.whole("limit", 1, MOST) or MOST
    query = _filter(fields, caller.account)._replace(
        limit=limit, cursor=_parsed(fields, "cursor", fields.raw("cursor"), decode_cursor)
    )
    fields.done()
    assert action is not None
    caller.require(SCOPE[action])
    if dry:
        found, more, shown = await doors_bulk.count(service.store, query)
        return Json({"action": action, "dry_run": True, "count": found, "more": more, "executions": shown})
    reason = f"cancelled by {caller.name or caller.key_id}"
    bite = await doors_bulk.bulk(service.store, service.clock, query, action, reason)
    cursor = None if bite.cursor is None else encode_cursor(bite.cursor)
    told = {"action": action, "done": bite.done, "refused": bite.refused, "next_cursor": cursor}
    return Json(told)


def _filter(fields: Fields, account: str) -> Query:
    given = fields.raw("filter")
    if not isinstance(given, dict) or not given:
        fields.wrong(f"must be an object with one or more of {', '.join(FILTERS)}", "filter")
        return Query(account)
    for name in given:
        if name not in FILTERS:
            fields.wrong("unknown field", "filter", name)
    statuses = given.get("status", [])
    statuses = [statuses] if isinstance(statuses, str) else statuses
    if not isinstance(statuses, list) or any(one not in Status.__members__ for one in statuses):
        fields.wrong(f"must be of {', '.join(Status.__members__)}", "filter", "status")
        statuses = []
    texts = {name: given.get(name) for name in ("flow", "graph_id", "q")}
    for name, text in texts.items():
        if text is not None and not isinstance(text, str):
            fields.wrong("must be a text", "filter", name)
    times = {name: _parsed(fields, name, given.get(name), moment, "filter") for name in ("from", "to")}
    return Query(
        account,
        tuple(statuses),
        texts["flow"],
        texts["graph_id"],
        times["from"],
        times["to"],
        texts["q"],
    )


def _parsed(fields: Fields, name: str, given: Any, parse: Callable[[str], Any], *above: str) -> Any:
    if given is None:
        return None
    try:
        return parse(str(given))
    except ValueError as error:
        fields.wrong(str(error), *above, name)
        return None


@needs("admin")
async def erase(request: Request, service: Service, caller: Principal) -> Response:
    """``DELETE …/executions/{execution_id}/data``: delete an ended run with all of its data, now."""
    await doors_bulk.erase(service.store, caller.account, request.path_params["execution_id"])
    return Response(status_code=204)


ROUTES: Final = [
    Route(BASE + "/bulk", bulk, methods=["POST"]),
    Route(BASE + "/{execution_id}/data", erase, methods=["DELETE"]),
]
