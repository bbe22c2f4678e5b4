"""What every request passes before a route sees it: bounds, host and origin, and the headers of every answer.

* Headers beyond ``HEADER_BYTES`` are refused (431), a body whose length is announced as too large before it is read
  (413; one that grows too large while it is read, in ``requests.py``), more requests at once than ``AT_ONCE`` (503).
* ``Host`` must name this server where a caller could be let in without a key (loopback, development) or where the
  operator has listed names: a page of another site that points its own name at this address (DNS rebinding) is refused.
* A request that changes something and tells of an ``Origin`` must come from a page of this very host.

It is plain ASGI, with no task or queue of its own between server and route.
"""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from axiom.runtime import telemetry
from axiom.runtime.clock import Clock

from .auth import SCOPE_KEY, loopback
from .errors import Problem, problem_of
from .settings import Settings

HEADER_BYTES: Final = 32 << 10
HEADER_COUNT: Final = 100
AT_ONCE: Final = 4_096
"""Requests under way in one process, waiting ones and streams among them."""
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
ANYWHERE: Final = frozenset({"0.0.0.0", "::", ""})

SECURITY_HEADERS: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
]


class Guard:
    """See the top of the file."""

    def __init__(self, app: ASGIApp, settings: Settings, clock: Clock) -> None:
        self._app: Final = app
        self._clock: Final = clock
        self._body_bytes: Final = settings.max_body_bytes
        self._hosts: Final = allowed_hosts(settings)
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = self._clock.monotonic()

        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), *SECURITY_HEADERS]
                self._count(scope, message["status"], self._clock.monotonic() - began)
            await send(message)

        try:
            self._check(scope)
        except Problem as problem:
            await problem.response(scope["path"])(scope, receive, answer)
            return
        self._under_way += 1
        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            if started:
                raise  # half an answer is out: the connection can only be broken off
            await problem_of(error).response(scope["path"])(scope, receive, answer)
        finally:
            self._under_way -= 1

    def _check(self, scope: Scope) -> None:
        raw = scope["headers"]
        if len(raw) > HEADER_COUNT or sum(len(name) + len(value) for name, value in raw) > HEADER_BYTES:
            raise Problem("headers_too_large", f"at most {HEADER_COUNT} headers, {HEADER_BYTES} bytes")
        headers = Headers(raw=raw)
        length = headers.get("content-length")
        if length is not None and length.isdigit() and int(length) > self._body_bytes:
            raise Problem(
                "body_too_large", f"the body has {length} bytes; at most {self._body_bytes} are taken"
            )
        if SCOPE_KEY not in scope:
            self._check_place(scope["method"], headers)
        if self._under_way >= AT_ONCE:
            raise Problem("overloaded", f"{AT_ONCE} requests are under way")

    def _check_place(self, method: str, headers: Headers) -> None:
        host = headers.get("host", "").lower()
        if self._hosts is not None and bare(host) not in self._hosts:
            raise Problem("wrong_host", f"this server is not called {bare(host)[:200]!r}")
        origin = headers.get("origin")
        if origin is None or method in SAFE_METHODS:
            return
        if origin.lower().partition("://")[2] != host:
            raise Problem("forbidden_origin", f"a page of {origin[:200]} may not do this")

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("route")
        path = getattr(route, "path", "") or "none"
        method = scope["method"] if scope["method"] in METHODS else "other"
        telemetry.HTTP_REQUESTS.labels(method, path, str(status)).inc()
        telemetry.HTTP_SECONDS.labels(path).observe(seconds)


METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


def allowed_hosts(settings: Settings) -> frozenset[str] | None:
    """Return the names that a request may ask for; ``None``: any, because only a key lets anyone in here."""
    named = frozenset(name.lower() for name in settings.allowed_hosts)
    listens_locally = loopback(settings.host) or settings.host == "localhost"
    if not (named or settings.dev or listens_locally):
        return None
    own = frozenset() if settings.host in ANYWHERE else frozenset({bracketed(settings.host.lower())})
    return LOCAL_NAMES | named | own


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def bare(host: str) -> str:
    """Return a ``Host`` header without its port.

    >>> bare("localhost:4000"), bare("[::1]:4000")
    ('localhost', '[::1]')
    """
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
