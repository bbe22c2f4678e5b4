"""Permits on Redis: one script (``lua/permits.lua``) in the partition that a limit's name chooses."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

import msgpack

from . import redis_scripts as scripts
from .permits import Ask, Given, Limit, Rate, Turn
from .redis_wire import Wire

_pack = msgpack.Packer(use_bin_type=False).pack


class RedisPermits:
    """Half of the store: the other half gives ``_wire`` and ``partitions``."""

    _wire: Wire
    partitions: int

    async def acquire(self, asks: Sequence[Ask]) -> list[bool]:
        items = [(*ask, self._place_of(ask.limit)) for ask in asks]
        _, *granted = await self._wire.run(scripts.PERMITS, "acquire", _pack(items))
        return [bool(one) for one in granted]

    async def release(self, given: Sequence[Given]) -> list[Turn]:
        items = [(*one, self._place_of(one.limit)) for one in given]
        return _turns(await self._wire.run(scripts.PERMITS, "release", _pack(items)))

    async def turns(self) -> list[Turn]:
        return _turns(await self._wire.run(scripts.PERMITS, "turns", _pack(list(range(self.partitions)))))

    async def take(self, rates: Sequence[Rate]) -> list[int]:
        items = [(*rate, self._place_of(rate.limit)) for rate in rates]
        _, *dues = await self._wire.run(scripts.PERMITS, "take", _pack(items))
        return dues

    async def limits(self, prefix: str = "", after: str = "", limit: int = 500) -> list[Limit]:
        items = (list(range(self.partitions)), prefix, after, limit)
        _, *found = await self._wire.run(scripts.PERMITS, "list", _pack(items))
        limits = [
            Limit(name.decode(), most, _texts(holders), _texts(waiting), line)
            for name, most, holders, waiting, line in found
        ]
        return sorted(limits)[:limit]

    def _place_of(self, limit: str) -> int:
        return place_of(limit, self.partitions)


def place_of(limit: str, partitions: int) -> int:
    """Return the partition of a limit.

    >>> place_of("default|acme/fulfil||", 1)
    0
    """
    return int.from_bytes(sha256(limit.encode()).digest()[:4]) % partitions


def _texts(raw: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(text.decode() for text in raw)


def _turns(answer: Sequence[Any]) -> list[Turn]:
    return [Turn(*_texts(turn)) for turn in answer[1:]]


__all__: Final = ["RedisPermits", "place_of"]
