"""Pages of executions: filters in, rows and an opaque cursor out."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from starlette.requests import Request

from axiom.runtime.store.base import Head, Page, Query

from .requests import known_parameters, limit_of, moment, parameter, statuses_of
from .wire import iso

FILTERS: Final = ("status", "flow", "graph_id", "from", "to", "q", "limit", "cursor")


def query_of(request: Request, account: str) -> Query:
    """Return what a request's parameters ask for. ``Problem`` (400) names the one that is wrong."""
    known_parameters(request, *FILTERS)
    return Query(
        account,
        statuses_of(request),
        request.query_params.get("flow") or None,
        request.query_params.get("graph_id") or None,
        parameter(request, "from", moment),
        parameter(request, "to", moment),
        request.query_params.get("q") or None,
        limit_of(request),
        parameter(request, "cursor", decode_cursor),
    )


def page_json(page: Page) -> dict[str, Any]:
    """Return a page's JSON; ``next_cursor`` is ``null`` at the end."""
    return {
        "executions": [row(head) for head in page.heads],
        "next_cursor": encode_cursor(page.cursor) if page.cursor is not None else None,
    }


def row(head: Head) -> dict[str, Any]:
    """Return an execution as lists show it."""
    took = head.completed_at - head.created_at if head.completed_at is not None else None
    return {
        "execution_id": head.execution_id,
        "flow": head.flow,
        "graph_id": head.graph_id,
        "mode": head.mode,
        "status": head.status,
        "created_at": iso(head.created_at),
        "started_at": iso(head.started_at),
        "updated_at": iso(head.updated_at),
        "completed_at": iso(head.completed_at),
        "duration_ms": took,
    }


def encode_cursor(cursor: tuple[int, str]) -> str:
    """Return a cursor's text.

    >>> decode_cursor(encode_cursor((17, "ab")))
    (17, 'ab')
    """
    return base64.urlsafe_b64encode(f"{cursor[0]}.{cursor[1]}".encode()).decode().rstrip("=")


def decode_cursor(text: str) -> tuple[int, str]:
    """Return the cursor of a text; ``ValueError`` if a page didn't give it."""
    try:
        plain = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
        at, dot, execution_id = plain.partition(".")
        if not dot or not at.isdigit() or len(at) > 15 or len(execution_id) > 64:
            raise ValueError(text)
        return int(at), execution_id
    except (binascii.Error, UnicodeError, ValueError) as error:
        raise ValueError("is no cursor of ours; take it from next_cursor") from error
