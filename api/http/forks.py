"""``POST …/executions/{id}/restart`` and ``/fork``."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from axiom.runtime.forks import FORK, RESTART
from axiom.runtime.store.base import Head

from .. import doors, doors_forks
from ..auth import Principal
from ..doors_forks import Asked
from ..errors import Problem
from ..requests import Fields, idempotency_key, json_of, known_parameters
from ..service import Service, needs
from ..wire import Json

BASE: Final = "/invocations/v1/executions"


@needs("invoke")
async def restart(request: Request, service: Service, caller: Principal) -> Response:
    """``POST …/restart?plan=true``: run what failed again, and keep what had completed."""
    head = await service.head(request, caller)
    fields = Fields(await json_of(request, service.settings.max_body_bytes, empty={}), ())
    fields.done()
    return await _answer(request, service, head, Asked(RESTART), {})


@needs("invoke")
async def fork(request: Request, service: Service, caller: Principal) -> Response:
    """``POST …/fork?plan=true`` ``{seq? | node?, iteration?, value?}``: go on from a checkpoint in a run of its own."""
    head = await service.head(request, caller)
    body = await json_of(request, service.settings.max_body_bytes, empty={})
    fields = Fields(body, ("seq", "node", "iteration", "value"))
    seq, node = fields.whole("seq", 1, 10**12), fields.text("node", 300)
    if seq is not None and node is not None:
        fields.wrong("give `seq` or `node`: one of them", "node")
    iteration = _iteration(fields)
    edit = fields.has("value")
    if edit and seq is None and node is None:
        fields.wrong("needs `seq` or `node`: the checkpoint that it replaces", "value")
    fields.done()
    if edit and seq == 1:
        plan = await service.plan(caller.account, head.graph_id)
        wrong = service.validators.violations(head.graph_id, plan, fields.raw("value"))
        if wrong:
            raise Problem("invalid_input", f"{wrong[0]['path']}: {wrong[0]['message']}", errors=wrong)
    asked = Asked(FORK, node, iteration, seq, edit, fields.raw("value"))
    return await _answer(request, service, head, asked, body)


def _iteration(fields: Fields) -> tuple[int, ...] | None:
    given = fields.raw("iteration")
    if given is None:
        return None
    whole = isinstance(given, list) and all(type(part) is int and part >= 0 for part in given)
    if not whole or not fields.has("node"):
        fields.wrong("must be a list of whole numbers, beside `node`", "iteration")
        return None
    return tuple(given)


async def _answer(request: Request, service: Service, head: Head, asked: Asked, body: Any) -> Response:
    known_parameters(request, "plan")
    wanted = request.query_params.get("plan", "false")
    if wanted not in ("true", "false"):
        raise Problem("invalid_query", "plan: must be true or false", parameter="plan")
    key = idempotency_key(request)
    if key is not None:
        told = {"origin": head.execution_id, "kind": asked.kind, "body": body}
        try:
            asked = asked._replace(key=key, request_hash=doors.request_hash(told))
        except (ValueError, OverflowError, TypeError) as error:
            raise doors.NotStorable(f"the value can't be kept: {error}") from error
    ready = await doors_forks.prepare(service.raw_store, head, asked)
    if wanted == "true":
        return Json(doors_forks.plan_of(ready))
    execution_id, _ = await doors_forks.make(service.store, service.clock, ready, asked)
    told = {
        "accepted": True,
        "execution_id": execution_id,
        "origin": {"execution_id": head.execution_id, "kind": asked.kind, "seq": ready.origin.seq},
        "reused": len(ready.made.reused),
    }
    return Json(told, 202, {"location": f"{BASE}/{execution_id}"})


ROUTES: Final = [
    Route(BASE + "/{execution_id}/restart", restart, methods=["POST"]),
    Route(BASE + "/{execution_id}/fork", fork, methods=["POST"]),
]
