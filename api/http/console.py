"""Running the house: keys, webhook secrets and deliveries, workers. ``/console/v1``, for keys with ``admin``."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from axiom.runtime.limits import PAGE_MOST
from axiom.runtime.store.base import OutboxEntry, Session
from axiom.runtime.webhooks import KIND, rotate_secret, secret_of

from .. import auth
from ..auth import SCOPES, Principal
from ..errors import Problem
from ..requests import Fields, json_of, limit_of, parameter
from ..service import Service, needs
from ..wire import Json, iso, pointer

LIFE_MOST_SECONDS: Final = 10 * 365 * 86_400


@needs("admin")
async def list_keys(request: Request, service: Service, caller: Principal) -> Response:
    """``GET /console/v1/keys``"""
    found = await auth.keys(service.raw_store, caller.account)
    return Json({"keys": [auth.key_json(key) for key in found]})


@needs("admin")
async def create_key(request: Request, service: Service, caller: Principal) -> Response:
    """``POST /console/v1/keys`` ``{name, scopes?, expires_in_seconds?}``: the answer alone shows the key."""
    fields = Fields(
        await json_of(request, service.settings.max_body_bytes), ("name", "scopes", "expires_in_seconds")
    )
    name = fields.text("name", 200)
    if not fields.has("name"):
        fields.wrong("is missing", "name")
    scopes = _scopes(fields, caller)
    life = fields.whole("expires_in_seconds", 1, LIFE_MOST_SECONDS)
    fields.done()
    expires_at = service.store.now() + life * 1000 if life is not None else None
    raw = await auth.create_key(
        service.raw_store, service.clock, caller.account, name or "", scopes, expires_at
    )
    body = {
        "key": raw,
        "id": auth.digest(raw)[:16],
        "name": name,
        "scopes": list(scopes),
        "expires_at": iso(expires_at),
    }
    return Json(body, 201, {"cache-control": "no-store"})


def _scopes(fields: Fields, caller: Principal) -> tuple[str, ...]:
    """No key makes one that may do more than itself."""
    given = fields.raw("scopes")
    if given is None:
        return tuple(scope for scope in SCOPES if scope in caller.scopes)
    if not isinstance(given, list) or not given:
        fields.wrong(f"must be a list of {', '.join(SCOPES)}", "scopes")
        return ()
    for place, scope in enumerate(given):
        if scope not in SCOPES:
            fields.errors.append(
                {"path": pointer("scopes", place), "message": f"must be one of {', '.join(SCOPES)}"}
            )
        elif scope not in caller.scopes:
            fields.errors.append(
                {"path": pointer("scopes", place), "message": "is more than this key may do itself"}
            )
    return tuple(scope for scope in SCOPES if scope in given)


@needs("admin")
async def revoke_key(request: Request, service: Service, caller: Principal) -> Response:
    """``DELETE /console/v1/keys/{key_id}``"""
    key_id = request.path_params["key_id"]
    if not await auth.revoke_key(service.raw_store, caller.account, key_id):
        raise Problem("unknown_key", f"there is no key {key_id[:64]!r}")
    service.gate.forget(key_id)
    return Response(status_code=204)


@needs("admin")
async def webhook_secret(request: Request, service: Service, caller: Principal) -> Response:
    """``GET /console/v1/webhooks/secret``: what receivers verify with."""
    secret = await secret_of(service.raw_store, service.clock, caller.account)
    return Json({"secret": secret}, headers={"cache-control": "no-store"})


@needs("admin")
async def new_webhook_secret(request: Request, service: Service, caller: Principal) -> Response:
    """``POST /console/v1/webhooks/secret``: a new one; the old one signs beside it until the next."""
    secret = await rotate_secret(service.raw_store, service.clock, caller.account)
    return Json({"secret": secret}, 201, {"cache-control": "no-store"})


@needs("admin")
async def deliveries(request: Request, service: Service, caller: Principal) -> Response:
    """``GET /console/v1/webhooks?dead=true``: what is not delivered yet, or never was."""
    dead = parameter(request, "dead", _switch)
    found = await service.store.outbox(caller.account, dead, limit_of(request, PAGE_MOST))
    return Json({"deliveries": [_delivery(entry) for entry in found if entry.kind == KIND]})


@needs("admin")
async def redeliver(request: Request, service: Service, caller: Principal) -> Response:
    """``POST /console/v1/webhooks/{name}/redeliver``"""
    name = request.path_params["name"]
    head = (await service.store.heads((name.partition("/")[0],)))[0]
    if head is None or head.account != caller.account or not await service.store.redeliver(name):
        raise Problem("unknown_webhook", f"there is no dead delivery {name[:100]!r}")
    return Json({"name": name, "redelivering": True}, 202)


@needs("read")
async def workers(request: Request, service: Service, caller: Principal) -> Response:
    """``GET /console/v1/workers``"""
    now = service.store.now()
    found = await service.store.sessions()
    return Json({"workers": [_worker(one, now) for one in found if one.info.get("role") != "webhooks"]})


def _worker(session: Session, now: int) -> dict[str, Any]:
    return {
        "session": session.session,
        "alive": session.expires_at > now,
        "lease_until": iso(session.expires_at),
        "owned": session.owned,
        **{name: value for name, value in session.info.items() if name != "started_at"},
        "started_at": _started(session.info.get("started_at")),
    }


def _started(value: Any) -> Any:
    return iso(value) if isinstance(value, int) else value


def _delivery(entry: OutboxEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "execution_id": entry.execution_id,
        "destination": entry.destination,
        "attempts": entry.attempts,
        "created_at": iso(entry.created_at),
        "due_at": None if entry.dead else iso(entry.due_at),
        "dead": entry.dead,
        "error": entry.error,
    }


def _switch(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise ValueError("must be true or false")
    return text.lower() in ("true", "1")


ROUTES: Final = [
    Route("/console/v1/keys", list_keys, methods=["GET"]),
    Route("/console/v1/keys", create_key, methods=["POST"]),
    Route("/console/v1/keys/{key_id}", revoke_key, methods=["DELETE"]),
    Route("/console/v1/webhooks", deliveries, methods=["GET"]),
    Route("/console/v1/webhooks/secret", webhook_secret, methods=["GET"]),
    Route("/console/v1/webhooks/secret", new_webhook_secret, methods=["POST"]),
    Route("/console/v1/webhooks/{name:path}/redeliver", redeliver, methods=["POST"]),
    Route("/console/v1/workers", workers, methods=["GET"]),
]
