"""The renewing side of a session: a thread's own blocking connection, one script for all partitions.

A beat that fails is not repeated here: the next one comes in ``BEAT_MS``, and three fit into a lease.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final

import msgpack
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from .base import Beat, Unavailable
from .redis_scripts import BEAT
from .redis_wire import Address, reason_of

BEAT_SECONDS: Final = 1.0
"""An answer that takes longer is given up, while the lease still has time for another try."""


class RedisBeater:
    """``Beater`` over a blocking client."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._numbers = msgpack.packb(list(range(address.partitions)), use_bin_type=False)
        self._lock = threading.Lock()
        self._client = redis.Redis.from_url(
            address.url, protocol=2, retry=Retry(NoBackoff(), 0), retry_on_error=[], driver_info=None,
            socket_timeout=BEAT_SECONDS, socket_connect_timeout=BEAT_SECONDS,
        )  # fmt: skip

    def beat(self, session: str, lease_ms: int, info: Mapping[str, Any], seen: Mapping[str, int]) -> Beat:
        """Renew; ``Unavailable`` if there was no answer (whether it was renewed, the next beat tells)."""
        arguments = (
            self._address.partitions,
            session,
            lease_ms,
            msgpack.packb(dict(info)),
            msgpack.packb(dict(seen), use_bin_type=False),
            self._numbers,
        )
        try:
            with self._lock:
                now, alive, mailbox, owned, checksum, orphans = self._call(arguments)
        except (redis.RedisError, OSError) as error:
            raise Unavailable(f"no beat at {self._address.shown}: {reason_of(error)}") from error
        mail = [(execution_id.decode(), seq) for execution_id, seq in mailbox]
        return Beat(now, bool(alive), mail, owned, checksum, orphans)

    def _call(self, arguments: tuple[Any, ...]) -> Any:
        try:
            return self._client.evalsha(BEAT.sha, 0, *arguments)
        except redis.exceptions.NoScriptError:
            return self._client.eval(BEAT.source.decode(), 0, *arguments)

    def close(self) -> None:
        self._client.close()
