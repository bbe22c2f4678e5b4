"""Profiles that runs are configured with: ``/console/v1/configs``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from axiom.runtime import configs, vault
from axiom.runtime.configs import Profile, flow_of
from axiom.runtime.events import pack_value

from ..auth import Principal
from ..errors import Problem
from ..requests import Fields, json_of, known_parameters, number, parameter
from ..service import Service, needs
from ..wire import Json, iso, pointer

BASE: Final = "/console/v1/configs"
CONFIG_ID: Final = r"(?:[A-Za-z0-9][A-Za-z0-9_./-]{0,199}/)?[a-z0-9][a-z0-9_.-]{0,63}"
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
BYTES_MOST: Final = 16 << 10
"""Of a profile: what three of them come to is written into the first event of every run."""
PROFILES_MOST: Final = 1_000
TIMEOUT_MOST_SECONDS: Final = 366 * 86_400
FIELDS: Final = ("values", "secrets", "nodes", "description", "expect")


@needs("read")
async def list_configs(request: Request, service: Service, caller: Principal) -> Response:
    """``GET /console/v1/configs?flow=``"""
    known_parameters(request, "flow")
    flow = request.query_params.get("flow")
    found = await configs.profiles(service.raw_store, caller.account)
    rows = [
        {
            "config_id": one.config_id,
            "flow": flow_of(one.config_id) or None,
            "version": one.version,
            "updated_at": iso(one.at),
            "updated_by": one.by,
        }
        for one in found
        if flow is None or flow_of(one.config_id) == flow
    ]
    return Json({"configs": rows})


@needs("read")
async def show_config(request: Request, service: Service, caller: Principal) -> Response:
    """``GET /console/v1/configs/{config_id}?version=``"""
    known_parameters(request, "version")
    config_id = request.path_params["config_id"]
    version = parameter(request, "version", number(1, 10**9))
    found = await configs.profile(service.raw_store, caller.account, config_id, version)
    return Json(_told(config_id, *found))


@needs("admin")
async def put_config(request: Request, service: Service, caller: Principal) -> Response:
    """``PUT /console/v1/configs/{config_id}`` ``{values?, secrets?, nodes?, …}``: its next version."""
    config_id, store = request.path_params["config_id"], service.raw_store
    if not re.fullmatch(CONFIG_ID, config_id):
        raise Problem(
            "invalid_request", "a config is named NAME, or FLOW/NAME; NAME is of a-z, 0-9, _, . and -"
        )
    flow = flow_of(config_id)
    plan = await service.plan(caller.account, await service.resolve(caller.account, flow)) if flow else None
    fields = Fields(await json_of(request, service.settings.max_body_bytes), FIELDS)
    content = Profile(
        values=_values(fields),
        secrets=_table(fields, "secrets"),
        timeouts=_timeouts(fields, None if plan is None else {node.alias for node in plan.nodes}),
        description=fields.text("description", 500) or "",
    )
    expect = fields.whole("expect", 0, 10**9)
    if plan is not None:
        declared = {name for node in plan.nodes for name in node.required_secrets}
        _known(fields, "secrets", content.secrets, declared, f"no node of {flow} declares it")
    there = (
        {secret.name for secret in await vault.secrets(store, caller.account)} if content.secrets else set()
    )
    for name, secret in content.secrets.items():
        if secret not in there:
            fields.wrong(f"there is no secret {secret[:128]!r}", "secrets", name)
    if len(pack_value(content)) > BYTES_MOST:
        fields.wrong(f"has more than {BYTES_MOST} bytes")
    fields.done()
    listed = await configs.profiles(store, caller.account)
    if len(listed) >= PROFILES_MOST and config_id not in {one.config_id for one in listed}:
        raise Problem("invalid_request", f"there are {PROFILES_MOST} configs already")
    by = caller.name or caller.key_id
    version, written = await configs.put_profile(
        store, caller.account, config_id, content, by=by, expect=expect
    )
    return Json(_told(config_id, version, written), 201 if version == 1 else 200)


@needs("admin")
async def delete_config(request: Request, service: Service, caller: Principal) -> Response:
    """``DELETE /console/v1/configs/{config_id}``: runs that have it keep it."""
    await configs.remove_profile(service.raw_store, caller.account, request.path_params["config_id"])
    return Response(status_code=204)


@needs("read")
async def config_of_run(request: Request, service: Service, caller: Principal) -> Response:
    """``GET /invocations/v1/executions/{execution_id}/config``: what the run was accepted with."""
    head = await service.head(request, caller)
    accepted = (await service.store.read(head.execution_id, 0, 1))[0].body
    frozen = accepted.get("config") or {}
    profiles = [{"config_id": name, "version": version} for name, version in frozen.get("profiles", ())]
    body = {
        "config_id": accepted.get("config_id"),
        "profiles": profiles,
        "values": frozen.get("values", {}),
        "secrets": frozen.get("secrets", {}),
        "nodes": _nodes(frozen.get("timeouts", {})),
    }
    return Json(body)


# --- reading the request --------------------------------------------------------------------------------------------


def _values(fields: Fields) -> Mapping[str, Any]:
    given = fields.raw("values")
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        fields.wrong("must be an object", "values")
        return {}
    try:
        pack_value(given)
    except (ValueError, OverflowError, TypeError) as error:
        fields.wrong(f"can't be kept: {error}", "values")
        return {}
    return given


def _table(fields: Fields, field: str) -> dict[str, str]:
    """An object of names."""
    given = fields.raw(field)
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        fields.wrong("must be an object", field)
        return {}
    for name, value in given.items():
        if not NAME.fullmatch(name) or not isinstance(value, str) or not NAME.fullmatch(value):
            fields.wrong("must name a secret that nodes declare, and one of the account's", field, name)
    return {name: value for name, value in given.items() if isinstance(value, str)}


def _timeouts(fields: Fields, aliases: set[str] | None) -> dict[str, float]:
    """``nodes``: alias → ``{timeout_seconds}``. Only a flow's profile may name nodes."""
    given = fields.raw("nodes")
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        fields.wrong("must be an object", "nodes")
        return {}
    if aliases is None:
        fields.wrong("nodes are a flow's: name the config FLOW/NAME", "nodes")
        return {}
    _known(fields, "nodes", given, aliases, "the flow has no such node")
    out: dict[str, float] = {}
    for alias, told in given.items():
        if not isinstance(told, Mapping) or set(told) != {"timeout_seconds"}:
            fields.wrong("must be an object with `timeout_seconds`", "nodes", alias)
            continue
        seconds = told["timeout_seconds"]
        is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
        if not is_number or not 0 < seconds <= TIMEOUT_MOST_SECONDS:
            message = f"must be a number of seconds above 0, at most {TIMEOUT_MOST_SECONDS}"
            fields.errors.append({"path": pointer("nodes", alias, "timeout_seconds"), "message": message})
            continue
        out[alias] = float(seconds)
    return out


def _known(fields: Fields, field: str, given: Mapping[str, Any], known: set[str], otherwise: str) -> None:
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, 1)
            fields.wrong(otherwise + (f"; did you mean {near[0]!r}?" if near else ""), field, name)


def _told(config_id: str, version: int, found: Profile) -> dict[str, Any]:
    return {
        "config_id": config_id,
        "flow": flow_of(config_id) or None,
        "version": version,
        "description": found.description,
        "values": found.values,
        "secrets": found.secrets,
        "nodes": _nodes(found.timeouts),
        "updated_at": iso(found.at),
        "updated_by": found.by,
    }


def _nodes(timeouts: Mapping[str, float]) -> dict[str, Any]:
    return {alias: {"timeout_seconds": seconds} for alias, seconds in timeouts.items()}


ROUTES: Final = [
    Route(BASE, list_configs, methods=["GET"]),
    Route(BASE + "/{config_id:path}", show_config, methods=["GET"]),
    Route(BASE + "/{config_id:path}", put_config, methods=["PUT"]),
    Route(BASE + "/{config_id:path}", delete_config, methods=["DELETE"]),
    Route("/invocations/v1/executions/{execution_id}/config", config_of_run, methods=["GET"]),
]
