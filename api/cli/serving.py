"""A server in this process: HTTP over an open store, webhooks, retention. It never runs user code.

The port is taken before the store is opened, so that a second server on one port fails with one line and touches
nothing. SIGTERM and SIGINT are ours, not uvicorn's: the first ends what was started in order, a second one at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Final

import uvicorn

from axiom.runtime.carrier import Carrier
from axiom.runtime.catalog import load_plan
from axiom.runtime.clock import SystemClock
from axiom.runtime.correlation import Sweeper
from axiom.runtime.egress import Egress
from axiom.runtime.pruner import Pruner
from axiom.runtime.scheduler import Scheduler
from axiom.runtime.store.base import Store
from axiom.runtime.webhooks import Deliveries

from ..app import create_app
from ..settings import Settings
from . import exits

BACKLOG: Final = 1024
CLOSE_SECONDS: Final = 3
"""How long open requests and streams may take to end when the server does."""


def bind(host: str, port: int) -> socket.socket:
    """Take the port; ``Stop`` if it is taken or not ours to take."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        said = error.strerror or str(error)
        raise exits.usage(f"can't listen on {host}:{port}: {said}", "--port names another") from error
    listener.setblocking(False)
    return listener


@asynccontextmanager
async def serving(store: Store, settings: Settings, listener: socket.socket) -> AsyncIterator[uvicorn.Server]:
    """Serve ``store`` on ``listener`` until the block ends."""
    clock = SystemClock()
    egress = Egress(settings.webhook_allow)
    deliveries = Deliveries(store, clock, egress)
    carrier = Carrier(store, clock, deliveries.session, partial(load_plan, store))
    scheduler = Scheduler(store, clock, settings.retention_days)
    parts = (deliveries, carrier, Pruner(store, clock), scheduler, Sweeper(store, clock))
    app = create_app(store, settings, clock=clock, egress=egress)
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=CLOSE_SECONDS,
            h11_max_incomplete_event_size=64 << 10,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    try:
        for part in parts:
            await part.start()
        while not server.started and not task.done():
            await asyncio.sleep(0.005)
        if task.done():
            raise exits.failed("the server did not start: see the log")
        yield server
    finally:
        server.should_exit = True
        await asyncio.gather(*(part.stop() for part in parts), return_exceptions=True)
        await task


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers: signals are this module's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def until_told() -> None:
    """Return at the first SIGTERM or SIGINT; the second one ends the process at once."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()

    def tell() -> None:
        if told.is_set():
            os._exit(130)
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, tell)
    await told.wait()
