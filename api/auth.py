"""Who calls: API keys, the pages' cookie, and what each may do.

A key is 256 random bits behind ``axm_``; the store keeps its SHA-256 alone, in the document ``key/<hash>``, so whoever
reads the store learns no key and a look-up by hash needs no comparison in constant time. A key belongs to one account,
has scopes, may expire and can be revoked; the next call with it is refused within ``FRESH_SECONDS`` everywhere, at once
in the process that revoked it.

The pages' cookie is signed with a secret of the store. It names a key (made by signing in with one) or, in development
on loopback, the developer; HttpOnly, SameSite=Strict, and good for writing only with an ``Origin`` of this very host
(``guards.py``).

A caller inside this process (the command line over a store of its own) puts a ``Principal`` into the request's scope
under ``SCOPE_KEY``; nothing from a socket can.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from starlette.requests import Request

from axiom.runtime.catalog import every
from axiom.runtime.clock import Clock
from axiom.runtime.events import pack_value, unpack_value
from axiom.runtime.store.base import Document, Store, StoreError

from .errors import Problem, rate_limited, unauthorized
from .settings import Settings

SCOPES: Final = ("invoke", "read", "cancel", "compile", "admin")
"""``invoke`` starts and joins, ``read`` looks, ``cancel`` ends, ``compile`` writes the registry, ``admin`` the rest."""
ACCOUNT: Final = "default"
PREFIX: Final = "axm_"
COOKIE: Final = "axiom_session"
SCOPE_KEY: Final = "axiom.principal"
COOKIE_SECONDS: Final = 7 * 86_400
FRESH_SECONDS: Final = 1.0
"""How long a process trusts what it has read of a key."""
USED_MS: Final = 60_000
"""``last_used_at`` is written at most so often."""
KEYS_KEPT: Final = 10_000
BURST_SECONDS: Final = 2.0
"""A bucket holds what its key may do in so long, at least one request."""


class Principal(NamedTuple):
    """Who calls."""

    account: str
    name: str
    scopes: frozenset[str]
    key_id: str = ""
    """'' for the developer and for the command line."""

    def require(self, scope: str) -> None:
        """``Problem`` unless this caller may do what needs ``scope``."""
        if scope not in self.scopes:
            raise Problem("missing_scope", f"this needs a key with the scope {scope!r}", scope=scope)


LOCAL: Final = Principal(ACCOUNT, "local", frozenset(SCOPES))
"""The command line over a store that it has opened itself."""
DEVELOPER: Final = Principal(ACCOUNT, "developer", frozenset(SCOPES))
"""A page in development, on loopback."""


class Key(NamedTuple):
    """What is kept of a key."""

    key_id: str
    """The first 16 hex digits of its hash."""
    account: str
    name: str
    scopes: tuple[str, ...]
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    revoked: bool


# --- keys in the store ----------------------------------------------------------------------------------------------


async def create_key(
    store: Store,
    clock: Clock,
    account: str = ACCOUNT,
    name: str = "",
    scopes: Sequence[str] = SCOPES,
    expires_at: int | None = None,
) -> str:
    """Make a key and return it: the only time that it is seen. ``ValueError`` for an unknown scope."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        raise ValueError(f"unknown scope {unknown[0]!r}; there are {', '.join(SCOPES)}")
    raw = PREFIX + clock.token(32)
    value = {
        "account": account,
        "name": name,
        "scopes": sorted(set(scopes), key=SCOPES.index),
        "created_at": store.now(),
        "expires_at": expires_at,
        "last_used_at": None,
        "revoked": False,
    }
    await store.put("key", digest(raw), pack_value(value), expect=0)
    return raw


async def keys(store: Store, account: str) -> list[Key]:
    """Return the account's keys, oldest first; never the keys themselves."""
    found = [_key(document) for document in await every(store, "key")]
    return sorted((key for key in found if key.account == account), key=lambda key: key.created_at)


async def revoke_key(store: Store, account: str, key_id: str) -> bool:
    """Revoke a key for good; false if the account has no such key."""
    if len(key_id) != 16:
        return False
    for document in await store.documents("key", key_id):
        key = _key(document)
        if key.account == account and key.key_id == key_id:
            value = {**unpack_value(document.value), "revoked": True}
            await store.put("key", document.key, pack_value(value))
            return True
    return False


def digest(raw: str) -> str:
    """Return the name under which a key is kept."""
    return hashlib.sha256(raw.encode("utf-8", "surrogateescape")).hexdigest()


def _key(document: Document) -> Key:
    value = unpack_value(document.value)
    return Key(
        document.key[:16],
        value["account"],
        value["name"],
        tuple(value["scopes"]),
        value["created_at"],
        value["expires_at"],
        value["last_used_at"],
        value["revoked"],
    )


# --- checking -------------------------------------------------------------------------------------------------------


class Gate:
    """Tells who calls, and how often they may. One per process."""

    def __init__(self, store: Store, clock: Clock, settings: Settings) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._dev: Final = settings.dev
        self._rate: Final = settings.rate_limit_per_second
        self._known: OrderedDict[str, tuple[float, Key | None]] = OrderedDict()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._secret: bytes | None = None

    async def caller(self, request: Request) -> Principal:
        """Return who sends this request. ``Problem`` (401) if nobody that is known."""
        inside = request.scope.get(SCOPE_KEY)
        if isinstance(inside, Principal):
            return inside
        given = request.headers.get("authorization")
        if given is not None:
            kind, _, raw = given.partition(" ")
            if kind.lower() != "bearer" or not raw.strip():
                raise unauthorized("Authorization must read: Bearer KEY")
            return await self.by_key(raw.strip())
        cookie = request.cookies.get(COOKIE)
        if cookie is not None:
            return await self._by_cookie(cookie, request)
        raise unauthorized("Send a key: Authorization: Bearer KEY")

    async def by_key(self, raw: str) -> Principal:
        """Return whom a key stands for. ``Problem`` (401)."""
        return await self._by_hash(digest(raw))

    def limit(self, caller: Principal) -> None:
        """Take one from the caller's bucket. ``Problem`` (429) if it is empty. Off until a rate is set."""
        if not self._rate:
            return
        size = max(1.0, self._rate * BURST_SECONDS)
        now = self._clock.monotonic()
        name = caller.key_id or caller.name
        left, at = self._buckets.get(name, (size, now))
        left = min(size, left + (now - at) * self._rate)
        if left < 1:
            raise rate_limited((1 - left) / self._rate)
        self._buckets[name] = (left - 1, now)
        self._buckets.move_to_end(name)
        if len(self._buckets) > KEYS_KEPT:
            self._buckets.popitem(last=False)

    def forget(self, key_id: str) -> None:
        """A key was revoked here: look again at once."""
        for name in [name for name in self._known if name.startswith(key_id)]:
            del self._known[name]

    async def _by_hash(self, name: str) -> Principal:
        now = self._clock.monotonic()
        read_at, key = self._known.get(name, (-FRESH_SECONDS, None))
        if now - read_at >= FRESH_SECONDS:
            document = await self._store.get("key", name)
            key = _key(document) if document is not None else None
            if document is not None and key is not None and not key.revoked:
                await self._note_use(document, key)
            self._known[name] = (now, key)
            self._known.move_to_end(name)
            if len(self._known) > KEYS_KEPT:
                self._known.popitem(last=False)
        if key is None:
            raise unauthorized("This key is not known.")
        if key.revoked:
            raise unauthorized("This key was revoked.")
        if key.expires_at is not None and key.expires_at <= self._store.now():
            raise unauthorized("This key has expired.")
        return Principal(key.account, key.name, frozenset(key.scopes), key.key_id)

    async def _note_use(self, document: Document, key: Key) -> None:
        now = self._store.now()
        if key.last_used_at is not None and now - key.last_used_at < USED_MS:
            return
        value = {**unpack_value(document.value), "last_used_at": now}
        try:  # a revocation that comes between stands: the version says so
            await self._store.put("key", document.key, pack_value(value), expect=document.version)
        except StoreError:
            pass  # when a key was used last is worth no failed call

    # --- the pages' cookie --------------------------------------------------------------------------------------

    async def cookie(self, name: str) -> str:
        """Return a cookie that stands for a key's hash, or for ``dev``."""
        text = f"{name}.{self._store.now() // 1000 + COOKIE_SECONDS}"
        return f"{text}.{await self._sign(text)}"

    async def _by_cookie(self, cookie: str, request: Request) -> Principal:
        text, _, signature = cookie.rpartition(".")
        name, _, until = text.partition(".")
        if not hmac.compare_digest(signature.encode(), (await self._sign(text)).encode()):
            raise unauthorized("Sign in again.")
        if not until.isdigit() or int(until) * 1000 <= self._store.now():
            raise unauthorized("Sign in again.")
        if name == "dev":
            if not self.developing(request):
                raise unauthorized("Sign in again.")
            return DEVELOPER
        return await self._by_hash(name)

    def developing(self, request: Request) -> bool:
        """Whether this is a developer's own machine: ``dev``, and called from loopback."""
        return self._dev and request.client is not None and loopback(request.client.host)

    async def _sign(self, text: str) -> str:
        if self._secret is None:
            found = await self._store.get("secret", "cookie")
            if found is None:
                await self._store.put("secret", "cookie", self._clock.token(32).encode(), expect=0)
                found = await self._store.get("secret", "cookie")
                assert found is not None
            self._secret = found.value
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()


def loopback(host: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def key_json(key: Key) -> dict[str, Any]:
    """Return what is shown of a key."""
    from .wire import iso

    return {
        "id": key.key_id,
        "name": key.name,
        "scopes": list(key.scopes),
        "created_at": iso(key.created_at),
        "expires_at": iso(key.expires_at),
        "last_used_at": iso(key.last_used_at),
        "revoked": key.revoked,
    }
