"""What the routes of one process share: the store, the clock, who may call, who waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from axiom.compiler.artifact import Plan
from axiom.runtime.catalog import owned_plan, resolve_alias
from axiom.runtime.clock import Clock
from axiom.runtime.egress import Egress
from axiom.runtime.store.base import Head, Store
from axiom.runtime.telemetry import metered

from .auth import Gate, Principal
from .doors import head_of
from .errors import Problem
from .settings import Settings
from .validation import Validators
from .waiters import Waiters


class Service:
    """See the top of the file; it lies in ``app.state.service``."""

    def __init__(self, store: Store, settings: Settings, clock: Clock, egress: Egress | None = None) -> None:
        self.raw_store: Final = store
        self.store: Final = metered(store, clock)
        self.settings: Final = settings
        self.clock: Final = clock
        self.gate: Final = Gate(store, clock, settings)
        self.waiters: Final = Waiters(store, clock)
        self.validators: Final = Validators()
        self.egress: Final = egress or Egress(settings.webhook_allow)

    async def plan(self, account: str, graph_id: str) -> Plan:
        """Return one of the account's plans. ``UnknownArtifact``."""
        return await owned_plan(self.raw_store, account, graph_id)

    async def resolve(self, account: str, name: str) -> str:
        """Return the ``graph_id`` that an alias stands for. ``UnknownAlias``."""
        return await resolve_alias(self.raw_store, account, name)

    async def head(self, request: Request, caller: Principal) -> Head:
        """Return the head of the execution in the path. ``UnknownExecution``."""
        return await head_of(self.store, caller.account, request.path_params["execution_id"])

    async def close(self) -> None:
        self.waiters.close()
        await self.egress.close()


Handler = Callable[[Request, Service, Principal], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


def needs(scope: str) -> Callable[[Handler], Endpoint]:
    """A route for callers with that scope; the handler gets the service and the caller."""

    def mark(handler: Handler) -> Endpoint:
        @wraps(handler)
        async def endpoint(request: Request) -> Response:
            service: Service = request.app.state.service
            caller = await service.gate.caller(request)
            service.gate.limit(caller)
            caller.require(scope)
            return await handler(request, service, caller)

        return endpoint

    return mark


def service_of(request: Request) -> Service:
    """The service, for routes that need no key."""
    service: Service = request.app.state.service
    return service


def wrong_mode(plan_mode: str, wanted: str, other: str) -> None:
    """``Problem`` (409) unless a flow runs in the mode that an endpoint is for."""
    if plan_mode != wanted:
        raise Problem(
            "wrong_mode", f"this is a {plan_mode} flow: use {other}", endpoint=other, mode=plan_mode
        )
