"""Reading what a request says: bounded bodies, strict fields, headers and query parameters, each refused by name."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any, Final

from starlette.requests import Request

from axiom.runtime.limits import PAGE, PAGE_MOST, WAIT_SECONDS
from axiom.runtime.store.base import Status

from .errors import Problem
from .wire import BadJson, from_iso, from_json, pointer

KEY_LENGTH: Final = 255
WAIT_MOST_SECONDS: Final = 3_600.0
START_MOST_SECONDS: Final = 10 * 365 * 86_400
"""How far ahead a start may be ordered: as far as a run may sleep."""
WEBHOOK_HEADERS: Final = 20
WEBHOOK_HEADER_BYTES: Final = 8 << 10
URL_LENGTH: Final = 2_048

_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OWN_HEADERS = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "upgrade", "te", "trailer"}
)


async def body_of(request: Request, limit: int) -> bytes:
    """Return the body. ``Problem`` (413) as soon as it has grown beyond ``limit``: the rest is not kept."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise Problem("body_too_large", f"at most {limit} bytes are taken")
        chunks.append(chunk)
    return b"".join(chunks)


async def json_of(request: Request, limit: int, empty: Any = None) -> Any:
    """Return the JSON body; ``empty`` if there is none and that is given.

    ``Problem``: 415 for another type, 413, 400 with the place of a mistake.
    """
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise Problem("unsupported_media_type", f"this takes application/json, not {kind[:100]}")
    data = await body_of(request, limit)
    if not data and empty is not None:
        return empty
    try:
        return from_json(data)
    except BadJson as error:
        place = {"line": error.line, "column": error.column} if error.line else {}
        where = f" (line {error.line}, column {error.column})" if error.line else ""
        raise Problem(
            "invalid_json", f"{error}{where}", errors=[{"path": "", "message": str(error), **place}]
        ) from error


class Fields:
    """Takes the fields of a JSON object one by one and collects what is wrong with them all."""

    def __init__(self, body: Any, known: Collection[str]) -> None:
        self.errors: list[dict[str, Any]] = []
        if not isinstance(body, Mapping):
            raise Problem(
                "invalid_request",
                "the body must be a JSON object",
                errors=[{"path": "", "message": "must be an object"}],
            )
        self._body: Final = body
        for name in body:
            if name not in known:
                near = get_close_matches(name, known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                self.wrong(f"unknown field{hint}", name)

    def wrong(self, message: str, *path: str | int) -> None:
        self.errors.append({"path": pointer(*path), "message": message})

    def has(self, name: str) -> bool:
        return name in self._body

    def raw(self, name: str) -> Any:
        return self._body.get(name)

    def text(self, name: str, most: int = 1_000, pattern: str | None = None) -> str | None:
        """A text, not empty, or ``None`` if it isn't given."""
        value = self._body.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value or len(value) > most:
            self.wrong(f"must be a text of 1 to {most} characters", name)
            return None
        if pattern is not None and not re.fullmatch(pattern, value):
            self.wrong(f"must look like {pattern}", name)
            return None
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self._body.get(name, default)
        if not isinstance(value, bool):
            self.wrong("must be true or false", name)
            return default
        return value

    def seconds(self, name: str, default: float = WAIT_SECONDS, most: float = WAIT_MOST_SECONDS) -> float:
        value = self._body.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
            self.wrong(f"must be a number of seconds from 0 to {most:g}", name)
            return default
        return float(value)

    def whole(self, name: str, least: int, most: int) -> int | None:
        value = self._body.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.wrong(f"must be a whole number from {least} to {most}", name)
            return None
        return value

    def done(self) -> None:
        """``Problem`` (422) with everything that is wrong, if anything is."""
        if self.errors:
            first = self.errors[0]
            where = first["path"] or "the body"
            raise Problem("invalid_request", f"{where}: {first['message']}", errors=self.errors)


def webhook_of(fields: Fields) -> dict[str, Any] | None:
    """Return ``{"url", "headers"}`` of an invoke's ``webhook``; its address is judged by ``egress.py``."""
    hook = fields.raw("webhook")
    if hook is None:
        return None
    if not isinstance(hook, Mapping):
        fields.wrong("must be an object with `url` and `headers`", "webhook")
        return None
    for name in hook:
        if name not in ("url", "headers"):
            fields.wrong("unknown field", "webhook", name)
    url = hook.get("url")
    if not isinstance(url, str) or not 0 < len(url) <= URL_LENGTH or not url.isprintable() or " " in url:
        fields.wrong(f"must be a URL of at most {URL_LENGTH} characters", "webhook", "url")
    headers = hook.get("headers")
    return {"url": url, "headers": _webhook_headers(fields, {} if headers is None else headers)}


def _webhook_headers(fields: Fields, headers: Any) -> dict[str, str]:
    if not isinstance(headers, Mapping) or len(headers) > WEBHOOK_HEADERS:
        fields.wrong(f"must be an object of at most {WEBHOOK_HEADERS} headers", "webhook", "headers")
        return {}
    size = 0
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            fields.wrong("is no name of a header", "webhook", "headers", name)
        elif name.lower() in _OWN_HEADERS or name.lower().startswith("webhook-"):
            fields.wrong("is set by Axiom", "webhook", "headers", name)
        elif not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value) or value != value.strip():
            fields.wrong(
                "must be a text without line breaks, control characters or space around it",
                "webhook",
                "headers",
                name,
            )
        else:
            size += len(name) + len(value)
    if size > WEBHOOK_HEADER_BYTES:
        fields.wrong(f"have {size} bytes; at most {WEBHOOK_HEADER_BYTES} are taken", "webhook", "headers")
    return dict(headers)


def start_time(fields: Fields, now: int) -> int | None:
    """Return when an invoke is to start (ms), by ``start_at`` or ``delay_seconds``; ``None``: at once."""
    at, delay = fields.raw("start_at"), fields.raw("delay_seconds")
    if at is not None and delay is not None:
        fields.wrong("give `start_at` or `delay_seconds`, not both", "start_at")
        return None
    if delay is not None:
        return now + int(fields.seconds("delay_seconds", 0, START_MOST_SECONDS) * 1000)
    text = fields.text("start_at", 40)
    if text is None:
        return None
    try:
        moment = from_iso(text)
    except (ValueError, OverflowError):
        fields.wrong("must be a time such as 2030-01-31T09:00:00+01:00", "start_at")
        return None
    if moment - now > START_MOST_SECONDS * 1000:
        fields.wrong("lies more than ten years ahead", "start_at")
    return max(now, moment)


def idempotency_key(request: Request) -> str | None:
    """Return the ``Idempotency-Key`` header. ``Problem`` (400) if it is none."""
    key = request.headers.get("idempotency-key")
    if key is not None and (not _PRINTABLE.fullmatch(key) or len(key) > KEY_LENGTH):
        message = f"Idempotency-Key must be 1 to {KEY_LENGTH} printable ASCII characters without spaces"
        raise Problem("invalid_header", message, header="Idempotency-Key")
    return key


def last_event_id(request: Request) -> int | None:
    """Return ``Last-Event-ID`` as a number; ``None`` without one. ``Problem`` (400) if it is none of ours."""
    text = request.headers.get("last-event-id")
    if text is None or text == "":
        return None
    if not text.isdigit() or not text.isascii() or len(text) > 15:
        raise Problem("invalid_header", "Last-Event-ID must be the id of an event", header="Last-Event-ID")
    return int(text)


# --- query parameters -----------------------------------------------------------------------------------------------


def parameter(request: Request, name: str, parse: Callable[[str], Any], default: Any = None) -> Any:
    """Return a query parameter, parsed; ``parse`` raises ``ValueError``. ``Problem`` (400)."""
    text = request.query_params.get(name)
    if text is None or text == "":
        return default
    try:
        return parse(text)
    except (ValueError, OverflowError) as error:
        raise Problem("invalid_query", f"{name}: {error}", parameter=name) from error


def known_parameters(request: Request, *names: str) -> None:
    """``Problem`` (400) for a query parameter that means nothing here: a misspelt filter must not list everything."""
    for name in request.query_params:
        if name not in names:
            near = get_close_matches(name, names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise Problem(
                "invalid_query", f"there is no parameter {name[:100]!r}{hint}", parameter=name[:100]
            )


def number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,18}", text, re.ASCII) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def limit_of(request: Request, default: int = PAGE) -> int:
    """Return ``limit``: how many rows a page has at most."""
    return int(parameter(request, "limit", number(1, PAGE_MOST), default))


def seconds_of(request: Request) -> float:
    """Return ``timeout_seconds`` of a stream that is joined."""

    def parse(text: str) -> float:
        value = float(text)
        if not 0 <= value <= WAIT_MOST_SECONDS or math.isnan(value):
            raise ValueError(f"must be from 0 to {WAIT_MOST_SECONDS:g}")
        return value

    return float(parameter(request, "timeout_seconds", parse, WAIT_SECONDS))


def moment(text: str) -> int:
    """Parse a moment: ISO-8601, or milliseconds since 1970."""
    try:
        return from_iso(text.replace(" ", "+"))  # a `+` that was not escaped came as a space
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError("must be ISO-8601 or milliseconds since 1970") from error


def statuses_of(request: Request) -> tuple[str, ...]:
    """Return the repeatable ``status``, also with commas."""
    given = [part for text in request.query_params.getlist("status") for part in text.split(",") if part]
    for text in given:
        if text.upper() not in Status.__members__:
            raise Problem(
                "invalid_query",
                f"status: {text[:50]!r} is none; there are {', '.join(Status.__members__)}",
                parameter="status",
            )
    return tuple(dict.fromkeys(text.upper() for text in given))
