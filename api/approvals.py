"""Approval links: whoever holds one may answer one pause, once, as the person it was made for, until it expires.

A link is ``/approvals/<claim>.<signature>``: the claim says which pause, for whom and until when, and has a number
of its own; the signature is an HMAC-SHA256 with a secret of the store, made on first use. Nothing is kept of a link.
That it was used stands in the journal, in the answer that it gave, so using it and answering are one step and no crash
can come between them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final, NamedTuple

from axiom.runtime.clock import Clock
from axiom.runtime.events import Damaged, pack_value, unpack_value
from axiom.runtime.pauses import Pause
from axiom.runtime.store.base import Head, Store

from .doors_pauses import LinkInvalid

DEFAULT_SECONDS: Final = 7 * 86_400
"""How long a link to a pause without a deadline is good."""
MOST_SECONDS: Final = 366 * 86_400
TOKEN_LENGTH: Final = 2_048
NUMBER_BYTES: Final = 8


class Link(NamedTuple):
    """What a link says."""

    execution_id: str
    pause_id: str
    by: str
    """Whose answer it brings."""
    expires_at: int
    number: str


async def make_link(
    store: Store, clock: Clock, head: Head, pause: Pause, by: str, seconds: int | None
) -> tuple[str, Link]:
    """Return a token and what it says. It is good for ``seconds``; else until the deadline, or for a week."""
    now = store.now()
    until = now + seconds * 1_000 if seconds else pause.deadline or now + DEFAULT_SECONDS * 1_000
    link = Link(head.execution_id, pause.pause_id, by, until, clock.token(NUMBER_BYTES))
    claim = _text(pack_value(list(link)))
    return f"{claim}.{_text(await _sign(store, clock, claim))}", link


async def read_link(store: Store, clock: Clock, token: str) -> Link:
    """Return what a token says. ``LinkInvalid`` if it is not one of ours, or has expired."""
    claim, _, signature = token.partition(".")
    try:
        given = _bytes(signature) if len(token) <= TOKEN_LENGTH else b""
        genuine = hmac.compare_digest(given, await _sign(store, clock, claim))
        link = Link(*unpack_value(_bytes(claim))) if genuine else None
    except (ValueError, TypeError, Damaged) as error:
        raise LinkInvalid("This link is not complete, or was altered.") from error
    if link is None:
        raise LinkInvalid("This link is not complete, or was altered.")
    if link.expires_at <= store.now():
        raise LinkInvalid("This link has expired.")
    return link


async def _sign(store: Store, clock: Clock, claim: str) -> bytes:
    found = await store.get("secret", "approvals")
    if found is None:
        await store.put("secret", "approvals", clock.token(32).encode(), expect=0)
        found = await store.get("secret", "approvals")
        assert found is not None
    return hmac.new(found.value, claim.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    if not text.isascii():
        raise ValueError("no base64")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
