"""What can be run: ``/registry/v1``. Compiling, artifacts with their own OpenAPI and page, packages, aliases."""

from __future__ import annotations

import re
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from axiom.compiler.artifact import Plan
from axiom.compiler.compile import (
    Compiled,
    Flows,
    canvas_subflow_names,
    compile_canvas,
    compile_flow,
    subflow_names,
)
from axiom.compiler.errors import CompileFailed
from axiom.compiler.model import FlowFile, Package
from axiom.runtime import catalog
from axiom.runtime.catalog import Alias

from ..auth import Principal
from ..errors import Problem
from ..openapi import openapi
from ..requests import Fields, body_of, json_of
from ..service import Service, needs
from ..wire import Json, iso

BASE: Final = "/registry/v1"
SOURCE_BYTES: Final = 1 << 20
"""The largest flow that is compiled over HTTP."""
YAML_TYPES: Final = frozenset(
    {"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "application/vnd.yaml"}
)
ALIAS_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*){0,3}"
GRAPH_ID: Final = r"[a-z2-7]{32}"


# --- compiling ------------------------------------------------------------------------------------------------------


@needs("compile")
async def compile_(request: Request, service: Service, caller: Principal) -> Response:
    """``POST …/flows/compile``: YAML, JSON with the YAML in ``flow``, or a canvas document."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    manifests = await catalog.packages(service.raw_store)
    packages = [Package.from_manifest(manifest) for manifest in manifests]
    if kind in YAML_TYPES:
        source = await body_of(request, SOURCE_BYTES)
        flows = await _flows(service, caller, source)
        compiled = compile_flow(source, "flow.yaml", packages, flows=flows)
    else:
        document = await json_of(request, SOURCE_BYTES)
        compiled, source = await _from_json(document, packages, service, caller)
    if compiled.artifact is None:
        raise CompileFailed(compiled.diagnostics)
    artifact = compiled.artifact
    await catalog.store_artifact(
        service.raw_store,
        caller.account,
        artifact,
        source=source.decode("utf-8", "replace"),
        positions=_positions(compiled),
        description=compiled.description,
    )
    warnings = [warning.as_json() for warning in compiled.warnings]
    return Json({"graph_id": artifact.graph_id, "mode": artifact.plan.mode, "warnings": warnings})


async def _from_json(
    document: Any, packages: list[Package], service: Service, caller: Principal
) -> tuple[Compiled, bytes]:
    if isinstance(document, dict) and isinstance(document.get("flow"), str):
        fields = Fields(document, ("flow", "file", "pipeline_mode"))
        file = fields.text("file", 300) or "flow.yaml"
        mode = fields.flag("pipeline_mode", False) if fields.has("pipeline_mode") else None
        fields.done()
        source = document["flow"].encode("utf-8", "replace")
        flows = await _flows(service, caller, source)
        return compile_flow(source, file, packages, pipeline_mode=mode, flows=flows), source
    if not isinstance(document, dict) or "nodes" not in document:
        told = [{"path": "", "message": "needs `flow` (a text in YAML), or a canvas with `nodes`"}]
        raise Problem("invalid_request", "give the YAML in `flow`, or a canvas with `nodes`", errors=told)
    names = canvas_subflow_names(document)
    flows = await catalog.stored_flows(service.raw_store, caller.account, names)
    return compile_canvas(document, packages, flows=flows), b""


async def _flows(service: Service, caller: Principal, source: bytes) -> Flows:
    """Return what finds the account's flows that a source contains."""
    names = subflow_names((FlowFile("flow.yaml", source),))
    return await catalog.stored_flows(service.raw_store, caller.account, names)


def _positions(compiled: Compiled) -> dict[str, Any]:
    return {
        alias: list(cell) if isinstance(cell, tuple) else cell for alias, cell in compiled.positions.items()
    }


# --- artifacts ------------------------------------------------------------------------------------------------------


@needs("read")
async def artifact(request: Request, service: Service, caller: Principal) -> Response:
    """``GET …/artifacts/{graph_id}``"""
    held = await catalog.artifact(service.raw_store, caller.account, request.path_params["graph_id"])
    plan = held.plan
    return Json(
        {
            "graph_id": held.graph_id,
            "name": plan.name,
            "version": plan.version,
            "description": held.description,
            "created_at": iso(held.created_at),
            "bytes": len(held.content),
            "input": plan.messages.get(plan.input, True),
            "output": plan.messages.get(plan.output, True),
            **graph_json(plan, held.positions),
            "source": held.source,
        }
    )


def graph_json(plan: Plan, positions: Any) -> dict[str, Any]:
    """Return a plan's graph as readers need it: to draw it, and to fold a journal over it."""
    return {
        "mode": plan.mode,
        "entry": plan.nodes[plan.entry].alias,
        "terminal": plan.nodes[plan.terminal].alias,
        "nodes": [_node(plan, node.number, positions) for node in plan.nodes],
        "edges": _edges(plan),
        "compensate": dict(plan.compensate),
    }


def _node(plan: Plan, number: int, positions: Any) -> dict[str, Any]:
    node = plan.nodes[number]
    return {
        "number": node.number,
        "alias": node.alias,
        "kind": node.kind,
        "package": node.package,
        "version": node.version,
        "digest": node.digest,
        "node": node.name,
        "type": node.type,
        "pool": node.pool,
        "timeout_seconds": node.timeout_seconds,
        "max_attempts": node.retry.max_attempts,
        "join": None if node.join is None else node.join.kind,
        "join_n": None if node.join is None else node.join.n,
        "join_policy": None if node.join is None else node.join.failure_policy,
        "traits": sorted({"map", "hitl"} & set(node.config)),
        "position": positions.get(node.alias),
    }


def _edges(plan: Plan) -> list[dict[str, Any]]:
    def name(number: int, outside: str) -> str:
        return plan.nodes[number].alias if number >= 0 else outside

    return [
        {
            "number": edge.number,
            "from": name(edge.source, "@flow_input"),
            "to": name(edge.target, "@flow_output"),
            "on_error": edge.on_error,
            "loop": edge.loop,
            "conditional": edge.condition is not None,
            "adapted": edge.adapter is not None,
        }
        for edge in plan.edges
    ]


@needs("read")
async def artifact_openapi(request: Request, service: Service, caller: Principal) -> Response:
    """``GET …/artifacts/{graph_id}/openapi.json``"""
    held = await catalog.artifact(service.raw_store, caller.account, request.path_params["graph_id"])
    return Json(openapi(held.graph_id, held.plan, held.description))


# --- packages -------------------------------------------------------------------------------------------------------


@needs("read")
async def packages(request: Request, service: Service, caller: Principal) -> Response:
    """``GET …/packages``"""
    found = await catalog.packages(service.raw_store)
    return Json(
        {
            "packages": [
                {
                    "name": manifest["name"],
                    "version": manifest["version"],
                    "digest": manifest.get("digest", ""),
                    "description": manifest.get("description", ""),
                    "nodes": manifest.get("nodes", []),
                    "messages": manifest.get("messages", {}),
                }
                for manifest in found
            ]
        }
    )


# --- aliases --------------------------------------------------------------------------------------------------------


@needs("read")
async def list_aliases(request: Request, service: Service, caller: Principal) -> Response:
    """``GET …/aliases``"""
    found = await catalog.aliases(service.raw_store, caller.account)
    return Json({"aliases": [{**_alias(alias), "moves": len(alias.history)} for alias in found]})


@needs("read")
async def get_alias(request: Request, service: Service, caller: Principal) -> Response:
    """``GET …/aliases/{name}``: where it stands, and how it came there."""
    alias = await catalog.alias(service.raw_store, caller.account, request.path_params["name"])
    return Json({**_alias(alias), "history": _history(alias)})


@needs("read")
async def alias_history(request: Request, service: Service, caller: Principal) -> Response:
    """``GET …/aliases/{name}/history``"""
    alias = await catalog.alias(service.raw_store, caller.account, request.path_params["name"])
    return Json({"history": _history(alias)})


@needs("compile")
async def put_alias(request: Request, service: Service, caller: Principal) -> Response:
    """``PUT …/aliases/{name}`` ``{graph_id, expect_version?}``"""
    fields = Fields(await json_of(request, SOURCE_BYTES), ("graph_id", "expect_version"))
    graph_id = fields.text("graph_id", 64, GRAPH_ID)
    if not fields.has("graph_id"):
        fields.wrong("is missing", "graph_id")
    expect = fields.whole("expect_version", 0, 10**9)
    name = request.path_params["name"]
    _named(fields, name)
    fields.done()
    alias = await catalog.move_alias(
        service.raw_store, caller.account, name, graph_id or "", by=caller.name, expect=expect
    )
    return Json({**_alias(alias), "history": _history(alias)})


@needs("compile")
async def rollback(request: Request, service: Service, caller: Principal) -> Response:
    """``POST …/aliases/{name}/rollback`` ``{to?, expect_version?}``"""
    fields = Fields(await json_of(request, SOURCE_BYTES, empty={}), ("to", "expect_version"))
    to, expect = fields.whole("to", 1, 10**9), fields.whole("expect_version", 0, 10**9)
    fields.done()
    alias = await catalog.roll_back_alias(
        service.raw_store,
        caller.account,
        request.path_params["name"],
        to=to,
        by=caller.name,
        expect=expect,
    )
    return Json({**_alias(alias), "history": _history(alias)})


def _named(fields: Fields, name: str) -> None:
    if len(name) > 200 or not re.fullmatch(ALIAS_NAME, name):
        fields.errors.append({"path": "", "message": f"{name[:200]!r} is no name for a flow"})


def _alias(alias: Alias) -> dict[str, Any]:
    return {
        "name": alias.name,
        "graph_id": alias.graph_id,
        "version": alias.version,
        "moved_at": iso(alias.moved_at),
    }


def _history(alias: Alias) -> list[dict[str, Any]]:
    return [
        {
            "version": move.version,
            "graph_id": move.graph_id,
            "at": iso(move.at),
            "by": move.by,
            "reason": move.reason,
        }
        for move in alias.history
    ]


ROUTES: Final = [
    Route(BASE + "/flows/compile", compile_, methods=["POST"]),
    Route(BASE + "/artifacts/{graph_id}", artifact, methods=["GET"]),
    Route(BASE + "/artifacts/{graph_id}/openapi.json", artifact_openapi, methods=["GET"]),
    Route(BASE + "/packages", packages, methods=["GET"]),
    Route(BASE + "/aliases", list_aliases, methods=["GET"]),
    Route(BASE + "/aliases/{name:path}/history", alias_history, methods=["GET"]),
    Route(BASE + "/aliases/{name:path}/rollback", rollback, methods=["POST"]),
    Route(BASE + "/aliases/{name:path}", get_alias, methods=["GET"]),
    Route(BASE + "/aliases/{name:path}", put_alias, methods=["PUT"]),
]
