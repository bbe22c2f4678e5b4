"""``sqlite:///…``: one process holds the file, every other speaks to it over a Unix socket.

``open()`` tries the lock beside the file. Who gets it is the holder: it opens the file, answers its own calls in
process and those of others over the socket. Who does not is a client. When the holder goes away, the first client that
gets the lock is the next (unless its role is ``client``); all others find it. So commits are grouped over all
processes, hints need no poll, and a stopped or killed worker keeps nobody from writing.
"""

from __future__ import annotations

from typing import Literal

from ..clock import Clock, SystemClock
from .base import Beater, Unavailable
from .embedded import Embedded
from .holder_client import Client, SocketBeater
from .holder_lock import HolderLock, socket_path
from .holder_server import HolderServer
from .ported import LocalBeater, Port, PortedStore
from .sqlite_backing import SqliteBacking
from .sqlite_open import check_place, path_of

Role = Literal["auto", "holder", "client"]


class SqliteStore(PortedStore):
    """A store in one file. ``role``: be the holder if nobody is (``auto``), be it or fail, or never be it."""

    def __init__(
        self, url: str, role: Role = "auto", timeout_seconds: float = 10.0, clock: Clock | None = None
    ) -> None:
        self.url, self.role = url, role
        self._path = path_of(url)
        self._clock = clock or SystemClock()
        self._timeout_seconds = timeout_seconds
        self._lock = HolderLock(self._path)
        self._embedded: Embedded | None = None
        self._server: HolderServer | None = None
        self._client: Client | None = None

    @property
    def port(self) -> Port:
        port = self._embedded or self._client
        if port is None:
            raise Unavailable("the store is not open")
        return port

    @property
    def holds(self) -> bool:
        """Whether this process holds the file."""
        return self._embedded is not None

    async def open(self) -> None:
        if self._embedded is not None or self._client is not None:
            return
        if self.role != "client" and await self._hold() is not None:
            return
        if self.role == "holder":
            raise Unavailable(f"another process holds {self._path}: stop it, or open the store as its client")
        client = Client(self._lock.socket, self._hold_if_free, self._clock, self._timeout_seconds)
        try:
            await client.open()
        except BaseException:
            await client.close()
            raise
        self._client = client

    async def _hold_if_free(self) -> Embedded | None:
        return None if self.role == "client" else await self._hold()

    async def _hold(self) -> Embedded | None:
        """Become the holder, if nobody is."""
        check_place(self._path)
        if not self._lock.acquire():
            return None
        embedded = Embedded(SqliteBacking(self._path, self._clock), self._clock)
        server = HolderServer(embedded)
        try:
            await embedded.open()
            place = socket_path(self._path)
            await server.start(place)
        except BaseException:
            await embedded.close()
            self._lock.release()
            raise
        self._lock.publish(place)
        self._embedded, self._server = embedded, server
        return embedded

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()
        if self._server is not None:
            await self._server.stop()
            self._server = None
        embedded, self._embedded = self._embedded, None
        if embedded is not None:
            await embedded.close()
            self._lock.release()

    def beater(self) -> Beater:
        if self._client is None and self._embedded is not None:
            return LocalBeater(self._embedded.beat)
        return SocketBeater(self._lock.socket, lambda: self._embedded)
