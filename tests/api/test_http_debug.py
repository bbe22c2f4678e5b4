"""Debug runs over HTTP: started, shown, ordered about; and what is refused, with its place."""

from __future__ import annotations

from typing import Any

from http_kit import house, order, plan, run
from test_http_executions import problem

LIST = "/invocations/v1/executions"


async def told(at: Any, execution_id: str, **body: Any) -> Any:
    answer = await at.client.post(f"{LIST}/{execution_id}/debug", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_debug_run_shows_what_stands_before_its_start_and_takes_orders() -> None:
    async def case() -> None:
        async with house() as at:
            debug = {"pause_at_start": True, "breakpoints": ["last"]}
            execution_id = await at.start(await at.publish(), debug=debug)
            shown = (await at.client.get(f"{LIST}/{execution_id}/debug")).json()
            assert (shown["stopped"], shown["breakpoints"]) == (True, ["last"])
            (node,) = shown["nodes"]
            assert (node["node"], node["input"], node["edited"]) == ("first", order(), False)
            edited = await told(at, execution_id, action="edit", input=order(total=1))
            assert (edited["nodes"][0]["input"]["total"], edited["nodes"][0]["edited"]) == (1, True)
            assert (await told(at, execution_id, action="breakpoints", breakpoints=[]))["breakpoints"] == []
            assert (await told(at, execution_id, action="step"))["nodes"] == [], "it may start"
            events = (await at.client.get(f"{LIST}/{execution_id}/events")).json()["events"]
            assert [x["body"]["action"] for x in events[1:]] == ["edit", "breakpoints", "step"]
            assert {x["body"]["by"] for x in events[1:]} == {"test"}

    run(case())


def test_what_is_no_order_is_refused_with_its_place() -> None:
    async def case() -> None:
        async with house() as at:
            execution_id = await at.start(await at.publish())
            path = f"{LIST}/{execution_id}/debug"
            for body, where in (
                ({"action": "jump"}, "/action"),
                ({"action": "step", "node": "nowhere"}, "/node"),
                ({"action": "edit"}, "/input"),
                ({"action": "breakpoints", "breakpoints": ["first", "x"]}, "/breakpoints/1"),
                ({"action": "step", "iteration": "0"}, "/iteration"),
                ({"action": "pause", "pace": 1}, "/pace"),
            ):
                answer = await at.client.post(path, json=body)
                problem(answer, 422, "invalid_request")
                assert answer.json()["errors"][0]["path"] == where
            problem(await at.client.post(path, json={"action": "step"}), 409, "not_stopped")
            await told(at, execution_id, action="pause")
            answer = await at.client.post(path, json={"action": "edit", "input": {"order_id": 1}})
            problem(answer, 422, "invalid_input")
            assert {error["path"] for error in answer.json()["errors"]} == {"/input/order_id", "/input/total"}

    run(case())


def test_a_start_names_only_nodes_of_its_flow() -> None:
    async def case() -> None:
        async with house() as at:
            graph_id = await at.publish()
            for debug, where in (
                ({"breakpoints": ["x"]}, "/debug/breakpoints/0"),
                ({"pause_at_start": 1}, "/debug/pause_at_start"),
                ({"brake": []}, "/debug"),
                ([], "/debug"),
            ):
                answer = await at.invoke(graph_id, debug=debug)
                problem(answer, 422, "invalid_request")
                assert answer.json()["errors"][0]["path"] == where
            answer = await at.invoke(graph_id, debug={"pause_at_start": True}, delay_seconds=5)
            assert answer.json()["errors"][0]["path"] == "/debug"

    run(case())


def test_streams_ended_runs_and_those_of_others_have_no_debugger() -> None:
    async def case() -> None:
        async with house() as at:
            stream = await at.publish(plan("pipeline"))
            answer = await at.client.post(
                "/invocations/v1/flows/invoke/stream",
                json={"graph_id": stream, "input": order(), "timeout_seconds": 0},
            )
            execution_id = answer.headers["axiom-execution-id"]
            path = f"{LIST}/{execution_id}/debug"
            problem(await at.client.get(path), 409, "wrong_mode")
            problem(await at.client.post(path, json={"action": "pause"}), 409, "wrong_mode")
            execution_id = await at.start(await at.publish())
            path = f"{LIST}/{execution_id}/debug"
            other = await at.key_for("another")
            problem(await at.client.post(path, content=b"{", headers=other), 404, "unknown_execution")
            await at.client.delete(f"/invocations/v1/flows/{execution_id}")
            problem(await at.client.post(path, json={"action": "pause"}), 409, "already_final")

    run(case())
