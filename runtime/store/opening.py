"""From a URL to a store."""

from __future__ import annotations

from .base import Store, Unusable


def open_store(url: str) -> Store:
    """Return the store that ``url`` names, not yet opened. ``Unusable`` for a scheme that is not known."""
    scheme = url.partition(":")[0]
    if scheme == "memory":
        from .memory import MemoryStore

        return MemoryStore()
    if scheme == "sqlite":
        from .sqlite import SqliteStore

        return SqliteStore(url)
    if scheme in ("redis", "rediss"):
        from .redis import RedisStore

        return RedisStore(url)
    raise Unusable(f"unknown store {url!r}: use sqlite:///path, redis://host:port/db or memory:")
