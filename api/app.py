"""The HTTP application: a list of routes, one guard before them, one table of exceptions behind them.

A handler decodes, calls one function of the rooms below, and encodes; what goes wrong is raised and answered in one
place. The application opens nothing: it is given an open store, and whoever made it closes the store after it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from axiom.runtime.clock import Clock, SystemClock
from axiom.runtime.egress import Egress
from axiom.runtime.store.base import Store

from .doors import DoorError
from .errors import EXPECTED, answer
from .guards import Guard
from .http import (
    approvals,
    branches,
    bulk,
    configs,
    console,
    debug,
    events,
    executions,
    forks,
    hold,
    invoke,
    limits,
    migrate,
    pages,
    pauses,
    probes,
    registry,
    schedules,
    secrets,
    web,
)
from .service import Service
from .settings import Settings

ROUTES: list[BaseRoute] = [
    *invoke.ROUTES,
    *executions.ROUTES,
    *bulk.ROUTES,
    *forks.ROUTES,
    *hold.ROUTES,
    *branches.ROUTES,
    *pauses.ROUTES,
    *debug.ROUTES,
    *migrate.ROUTES,
    *approvals.ROUTES,
    *events.ROUTES,
    *registry.ROUTES,
    *console.ROUTES,
    *configs.ROUTES,
    *secrets.ROUTES,
    *schedules.ROUTES,
    *limits.ROUTES,
    *pages.ROUTES,
    *web.ROUTES,
    *probes.ROUTES,
]


def create_app(
    store: Store, settings: Settings, *, clock: Clock | None = None, egress: Egress | None = None
) -> Starlette:
    """Return the application over an open store."""
    clock = clock or SystemClock()
    service = Service(store, settings, clock, egress)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await service.close()

    app = Starlette(
        routes=ROUTES,
        middleware=[Middleware(Guard, settings=settings, clock=clock)],
        exception_handlers=dict.fromkeys((*EXPECTED, DoorError), answer),
        lifespan=lifespan,
    )
    app.state.service = service
    return app
