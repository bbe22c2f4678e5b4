"""Debug runs: ``/invocations/v1/executions/{execution_id}/debug``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from axiom.compiler.artifact import Plan
from axiom.runtime import catalog
from axiom.runtime.debugging import ACTIONS
from axiom.runtime.store.base import Head

from .. import doors_debug as doors
from ..auth import Principal
from ..errors import Problem
from ..requests import Fields, json_of, known_parameters
from ..service import Service, needs, wrong_mode
from ..wire import Json

FIELDS: Final = ("action", "breakpoints", "node", "iteration", "input")
PATH: Final = "/invocations/v1/executions/{execution_id}/debug"


@needs("read")
async def show(request: Request, service: Service, caller: Principal) -> Response:
    """``GET …/debug``: the nodes that are stopped with their inputs, and the outputs so far."""
    known_parameters(request)
    head, plan = await _unary(request, service, caller)
    return await _told(service, head, plan)


@needs("invoke")
async def order(request: Request, service: Service, caller: Principal) -> Response:
    """``POST …/debug``: ``continue``, ``step``, ``pause``, ``breakpoints``, ``edit``."""
    head, plan = await _unary(request, service, caller)
    fields = Fields(await json_of(request, service.settings.max_body_bytes), FIELDS)
    told = _order(fields, plan, caller.name or caller.key_id)
    try:
        await doors.order(service.store, service.clock, caller.account, head, plan, told)
    except doors.BadEdit as error:
        raise Problem("invalid_input", str(error), errors=error.errors) from error
    return await _told(service, await service.head(request, caller), plan)


async def _unary(request: Request, service: Service, caller: Principal) -> tuple[Head, Plan]:
    head = await service.head(request, caller)
    wrong_mode(head.mode, "unary", f"/invocations/v1/executions/{head.execution_id}/frames")
    return head, await catalog.load_plan(service.raw_store, head.graph_id)


async def _told(service: Service, head: Head, plan: Plan) -> Response:
    told = await doors.look(service.store, head, plan)
    return Json({"execution_id": head.execution_id, "status": head.status, **told})


def _order(fields: Fields, plan: Plan, by: str) -> doors.Order:
    action = fields.text("action", 20) or ""
    if action not in ACTIONS:
        fields.wrong(f"must be one of {', '.join(ACTIONS)}", "action")
    node = fields.text("node", 200)
    if node is not None and node not in plan.numbers:
        fields.wrong("is no node of this flow", "node")
    if action == "edit" and not fields.has("input"):
        fields.wrong("is missing", "input")
    iteration = fields.raw("iteration")
    if iteration is not None and not _counts(iteration):
        fields.wrong("must be a list of whole numbers", "iteration")
        iteration = None
    marks = breakpoints_of(fields, plan, fields.raw("breakpoints"), "breakpoints")
    fields.done()
    where = None if iteration is None else tuple(iteration)
    return doors.Order(action, marks, node, where, fields.raw("input"), by)


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, int) and not isinstance(one, bool) for one in value
    )


def breakpoints_of(fields: Fields, plan: Plan, given: Any, *path: str) -> tuple[str, ...]:
    """Return a list of aliases; what is none of the flow's is told to ``fields``."""
    if given is None:
        return ()
    if not isinstance(given, list) or len(given) > len(plan.nodes):
        fields.wrong("must be a list of the flow's nodes", *path)
        return ()
    for index, alias in enumerate(given):
        if not isinstance(alias, str) or alias not in plan.numbers:
            fields.wrong("is no node of this flow", *path, index)
    return tuple(str(alias) for alias in given)


def debug_of(fields: Fields, plan: Plan) -> dict[str, Any] | None:
    """Return ``debug`` of an invoke: ``{"breakpoints", "pause_at_start"}``, or ``None``."""
    given = fields.raw("debug")
    if given is None:
        return None
    if not isinstance(given, Mapping) or set(given) - {"breakpoints", "pause_at_start"}:
        fields.wrong("must be an object with breakpoints and pause_at_start", "debug")
        return None
    if not isinstance(given.get("pause_at_start", False), bool):
        fields.wrong("must be true or false", "debug", "pause_at_start")
    marks = breakpoints_of(fields, plan, given.get("breakpoints"), "debug", "breakpoints")
    if plan.mode != "unary":
        fields.wrong("is for unary flows", "debug")
    return {"breakpoints": list(marks), "pause_at_start": given.get("pause_at_start", False)}


ROUTES: Final = [Route(PATH, show, methods=["GET"]), Route(PATH, order, methods=["POST"])]
