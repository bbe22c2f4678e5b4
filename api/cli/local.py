"""``axiom run PATH``: a project run to its end in this very process, on a store of its own.

The worker is made before there is an event loop, because its child processes are forked from a server that must start
first. It serves only what it finds in the folder; if another worker of the store has the same code, that may take the
run as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from axiom.runtime.clock import SystemClock
from axiom.runtime.local import LocalWorker
from axiom.runtime.redaction import keep_clean

from ..sealing import keys_of, take_environment
from ..settings import Settings
from . import exits
from .compiling import project_of, require
from .embedded import opened_store, over, quiet
from .project import publish
from .target import ANSWER_SECONDS, Target

Act = Callable[[Target, dict[str, Any]], Awaitable[int]]
"""Does something with the body of an invoke, through a target, and returns the exit code."""


def run_local(settings: Settings, path: Path, act: Act, input_: Any) -> int:
    """Compile what ``path`` names, serve it here, and ``act`` on it."""
    project = project_of(path, drift=True, store=settings.store)
    require(project)
    if len(project.flows) > 1:
        names = ", ".join(flow.source.file for flow in project.flows)
        raise exits.usage(f"{path} has {len(project.flows)} flows: name one of {names}")
    quiet()
    keep_clean()
    worker = LocalWorker(
        [project.folder],
        SystemClock(),
        process_slots=settings.process_slots,
        keys=keys_of(settings),
        secrets=take_environment(),
    )
    body = {"graph_id": project.flows[0].artifact.graph_id, "input": input_}

    async def serve_and_act() -> int:
        async with opened_store(settings.store) as store:
            await publish(store, project, by="run", replace=True)
            await worker.start(store, name="run", lease_ms=settings.lease_duration_ms)
            try:
                async with (
                    over(store, settings) as transport,
                    httpx.AsyncClient(
                        base_url="http://localhost", transport=transport, timeout=ANSWER_SECONDS
                    ) as client,
                ):
                    return await act(Target(client, settings.store), body)
            finally:
                await worker.stop()

    return asyncio.run(serve_and_act())
