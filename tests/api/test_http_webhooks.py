"""Webhooks from invoke to receiver, and the console that watches them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from http_kit import House, house, plan, run
from standardwebhooks import Webhook
from test_http_invoke import problem

from axiom.runtime import events as e
from axiom.runtime.egress import Egress
from axiom.runtime.webhooks import Deliveries, webhook_entry


class Inbox:
    """A real receiver on loopback."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()
        self.status = 204

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        headers = {name.lower(): value for name, value in headers.items()}
        body = await reader.readexactly(int(headers["content-length"]))
        writer.write(f"HTTP/1.1 {self.status} X\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        await self.got.put((headers, body))


@asynccontextmanager
async def setting(**more: Any) -> AsyncIterator[tuple[House, Inbox, str]]:
    inbox = Inbox()
    server = await asyncio.start_server(inbox.handle, "127.0.0.1", 0)
    egress = Egress(["127.0.0.1"])
    async with house(egress=egress) as at:
        deliveries = Deliveries(at.store, at.clock, egress, **more)
        await deliveries.start()
        yield at, inbox, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        await deliveries.stop()
    server.close()


async def finished(at: House, url: str, **hook: Any) -> str:
    """A run with a webhook, completed as the engine does it: final event and entry in one step."""
    hand = at.hand()
    graph_id = await at.publish(plan(input_=True))
    execution_id = await at.start(graph_id, input_={"a": 1}, webhook={"url": url, **hook})
    await hand.take()
    accepted = (await at.store.read(execution_id))[0].body
    final = hand.at(e.COMPLETED)
    await hand.complete(execution_id, {"done": True}, outbox=webhook_entry(accepted, final))
    return execution_id


def test_the_receiver_hears_how_the_run_ended_and_can_verify_it() -> None:
    async def case() -> None:
        async with setting() as (at, inbox, url):
            execution_id = await finished(at, url, headers={"X-Team": "orders"})
            async with asyncio.timeout(60):
                headers, body = await inbox.got.get()
            secret = (await at.client.get("/console/v1/webhooks/secret")).json()["secret"]
            told = Webhook(secret).verify(body, headers)
            assert told["execution_id"] == execution_id
            assert told["status"] == "COMPLETED"
            assert told["result"]["output"] == {"done": True}
            assert headers["x-team"] == "orders"
            assert headers["webhook-id"].startswith(execution_id)

    run(case())


def test_a_run_that_a_door_cancels_tells_its_receiver_too() -> None:
    async def case() -> None:
        async with setting() as (at, inbox, url):
            graph_id = await at.publish(plan(input_=True))
            execution_id = await at.start(graph_id, input_={}, webhook={"url": url})
            await at.client.delete(f"/invocations/v1/flows/{execution_id}")
            async with asyncio.timeout(60):
                _, body = await inbox.got.get()
            assert json.loads(body)["status"] == "CANCELLED"
            assert json.loads(body)["result"]["error"]["code"] == "cancelled"

    run(case())


def test_a_dead_delivery_is_listed_and_sent_again_when_told() -> None:
    async def case() -> None:
        async with setting() as (at, inbox, url):
            inbox.status = 410
            execution_id = await finished(at, url)
            async with asyncio.timeout(60):
                await inbox.got.get()
                path = "/console/v1/webhooks"
                while not (rows := (await at.client.get(path, params={"dead": "true"})).json()["deliveries"]):
                    await asyncio.sleep(0.02)
            (row,) = rows
            assert (row["execution_id"], row["dead"]) == (execution_id, True)
            assert "410" in row["error"]
            foreign = await at.key_for("other")
            again = f"{path}/{row['name']}/redeliver"
            problem(await at.client.post(again, headers=foreign), 404, "unknown_webhook")
            inbox.status = 200
            assert (await at.client.post(again)).status_code == 202
            async with asyncio.timeout(60):
                headers, _ = await inbox.got.get()
                assert headers["webhook-id"] == row["name"]
                while (await at.client.get(path)).json()["deliveries"]:
                    await asyncio.sleep(0.02)
            problem(await at.client.post(again), 404, "unknown_webhook")

    run(case())


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "http://10.0.0.1/",
        "http://localhost:6379/",
        "http://2852039166/",
        "http://0x7f.1/",
        "http://[::ffff:127.0.0.1]/",
        "ftp://example.org/",
        "http://user@8.8.8.8/",
    ],
)
def test_an_address_inside_is_refused_when_the_run_is_started(url: str) -> None:
    async def case() -> None:
        async with house() as at:
            answer = await at.invoke(await at.publish(plan(input_=True)), {}, webhook={"url": url})
            problem(answer, 422, "address_refused")
            assert (await at.client.get("/invocations/v1/executions")).json()["executions"] == []

    run(case())


def test_a_name_that_leads_inside_is_refused_and_one_that_leads_nowhere_may_come_up() -> None:
    async def inside(host: str, port: int) -> list[str]:
        return ["192.168.1.1"]

    async def nowhere(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    async def case() -> None:
        hook = {"url": "https://hooks.example/"}
        async with house(egress=Egress(resolver=inside)) as at:
            answer = await at.invoke(await at.publish(plan(input_=True)), {}, webhook=hook)
            problem(answer, 422, "address_refused")
        async with house(egress=Egress(resolver=nowhere)) as at:
            answer = await at.invoke(await at.publish(plan(input_=True)), {}, webhook=hook)
            assert answer.status_code == 202

    run(case())


def test_the_secret_can_be_changed() -> None:
    async def case() -> None:
        async with house() as at:
            path = "/console/v1/webhooks/secret"
            first = (await at.client.get(path)).json()["secret"]
            assert first.startswith("whsec_")
            assert (await at.client.get(path)).json()["secret"] == first
            made = await at.client.post(path)
            assert made.status_code == 201
            assert made.json()["secret"] != first
            assert (await at.client.get(path)).json() == made.json()

    run(case())


def test_workers_are_listed_with_what_they_serve() -> None:
    async def case() -> None:
        async with house() as at:
            at.hand("w-1")
            (row,) = (await at.client.get("/console/v1/workers")).json()["workers"]
            assert (row["worker"], row["alive"], row["pools"], row["owned"]) == ("w-1", True, ["default"], 0)

    run(case())
