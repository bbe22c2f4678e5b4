"""A worker with all that it needs in this process: packages, child processes, plans prepared and kept.

The order of construction matters: ``LocalWorker(...)`` starts the fork server and must come before the event loop,
threads and store connections; ``start`` comes inside the loop.
"""

from __future__ import annotations

import os
import signal
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog

from axiom.compiler.artifact import Node, Plan

from . import telemetry, webhooks
from .catalog import load_plan
from .children import Children
from .clock import Clock
from .context import Surroundings
from .engine import Execution
from .failures import NodeFailure
from .handlers import Handler, HandlerMissing, Packages
from .limits import (
    CONCURRENT_EXECUTIONS,
    LEASE_MS,
    LOOP_STALL_SECONDS,
    PREPARED_PLANS,
    PROCESS_SLOTS,
)
from .loading import HandlerBroken
from .performer import LocalPerformer
from .prepared import Prepared
from .store.base import EVEN, Store
from .vault import NO_KEYS, Fallback, Keys, key_id_of, open_secrets, publish_key
from .worker import Worker

log = structlog.get_logger("axiom.worker")


def secret_from_environment(name: str) -> str | None:
    """Return the secret ``name``: the environment variable ``AXIOM_SECRET_<name>``."""
    return os.environ.get(f"AXIOM_SECRET_{name}")


def end_this_process(reason: str) -> None:
    """End at once, without a word to anyone: the session lapses and others take over."""
    log.error("worker_ends_itself", reason=reason)
    os.kill(os.getpid(), signal.SIGKILL)


class LocalWorker:
    """See the top of the file.

    ``on_stuck`` is called with a reason when this process can't go on: a handler blocks the loop or ignores its
    cancellation. Raises ``CompileFailed`` if a folder is no good package.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        clock: Clock,
        *,
        pools: Sequence[str] = ("default",),
        process_slots: int = PROCESS_SLOTS,
        secrets: Fallback = secret_from_environment,
        keys: Keys = NO_KEYS,
        on_stuck: Callable[[str], None] = end_this_process,
    ) -> None:
        self.packages: Final = Packages(folders)
        self.children: Final = Children(process_slots, clock)
        self.children.start()
        self.worker: Worker
        self._clock: Final = clock
        self._pools: Final = frozenset(pools)
        self._secrets: Final = secrets
        self._keys: Final = keys
        self._on_stuck: Final = on_stuck
        self._performer: LocalPerformer | None = None
        self._prepared: OrderedDict[str, Prepared] = OrderedDict()
        self._store: Store

    async def start(
        self,
        store: Store,
        *,
        name: str = "",
        concurrency: int = CONCURRENT_EXECUTIONS,
        lease_ms: int = LEASE_MS,
        stall_seconds: float = LOOP_STALL_SECONDS,
        on_final: Callable[[Execution], None] | None = None,
        weights: Mapping[str, float] = EVEN,
    ) -> Worker:
        """Join the store's workers and begin to claim."""
        self._store = store
        around = Surroundings(name)
        vault = partial(open_secrets, store, self._keys, self._secrets)
        self._performer = LocalPerformer(self.children, around, vault, self._on_stuck)
        await self._publish_key(store)

        def told(execution: Execution) -> None:
            if execution.state.final and execution.state.outcome is not None:
                _observe_end(execution)
            if on_final is not None:
                on_final(execution)

        born = {"pid": os.getpid(), "host": os.uname().nodename, "started_at": store.now()}
        self.worker = Worker(
            store,
            self._clock,
            prepare=self.prepare,
            performer=self._performer,
            name=name,
            pools=sorted(self._pools),
            packages=self.packages.digests,
            concurrency=concurrency,
            lease_ms=lease_ms,
            weights=weights,
            stall_seconds=stall_seconds,
            effects=webhooks.final_effects,
            on_final=told,
            stalled=lambda: self._on_stuck("the event loop is blocked"),
            info=lambda: {**born, "processes_wanted": self.children.wanted_by},
        )
        await self.worker.start()
        return self.worker

    async def _publish_key(self, store: Store) -> None:
        """Let servers seal for this worker; say so if they seal with a key that it doesn't have."""
        public = await publish_key(store, self._keys)
        if public is not None and self._keys.find(key_id_of(public)) is None:
            log.warning("secrets_key_missing", wanted=key_id_of(public))

    async def stop(self, drain_seconds: float = 0.0) -> None:
        """Drain for at most ``drain_seconds``, then end everything."""
        if drain_seconds > 0:
            await self.worker.drain(drain_seconds)
        else:
            await self.worker.stop()
        await self.children.stop()
        if self._performer is not None:
            self._performer.close()

    def reload(self) -> list[str]:
        """Read the packages again; what is bound stays bound to its code. Returns what changed (``name@version``)."""
        changed = self.packages.reload()
        if changed:
            self._prepared.clear()
            self.worker.offer(self.packages.digests)
        return changed

    async def prepare(self, graph_id: str) -> Prepared:
        """Return a plan bound to this worker's handlers, from the cache if it can."""
        found = self._prepared.get(graph_id)
        if found is None:
            found = self.bind(graph_id, await load_plan(self._store, graph_id))
            self._prepared[graph_id] = found
            if len(self._prepared) > PREPARED_PLANS:
                self._prepared.popitem(last=False)
        return found

    def bind(self, graph_id: str, plan: Plan) -> Prepared:
        """Bind the nodes of this worker's pools to their handlers."""
        missing: list[str] = []
        drifted: dict[str, tuple[str, str]] = {}

        def bind_one(node: Node) -> Any:
            if node.pool not in self._pools or node.kind != "node":  # sleeps and events have no handler
                return None
            try:
                handler = self.packages.handler(node, plan.drift)
            except HandlerMissing as error:
                missing.append(f"{error.package}:{error.wanted}")
                return None
            except HandlerBroken as error:
                return BrokenHandler(error)
            if handler.reference.digest != node.digest and node.digest:
                drifted[f"{node.package}@{node.version}"] = (node.digest, handler.reference.digest)
            return handler

        return Prepared(graph_id, plan, bind_one, missing, drifted)


class BrokenHandler:
    """Stands in for a handler that can't be loaded: each attempt fails and says why."""

    isolation = "async"
    decode = None
    encode = staticmethod(Handler.encode)

    def __init__(self, error: HandlerBroken) -> None:
        self._error: Final = error

    async def function(self, ctx: Any, value: Any) -> Any:
        place = self._error.place
        raise NodeFailure(f"{self._error} ({place.file}:{place.line})", code=self._error.code)


def _observe_end(execution: Execution) -> None:
    state, head = execution.state, execution.head
    telemetry.run_ended(state.status, (state.at - head.created_at) / 1000)
    if execution.traced:
        link = execution.accepted.get("link")
        telemetry.execution_span(execution.id, head.flow, head.created_at, state.at, state.status, link)
