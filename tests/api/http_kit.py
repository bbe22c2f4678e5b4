"""The HTTP door over a memory store, with a hand in a worker's place: it claims and writes what a test tells it to."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn

from axiom.api.app import create_app
from axiom.api.auth import create_key
from axiom.api.settings import Settings
from axiom.compiler.artifact import Edge, Node, Plan, freeze
from axiom.runtime import catalog
from axiom.runtime import events as e
from axiom.runtime.clock import SystemClock
from axiom.runtime.egress import Egress
from axiom.runtime.events import Event
from axiom.runtime.store.base import (
    Append,
    Claimed,
    Fence,
    Frame,
    FrameAppend,
    Ok,
    Store,
)
from axiom.runtime.store.memory import MemoryStore

ORDER = {
    "type": "object",
    "required": ["order_id", "total"],
    "additionalProperties": False,
    "properties": {
        "order_id": {"type": "string"},
        "total": {"type": "number", "minimum": 0},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
    },
    "$defs": {
        "Line": {
            "type": "object",
            "required": ["sku"],
            "properties": {"sku": {"type": "string"}, "count": {"type": "integer"}},
        }
    },
}
SSE = {"accept": "text/event-stream"}


def plan(
    mode: Any = "unary",
    name: str = "acme/fulfil",
    input_: Any = ORDER,
    nodes: str = "first last",
    **more: Any,
) -> Plan:
    """A chain."""
    aliases = nodes.split()
    type_: Any = "pipeline" if mode == "pipeline" else "unary"
    placed = tuple(
        Node(n, alias, "acme/orders", "1.0.0", "d" * 16, alias.title(), "x.py:f", "In", "Out", type=type_)
        for n, alias in enumerate(aliases)
    )
    edges = tuple(Edge(n, n, n + 1) for n in range(len(aliases) - 1))
    return Plan(
        name=name,
        version="1.0.0",
        mode=mode,
        input="In",
        output="Out",
        messages={"In": input_, "Out": True},
        nodes=placed,
        edges=edges,
        entry=0,
        terminal=len(aliases) - 1,
        **more,
    )


def order(**more: Any) -> dict[str, Any]:
    return {"order_id": "o-1", "total": 12.5, **more}


class Hand:
    """A worker by hand."""

    def __init__(self, store: Store, name: str = "hand") -> None:
        self.store, self.session = store, f"session-{name}"
        self.beater = store.beater()
        self.info = {"worker": name, "pools": ["default"], "packages": {}, "slots": 8}
        self.beater.beat(self.session, 60_000, self.info, {})
        self.owned: dict[str, tuple[Claimed, int]] = {}

    async def take(self) -> str:
        """Claim one execution, waiting for it."""
        ready = asyncio.Event()
        unwatch = self.store.watch(lambda hints: ready.set())
        try:
            async with asyncio.timeout(60):
                while not (claimed := await self.store.claim(self.session, ["default"], 1)):
                    await ready.wait()
                    ready.clear()
        finally:
            unwatch()
        head = claimed[0].head
        self.owned[head.execution_id] = (claimed[0], head.seq)
        return head.execution_id

    async def write(self, execution_id: str, *events: Event, status: str | None = None, **more: Any) -> int:
        claimed, seq = self.owned[execution_id]
        epoch = claimed.head.epoch
        data = [e.encode(event._replace(epoch=epoch)) for event in events]
        item = Append(
            execution_id,
            tuple(data),
            tuple(e.crc(execution_id, one) for one in data),
            events[-1].at,
            seq,
            Fence(self.session, epoch),
            status=status,
            **more,
        )
        outcome = (await self.store.append([item]))[0]
        assert isinstance(outcome, Ok), outcome
        self.owned[execution_id] = (claimed, outcome.seq)
        return outcome.seq

    def at(self, kind: str, node: str | None = None, attempt: int = 0, /, **body: Any) -> Event:
        return Event(kind, self.store.now(), node, (), attempt, 0, body)

    async def complete(self, execution_id: str, output: Any, blob: bool = False, **more: Any) -> None:
        """Start, run one node, end."""
        value: dict[str, Any] = {"value": output}
        if blob:
            data = e.pack_value(output)
            await self.store.put_blob(execution_id, "last..1", data)
            value = {"blob": "last..1", "size": len(data)}
        seq = self.owned[execution_id][1]
        started = self.at(e.STARTED, worker="hand")
        await self.write(execution_id, started, self.at(e.NODE_STARTED, "last", 1), status="RUNNING")
        await self.write(
            execution_id,
            self.at(e.NODE_COMPLETED, "last", 1, output=value, ms=3),
            self.at(e.COMPLETED, output_seq=seq + 3),
            status="COMPLETED",
            **more,
        )

    async def fail(self, execution_id: str, code: str, message: str, node: str = "last", **more: Any) -> None:
        final = self.at(e.FAILED, code=code, message=message, node=node, attempt=1)
        await self.write(execution_id, self.at(e.STARTED, worker="hand"), final, status="FAILED", **more)

    async def frames(self, execution_id: str, node: str, first: int, payloads: list[Any]) -> None:
        claimed, _ = self.owned[execution_id]
        fence = Fence(self.session, claimed.head.epoch)
        made = tuple(
            Frame(first + n + 1, node, first + n, 0, e.pack_value(value)) for n, value in enumerate(payloads)
        )
        outcome = (await self.store.append_frames([FrameAppend(execution_id, fence, first, made)]))[0]
        assert isinstance(outcome, Ok), outcome

    async def close_stream(self, execution_id: str, count: int) -> None:
        await self.write(execution_id, self.at(e.COMPLETED, frames=count), status="COMPLETED")


class House:
    """A store, an application, a server on a loopback port, a client with a key."""

    def __init__(self, store: Store, client: httpx.AsyncClient, app: Any, key: str, url: str) -> None:
        self.store, self.client, self.app, self.key, self.url = store, client, app, key, url
        self.clock = SystemClock()

    async def publish(self, made: Plan | None = None, account: str = "default") -> str:
        return await catalog.store_artifact(self.store, account, freeze(made or plan()))

    def hand(self, name: str = "hand") -> Hand:
        return Hand(self.store, name)

    async def invoke(self, graph_id: str, input_: Any = None, **more: Any) -> httpx.Response:
        headers = more.pop("headers", {})
        body = {"graph_id": graph_id, "input": order() if input_ is None else input_, **more}
        return await self.client.post("/invocations/v1/flows/invoke", json=body, headers=headers)

    async def start(self, graph_id: str, **more: Any) -> str:
        answer = await self.invoke(graph_id, **more)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["execution_id"])

    async def key_for(self, account: str = "default", **more: Any) -> dict[str, str]:
        raw = await create_key(self.store, self.clock, account, "other", **more)
        return {"authorization": f"Bearer {raw}"}


@asynccontextmanager
async def house(
    settings: Settings | None = None, store: Store | None = None, egress: Egress | None = None, **more: Any
) -> AsyncIterator[House]:
    """Open a house; real HTTP on a loopback port."""
    store = store or MemoryStore()
    await store.open()
    app = create_app(store, settings or Settings(**more), egress=egress)
    async with serving(app) as url:
        key = await create_key(store, SystemClock(), name="test")
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=120, trust_env=False) as client:
            yield House(store, client, app, key, url)
    await store.close()


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """Serve an application on a free loopback port."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


class Told:
    """Server-sent events, read one by one."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()
        self.comments = 0

    async def next(self) -> tuple[str | None, Any] | None:
        """``(id, data)`` of the next event, ``None`` at the end."""
        name: str | None = None
        data: list[str] = []
        async with asyncio.timeout(60):
            async for line in self._lines:
                if line.startswith(":"):
                    self.comments += 1
                elif line.startswith("id:"):
                    name = line[3:].strip()
                elif line.startswith("data:"):
                    data.append(line[5:].strip())
                elif not line and data:
                    return name, json.loads("\n".join(data))
        return None

    async def rest(self) -> list[tuple[str | None, Any]]:
        found = []
        while (one := await self.next()) is not None:
            found.append(one)
        return found


@asynccontextmanager
async def told(client: httpx.AsyncClient, method: str, path: str, **more: Any) -> AsyncIterator[Told]:
    async with client.stream(method, path, **more) as response:
        yield Told(response)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)
