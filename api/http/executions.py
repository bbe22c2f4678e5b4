"""Looking at executions: ``/invocations/v1/executions``."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from axiom.runtime import catalog
from axiom.runtime import events as e
from axiom.runtime.events import Event, unpack_value
from axiom.runtime.family import family
from axiom.runtime.limits import PAGE_MOST
from axiom.runtime.reasons import Reason
from axiom.runtime.results import NotFinal, error_of, result_of, value_of
from axiom.runtime.store.base import FINAL, Head
from axiom.runtime.why import why

from ..auth import Principal
from ..paging import page_json, query_of, row
from ..requests import known_parameters, last_event_id, limit_of, number, parameter
from ..service import Service, needs, wrong_mode
from ..streams import event_json, events, stream
from ..wire import Json, iso

BASE: Final = "/invocations/v1/executions"
READ_BITE: Final = 1_000
"""Events read at once where only some of them are wanted."""
READ_MOST: Final = 20_000
"""Events that one page looks at; a short page says where it stopped."""
PAGE_BYTES: Final = 8 << 20
"""Values that one page of checkpoints or frames holds, at least one."""
CHECKPOINTS: Final = (e.NODE_COMPLETED, e.NODE_REUSED)
ANY_SEQ: Final = number(0, 10**12)


@needs("read")
async def find(request: Request, service: Service, caller: Principal) -> Response:
    """``GET …/executions``"""
    return Json(page_json(await service.store.find(query_of(request, caller.account))))


@needs("read")
async def detail(request: Request, service: Service, caller: Principal) -> Response:
    """``GET …/executions/{execution_id}``"""
    head = await service.head(request, caller)
    told: dict[str, Any] = {
        **row(head),
        "seq": head.seq,
        "epoch": head.epoch,
        "queue": head.queue,
        "ready_at": iso(head.ready_at) if head.ready_at else None,
        "idempotency_key": head.key,
        "retention_days": head.retention_days,
        "frames": head.frames,
        "error": None,
        **await family(service.store, head, await catalog.readable_plan(service.raw_store, head.graph_id)),
    }
    if head.status in FINAL and head.status != "COMPLETED":
        told["error"] = error_of((await service.store.read(head.execution_id, head.seq - 1, 1))[0])
    return Json(told)


@needs("read")
async def journal(request: Request, service: Service, caller: Principal) -> Response:
    """``GET …/events?node=&after=&limit=``"""
    known_parameters(request, "node", "after", "limit")
    head = await service.head(request, caller)
    node = request.query_params.get("node") or None
    after, limit = parameter(request, "after", ANY_SEQ, 0), limit_of(request, PAGE_MOST)
    found, next_after = await _events(service, head, after, limit, node, ())
    return Json({"events": [event_json(event) for event in found], "next_after": next_after})


@needs("read")
async def checkpoints(request: Request, service: Service, caller: Principal) -> Response:
    """``GET …/checkpoints?node=&after=&limit=``: what nodes completed with, large values and all."""
    known_parameters(request, "node", "after", "limit")
    head = await service.head(request, caller)
    node = request.query_params.get("node") or None
    after, limit = parameter(request, "after", ANY_SEQ, 0), limit_of(request, PAGE_MOST)
    found, next_after = await _events(service, head, after, limit, node, CHECKPOINTS)
    found = [event for event in found if "output" in event.body]
    rows: list[dict[str, Any]] = []
    size = 0
    for event in found:
        size += event.body["output"].get("size", 0)
        if rows and size > PAGE_BYTES:
            next_after = rows[-1]["seq"]
            break
        rows.append(await _checkpoint(service, head, event))
    return Json({"checkpoints": rows, "next_after": next_after})


async def _checkpoint(service: Service, head: Head, event: Event) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "at": iso(event.at),
        "node": event.node,
        "iteration": list(event.iteration),
        "attempt": event.attempt,
        "duration_ms": event.body.get("ms"),
        "reused": event.kind == e.NODE_REUSED,
        "output": await value_of(service.store, head.execution_id, event.body["output"]),
    }


async def _events(
    service: Service, head: Head, after: int, limit: int, node: str | None, kinds: tuple[str, ...]
) -> tuple[list[Event], int | None]:
    """Return at most ``limit`` events that are wanted, and where to go on (``None`` at the end)."""
    found: list[Event] = []
    looked = 0
    bite = limit if node is None and not kinds else READ_BITE
    while len(found) < limit and looked < READ_MOST:
        events_read = await service.store.read(head.execution_id, after, bite)
        for event in events_read:
            after = event.seq
            if (node is None or event.node == node) and (not kinds or event.kind in kinds):
                found.append(event)
                if len(found) == limit:
                    break
        looked += len(events_read)
        if len(events_read) < bite and len(found) < limit:
            return found, None
    return found, after if after < head.seq else None


@needs("read")
async def output(request: Request, service: Service, caller: Principal) -> Response:
    """``GET …/output``: the result, in the shape that a waiting caller gets."""
    head = await service.head(request, caller)
    if head.status not in FINAL:
        raise NotFinal(f"execution {head.execution_id} is {head.status}")
    result = await result_of(service.store, head.execution_id, head.seq)
    return Json(result.as_json())


@needs("read")
async def frames(request: Request, service: Service, caller: Principal) -> Response:
    """``GET …/frames?after=&limit=``: what a pipeline run has sent so far."""
    known_parameters(request, "after", "limit", "node")
    head = await service.head(request, caller)
    wrong_mode(head.mode, "pipeline", f"{BASE}/{head.execution_id}/output")
    plan = await catalog.load_plan(service.raw_store, head.graph_id)
    node = request.query_params.get("node") or plan.nodes[plan.terminal].alias
    after = parameter(request, "after", number(-1, 10**12), -1)
    limit = limit_of(request, 100)
    rows: list[dict[str, Any]] = []
    size = 0
    while len(rows) < limit and size < PAGE_BYTES:
        bite = await service.store.frames(head.execution_id, node, after, min(limit - len(rows), 16))
        for frame in bite:
            after, size = frame.index, size + len(frame.payload)
            rows.append({"frame_index": frame.index, "payload": unpack_value(frame.payload)})
        if not bite:
            return Json({"frames": rows, "next_after": None})
    return Json({"frames": rows, "next_after": after})


@needs("read")
async def explain(request: Request, service: Service, caller: Principal) -> Response:
    """``GET …/why``: what will move it next, or what is wrong."""
    head = await service.head(request, caller)
    plan = await catalog.readable_plan(service.raw_store, head.graph_id)
    told = await why(service.store, head, plan, await service.store.sessions())
    return Json(
        {
            "execution_id": head.execution_id,
            "status": head.status,
            "summary": told.text,
            "mover": told.mover,
            "until": iso(told.until),
            "details": told.details,
            "reasons": [_reason(reason) for reason in told.reasons],
        }
    )


def _reason(reason: Reason) -> dict[str, Any]:
    told = {**reason._asdict(), "iteration": list(reason.iteration) or None, "until": iso(reason.until)}
    return {name: value for name, value in told.items() if value is not None and value != {}}


@needs("read")
async def live(request: Request, service: Service, caller: Principal) -> Response:
    """``GET …/live``: events as they happen; the id of each is its seq."""
    head = await service.head(request, caller)
    after = last_event_id(request) or 0
    if head.status in FINAL and after >= head.seq:
        return Response(status_code=204)  # ends an EventSource's retries
    return stream(events(service.store, service.waiters, head.execution_id, after))


ROUTES: Final = [
    Route(BASE, find, methods=["GET"]),
    Route(BASE + "/{execution_id}", detail, methods=["GET"]),
    Route(BASE + "/{execution_id}/events", journal, methods=["GET"]),
    Route(BASE + "/{execution_id}/checkpoints", checkpoints, methods=["GET"]),
    Route(BASE + "/{execution_id}/output", output, methods=["GET"]),
    Route(BASE + "/{execution_id}/frames", frames, methods=["GET"]),
    Route(BASE + "/{execution_id}/why", explain, methods=["GET"]),
    Route(BASE + "/{execution_id}/live", live, methods=["GET"]),
]
