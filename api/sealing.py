"""The keys of secrets by the settings: where a worker finds them, and how a server comes to have what it seals with.

A server seals with the public key that the store holds, and needs no private one. On an SQLite store, which is one
machine's, the first secret makes a key beside the file, so that nothing has to be set up.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from axiom.runtime.clock import Clock
from axiom.runtime.store.base import Store
from axiom.runtime.vault import Keys, create_key_file, new_key, publish_key, published_key

from .settings import SECRETS, InvalidSetting, Settings

KEY_VARIABLE = "AXIOM_SECRETS_KEY"


def keys_of(settings: Settings) -> Keys:
    """Return the private keys that the settings name. ``InvalidSetting`` if they name two places."""
    if settings.secrets_key and settings.secrets_key_file:
        raise InvalidSetting("secrets_key and secrets_key_file exclude each other")
    if settings.secrets_key_file:
        return Keys(file=Path(settings.secrets_key_file))
    return Keys(settings.secrets_key, None if settings.secrets_key else beside(settings))


def beside(settings: Settings) -> Path | None:
    """Return the file of keys beside an SQLite store; ``None`` for others."""
    if not settings.store.startswith("sqlite:///"):
        return None
    path = Path(settings.store.removeprefix("sqlite:///").partition("?")[0])
    return path.with_name(f"{path.name}.key")


async def ready_to_seal(store: Store, settings: Settings, clock: Clock) -> None:
    """See that there is a key to seal with, if that is possible here. ``BadKey``."""
    if await published_key(store) is not None:
        return
    keys, own = keys_of(settings), beside(settings)
    if keys.public is None and own is not None and keys.file == own:
        create_key_file(own, new_key(clock) + "\n")
    await publish_key(store, keys)


def take_environment() -> Callable[[str], str | None]:
    """Return where ``AXIOM_SECRET_<name>`` is looked up, and take all of these, and the key, out of the environment:
    what runs in this process, or is started by it, finds none of them there."""
    held = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(SECRETS)}
    os.environ.pop(KEY_VARIABLE, None)
    return lambda name: held.get(SECRETS + name)
