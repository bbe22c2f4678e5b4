"""The engine in this process, over a bed: the bench's own package, compiled, served by a worker and started here.

As in any process that runs nodes, the worker is made before there is an event loop: its fork server must start first.
So a measure in process is a function that makes a ``Rig``, and then runs a coroutine on it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from axiom.compiler.artifact import Artifact
from axiom.compiler.compile import compile_flow
from axiom.compiler.model import Package
from axiom.compiler.package import load_package
from axiom.runtime import catalog
from axiom.runtime.clock import SystemClock
from axiom.runtime.embedded import Engine
from axiom.runtime.engine import Execution
from axiom.runtime.local import LocalWorker
from axiom.runtime.prepared import Prepared
from axiom.runtime.store.base import Status, Store
from axiom.runtime.store.opening import open_store

from .rounds import Run

PACKAGE: Final = Path(__file__).parent / "package"
ACCOUNT: Final = "default"


def package() -> Package:
    """Return the bench's package."""
    return load_package(PACKAGE)


def artifacts() -> Mapping[str, Artifact]:
    """Return the package's flows, compiled, by the last part of their names."""
    home = package()
    compiled = (compile_flow(flow.content, flow.file, (), home).require() for flow in home.flows)
    return {artifact.plan.name.rpartition("/")[2]: artifact for artifact in compiled}


def long_chain(nodes: int) -> Artifact:
    """Compile a chain of so many nodes."""
    places = "".join(f"  - {{alias: n{n}, node: Step}}\n" for n in range(nodes))
    edges = "".join(f"  - {{from: n{n}, to: n{n + 1}}}\n" for n in range(nodes - 1))
    source = f"name: axiom/long\nversion: 1.0.0\nnodes:\n{places}edges:\n{edges}"
    return compile_flow(source, "long.yaml", (), package()).require()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    """The store of ``url``, open."""
    store = open_store(url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def publish(store: Store, *found: Artifact) -> None:
    """Keep the bench's package and these artifacts in the store, as ``axiom dev`` would."""
    await catalog.publish_package(store, package().manifest(), replace=True)
    for artifact in found:
        await catalog.store_artifact(store, ACCOUNT, artifact)


class Rig:
    """A worker and an engine; to be made before there is a loop."""

    def __init__(self) -> None:
        self.clock: Final = SystemClock()
        self.local: Final = LocalWorker([PACKAGE], self.clock, process_slots=1)
        self.engine: Engine

    @asynccontextmanager
    async def serving(self, store: Store) -> AsyncIterator[Rig]:
        """Work for ``store`` until the block ends."""
        self.engine = Engine(store, self.clock)
        self.engine.worker = await self.local.start(store, name="bench", on_final=self.engine.on_final)
        try:
            yield self
        finally:
            await self.local.stop()

    async def prepared(self, store: Store, artifact: Artifact) -> Prepared:
        """Publish an artifact and return it bound to its handlers."""
        await publish(store, artifact)
        return await self.local.prepare(artifact.graph_id)

    def runs(self, prepared: Prepared, value: Any, check: Callable[[Execution], bool]) -> Run:
        """Return what makes one run and sees that it ended as it should."""
        start = self.engine.start

        async def run() -> None:
            _, end = await start(prepared, value)
            execution = await end
            ended = execution is not None and execution.state.status == Status.COMPLETED
            if not ended or not check(execution):  # type: ignore[arg-type]
                raise AssertionError(f"a run of {prepared.plan.name} did not end as it should")

        return run
