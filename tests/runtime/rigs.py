"""A worker over any store with handlers given as plain functions: the engine without packages or processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from types import SimpleNamespace
from typing import Any

from axiom.compiler.artifact import Plan, freeze
from axiom.runtime import events as e
from axiom.runtime.clock import Clock
from axiom.runtime.engine import Execution
from axiom.runtime.events import Event
from axiom.runtime.failures import Failure, failure_of
from axiom.runtime.perform import Attempt, HandlerFailed
from axiom.runtime.prepared import Prepared
from axiom.runtime.store.base import FINAL, Append, Create, Head, Ok, Store
from axiom.runtime.topology import Topology
from axiom.runtime.verify import verify
from axiom.runtime.worker import Worker

Handlers = Mapping[str, Callable[..., Any]]


class Hands:
    """Calls handlers in the loop, whatever their isolation; counts calls and notes effects by their key."""

    def __init__(self) -> None:
        self.stuck_attempts: list[str] = []
        self.calls: list[tuple[str, int]] = []
        self.elsewhere_calls: list[tuple[str, str]] = []

    def context(self, attempt: Attempt, resume_after: Any = None) -> Any:
        execution = attempt.execution
        self.calls.append((attempt.step.node.alias, attempt.number))
        return SimpleNamespace(
            execution_id=execution.id,
            node=attempt.step.node.alias,
            iteration=attempt.key[1],
            attempt=attempt.number,
            fencing_token=execution.epoch,
            resume_after=resume_after,
        )

    async def unlock(self, execution: Execution, names: Collection[str]) -> Failure | None:
        return None

    async def elsewhere(self, attempt: Attempt, isolation: str, value: Any) -> Any:
        self.elsewhere_calls.append((attempt.step.node.alias, isolation))
        try:
            result = attempt.step.handler.function(self.context(attempt), value)
            return await result if asyncio.iscoroutine(result) else result
        except Exception as error:
            raise HandlerFailed(failure_of(error)) from error

    def failed(self, attempt: Attempt, error: BaseException) -> Failure:
        return failure_of(error)

    def observe(self, attempt: Attempt, event: Event, seconds: float) -> None: ...

    def stuck(self, attempt: Attempt) -> None:
        self.stuck_attempts.append(attempt.step.node.alias)


def bound(function: Callable[..., Any]) -> Any:
    isolation = "async" if asyncio.iscoroutinefunction(function) else "process"
    return SimpleNamespace(function=function, isolation=isolation, decode=None, encode=lambda value: value)


def prepare(plan: Plan, handlers: Handlers) -> Prepared:
    return Prepared(freeze(plan).graph_id, plan, lambda node: bound(handlers[node.alias]))


class Rig:
    """A store, some plans and workers: ``await rig.start(plan, input)``, ``await rig.ended(id)``."""

    def __init__(self, store: Store, clock: Clock, *, threaded: bool = False) -> None:
        self.store, self.clock, self.threaded = store, clock, threaded
        self.prepared: dict[str, Prepared] = {}
        self.workers: list[Worker] = []
        self.hands = Hands()

    def add(self, plan: Plan, handlers: Handlers) -> str:
        prepared = prepare(plan, handlers)
        self.prepared[prepared.graph_id] = prepared
        return prepared.graph_id

    async def worker(self, **more: Any) -> Worker:
        async def find(graph_id: str) -> Prepared:
            return self.prepared[graph_id]

        worker = Worker(
            self.store, self.clock, prepare=find, performer=self.hands, threaded=self.threaded, **more
        )
        self.workers.append(worker)
        await worker.start()
        return worker

    async def start(self, graph_id: str, value: Any = None, **body: Any) -> str:
        now = self.store.now()
        execution_id = self.clock.token(16)
        accepted = Event(
            e.ACCEPTED, now, body={"graph_id": graph_id, "input": {"value": value or {}}, **body}
        )
        data = e.encode(accepted)
        plan = self.prepared[graph_id].plan
        create = Create("default", plan.name, graph_id, plan.mode, plan.nodes[plan.entry].pool)
        item = Append(
            execution_id, (data,), (e.crc(execution_id, data),), now, 0, status="QUEUED", create=create
        )
        assert (await self.store.append([item]))[0] == Ok(1)
        return execution_id

    async def head(self, execution_id: str) -> Head:
        head = (await self.store.heads([execution_id]))[0]
        assert head is not None
        return head

    async def until(self, execution_id: str, holds: Callable[[Head], bool], seconds: float = 60) -> Head:
        """Wait, by the store's hints, until the head is as told."""
        moved = asyncio.Event()
        unwatch = self.store.watch(lambda hints: moved.set())
        try:
            async with asyncio.timeout(seconds):
                while not holds(head := await self.head(execution_id)):
                    await moved.wait()
                    moved.clear()
                return head
        finally:
            unwatch()

    async def ended(self, execution_id: str, seconds: float = 60) -> Head:
        return await self.until(execution_id, lambda head: head.status in FINAL, seconds)

    async def history(self, execution_id: str) -> list[Event]:
        return await self.store.read(execution_id, 0, 100_000)

    async def output(self, execution_id: str) -> Any:
        events = await self.history(execution_id)
        assert events[-1].kind == e.COMPLETED, events[-1]
        value = events[events[-1].body["output_seq"] - 1].body["output"]
        return (
            value["value"]
            if "value" in value
            else e.unpack_value(await self.store.blob(execution_id, value["blob"]))
        )

    async def kinds(self, execution_id: str) -> list[str]:
        return [
            event.kind if event.node is None else f"{event.kind} {event.node} {event.attempt}"
            for event in await self.history(execution_id)
        ]

    async def check(self) -> None:
        """Every promise holds over the whole store."""

        async def topology_of(graph_id: str) -> Topology | None:
            return self.prepared[graph_id].topology

        found = [violation async for violation in verify(self.store, topology_of)]
        assert not found, found

    async def stop(self) -> None:
        for worker in self.workers:
            await worker.stop()
