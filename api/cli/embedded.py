"""The application over a store of this process's own, for commands that are given no server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from axiom.runtime.store.base import Store
from axiom.runtime.store.opening import open_store

from ..app import create_app
from ..auth import LOCAL, SCOPE_KEY
from ..settings import Settings
from .inprocess import InProcess


@asynccontextmanager
async def opened_store(url: str) -> AsyncIterator[Store]:
    """The store of ``url``, open."""
    store = open_store(url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def application(settings: Settings) -> AsyncIterator[InProcess]:
    """A way into an application over the settings' store, as the one who may do everything there."""
    async with opened_store(settings.store) as store, over(store, settings) as transport:
        yield transport


@asynccontextmanager
async def over(store: Store, settings: Settings) -> AsyncIterator[InProcess]:
    """The same over a store that is open already."""
    app = create_app(store, settings)
    async with app.router.lifespan_context(app):
        yield InProcess(app, {SCOPE_KEY: LOCAL})


def quiet() -> None:
    """Let nothing below a warning reach a command's stderr."""
    import logging

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
