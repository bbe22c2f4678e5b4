"""Those who are asked are told: once per event, signed, in the step of the event."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from people_kit import Place, asking, at
from standardwebhooks import Webhook

from axiom.runtime.egress import Answer
from axiom.runtime.webhooks import Deliveries

HOOK = "https://example.org/people"


class Receiver:
    """In an egress' place: keeps what it is sent, and fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.got: list[tuple[str, Mapping[str, str], bytes]] = []
        self.failures = failures

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> Answer:
        if self.failures:
            self.failures -= 1
            return Answer(500, None)
        self.got.append((url, headers, content))
        return Answer(204, None)

    async def check(self, url: str) -> None: ...

    async def close(self) -> None: ...

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(content) for _, _, content in self.got]


def telling(scenario: Any, receiver: Receiver) -> None:
    async def with_deliveries(place: Place) -> None:
        deliveries = Deliveries(place.store, place.clock, receiver, threaded=False)  # type: ignore[arg-type]
        await deliveries.start()
        try:
            await scenario(place)
        finally:
            await deliveries.stop()

    at("memory:", with_deliveries, egress=receiver)


async def heard(place: Place, receiver: Receiver, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(3_600):
        while len(receiver.got) < count:
            await place.clock.sleep(1)
    return receiver.told()


def test_a_pause_tells_its_own_address_when_it_opens_is_reminded_of_escalated_and_handed_on() -> None:
    receiver = Receiver()

    async def scenario(place: Place) -> None:
        hitl = {"timeout_ms": 50_000, "timeout_policy": "ESCALATE", "escalate_to": ["bob"]}
        plan = asking(**hitl, remind_every_ms=30_000, assignees=["ada"], notify=HOOK)
        execution_id = await place.start(await place.publish(plan), {})
        told = await heard(place, receiver, 3)
        assert [one["event"] for one in told] == ["pause.opened", "pause.reminded", "pause.escalated"]
        first, _, third = told
        assert (first["execution_id"], first["status"]) == (execution_id, "PAUSED")
        assert (first["pause"]["pause_id"], first["pause"]["assignees"]) == ("p", ["ada"])
        assert third["pause"]["assignees"] == ["bob"]
        await place.do(execution_id, "reassign", {"to": ["cy"]})
        told = await heard(place, receiver, 4)
        assert (told[3]["event"], told[3]["pause"]["assignees"]) == ("pause.reassigned", ["cy"])
        assert {url for url, _, _ in receiver.got} == {HOOK}
        assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == 4
        await place.do(execution_id, "resume", {"input": {"ok": True}})
        await place.rig.ended(execution_id)

    telling(scenario, receiver)


def test_without_an_address_of_its_own_a_pause_tells_the_runs_webhook_signed_as_every_other() -> None:
    receiver = Receiver(failures=2)

    async def scenario(place: Place) -> None:
        hook = {"url": "https://example.org/run", "headers": {"x-team": "orders"}}
        execution_id = await place.start(await place.publish(asking()), {}, webhook=hook)
        [told] = await heard(place, receiver, 1)
        assert told["event"] == "pause.opened"
        _, headers, content = receiver.got[0]
        assert headers["x-team"] == "orders"
        secret = (await place.client.get("/console/v1/webhooks/secret")).json()["secret"]
        signature = headers["webhook-signature"].partition(",")[2]
        stamp = Webhook(secret)
        from axiom.runtime.clock import instant

        at_ = instant(int(headers["webhook-timestamp"]) * 1000)
        assert stamp.sign(headers["webhook-id"], at_, content.decode()).partition(",")[2] == signature
        await place.do(execution_id, "resume", {"input": {"ok": True}})
        await place.rig.ended(execution_id)
        await place.clock.sleep(10)
        assert len(receiver.got) == 1  # the rig's worker tells no ends; the pause was told of once

    telling(scenario, receiver)


def test_a_run_without_any_address_tells_nobody() -> None:
    receiver = Receiver()

    async def scenario(place: Place) -> None:
        execution_id = await place.start(await place.publish(asking(remind_every_ms=5_000)), {})
        await place.paused(execution_id)
        await place.clock.sleep(30)
        assert receiver.got == []

    telling(scenario, receiver)
