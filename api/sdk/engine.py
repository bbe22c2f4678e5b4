"""The engine in your own process, with no server: a store, a worker, and starts whose results you may wait for.

``async with Engine(store="sqlite:///x.db", workflows=[onboard]) as engine:`` carries on what a dead process left.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Generic, TypeVar, cast

from axiom.api import doors, doors_events
from axiom.api.sealing import keys_of
from axiom.api.settings import Settings
from axiom.api.waiters import Waiters
from axiom.compiler.artifact import Node
from axiom.runtime import catalog, telemetry
from axiom.runtime.clock import Clock, SystemClock
from axiom.runtime.configs import resolve
from axiom.runtime.engine import Execution
from axiom.runtime.events import Event
from axiom.runtime.failures import Failure, failure_of
from axiom.runtime.limits import CONCURRENT_EXECUTIONS, LEASE_MS
from axiom.runtime.local import secret_from_environment
from axiom.runtime.perform import Attempt
from axiom.runtime.performer import Vault, unlock
from axiom.runtime.prepared import Prepared
from axiom.runtime.results import Result, result_of
from axiom.runtime.starts import Start
from axiom.runtime.store.base import Store
from axiom.runtime.store.opening import open_store
from axiom.runtime.values import plain
from axiom.runtime.vault import NO_KEYS, Keys, open_secrets, publish_key
from axiom.runtime.worker import Worker

from .workflows import CODED, Workflow

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741

ACCOUNT: Final = "default"
WAIT_SECONDS: Final = 3600.0
"""One look of a wait without a timeout; then it goes on."""


class RunFailed(Exception):
    """An execution did not complete; ``code`` is stable (``diverged``, ``cancelled``, a task's own, …)."""

    def __init__(self, execution_id: str, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.execution_id: Final = execution_id
        self.code: Final = code


class Handle(Generic[O]):
    """One execution, to be asked about."""

    def __init__(self, engine: Engine, execution_id: str, workflow: Workflow[Any, O] | None) -> None:
        self.execution_id: Final = execution_id
        self._engine: Final = engine
        self._workflow: Final = workflow

    async def wait(self, timeout: float | None = None) -> O:
        """Return the result, typed as the workflow says. ``RunFailed``; ``TimeoutError`` after so many seconds."""
        result = await self._engine._result(self.execution_id, timeout)
        if not result.success:
            error = result.error or {}
            raise RunFailed(self.execution_id, str(error.get("code")), str(error.get("message")))
        decode = self._workflow.returns if self._workflow is not None else None
        return cast("O", result.output if decode is None else decode(result.output))

    async def status(self) -> str:
        """Return the present status, e.g. ``RUNNING``."""
        store = self._engine.store
        return (await doors.head_of(store, ACCOUNT, self.execution_id)).status

    async def cancel(self, reason: str = "") -> str:
        """End it, and return its status: CANCELLED, or COMPENSATING while it undoes what it did."""
        return await doors.cancel(self._engine.store, self._engine.clock, ACCOUNT, self.execution_id, reason)

    async def signal(self, name: str, payload: Any = None, *, key: str | None = None, id: str = "") -> None:
        """Send an event to it; one ``id`` counts once, one that comes early is kept."""
        store, clock = self._engine.store, self._engine.clock
        head = await doors.head_of(store, ACCOUNT, self.execution_id)
        await doors_events.send_signal(store, clock, head, name, key, id or clock.token(16), plain(payload))


class Engine:
    """See the top of the file. ``store`` is a URL, which other processes may open too, or a store that is open."""

    def __init__(
        self,
        store: str | Store = "sqlite:///.axiom/axiom.db",
        workflows: Sequence[Workflow[Any, Any]] = (),
        *,
        name: str = "",
        max_concurrent_executions: int = CONCURRENT_EXECUTIONS,
        lease_ms: int = LEASE_MS,
        clock: Clock | None = None,
        secrets_key_file: str | Path | None = None,
    ) -> None:
        self._keys: Final = _keys(store, secrets_key_file)
        self.store: Final[Store] = open_store(store) if isinstance(store, str) else store
        self._owns_store: Final = isinstance(store, str)
        self.clock: Final[Clock] = clock or SystemClock()
        self._workflows: Final[dict[tuple[str, str], Workflow[Any, Any]]] = {}
        for each in workflows:
            self._add(each)
        self._name: Final = name
        self._concurrency: Final = max_concurrent_executions
        self._lease_ms: Final = lease_ms
        self._threaded: Final = clock is None
        self._worker: Worker | None = None
        self._waiters: Waiters

    async def __aenter__(self) -> Engine:
        telemetry.log_through_logging()
        if self._owns_store:
            await self.store.open()
        for each in self._workflows.values():
            await catalog.store_artifact(self.store, ACCOUNT, each.artifact)
        self._waiters = Waiters(self.store, self.clock)
        if self._workflows:
            await publish_key(self.store, self._keys)
            self._worker = Worker(
                self.store,
                self.clock,
                prepare=self._prepare,
                performer=NoNodes(partial(open_secrets, self.store, self._keys, secret_from_environment)),
                name=self._name,
                packages={f"{name}@{version}": CODED for name, version in self._workflows},
                concurrency=self._concurrency,
                lease_ms=self._lease_ms,
                threaded=self._threaded,
            )
            await self._worker.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self, drain_seconds: float = 5.0) -> None:
        """Let what runs come to its next checkpoint, give it back, and close the store."""
        if self._worker is not None:
            await self._worker.drain(drain_seconds)
        self._waiters.close()
        if self._owns_store:
            await self.store.close()

    async def kill(self) -> None:
        """Stop at once, whatever runs: others carry on, as they do when a process dies."""
        if self._worker is not None:
            await self._worker.stop()
            self._worker = None

    async def enqueue(
        self,
        workflow: Workflow[I, O],
        payload: I,
        *,
        idempotency_key: str | None = None,
        config_id: str | None = None,
    ) -> Handle[O]:
        """Start a run; durable on return. The same key again gives the same run.

        ``config_id`` names a config over the defaults. ``UnknownConfig``, ``ConfigUnfit``.
        """
        value = plain(payload)
        artifact = workflow.artifact
        await catalog.store_artifact(self.store, ACCOUNT, artifact)
        digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
        start = Start(
            ACCOUNT,
            artifact.graph_id,
            artifact.plan,
            value,
            key=idempotency_key,
            request_hash=digest,
            config_id=config_id,
            config=await resolve(self.store, ACCOUNT, artifact.plan, config_id),
        )
        started = await doors.start_execution(self.store, self.clock, start)
        return Handle(self, started.execution_id, workflow)

    async def run(self, workflow: Workflow[I, O], payload: I, *, timeout: float | None = None) -> O:
        """Start a run and wait for its result."""
        return await (await self.enqueue(workflow, payload)).wait(timeout)

    def handle(self, execution_id: str, workflow: Workflow[Any, O] | None = None) -> Handle[O]:
        """Return the handle of an execution that was started elsewhere or before."""
        return Handle(self, execution_id, workflow)

    def _add(self, workflow: Workflow[Any, Any]) -> None:
        known = self._workflows.setdefault((workflow.name, workflow.version), workflow)
        if known is not workflow:
            raise ValueError(
                f"two workflows are called {workflow.name} {workflow.version}: give one another version"
            )

    async def _prepare(self, graph_id: str) -> Prepared:
        plan = await catalog.load_plan(self.store, graph_id)
        found = self._workflows.get((plan.name, plan.version))
        coded = any(node.type == "coded" for node in plan.nodes)
        missing = [] if found and coded else [f"{name}:{digest}" for name, digest in plan.packages.items()]

        def bind(node: Node) -> Any:
            return found if node.type == "coded" else None

        return Prepared(graph_id, plan, bind, missing)

    async def _result(self, execution_id: str, timeout: float | None) -> Result:
        with self._waiters.listen(execution_id) as listener:
            while True:
                seconds = WAIT_SECONDS if timeout is None else timeout
                ended = await self._waiters.ended(listener, execution_id, seconds, look=True)
                if ended is not None:
                    return await result_of(self.store, execution_id, ended.seq)
                await doors.head_of(self.store, ACCOUNT, execution_id)
                if timeout is not None:
                    raise TimeoutError(f"execution {execution_id} did not end within {timeout:g} s")


def _keys(store: str | Store, file: str | Path | None) -> Keys:
    """The keys of secrets: of the file that was named, or of the one beside an SQLite store."""
    if file is not None:
        return Keys(file=Path(file))
    return keys_of(Settings(store=store)) if isinstance(store, str) else NO_KEYS


class NoNodes:
    """The performer of a worker that has coded workflows only."""

    def __init__(self, vault: Vault) -> None:
        self._vault: Final = vault

    def context(self, attempt: Attempt, resume_after: Any = None) -> Any:
        raise RuntimeError("coded workflows make their own")

    async def unlock(self, execution: Execution, names: Collection[str]) -> Failure | None:
        return await unlock(self._vault, execution, names)

    async def elsewhere(self, attempt: Attempt, isolation: str, value: Any) -> Any:
        raise RuntimeError("coded workflows have no nodes")

    def failed(self, attempt: Attempt, error: BaseException) -> Failure:
        return failure_of(error)

    def observe(self, attempt: Attempt, event: Event, seconds: float) -> None:
        """Nothing is counted here."""

    def stuck(self, attempt: Attempt) -> None:
        """Tasks on the loop that ignore their cancellation are left alone."""
