"""``/health``, ``/ready`` and ``/metrics``: for load balancers and monitors, without a key."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from axiom.runtime.store.base import StoreError
from axiom.runtime.telemetry import exposition

from ..errors import RETRY_SECONDS
from ..service import service_of
from ..wire import Json

ANSWER_SECONDS: Final = 2.0
"""A store that takes longer to say anything is not there."""


async def health(request: Request) -> Response:
    """``GET /health``: this process runs."""
    return Json({"status": "ok"})


async def ready(request: Request) -> Response:
    """``GET /ready``: the store answers. What its settings put at risk is told, and fails nothing."""
    service = service_of(request)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            findings = await service.store.findings()
            await service.store.get("probe", "ready")
    except (StoreError, TimeoutError, OSError) as error:
        said = str(error) or "the store did not answer in time"
        body: dict[str, Any] = {"status": "unavailable", "code": "store_unavailable", "detail": said}
        return Json(body, 503, {"retry-after": str(RETRY_SECONDS)})
    levels = {finding.level for finding in findings}
    worst = next((level for level in ("danger", "warning") if level in levels), "ok")
    told = [finding._asdict() for finding in findings]
    return Json({"status": "ready", "durability": worst, "findings": told})


async def metrics(request: Request) -> Response:
    """``GET /metrics``: Prometheus' text format."""
    return Response(exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


ROUTES: Final = [
    Route("/health", health, methods=["GET"]),
    Route("/ready", ready, methods=["GET"]),
    Route("/metrics", metrics, methods=["GET"]),
]
