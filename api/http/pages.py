"""Pages and their session: an artifact's own page, the assets it takes, signing in and out.

A page's HTML is a fixed file with nothing in it that needs a key: its script asks for the data. So a caller without one
gets the page all the same, with the status 401, and the page asks for a key once. In development on loopback the cookie
comes with the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

import axiom.web
from axiom.runtime import catalog

from ..auth import ACCOUNT, COOKIE, COOKIE_SECONDS, digest
from ..errors import Problem
from ..requests import Fields, json_of
from ..service import Service, service_of
from ..wire import Json

STATIC: Final = Path(axiom.web.__path__[0]) / "static"
"""An artifact's own page: plain files, nothing to build."""
DIST: Final = Path(axiom.web.__path__[0]) / "dist"
"""The other pages, if they were built (``web/pages.py``): names with a hash of what is in them."""
TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2"}


async def docs(request: Request) -> Response:
    """``GET /registry/v1/artifacts/{graph_id}/docs``"""
    service = service_of(request)
    status, headers = 200, {"cache-control": "no-store"}
    try:
        caller = await service.gate.caller(request)
        service.gate.limit(caller)
        caller.require("read")
        account = caller.account
    except Problem as problem:
        if problem.status != 401:
            raise
        if not service.gate.developing(request):
            return _page("artifact.html", 401, {**headers, **problem.headers})
        account = ACCOUNT
        headers["set-cookie"] = await dev_cookie(service, request)
    await catalog.artifact(service.raw_store, account, request.path_params["graph_id"])
    return _page("artifact.html", status, headers)


async def sign_in(request: Request) -> Response:
    """``POST /session`` ``{"key"}``: the cookie that stands for the key."""
    service = service_of(request)
    fields = Fields(await json_of(request, 10_000), ("key",))
    raw = fields.text("key", 300)
    if not fields.has("key"):
        fields.wrong("is missing", "key")
    fields.done()
    caller = await service.gate.by_key(raw or "")
    cookie = await _cookie(service, request, digest(raw or ""))
    told = {"account": caller.account, "name": caller.name, "scopes": sorted(caller.scopes)}
    return Json(told, headers={"set-cookie": cookie, "cache-control": "no-store"})


async def sign_out(request: Request) -> Response:
    """``DELETE /session``"""
    cleared = f"{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"
    return Response(status_code=204, headers={"set-cookie": cleared})


async def asset(request: Request) -> Response:
    """``GET /assets/{name}``: what the build made, nothing else."""
    name = request.path_params["name"]
    kind = TYPES.get(Path(name).suffix)
    if kind is None or "/" in name or name.startswith("."):
        raise Problem("not_found", f"there is no asset {name[:100]!r}")
    if (STATIC / "assets" / name).is_file():
        return FileResponse(STATIC / "assets" / name, media_type=kind, headers={"cache-control": "no-cache"})
    path = DIST / "assets" / name
    if not path.is_file():
        raise Problem("not_found", f"there is no asset {name[:100]!r}")
    headers = {"cache-control": "public, max-age=31536000, immutable", "vary": "accept-encoding"}
    packed = path.with_name(f"{name}.gz")
    if packed.is_file() and "gzip" in request.headers.get("accept-encoding", ""):
        path, headers["content-encoding"] = packed, "gzip"
    return FileResponse(path, media_type=kind, headers=headers)


def _page(name: str, status: int, headers: dict[str, str]) -> Response:
    return FileResponse(STATIC / name, status, headers, media_type="text/html")


async def dev_cookie(service: Service, request: Request) -> str:
    """Return the cookie that a page gets without a key: only for a caller that ``gate.developing`` lets in."""
    return await _cookie(service, request, "dev")


async def _cookie(service: Service, request: Request, name: str) -> str:
    secure = "; Secure" if request.url.scheme == "https" else ""
    value = await service.gate.cookie(name)
    return f"{COOKIE}={value}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Strict{secure}"


ROUTES: Final = [
    Route("/registry/v1/artifacts/{graph_id}/docs", docs, methods=["GET"]),
    Route("/session", sign_in, methods=["POST"]),
    Route("/session", sign_out, methods=["DELETE"]),
    Route("/assets/{name:path}", asset, methods=["GET"]),
]
