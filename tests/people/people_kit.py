"""The HTTP application and a worker over one store, in one process; over memory, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import httpx
from graphs import graph
from rigs import Rig
from test_waits import echo, expression, with_node

from axiom.api.app import create_app
from axiom.api.auth import create_key
from axiom.api.settings import Settings
from axiom.compiler.artifact import Plan, freeze
from axiom.runtime import catalog
from axiom.runtime.clock import Clock, SystemClock, VirtualClock, run_virtual
from axiom.runtime.store.base import Store
from axiom.runtime.store.memory import MemoryStore
from axiom.runtime.store.opening import open_store

DECISION = {
    "type": "object",
    "required": ["ok"],
    "additionalProperties": False,
    "properties": {
        "ok": {"type": "boolean"},
        "note": {"type": "string", "maxLength": 20},
        "limit": {"type": "integer", "minimum": 0},
    },
}
INVOCATIONS = "/invocations/v1"


def asking(nodes: str = "a p b", arrows: str = "a>p p>b", who: str = "p", **hitl: Any) -> Plan:
    """A chain whose middle node waits for people."""
    config = {"hitl": {"resume_input": "Decision", **hitl}}
    return with_node(graph(nodes, arrows, messages={"Any": True, "Decision": DECISION}), who, config=config)


def awaiting(nodes: str = "a w b", arrows: str = "a>w w>b", **config: Any) -> Plan:
    """A chain whose middle node waits for an event with the order's key."""
    settings = {"name": "paid", "correlate": expression("order"), **config}
    return with_node(graph(nodes, arrows), "w", kind="event", config=settings)


class Place:
    """A store, a worker, the application, and a client with a key of the account ``default``."""

    def __init__(self, store: Store, clock: Clock, app: Any) -> None:
        self.store, self.clock, self.app = store, clock, app
        self.rig = Rig(store, clock, threaded=not isinstance(clock, VirtualClock))
        self.client: httpx.AsyncClient

    async def key(self, name: str, account: str = "default", **more: Any) -> dict[str, str]:
        """The header of a new key."""
        return {"authorization": f"Bearer {await create_key(self.store, self.clock, account, name, **more)}"}

    def http(self, **more: Any) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://localhost", **more)

    async def publish(self, plan: Plan, handlers: Mapping[str, Callable[..., Any]] | None = None) -> str:
        """Make a plan known to the doors and to the worker; nodes without a handler pass on what they get."""
        await catalog.store_artifact(self.store, "default", freeze(plan))
        return self.rig.add(plan, {**{node.alias: echo for node in plan.nodes}, **(handlers or {})})

    async def start(self, graph_id: str, input_: Any, **more: Any) -> str:
        body = {"graph_id": graph_id, "input": input_, **more}
        answer = await self.client.post(f"{INVOCATIONS}/flows/invoke", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["execution_id"])

    async def paused(self, execution_id: str, after: int = 0) -> None:
        """Wait until it is parked and waits for people, behind the seq ``after``."""
        await self.rig.until(
            execution_id,
            lambda head: head.status == "PAUSED" and head.session is None and head.seq > after,
        )

    async def waiting(self, execution_id: str) -> None:
        """Wait until it is parked and waits for anything else."""
        await self.rig.until(execution_id, lambda head: head.status == "WAITING" and head.session is None)

    async def pauses(self, execution_id: str) -> list[dict[str, Any]]:
        answer = await self.client.get(f"{INVOCATIONS}/executions/{execution_id}/pauses")
        assert answer.status_code == 200, answer.text
        return answer.json()["pauses"]  # type: ignore[no-any-return]

    async def do(
        self, execution_id: str, verb: str, body: Any, pause_id: str = "p", **more: Any
    ) -> httpx.Response:
        path = f"{INVOCATIONS}/executions/{execution_id}/pauses/{pause_id}/{verb}"
        return await self.client.post(path, json=body, **more)

    async def output(self, execution_id: str) -> Any:
        """The output of a run that must end well."""
        await self.rig.ended(execution_id)
        answer = await self.client.get(f"{INVOCATIONS}/executions/{execution_id}/output")
        assert answer.json()["success"], answer.text
        return answer.json()["output"]


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document that an answer must be."""
    assert answer.status_code == status, answer.text
    document: dict[str, Any] = answer.json()
    assert document["code"] == code, document
    return document


def at(
    url: str, scenario: Callable[[Place], Coroutine[Any, Any, Any]], *, workers: int = 1, **app: Any
) -> Any:
    """Run a scenario over a store; with ``memory:`` in virtual time. At its end every promise is checked."""

    async def run() -> Any:
        virtual = url == "memory:"
        clock = VirtualClock(seed=1) if virtual else SystemClock()
        store = MemoryStore(clock) if virtual else open_store(url)
        await store.open()
        place = Place(store, clock, create_app(store, Settings(), clock=clock, **app))
        try:
            for _ in range(workers):
                await place.rig.worker()
            async with place.http(headers=await place.key("tess")) as place.client:
                result = await scenario(place)
            await place.rig.check()
            return result
        finally:
            await place.rig.stop()
            await place.app.state.service.close()
            await store.close()

    return run_virtual(run()) if url == "memory:" else asyncio.run(run())
