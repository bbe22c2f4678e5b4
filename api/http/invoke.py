"""Starting, joining and cancelling: ``/invocations/v1/flows`` and ``/invocations/v1/nodes``."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from axiom.compiler.artifact import Plan
from axiom.compiler.compile import single_node_plan
from axiom.compiler.errors import CompileFailed
from axiom.compiler.model import Package
from axiom.runtime import catalog
from axiom.runtime.configs import resolve
from axiom.runtime.results import Result
from axiom.runtime.starts import Start
from axiom.runtime.store.base import FINAL
from axiom.runtime.telemetry import traceparent

from .. import doors
from ..auth import Principal
from ..errors import Problem
from ..requests import Fields, idempotency_key, json_of, last_event_id, seconds_of, start_time, webhook_of
from ..service import Service, needs, wrong_mode
from ..streams import FrameReader, stream
from ..wire import Json
from .debug import debug_of

INVOKE: Final = "/invocations/v1/flows/invoke"
STREAM: Final = "/invocations/v1/flows/invoke/stream"
NODE_FIELDS: Final = (
    "input",
    "wait",
    "timeout_seconds",
    "webhook",
    "config_id",
    "start_at",
    "delay_seconds",
)
FIELDS: Final = ("graph_id", "flow", "debug", *NODE_FIELDS)
EXECUTION_HEADER: Final = "axiom-execution-id"


class Asked(NamedTuple):
    """An invoke, read and checked."""

    start: Start
    wait: bool
    seconds: float


@needs("invoke")
async def invoke(request: Request, service: Service, caller: Principal) -> Response:
    """``POST /invocations/v1/flows/invoke``"""
    fields = Fields(await json_of(request, service.settings.max_body_bytes), FIELDS)
    graph_id, plan = await _which(service, caller, fields)
    wrong_mode(plan.mode, "unary", STREAM)
    asked = await _asked(request, service, caller, fields, graph_id, plan, wait=False)
    return await _unary(service, asked)


@needs("invoke")
async def invoke_node(request: Request, service: Service, caller: Principal) -> Response:
    """``POST /invocations/v1/nodes/{handle}/{package}/{version}/{node}``: one node alone; waits by default."""
    fields = Fields(await json_of(request, service.settings.max_body_bytes), NODE_FIELDS)
    at = request.path_params
    graph_id, plan = await _node_plan(
        service, caller, f"{at['handle']}/{at['package']}", at["version"], at["node"]
    )
    if plan.mode == "pipeline":
        raise Problem("wrong_mode", "a pipeline node runs in a flow", endpoint=STREAM, mode=plan.mode)
    asked = await _asked(request, service, caller, fields, graph_id, plan, wait=True)
    return await _unary(service, asked)


@needs("invoke")
async def invoke_stream(request: Request, service: Service, caller: Principal) -> Response:
    """``POST /invocations/v1/flows/invoke/stream``"""
    began = service.clock.monotonic()
    fields = Fields(await json_of(request, service.settings.max_body_bytes), FIELDS)
    graph_id, plan = await _which(service, caller, fields)
    wrong_mode(plan.mode, "pipeline", INVOKE)
    asked = await _asked(request, service, caller, fields, graph_id, plan, wait=False)
    after = last_event_id(request)
    started = await doors.start_execution(service.store, service.clock, asked.start)
    return _frames(service, started.execution_id, plan, after, asked.seconds, began)


@needs("invoke")
async def join(request: Request, service: Service, caller: Principal) -> Response:
    """``GET /invocations/v1/flows/{execution_id}/stream``"""
    began = service.clock.monotonic()
    head = await service.head(request, caller)
    wrong_mode(head.mode, "pipeline", f"/invocations/v1/executions/{head.execution_id}/live")
    after, seconds = last_event_id(request), seconds_of(request)
    plan = await catalog.load_plan(service.raw_store, head.graph_id)
    if after is not None and head.status in FINAL:
        counts = await service.store.frame_counts(head.execution_id)
        if after >= counts.get(plan.nodes[plan.terminal].alias, 0):
            return Response(status_code=204)  # it has had the final frame; 204 ends an EventSource's retries
    return _frames(service, head.execution_id, plan, after, seconds, began)


@needs("cancel")
async def cancel(request: Request, service: Service, caller: Principal) -> Response:
    """``DELETE /invocations/v1/flows/{execution_id}``"""
    execution_id = request.path_params["execution_id"]
    reason = f"cancelled by {caller.name or caller.key_id}"
    status = await doors.cancel(service.store, service.clock, caller.account, execution_id, reason)
    return Json({"execution_id": execution_id, "status": status}, 202)


def _frames(
    service: Service, execution_id: str, plan: Plan, after: int | None, seconds: float, began: float
) -> Response:
    terminal = plan.nodes[plan.terminal].alias
    index = 0 if after is None else after + 1
    reader = FrameReader(service.store, service.waiters, service.clock, execution_id, terminal, index)
    return stream(reader.chunks(seconds, began), {EXECUTION_HEADER: execution_id})


async def _unary(service: Service, asked: Asked) -> Response:
    if not asked.wait:
        started = await doors.start_execution(service.store, service.clock, asked.start)
        return _accepted(started, None)
    started, result = await doors.start_and_wait(
        service.store, service.clock, service.waiters, asked.start, asked.seconds
    )
    return _accepted(started, result)


def _accepted(started: doors.Started, result: Result | None) -> Response:
    body: dict[str, Any] = {"accepted": True, "execution_id": started.execution_id}
    if result is not None:
        body["result"] = result.as_json()
    return Json(body, 202, {"location": f"/invocations/v1/executions/{started.execution_id}"})


# --- reading the request --------------------------------------------------------------------------------------------


async def _which(service: Service, caller: Principal, fields: Fields) -> tuple[str, Plan]:
    """Return the artifact that an invoke names. ``UnknownArtifact``, ``UnknownAlias``, ``Problem``."""
    graph_id, flow = fields.text("graph_id", 64), fields.text("flow", 300)
    if fields.has("graph_id") == fields.has("flow"):
        fields.wrong("give `graph_id`, or `flow` with the name of one: one of them", "graph_id")
    if graph_id is None and flow is None:
        fields.done()
    if graph_id is None:
        graph_id = await service.resolve(caller.account, flow or "")
    return graph_id, await service.plan(caller.account, graph_id)


async def _asked(
    request: Request,
    service: Service,
    caller: Principal,
    fields: Fields,
    graph_id: str,
    plan: Plan,
    *,
    wait: bool,
) -> Asked:
    """Read the rest of an invoke and check its input. ``Problem``."""
    webhook = webhook_of(fields)
    waits, seconds = fields.flag("wait", wait), fields.seconds("timeout_seconds")
    config_id = fields.text("config_id", 200)
    start_at = start_time(fields, service.store.now())
    debug = debug_of(fields, plan)
    if debug is not None and start_at is not None:
        fields.wrong("starts at once: leave start_at and delay_seconds out", "debug")
    if not fields.has("input"):
        fields.wrong("is missing", "input")
    fields.done()
    key = idempotency_key(request)
    given = fields.raw("input")
    wrong = service.validators.violations(graph_id, plan, given)
    if wrong:
        raise Problem("invalid_input", f"{wrong[0]['path']}: {wrong[0]['message']}", errors=wrong)
    config = await resolve(service.raw_store, caller.account, plan, config_id)
    if webhook is not None:
        await service.egress.check(webhook["url"])
    asked_hash = ""
    if key is not None:
        named = fields.raw("flow") or graph_id  # an alias that moves between two tries is no other request
        told = {name: fields.raw(name) for name in ("start_at", "delay_seconds", "debug")}
        more = {name: value for name, value in told.items() if value is not None}
        asked_hash = _hash(
            {"which": named, "input": given, "webhook": webhook, "config_id": config_id, **more}
        )
    link = traceparent(request.headers.get("traceparent"))
    start = Start(
        caller.account,
        graph_id,
        plan,
        given,
        webhook,
        config_id,
        link,
        key,
        asked_hash,
        service.settings.retention_days,
        debug=debug,
        start_at=start_at,
        config=config,
    )
    return Asked(start, waits, seconds)


def _hash(request: dict[str, Any]) -> str:
    try:
        return doors.request_hash(request)
    except (ValueError, OverflowError, TypeError) as error:
        raise doors.NotStorable(f"the input can't be kept: {error}") from error


async def _node_plan(
    service: Service, caller: Principal, name: str, version: str, node: str
) -> tuple[str, Plan]:
    """Return the artifact of one node alone, compiled on first use."""
    manifest = await catalog.package(service.raw_store, name, version)
    if manifest is None:
        raise Problem("unknown_package", f"there is no package {name}@{version}")
    package = Package.from_manifest(manifest)
    if node not in package.nodes:
        raise Problem("unknown_node", f"{name}@{version} has no node {node!r}")
    try:
        artifact = single_node_plan(package, node)
    except CompileFailed:
        others = [Package.from_manifest(told) for told in await catalog.packages(service.raw_store)]
        artifact = single_node_plan(package, node, others)  # it takes messages of other packages
    await catalog.store_artifact(service.raw_store, caller.account, artifact)
    return artifact.graph_id, artifact.plan


ROUTES: Final = [
    Route(INVOKE, invoke, methods=["POST"]),
    Route(STREAM, invoke_stream, methods=["POST"]),
    Route("/invocations/v1/flows/{execution_id}/stream", join, methods=["GET"]),
    Route("/invocations/v1/flows/{execution_id}", cancel, methods=["DELETE"]),
    Route("/invocations/v1/nodes/{handle}/{package}/{version}/{node}", invoke_node, methods=["POST"]),
]
