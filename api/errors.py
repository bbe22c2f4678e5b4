"""What doors answer when they can't do what was asked: RFC 9457 problem documents with stable codes.

``PROBLEMS`` is the whole list: a code, its HTTP status and its title; ``docs/reference/http.md`` explains each, and a
test holds the two together. Exceptions of the rooms below carry a ``code`` of the same list, so that a handler raises
nothing but what happened.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from axiom.compiler.errors import ArtifactDamaged, CompileFailed
from axiom.runtime.catalog import AliasMoved, PackageTaken, UnknownAlias, UnknownArtifact, UnknownMove
from axiom.runtime.configs import ConfigMoved, ConfigUnfit, UnknownConfig
from axiom.runtime.egress import Refused
from axiom.runtime.results import NotFinal, ValueGone
from axiom.runtime.store.base import StoreError
from axiom.runtime.vault import BadKey, NoKey, SecretExists, UnknownSecret

from .wire import to_json

PROBLEMS: Final[dict[str, tuple[int, str]]] = {
    "invalid_json": (400, "The body is no JSON"),
    "invalid_header": (400, "A header does not say what it must"),
    "invalid_query": (400, "A query parameter does not say what it must"),
    "unauthorized": (401, "A key is needed"),
    "missing_scope": (403, "The key may not do this"),
    "link_invalid": (403, "The link can't be used"),
    "forbidden_origin": (403, "Pages of another site may not do this"),
    "not_found": (404, "There is nothing here"),
    "unknown_execution": (404, "There is no such execution"),
    "unknown_artifact": (404, "There is no such artifact"),
    "unknown_alias": (404, "There is no flow of this name"),
    "unknown_alias_version": (404, "The alias was never there"),
    "unknown_package": (404, "There is no such package"),
    "unknown_node": (404, "The package has no such node"),
    "unknown_key": (404, "There is no such key"),
    "unknown_config": (404, "There is no such config"),
    "unknown_secret": (404, "There is no such secret"),
    "unknown_webhook": (404, "There is no such dead delivery"),
    "unknown_pause": (404, "There is no such pause"),
    "unknown_schedule": (404, "There is no such schedule"),
    "unknown_signal": (404, "The flow waits for no such event"),
    "value_gone": (404, "The value is gone"),
    "method_not_allowed": (405, "This method does nothing here"),
    "schedule_taken": (409, "There is such a schedule already"),
    "wrong_mode": (409, "The other endpoint runs this flow"),
    "idempotency_mismatch": (409, "The key was used for another request"),
    "already_final": (409, "The execution has ended"),
    "pause_closed": (409, "The pause takes nothing any more"),
    "already_answered": (409, "This person has answered"),
    "no_deadline": (409, "The pause has no deadline"),
    "not_forkable": (409, "It can't be forked or restarted like that"),
    "not_holdable": (409, "It can't be held or resumed now"),
    "not_migratable": (409, "It can't move to that artifact"),
    "not_stopped": (409, "The node is not stopped"),
    "not_final": (409, "The execution has not ended"),
    "alias_moved": (409, "Someone moved the alias first"),
    "config_moved": (409, "Someone changed the config first"),
    "secret_exists": (409, "There is a secret of this name"),
    "secrets_key_missing": (409, "There is no key to seal secrets with"),
    "package_taken": (409, "A published version never changes"),
    "body_too_large": (413, "The body is too large"),
    "unsupported_media_type": (415, "The body is of another type than this takes"),
    "wrong_host": (421, "This server goes by another name"),
    "invalid_request": (422, "The request does not say what it must"),
    "invalid_input": (422, "The input does not fit the flow"),
    "config_unfit": (422, "The config does not fit the flow"),
    "address_refused": (422, "This address may not be called"),
    "compile_failed": (422, "The flow has errors"),
    "too_many_events": (429, "Too many events wait for a taker"),
    "rate_limited": (429, "Too many requests"),
    "headers_too_large": (431, "The headers are too large"),
    "internal_error": (500, "Something is wrong here"),
    "secrets_key_invalid": (500, "A key of secrets can't be used"),
    "artifact_damaged": (500, "The artifact is damaged"),
    "contended": (503, "Too many wrote at once"),
    "overloaded": (503, "Too much at once"),
    "store_error": (503, "The store has a problem"),
    "store_unclear": (503, "The store did not say whether it was written"),
    "store_unavailable": (503, "The store can't be reached"),
    "store_full": (503, "The store is full"),
    "store_unusable": (503, "The store can't be used as it is"),
}
"""code → (status, title). A code never changes its meaning."""
RETRY_SECONDS: Final = 1
"""``Retry-After`` of an overloaded server or an unreachable store."""

log = structlog.get_logger("axiom.api")


class Problem(Exception):
    """An answer that says no. ``errors`` are violations, each ``{"path", "message", …}`` with a JSON pointer."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, Any]] | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        self.code = code
        self.detail = detail
        self.status, self.title = PROBLEMS[code]
        self.more = {**({"errors": list(errors)} if errors is not None else {}), **more}
        self.headers = dict(headers or {})
        if self.status == 503:
            self.headers.setdefault("Retry-After", str(RETRY_SECONDS))
        super().__init__(f"{code}: {detail}")

    def document(self, instance: str) -> dict[str, Any]:
        """Return the problem document; ``instance`` is the path that was asked for."""
        return {
            "type": f"urn:axiom:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            "code": self.code,
            **self.more,
        }

    def response(self, instance: str) -> Response:
        return Response(
            to_json(self.document(instance)),
            self.status,
            self.headers,
            media_type="application/problem+json",
        )


def unauthorized(detail: str) -> Problem:
    """A 401; ``WWW-Authenticate`` says what would do."""
    return Problem("unauthorized", detail, headers={"WWW-Authenticate": 'Bearer realm="axiom"'})


def rate_limited(seconds: float) -> Problem:
    """A 429 that says when to come back."""
    wait = max(1, math.ceil(seconds))
    return Problem(
        "rate_limited",
        f"Come back in {wait} s.",
        headers={"Retry-After": str(wait)},
        retry_after_seconds=wait,
    )


def problem_of(error: Exception) -> Problem:
    """Return the problem that an exception of the rooms below stands for."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, CompileFailed):
        diagnostics = [diagnostic.as_json() for diagnostic in error.diagnostics]
        return Problem("compile_failed", str(error), diagnostics=diagnostics)
    if isinstance(error, AliasMoved):
        return Problem("alias_moved", str(error), version=error.version)
    if isinstance(error, ConfigMoved):
        return Problem("config_moved", str(error), version=error.version)
    if isinstance(error, ConfigUnfit):
        wrong = [
            {"path": "/config_id", "message": str(error), **({"place": error.path} if error.path else {})}
        ]
        return Problem("config_unfit", str(error), errors=wrong)
    if isinstance(error, HTTPException):
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
        return Problem(code, str(error.detail), headers=error.headers)
    code = getattr(error, "code", "")
    if code in PROBLEMS:
        return Problem(code, str(error))
    log.exception("unexpected_error", error=repr(error), exc_info=error)
    return Problem("internal_error", "The server's log says more.")


async def answer(request: Request, error: Exception) -> Response:
    """The exception handler of the whole app."""
    return problem_of(error).response(request.url.path)


EXPECTED: Final[tuple[type[Exception], ...]] = (
    Problem,
    HTTPException,
    StoreError,
    CompileFailed,
    ArtifactDamaged,
    UnknownArtifact,
    UnknownAlias,
    UnknownMove,
    AliasMoved,
    PackageTaken,
    NotFinal,
    ValueGone,
    Refused,
    UnknownConfig,
    ConfigUnfit,
    ConfigMoved,
    UnknownSecret,
    SecretExists,
    NoKey,
    BadKey,
)
"""What ``answer`` is the handler of; ``guards.py`` catches the rest."""
