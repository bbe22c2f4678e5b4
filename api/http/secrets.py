"""Secrets of an account: ``/console/v1/secrets``, for keys with ``admin``. Values come in and never go out."""

from __future__ import annotations

import re
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from axiom.runtime import vault
from axiom.runtime.redaction import SHORTEST

from ..auth import Principal
from ..errors import Problem
from ..requests import Fields, json_of
from ..sealing import ready_to_seal
from ..service import Service, needs
from ..wire import Json, iso

BASE: Final = "/console/v1/secrets"
NAME: Final = r"[A-Za-z_][A-Za-z0-9_.-]{0,127}"
VALUE_MOST: Final = 64 << 10
"""Characters of a value: room for keys and certificates."""


@needs("admin")
async def list_secrets(request: Request, service: Service, caller: Principal) -> Response:
    """``GET /console/v1/secrets``: names, versions and dates."""
    found = await vault.secrets(service.raw_store, caller.account)
    return Json({"secrets": [_told(secret) for secret in found]})


@needs("admin")
async def show_secret(request: Request, service: Service, caller: Principal) -> Response:
    """``GET /console/v1/secrets/{name}``: the same of one."""
    return Json(_told(await vault.secret(service.raw_store, caller.account, request.path_params["name"])))


@needs("admin")
async def put_secret(request: Request, service: Service, caller: Principal) -> Response:
    """``PUT /console/v1/secrets/{name}`` ``{value, replace?}``: a new one; an old one only with ``replace``."""
    _check_name(request)
    fields = Fields(await json_of(request, service.settings.max_body_bytes), ("value", "replace"))
    value, replace = _value(fields), fields.flag("replace", False)
    fields.done()
    return await _seal(request, service, caller, value, fresh=not replace)


@needs("admin")
async def rotate_secret(request: Request, service: Service, caller: Principal) -> Response:
    """``POST /console/v1/secrets/{name}/rotate`` ``{value}``: another value for one that is there."""
    await vault.secret(service.raw_store, caller.account, request.path_params["name"])
    fields = Fields(await json_of(request, service.settings.max_body_bytes), ("value",))
    value = _value(fields)
    fields.done()
    return await _seal(request, service, caller, value, known=True)


@needs("admin")
async def delete_secret(request: Request, service: Service, caller: Principal) -> Response:
    """``DELETE /console/v1/secrets/{name}``"""
    await vault.remove_secret(service.raw_store, caller.account, request.path_params["name"])
    return Response(status_code=204)


async def _seal(request: Request, service: Service, caller: Principal, value: str, **how: bool) -> Response:
    await ready_to_seal(service.raw_store, service.settings, service.clock)
    name, by = request.path_params["name"], caller.name or caller.key_id
    told = await vault.put_secret(service.raw_store, caller.account, name, value, by=by, **how)
    return Json(_told(told), 201 if told.version == 1 else 200)


def _check_name(request: Request) -> None:
    if not re.fullmatch(NAME, request.path_params["name"]):
        raise Problem("invalid_request", f"a secret's name must look like {NAME}")


def _value(fields: Fields) -> str:
    """The value; what is wrong with it is told without it."""
    value = fields.raw("value")
    if not isinstance(value, str) or not SHORTEST <= len(value) <= VALUE_MOST:
        fields.wrong(
            f"must be a text of {SHORTEST} to {VALUE_MOST} characters: a shorter one can't be told from other text",
            "value",
        )
        return ""
    if not _is_text(value):
        fields.wrong("is no Unicode text", "value")
    return value


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _told(secret: vault.Secret) -> dict[str, Any]:
    return {
        "name": secret.name,
        "version": secret.version,
        "created_at": iso(secret.created_at),
        "updated_at": iso(secret.updated_at),
        "updated_by": secret.by,
        "key_id": secret.key_id,
    }


ROUTES: Final = [
    Route(BASE, list_secrets, methods=["GET"]),
    Route(BASE + "/{name}", show_secret, methods=["GET"]),
    Route(BASE + "/{name}", put_secret, methods=["PUT"]),
    Route(BASE + "/{name}", delete_secret, methods=["DELETE"]),
    Route(BASE + "/{name}/rotate", rotate_secret, methods=["POST"]),
]
