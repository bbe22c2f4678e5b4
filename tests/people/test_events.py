"""Events and signals over HTTP: to one run or to whichever waits, early, late, twice, and across crashes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from people_kit import INVOCATIONS, Place, at, awaiting, problem
from test_waits import looping, with_node

from axiom.runtime import correlation
from axiom.runtime import events as e
from axiom.runtime.correlation import EVENT, SEEN, SUBSCRIPTION, Sweeper
from axiom.runtime.events import unpack_value
from axiom.runtime.store.base import StoreError

RECEIPT = {"type": "object", "required": ["sum"], "properties": {"sum": {"type": "number"}}}


async def send(place: Place, value: Any, payload: Any, **more: Any) -> dict[str, Any]:
    body = {"correlate": value, "payload": payload, **more}
    answer = await place.client.post(f"{INVOCATIONS}/events/paid", json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def tell(place: Place, execution_id: str, name: str = "paid", **body: Any) -> Any:
    return await place.client.post(f"{INVOCATIONS}/executions/{execution_id}/signals/{name}", json=body)


async def left(place: Place, kind: str) -> int:
    return len(await place.store.documents(kind))


# --- signals --------------------------------------------------------------------------------------------------------


def test_a_signal_wakes_the_run_that_it_names_and_counts_once_by_its_id(store_url: str) -> None:
    async def scenario(place: Place) -> None:
        execution_id = await place.start(await place.publish(awaiting()), {"order": "o-1"})
        await place.waiting(execution_id)
        first = await tell(place, execution_id, payload={"sum": 5}, id="x")
        assert first.status_code == 202, first.text
        again = await tell(place, execution_id, payload={"sum": 6}, id="x")
        assert again.json()["seq"] == first.json()["seq"]
        assert await place.output(execution_id) == {"sum": 5}
        assert (await tell(place, execution_id, payload={"sum": 6}, id="x")).status_code == 202
        problem(await tell(place, execution_id, payload={"sum": 7}, id="y"), 409, "already_final")
        heard = [x for x in await place.rig.history(execution_id) if x.kind == e.SIGNAL_RECEIVED]
        assert len(heard) == 1

    at(store_url, scenario)


def test_a_signal_before_the_wait_is_kept_and_one_with_another_value_is_not_taken(store_url: str) -> None:
    async def scenario(place: Place) -> None:
        go = asyncio.Event()

        async def hold(ctx: Any, value: Any) -> Any:
            await go.wait()
            return value

        execution_id = await place.start(await place.publish(awaiting(), {"a": hold}), {"order": "o-1"})
        assert (await tell(place, execution_id, payload=1, correlate="o-2")).status_code == 202
        assert (await tell(place, execution_id, payload=2, correlate="o-1")).status_code == 202
        go.set()
        assert await place.output(execution_id) == 2

    at(store_url, scenario)


def test_a_signal_that_no_node_waits_for_or_takes_is_refused() -> None:
    async def scenario(place: Place) -> None:
        plan = with_node(awaiting(), "w", output="Receipt")
        from dataclasses import replace

        plan = replace(plan, messages={"Any": True, "Receipt": RECEIPT})
        execution_id = await place.start(await place.publish(plan), {"order": "o-1"})
        await place.waiting(execution_id)
        told = problem(await tell(place, execution_id, "payd", payload=1), 404, "unknown_signal")
        assert "paid" in told["detail"]
        told = problem(await tell(place, execution_id, payload={"sum": "x"}), 422, "invalid_input")
        assert told["errors"][0]["path"] == "/payload/sum"
        problem(await tell(place, execution_id, payload="x" * 300_000), 422, "invalid_input")
        problem(await tell(place, "0" * 32, payload=1), 404, "unknown_execution")
        problem(await tell(place, execution_id, payload=1, correlate="@child"), 422, "invalid_request")
        bad = {"correlate": "o-1", "payload": {"sum": None}}
        problem(await place.client.post(f"{INVOCATIONS}/events/paid", json=bad), 422, "invalid_input")
        assert await left(place, EVENT) == 0
        async with place.http(headers=await place.key("mallory", "other")) as foreign:
            path = f"{INVOCATIONS}/executions/{execution_id}/signals/paid"
            problem(await foreign.post(path, content=b"{"), 404, "unknown_execution")
        assert (await tell(place, execution_id, payload={"sum": 1})).status_code == 202
        assert await place.output(execution_id) == {"sum": 1}

    at("memory:", scenario)


@pytest.mark.parametrize(
    ("name", "body", "path"),
    [
        ("paid", {}, "/correlate"),
        ("paid", {"correlate": None}, "/correlate"),
        ("paid", {"correlate": [1]}, "/correlate"),
        ("paid", {"correlate": "x" * 501}, "/correlate"),
        ("paid", {"correlate": "x", "id": ""}, "/id"),
        ("paid", {"correlate": "x", "keep_seconds": 0}, "/keep_seconds"),
        ("paid", {"correlate": "x", "paylaod": 1}, "/paylaod"),
        ("a%20b", {"correlate": "x"}, ""),
    ],
)
def test_an_event_says_what_it_must(name: str, body: Any, path: str) -> None:
    async def scenario(place: Place) -> None:
        answer = await place.client.post(f"{INVOCATIONS}/events/{name}", json=body)
        told = problem(answer, 422, "invalid_request")
        assert path in {error["path"] for error in told["errors"]}

    at("memory:", scenario)


# --- events that find their run ---------------------------------------------------------------------------------------


def test_an_event_goes_to_the_run_that_waits_for_its_value_and_to_no_other(store_url: str) -> None:
    async def scenario(place: Place) -> None:
        graph_id = await place.publish(awaiting())
        one, two = [await place.start(graph_id, {"order": order}) for order in ("o-1", "o-2")]
        await place.waiting(one)
        await place.waiting(two)
        told = await send(place, "o-2", {"sum": 2}, id="x")
        assert (told["delivered_to"], told["kept_until"], told["duplicate"]) == ([two], None, False)
        assert await place.output(two) == {"sum": 2}
        assert (await place.rig.head(one)).status == "WAITING"
        again = await send(place, "o-2", {"sum": 3}, id="x")
        assert (again["delivered_to"], again["duplicate"]) == ([two], True)
        await send(place, "o-1", {"sum": 1})
        assert await place.output(one) == {"sum": 1}
        assert (await left(place, EVENT), await left(place, SUBSCRIPTION)) == (0, 0)

    at(store_url, scenario)


def test_an_event_before_its_run_is_kept_and_delivered_when_the_run_begins_to_wait_once(
    store_url: str,
) -> None:
    async def scenario(place: Place) -> None:
        told = await send(place, 17, {"sum": 1}, id="x")
        assert (told["delivered_to"], told["duplicate"]) == ([], False)
        assert told["kept_until"]
        assert (await send(place, "17", {"sum": 1}, id="x"))["duplicate"]
        graph_id = await place.publish(awaiting())
        one = await place.start(graph_id, {"order": "17"})
        assert await place.output(one) == {"sum": 1}
        two = await place.start(graph_id, {"order": "17"})
        await place.waiting(two)  # the first run took it
        assert (await send(place, "17", {"sum": 1}, id="x"))["duplicate"]
        await send(place, "17", {"sum": 2}, id="y")
        assert await place.output(two) == {"sum": 2}

    at(store_url, scenario)


def test_events_of_another_account_reach_nobody_here() -> None:
    async def scenario(place: Place) -> None:
        execution_id = await place.start(await place.publish(awaiting()), {"order": "o-1"})
        await place.waiting(execution_id)
        async with place.http(headers=await place.key("mallory", "other")) as foreign:
            body = {"correlate": "o-1", "payload": 1}
            told = (await foreign.post(f"{INVOCATIONS}/events/paid", json=body)).json()
            assert told["delivered_to"] == []
        assert (await place.rig.head(execution_id)).status == "WAITING"

    at("memory:", scenario)


def test_a_loop_takes_the_events_of_one_value_one_by_one_in_the_order_in_which_they_came() -> None:
    async def scenario(place: Place) -> None:
        got: list[Any] = []

        async def take(ctx: Any, value: Any) -> Any:
            got.append(value["n"])
            return {**value, "order": "o-1"}

        plan = looping(awaiting("a w b z", "a>w w>b b>w b>z"), 2, 9, "n < 5")
        for n in (1, 2, 3):
            await send(place, "o-1", {"n": n})
            await place.clock.sleep(1)
        execution_id = await place.start(await place.publish(plan, {"b": take}), {"order": "o-1"})
        await place.rig.until(execution_id, lambda head: head.status == "WAITING" and len(got) == 3)
        await send(place, "o-1", {"n": 9})
        await place.rig.ended(execution_id)
        assert got == [1, 2, 3, 9]
        assert (await left(place, EVENT), await left(place, SUBSCRIPTION)) == (0, 0)

    at("memory:", scenario)


def test_of_an_event_sent_many_times_at_once_with_one_id_one_counts(store_url: str) -> None:
    async def scenario(place: Place) -> None:
        graph_id = await place.publish(awaiting())
        one = await place.start(graph_id, {"order": "o-1"})
        await place.waiting(one)
        told = await asyncio.gather(*(send(place, "o-1", {"sum": n}, id="x") for n in range(8)))
        assert all(x["delivered_to"] in ([one], []) for x in told)
        await place.rig.ended(one)
        two = await place.start(graph_id, {"order": "o-1"})
        await place.waiting(two)
        assert await left(place, EVENT) == 0
        heard = [x for x in await place.rig.history(one) if x.kind == e.SIGNAL_RECEIVED]
        assert len(heard) == 1

    at(store_url, scenario)


def test_no_event_is_lost_between_looking_and_waiting_however_sends_and_starts_interleave(
    store_url: str,
) -> None:
    """Delivered between check and park: woken. Before the wait: kept. Each of many runs, each with one event."""

    async def scenario(place: Place) -> None:
        graph_id = await place.publish(awaiting())
        count = 25

        async def pair(n: int) -> str:
            async def late() -> str:
                await asyncio.sleep((n * 7 % 5) / 100)
                return await place.start(graph_id, {"order": f"o-{n}"})

            async def sent() -> None:
                await asyncio.sleep((n * 3 % 7) / 100)
                await send(place, f"o-{n}", n, id=f"x-{n}")

            execution_id, _ = await asyncio.gather(late(), sent())
            return execution_id

        runs = await asyncio.gather(*map(pair, range(count)))
        assert [await place.output(execution_id) for execution_id in runs] == list(range(count))
        assert await left(place, EVENT) == 0

    at(store_url, scenario)


def test_too_many_kept_events_are_refused_and_old_ones_go() -> None:
    async def scenario(place: Place) -> None:
        for n in range(correlation.KEPT):
            await send(place, "o-1", n, keep_seconds=60)
        body = {"correlate": "o-1", "payload": 1}
        problem(await place.client.post(f"{INVOCATIONS}/events/paid", json=body), 429, "too_many_events")
        await place.clock.sleep(61)
        await Sweeper(place.store, place.clock).sweep()
        assert await left(place, EVENT) == 0
        execution_id = await place.start(await place.publish(awaiting()), {"order": "o-1"})
        await place.waiting(execution_id)

    at("memory:", scenario)


def test_an_event_whose_time_is_over_is_not_delivered_before_the_sweep_either() -> None:
    async def scenario(place: Place) -> None:
        await send(place, "o-1", 1, keep_seconds=5)
        await place.clock.sleep(6)
        execution_id = await place.start(await place.publish(awaiting()), {"order": "o-1"})
        await place.waiting(execution_id)

    at("memory:", scenario)


def test_a_wait_that_is_over_leaves_no_subscription_and_takes_no_event() -> None:
    async def scenario(place: Place) -> None:
        graph_id = await place.publish(awaiting(timeout_ms=5_000))
        one = await place.start(graph_id, {"order": "o-1"})
        await place.rig.ended(one)
        assert await left(place, SUBSCRIPTION) == 0
        two = await place.start(graph_id, {"order": "o-1"})
        await place.waiting(two)
        await place.client.delete(f"{INVOCATIONS}/flows/{two}")
        assert await left(place, SUBSCRIPTION) == 1
        assert (await send(place, "o-1", 1))["delivered_to"] == []
        assert await left(place, SUBSCRIPTION) == 0

    at("memory:", scenario)


def test_the_sweep_removes_the_subscriptions_of_runs_that_ended() -> None:
    async def scenario(place: Place) -> None:
        execution_id = await place.start(await place.publish(awaiting()), {"order": "o-1"})
        await place.waiting(execution_id)
        await Sweeper(place.store, place.clock).sweep()
        assert await left(place, SUBSCRIPTION) == 1
        await place.client.delete(f"{INVOCATIONS}/flows/{execution_id}")
        await Sweeper(place.store, place.clock).sweep()
        assert await left(place, SUBSCRIPTION) == 0

    at("memory:", scenario)


class Dies:
    """A store that dies before its n-th writing call of a sender, and whatever comes after."""

    def __init__(self, store: Any, left: int) -> None:
        self.store, self.left = store, left

    def __getattr__(self, name: str) -> Any:
        if name not in ("put", "remove", "append", "put_blob"):
            return getattr(self.store, name)

        async def call(*args: Any, **more: Any) -> Any:
            if self.left == 0:
                raise StoreError("the sender died here")
            self.left -= 1
            return await getattr(self.store, name)(*args, **more)

        return call


@pytest.mark.parametrize("writes", range(5))
def test_a_sender_that_dies_at_any_step_loses_no_event_and_doubles_none(writes: int) -> None:
    """Whoever comes next, a repetition or the sweep, goes on where it died."""

    async def scenario(place: Place) -> None:
        graph_id = await place.publish(awaiting())
        one = await place.start(graph_id, {"order": "o-1"})
        await place.waiting(one)
        two = await place.start(graph_id, {"order": "o-2"})
        await place.waiting(two)
        for value, mend in (("o-1", "sweep"), ("o-2", "again")):
            dying = Dies(place.store, writes)
            with pytest.raises(StoreError):
                await correlation.send(dying, "default", "paid", value, f"x-{value}", {"v": value})  # type: ignore[arg-type]
            if mend == "again" or writes == 0:  # before its first write nothing was promised
                await send(place, value, {"v": value}, id=f"x-{value}")
            else:
                await Sweeper(place.store, place.clock).sweep()
        assert await place.output(one) == {"v": "o-1"}
        assert await place.output(two) == {"v": "o-2"}
        await Sweeper(place.store, place.clock).sweep()
        three = await place.start(graph_id, {"order": "o-1"})
        await place.waiting(three)  # nothing of it is left for others
        assert await left(place, EVENT) == 0
        for execution_id in (one, two):
            kinds = [x.kind for x in await place.rig.history(execution_id)]
            assert kinds.count(e.SIGNAL_RECEIVED) == 1

    at("memory:", scenario)


def test_an_event_meant_for_a_run_that_ended_before_it_came_there_is_kept_for_the_next() -> None:
    async def scenario(place: Place) -> None:
        graph_id = await place.publish(awaiting())
        one = await place.start(graph_id, {"order": "o-1"})
        await place.waiting(one)
        with pytest.raises(StoreError):
            await correlation.send(Dies(place.store, 2), "default", "paid", "o-1", "x", 7)  # type: ignore[arg-type]
        [document] = await place.store.documents(EVENT)
        assert unpack_value(document.value)["to"] == [one]
        await place.client.delete(f"{INVOCATIONS}/flows/{one}")
        await Sweeper(place.store, place.clock).sweep()
        two = await place.start(graph_id, {"order": "o-1"})
        assert await place.output(two) == 7

    at("memory:", scenario)


def test_a_worker_that_dies_between_subscribing_and_waiting_takes_the_event_when_it_is_taken_over() -> None:
    async def scenario(place: Place) -> None:
        execution_id = await place.start(await place.publish(awaiting()), {"order": "o-1"})
        await place.waiting(execution_id)
        document = (await place.store.documents(SUBSCRIPTION))[0]
        await place.store.remove(SUBSCRIPTION, document.key)
        # as if the wait had been written without it: the event is kept, and whoever subscribes again finds it
        assert (await send(place, "o-1", 3))["delivered_to"] == []
        await correlation.subscribe(place.store, "default", "paid", "o-1", execution_id, "w")
        assert await place.output(execution_id) == 3

    at("memory:", scenario)


def test_notes_of_ids_go_when_their_time_is_over() -> None:
    async def scenario(place: Place) -> None:
        execution_id = await place.start(await place.publish(awaiting()), {"order": "o-1"})
        await place.waiting(execution_id)
        await send(place, "o-1", 3, keep_seconds=30)
        assert await left(place, SEEN) == 1
        await place.clock.sleep(31)
        await Sweeper(place.store, place.clock).sweep()
        assert await left(place, SEEN) == 0
        await place.rig.ended(execution_id)

    at("memory:", scenario)
