"""Secrets of accounts: sealed in the store, opened in workers.

A secret is sealed to a **public key** (HPKE, RFC 9180: X25519, HKDF-SHA256, AES-256-GCM) and bound to its account, name
and version, so that no sealed value can be put in another's place. Only the private key opens it. Workers have that;
servers don't need it, so that whoever takes a server or reads the store has no secret::

    sealed          account/name            [version, created_at, updated_at, by, key_id, sealed bytes]
    sealing_key     public                  the public key that is sealed with now

A key is written ``axsk1-`` and 32 bytes in base64. Where several are given, the first is the one to seal with; the
others still open what was sealed with them. A file of keys is read again when a secret names a key that is not known,
so that a rotation needs no restart.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from axiom.compiler.artifact import canonical

from .catalog import every
from .clock import Clock
from .events import pack_value, unpack_value
from .store.base import Document, Store

KIND: Final = "sealed"
KEY_KIND: Final = "sealing_key"
PUBLIC: Final = "public"
PREFIX: Final = "axsk1-"
KEY_BYTES: Final = 32
TRIES: Final = 20
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class BadKey(ValueError):
    """A key, or a file of keys, that can't be used."""

    code = "secrets_key_invalid"


class NoKey(LookupError):
    """Nothing to seal with: no worker has joined with a key, and this process has none."""

    code = "secrets_key_missing"

    def __init__(self) -> None:
        super().__init__(
            "there is no key to seal secrets with: start a worker with AXIOM_SECRETS_KEY_FILE or AXIOM_SECRETS_KEY"
        )


class UnknownSecret(LookupError):
    """The account has no secret of that name."""

    code = "unknown_secret"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no secret {name[:128]!r}")


class SecretExists(RuntimeError):
    """The name is taken, and nobody said that it may be replaced."""

    code = "secret_exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"the secret {name!r} exists: rotate it, or say `replace`")


class Secret(NamedTuple):
    """What may be known of a secret."""

    name: str
    version: int
    created_at: int
    updated_at: int
    by: str
    key_id: str


class Opened(NamedTuple):
    """``values`` by declared name; ``missing`` tells of each name without one why: a failure's code and a sentence."""

    values: Mapping[str, str]
    missing: Mapping[str, tuple[str, str]]


# --- keys -----------------------------------------------------------------------------------------------------------


def new_key(clock: Clock) -> str:
    """Return a fresh private key as text."""
    return PREFIX + base64.urlsafe_b64encode(bytes.fromhex(clock.token(KEY_BYTES))).decode().rstrip("=")


def key_id_of(public: bytes) -> str:
    """Return the name of a public key: 16 hex digits."""
    return hashlib.sha256(public).hexdigest()[:16]


def parse_keys(text: str, where: str) -> list[X25519PrivateKey]:
    """Return the keys of a text: parted by space, commas or lines. ``BadKey``, which shows none of it."""
    found = []
    for number, word in enumerate(text.replace(",", " ").split(), 1):
        try:
            raw = base64.b64decode(word.removeprefix(PREFIX) + "=", altchars=b"-_", validate=True)
        except ValueError:
            raw = b""
        if not word.startswith(PREFIX) or len(raw) != KEY_BYTES:
            raise BadKey(
                f"key {number} of {where} is none: it must be {PREFIX} and {KEY_BYTES} bytes in base64"
            )
        found.append(X25519PrivateKey.from_private_bytes(raw))
    return found


def read_key_file(path: Path) -> str:
    """Return the text of a file of keys. ``BadKey`` if others than its owner may read it; ``OSError``."""
    if path.stat().st_mode & 0o077:
        raise BadKey(f"{path} may be read by others than its owner: chmod 600 {path}")
    return path.read_text()


def write_key_file(path: Path, text: str) -> None:
    """Write a file of keys that its owner alone can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(path)


def create_key_file(path: Path, text: str) -> None:
    """Write a file of keys, unless there is one."""
    fresh = path.with_name(f"{path.name}.{key_id_of(text.encode())}")
    write_key_file(fresh, text)
    with suppress(FileExistsError):
        os.link(fresh, path)
    fresh.unlink()


class Keys:
    """The private keys of a process: from a text, or from a file, which may change. ``BadKey`` when they are read."""

    def __init__(self, text: str = "", file: Path | None = None) -> None:
        self.file: Final = file
        self._text: Final = text
        self._held: dict[str, X25519PrivateKey] = {}

    def read(self) -> list[X25519PrivateKey]:
        """Return the keys as they are now, the one to seal with first; none if there is no file."""
        if self._text:
            keys = parse_keys(self._text, "AXIOM_SECRETS_KEY")
        elif self.file is not None and self.file.exists():
            keys = parse_keys(read_key_file(self.file), str(self.file))
        else:
            keys = []
        self._held = {key_id_of(_raw(key.public_key())): key for key in keys}
        return keys

    def find(self, key_id: str) -> X25519PrivateKey | None:
        """Return the key of that name."""
        if key_id not in self._held:
            self.read()
        return self._held.get(key_id)

    @property
    def public(self) -> bytes | None:
        """The public key to seal with; ``None`` without any."""
        keys = self.read()
        return _raw(keys[0].public_key()) if keys else None


NO_KEYS: Final = Keys()


def _raw(public: X25519PublicKey) -> bytes:
    return public.public_bytes_raw()


async def published_key(store: Store) -> bytes | None:
    """Return the public key that this store's secrets are sealed with."""
    found = await store.get(KEY_KIND, PUBLIC)
    return None if found is None else found.value


async def publish_key(store: Store, keys: Keys) -> bytes | None:
    """Let servers seal with these keys, unless there is a key already; the one that holds."""
    public = keys.public
    if public is not None:
        await store.put(KEY_KIND, PUBLIC, public, expect=0)
    return await published_key(store)


# --- what doors do --------------------------------------------------------------------------------------------------


async def put_secret(
    store: Store,
    account: str,
    name: str,
    value: str,
    *,
    by: str = "",
    fresh: bool = False,
    known: bool = False,
) -> Secret:
    """Seal a value under a name. ``fresh``: ``SecretExists`` if there is one. ``known``: ``UnknownSecret`` if not.

    ``NoKey`` if nothing can be sealed.
    """
    public = await published_key(store)
    if public is None:
        raise NoKey
    for _ in range(TRIES):
        found = await store.get(KIND, f"{account}/{name}")
        if found is None and known:
            raise UnknownSecret(name)
        if found is not None and fresh:
            raise SecretExists(name)
        now = store.now()
        former = _told(name, found) if found is not None else None
        version = former.version + 1 if former is not None else 1
        told = Secret(name, version, former.created_at if former else now, now, by, key_id_of(public))
        if await _write(store, account, told, value, public, found.version if found is not None else 0):
            return told
    raise SecretExists(name)


async def secrets(store: Store, account: str) -> list[Secret]:
    """Return what may be known of the account's secrets, by name."""
    prefix = f"{account}/"
    return [_told(found.key.removeprefix(prefix), found) for found in await every(store, KIND, prefix)]


async def secret(store: Store, account: str, name: str) -> Secret:
    """Return what may be known of one. ``UnknownSecret``."""
    found = await store.get(KIND, f"{account}/{name}")
    if found is None:
        raise UnknownSecret(name)
    return _told(name, found)


async def remove_secret(store: Store, account: str, name: str) -> None:
    """Delete a secret, now. ``UnknownSecret``."""
    if not await store.remove(KIND, f"{account}/{name}"):
        raise UnknownSecret(name)


async def reseal(store: Store, keys: Keys) -> tuple[int, int]:
    """Seal every account's secrets with the first of ``keys`` and publish its public half.

    Returns how many were sealed anew, and how many there are. ``NoKey``; ``BadKey`` if one can't be opened.
    """
    public = keys.public
    if public is None:
        raise NoKey
    documents = await every(store, KIND)
    for document in documents:
        account, _, name = document.key.partition("/")
        _key_for(keys, account, _told(name, document))  # before anything is changed
    await store.put(KEY_KIND, PUBLIC, public)  # first: what is set meanwhile is sealed with it already
    done = 0
    for document in documents:
        account, _, name = document.key.partition("/")
        done += await _resealed(store, keys, public, account, name)
    return done, len(documents)


async def _resealed(store: Store, keys: Keys, public: bytes, account: str, name: str) -> bool:
    """Whether a secret had to be sealed anew."""
    while (found := await store.get(KIND, f"{account}/{name}")) is not None:
        told = _told(name, found)
        if told.key_id == key_id_of(public):
            return False
        value = _open(_key_for(keys, account, told), account, told, unpack_value(found.value)[5])
        fresh = told._replace(key_id=key_id_of(public))
        if await _write(store, account, fresh, value, public, found.version):
            return True
    return False


def _key_for(keys: Keys, account: str, told: Secret) -> X25519PrivateKey:
    key = keys.find(told.key_id)
    if key is None:
        raise BadKey(
            f"the secret {told.name!r} of {account!r} is sealed with the key {told.key_id}: give that too"
        )
    return key


# --- what workers do ------------------------------------------------------------------------------------------------


Fallback = Callable[[str], str | None]
"""Where a secret is looked for that the store doesn't have."""


async def open_secrets(
    store: Store, keys: Keys, fallback: Fallback, account: str, names: Mapping[str, str]
) -> Opened:
    """Open secrets: declared name → name of the account's secret. ``StoreError``.

    The store's come first, then ``fallback(name)``. Nothing is kept: a value that was rotated or deleted is so at once.
    """
    values: dict[str, str] = {}
    missing: dict[str, tuple[str, str]] = {}
    for name, stored in names.items():
        found = await store.get(KIND, f"{account}/{stored}")
        if found is None:
            given = fallback(stored)
            if given is None:
                missing[name] = (
                    "secret_missing",
                    f"the secret {stored!r} is not set: axiom secrets set {stored}",
                )
            else:
                values[name] = given
            continue
        told, sealed = _told(stored, found), unpack_value(found.value)[5]
        try:
            key = keys.find(told.key_id)
            if key is None:
                missing[name] = (
                    "secret_unreadable",
                    f"the secret {stored!r} is sealed with the key {told.key_id}, which this worker doesn't have",
                )
            else:
                values[name] = _open(key, account, told, sealed)
        except (BadKey, OSError) as error:
            missing[name] = ("secret_unreadable", f"the secret {stored!r} can't be opened: {error}")
    return Opened(values, missing)


# --- sealing --------------------------------------------------------------------------------------------------------


def _told(name: str, found: Document) -> Secret:
    version, created_at, updated_at, by, key_id, _ = unpack_value(found.value)
    return Secret(name, version, created_at, updated_at, by, key_id)


def _bound(account: str, told: Secret) -> bytes:
    """What a sealed value is bound to."""
    return canonical(["axiom secret", account, told.name, told.version])


async def _write(store: Store, account: str, told: Secret, value: str, public: bytes, expect: int) -> bool:
    sealed = _SUITE.encrypt(value.encode(), X25519PublicKey.from_public_bytes(public), _bound(account, told))
    content = pack_value([*told[1:], sealed])
    return await store.put(KIND, f"{account}/{told.name}", content, expect=expect) is not None


def _open(key: X25519PrivateKey, account: str, told: Secret, sealed: bytes) -> str:
    try:
        return _SUITE.decrypt(sealed, key, _bound(account, told)).decode()
    except (InvalidTag, ValueError) as error:
        raise BadKey(f"the secret {told.name!r} was altered, or sealed for another place") from error


def names_of(required: Iterable[str], chosen: Mapping[str, str]) -> dict[str, str]:
    """Return which of the account's secrets each declared name stands for: ``chosen``'s, else the one of its name."""
    return {name: chosen.get(name, name) for name in required}
