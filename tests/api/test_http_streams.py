"""Streams: frames and events as they become durable, from any place, on any process, at the reader's pace."""

from __future__ import annotations

import asyncio
import resource
from typing import Any

import httpx
import pytest
from http_kit import SSE, Hand, House, house, order, plan, run, serving, told
from test_http_invoke import problem

from axiom.api import streams
from axiom.api.app import create_app
from axiom.api.settings import Settings
from axiom.runtime import events as e

STREAM = "/invocations/v1/flows/invoke/stream"
WORDS = [{"n": n} for n in range(5)]


def join_path(execution_id: str) -> str:
    return f"/invocations/v1/flows/{execution_id}/stream"


async def started(at: House) -> tuple[str, Hand]:
    """A pipeline run in a hand."""
    hand = at.hand()
    graph_id = await at.publish(plan("pipeline"))
    body = {"graph_id": graph_id, "input": order(), "timeout_seconds": 0}
    answer = await at.client.post(STREAM, json=body)
    execution_id = answer.headers["axiom-execution-id"]
    assert await hand.take() == execution_id
    return execution_id, hand


def test_frames_come_while_the_run_makes_them_and_end_with_a_final_one() -> None:
    async def case() -> None:
        async with house() as at:
            hand = at.hand()
            body = {"graph_id": await at.publish(plan("pipeline")), "input": order()}
            async with told(at.client, "POST", STREAM, json=body, headers=SSE) as stream:
                execution_id = await hand.take()
                assert stream.response.headers["content-type"].startswith("text/event-stream")
                await hand.frames(execution_id, "last", 0, ["one"])
                frame = {
                    "execution_id": execution_id,
                    "frame_index": 0,
                    "payload": "one",
                    "is_final": False,
                    "success": True,
                }
                assert await stream.next() == ("0", frame)
                await hand.frames(execution_id, "last", 1, [{"zwei": "ü\n\r\u2028\u2029\x85"}, None])
                second = await stream.next()
                assert second is not None
                assert second[1]["payload"] == {"zwei": "ü\n\r\u2028\u2029\x85"}
                third = await stream.next()
                assert third is not None
                assert third[1]["payload"] is None
                await hand.close_stream(execution_id, 3)
                assert await stream.rest() == [
                    (
                        "3",
                        {
                            "execution_id": execution_id,
                            "frame_index": 3,
                            "is_final": True,
                            "success": True,
                        },
                    )
                ]

    run(case())


@pytest.mark.parametrize("seen", [None, 0, 2, 4])
def test_a_rejoin_gets_what_follows_the_last_event_id(seen: int | None) -> None:
    async def case() -> None:
        async with house() as at:
            execution_id, hand = await started(at)
            await hand.frames(execution_id, "last", 0, WORDS)
            await hand.close_stream(execution_id, 5)
            headers = SSE if seen is None else {**SSE, "last-event-id": str(seen)}
            async with told(at.client, "GET", join_path(execution_id), headers=headers) as stream:
                found = await stream.rest()
            first = 0 if seen is None else seen + 1
            assert [name for name, _ in found] == [str(n) for n in range(first, 6)]
            assert [data["payload"] for _, data in found[:-1]] == WORDS[first:]
            assert found[-1][1]["is_final"] is True

    run(case())


def test_who_has_had_the_final_frame_is_told_to_stop() -> None:
    """204 ends the retries of a browser's EventSource."""

    async def case() -> None:
        async with house() as at:
            execution_id, hand = await started(at)
            await hand.frames(execution_id, "last", 0, WORDS)
            await hand.close_stream(execution_id, 5)
            answer = await at.client.get(join_path(execution_id), headers={"last-event-id": "5"})
            assert answer.status_code == 204

    run(case())


@pytest.mark.parametrize("bad", ["x", "-1", "1.5", "9" * 20])
def test_a_last_event_id_that_is_none_of_ours_is_refused(bad: str) -> None:
    async def case() -> None:
        async with house() as at:
            execution_id, _ = await started(at)
            answer = await at.client.get(join_path(execution_id), headers={"last-event-id": bad})
            problem(answer, 400, "invalid_header")

    run(case())


def test_a_failed_run_ends_its_stream_with_the_error_as_a_text() -> None:
    async def case() -> None:
        async with house() as at:
            execution_id, hand = await started(at)
            await hand.frames(execution_id, "last", 0, ["one"])
            await hand.fail(execution_id, "handler_error", "ValueError: no")
            async with told(at.client, "GET", join_path(execution_id)) as stream:
                *_, (name, final) = await stream.rest()
            assert name == "1"
            assert (final["is_final"], final["success"]) == (True, False)
            assert final["error"] == "handler_error: ValueError: no"
            assert "payload" not in final

    run(case())


def test_a_cancel_reaches_every_open_stream() -> None:
    async def case() -> None:
        async with house() as at:
            execution_id, hand = await started(at)
            await hand.frames(execution_id, "last", 0, ["one"])
            async with told(at.client, "GET", join_path(execution_id)) as stream:
                assert await stream.next() is not None
                await at.client.delete(f"/invocations/v1/flows/{execution_id}")
                ((name, final),) = await stream.rest()
            assert (name, final["success"]) == ("1", False)
            assert final["error"].startswith("cancelled")

    run(case())


def test_a_stream_that_takes_too_long_ends_for_this_connection_alone() -> None:
    async def case() -> None:
        async with house() as at:
            execution_id, hand = await started(at)
            await hand.frames(execution_id, "last", 0, ["one"])
            async with told(at.client, "GET", f"{join_path(execution_id)}?timeout_seconds=0.2") as stream:
                (first, (name, final)) = await stream.rest()
            assert first[0] == "0"
            assert name is None, "its id would be taken for a frame's"
            assert (final["is_final"], final["success"], final["frame_index"]) == (True, False, 1)
            await hand.frames(execution_id, "last", 1, ["two"])
            await hand.close_stream(execution_id, 2)
            async with told(
                at.client, "GET", join_path(execution_id), headers={"last-event-id": "0"}
            ) as again:
                assert [name for name, _ in await again.rest()] == ["1", "2"]

    run(case())


def test_another_process_serves_the_same_stream() -> None:
    """A second application over the same store: any API process serves any execution from any place."""

    async def case() -> None:
        async with house() as at:
            execution_id, hand = await started(at)
            async with (
                serving(create_app(at.store, Settings())) as url,
                httpx.AsyncClient(base_url=url, headers=at.client.headers) as other,
            ):
                await hand.frames(execution_id, "last", 0, WORDS)
                headers = {"last-event-id": "2"}
                async with told(other, "GET", join_path(execution_id), headers=headers) as stream:
                    assert [(await stream.next() or ("", 0))[0] for _ in range(2)] == ["3", "4"]
                    await hand.close_stream(execution_id, 5)
                    assert [name for name, _ in await stream.rest()] == ["5"]

    run(case())


def test_many_readers_get_every_frame_once_and_in_order() -> None:
    async def case() -> None:
        async with house() as at:
            execution_id, hand = await started(at)

            async def read() -> list[int]:
                async with told(at.client, "GET", join_path(execution_id)) as stream:
                    return [data["frame_index"] for _, data in await stream.rest()]

            readers = [asyncio.create_task(read()) for _ in range(10)]
            for first in range(0, 1_000, 50):
                await hand.frames(execution_id, "last", first, list(range(50)))
                await asyncio.sleep(0)
            await hand.close_stream(execution_id, 1_000)
            assert await asyncio.gather(*readers) == [list(range(1_001))] * 10

    run(case())


def test_a_reader_that_does_not_read_costs_little_memory_and_no_time_of_the_run() -> None:
    async def case() -> None:
        async with house() as at:
            execution_id, hand = await started(at)
            big = "x" * 100_000
            async with told(at.client, "GET", join_path(execution_id)) as slow:
                assert slow.response.status_code == 200
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                async with asyncio.timeout(120):
                    for first in range(0, 300, 10):  # 30 MB that nobody takes
                        await hand.frames(execution_id, "last", first, [big] * 10)
                await hand.close_stream(execution_id, 300)
                async with told(at.client, "GET", join_path(execution_id)) as quick:
                    assert len(await quick.rest()) == 301
                grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
                assert grown < 30 + 60, f"grew by {grown:.0f} MiB: the 30 of the store, and too many beside"
                assert len(await slow.rest()) == 301

    run(case())


def test_the_next_pull_is_as_large_as_the_frames_are_small() -> None:
    """Bounded by bytes as well as by count."""

    async def case() -> None:
        async with house() as at:
            execution_id, hand = await started(at)
            service = at.app.state.service
            await hand.frames(execution_id, "last", 0, ["x" * 200_000] * 16 + [1] * 600)
            await hand.close_stream(execution_id, 616)
            reader = streams.FrameReader(
                service.store, service.waiters, service.clock, execution_id, "last", 0
            )
            sizes = [len(chunk) async for chunk in reader.chunks(30, service.clock.monotonic())]
            assert max(sizes[1:]) <= 2 * 200_200
            assert len(sizes) < 30

    run(case())


def test_frames_in_pages() -> None:
    async def case() -> None:
        async with house() as at:
            execution_id, hand = await started(at)
            await hand.frames(execution_id, "last", 0, WORDS)
            path = f"/invocations/v1/executions/{execution_id}/frames"
            first = (await at.client.get(path, params={"limit": 3})).json()
            assert [row["payload"] for row in first["frames"]] == WORDS[:3]
            rest = (await at.client.get(path, params={"after": first["next_after"]})).json()
            assert [row["frame_index"] for row in rest["frames"]] == [3, 4]
            assert rest["next_after"] is None

    run(case())


# --- events ---------------------------------------------------------------------------------------------------------


def test_events_are_followed_live_and_resumed_by_their_number() -> None:
    async def case() -> None:
        async with house() as at:
            execution_id, hand = await at.start(await at.publish()), at.hand()
            path = f"/invocations/v1/executions/{execution_id}/live"
            async with told(at.client, "GET", path) as stream:
                first = await stream.next()
                assert first is not None
                assert (first[0], first[1]["kind"]) == ("1", e.ACCEPTED)
                await hand.take()
                await hand.complete(execution_id, 7)
                rest = await stream.rest()
            assert [name for name, _ in rest] == ["2", "3", "4", "5"]
            assert rest[-1][1]["kind"] == e.COMPLETED
            async with told(at.client, "GET", path, headers={"last-event-id": "3"}) as again:
                assert [name for name, _ in await again.rest()] == ["4", "5"]
            assert (await at.client.get(path, headers={"last-event-id": "5"})).status_code == 204

    run(case())


def test_lost_hints_delay_a_stream_and_break_nothing() -> None:
    """A store whose hints never come: the periodic look finds frames and end all the same."""

    async def case() -> None:
        async with house() as at:
            execution_id, hand = await started(at)
            service = at.app.state.service
            service.waiters.close()

            def deaf(*_: Any) -> Any:
                return lambda: None

            service.waiters._unwatch = deaf
            service.waiters.look_seconds = lambda: 0.05
            async with told(at.client, "GET", join_path(execution_id)) as stream:
                await hand.frames(execution_id, "last", 0, ["one"])
                assert (await stream.next() or ("", 0))[0] == "0"
                await hand.close_stream(execution_id, 1)
                assert [name for name, _ in await stream.rest()] == ["1"]
            waiting = asyncio.create_task(at.invoke(await at.publish(), wait=True))
            await hand.complete(await hand.take(), "seen")
            assert (await waiting).json()["result"]["output"] == "seen"

    run(case())


def test_a_stream_that_is_silent_is_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PING_SECONDS", 0.05)

    async def case() -> None:
        async with house() as at:
            execution_id, hand = await started(at)
            async with at.client.stream("GET", join_path(execution_id)) as answer:
                comments = 0
                async for line in answer.aiter_lines():
                    comments += line.startswith(":")
                    if comments == 2:
                        break
            await hand.close_stream(execution_id, 0)

    run(case())
