"""Pauses over HTTP: seen, answered, handed on, extended, spoken about, and refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from graphs import graph
from people_kit import INVOCATIONS, Place, asking, at, problem
from test_waits import echo, expression, looping, with_node

from axiom.compiler.artifact import Join
from axiom.runtime import events as e

DAY_MS = 86_400_000


def test_a_pause_shows_all_that_an_answer_takes_and_the_answer_becomes_the_nodes_input(
    store_url: str,
) -> None:
    async def scenario(place: Place) -> None:
        hitl = {
            "message": expression("'Ship ' + order + '?'"),
            "timeout_ms": DAY_MS,
            "timeout_policy": "FAIL",
        }
        graph_id = await place.publish(asking(**hitl))
        execution_id = await place.start(graph_id, {"order": "o-1"})
        await place.paused(execution_id)
        [pause] = await place.pauses(execution_id)
        assert (pause["pause_id"], pause["node"], pause["iteration"]) == ("p", "p", [])
        assert (pause["status"], pause["message"], pause["quorum"]) == ("open", "Ship o-1?", 1)
        assert pause["schema"]["required"] == ["ok"]
        assert pause["opened_at"] < pause["deadline"]
        assert pause["policy"]["timeout_policy"] == "FAIL"
        answer = await place.do(execution_id, "resume", {"input": {"ok": True}, "comment": "go"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["status"] == "answered"
        assert await place.output(execution_id) == {"ok": True}
        [pause] = await place.pauses(execution_id)
        [given] = pause["answers"]
        assert (given["by"], given["comment"], given["input"]) == ("tess", "go", {"ok": True})

    at(store_url, scenario)


def test_an_answer_that_breaks_the_schema_is_refused_with_every_violation_and_the_pause_stays(
    store_url: str,
) -> None:
    async def scenario(place: Place) -> None:
        execution_id = await place.start(await place.publish(asking()), {})
        await place.paused(execution_id)
        bad = {"input": {"note": "x" * 21, "limit": -1, "more": 1}}
        told = problem(await place.do(execution_id, "resume", bad), 422, "invalid_input")
        assert {"/input/ok", "/input/note", "/input/limit"} <= {error["path"] for error in told["errors"]}
        problem(await place.do(execution_id, "resume", {}), 422, "invalid_request")
        [pause] = await place.pauses(execution_id)
        assert (pause["status"], pause["answers"]) == ("open", [])
        assert (await place.do(execution_id, "resume", {"input": {"ok": False}})).status_code == 200
        assert await place.output(execution_id) == {"ok": False}

    at(store_url, scenario)


def test_of_many_answers_at_once_the_first_wins_and_the_others_hear_that_it_is_closed(store_url: str) -> None:
    async def scenario(place: Place) -> None:
        execution_id = await place.start(await place.publish(asking()), {})
        await place.paused(execution_id)
        said = [{"input": {"ok": True, "limit": n}} for n in range(6)]
        answers = await asyncio.gather(*(place.do(execution_id, "resume", body) for body in said))
        won = [answer.json()["answers"][0]["input"] for answer in answers if answer.status_code == 200]
        assert len(won) == 1
        for answer in answers:
            if answer.status_code != 200:
                problem(answer, 409, "pause_closed")
        assert await place.output(execution_id) == won[0]
        problem(await place.do(execution_id, "resume", said[0]), 409, "pause_closed")
        problem(await place.do(execution_id, "comment", {"text": "late"}), 409, "pause_closed")

    at(store_url, scenario)


def test_a_quorum_hears_each_person_once_and_goes_on_with_the_last_answer(store_url: str) -> None:
    async def scenario(place: Place) -> None:
        execution_id = await place.start(await place.publish(asking(quorum=2)), {})
        await place.paused(execution_id)
        first = {"input": {"ok": True, "limit": 1}, "by": "ada"}
        assert (await place.do(execution_id, "resume", first)).json()["status"] == "open"
        problem(await place.do(execution_id, "resume", first), 409, "already_answered")
        second = {"input": {"ok": True, "limit": 2}, "by": "bob"}
        assert (await place.do(execution_id, "resume", second)).json()["status"] == "answered"
        assert await place.output(execution_id) == {"ok": True, "limit": 2}
        [pause] = await place.pauses(execution_id)
        assert [given["by"] for given in pause["answers"]] == ["ada", "bob"]

    at(store_url, scenario)


def test_who_answers_is_the_keys_name_and_only_an_admin_speaks_for_another() -> None:
    async def scenario(place: Place) -> None:
        execution_id = await place.start(await place.publish(asking(quorum=2)), {})
        await place.paused(execution_id)
        small = await place.key("eve", scopes=["invoke", "read"])
        body = {"input": {"ok": True}, "by": "ada"}
        problem(await place.do(execution_id, "resume", body, headers=small), 403, "missing_scope")
        ok = await place.do(execution_id, "resume", {"input": {"ok": True}}, headers=small)
        assert ok.json()["answers"][0]["by"] == "eve"
        reader = await place.key("ro", scopes=["read"])
        problem(await place.do(execution_id, "comment", {"text": "hi"}, headers=reader), 403, "missing_scope")

    at("memory:", scenario)


def test_a_pause_is_commented_reassigned_and_extended_and_all_of_it_shows() -> None:
    async def scenario(place: Place) -> None:
        hitl = {"timeout_ms": 60_000, "timeout_policy": "FAIL", "remind_every_ms": 25_000}
        execution_id = await place.start(await place.publish(asking(**hitl)), {})
        await place.paused(execution_id)
        assert (
            await place.do(execution_id, "comment", {"text": "which one?", "by": "ada"})
        ).status_code == 200
        handed = (await place.do(execution_id, "reassign", {"to": ["bob", "cy"], "comment": "yours"})).json()
        assert handed["assignees"] == ["bob", "cy"]
        longer = (await place.do(execution_id, "extend", {"timeout_ms": 600_000})).json()
        assert longer["deadline"] > handed["deadline"]
        await place.clock.sleep(120)
        [pause] = await place.pauses(execution_id)
        assert pause["status"] == "open"  # its first deadline is long over
        assert [said["text"] for said in pause["comments"]] == ["which one?"]
        assert len(pause["reminders"]) == 4
        await place.clock.sleep(600)
        [pause] = await place.pauses(execution_id)
        assert pause["status"] == "expired"
        problem(await place.do(execution_id, "resume", {"input": {"ok": True}}), 409, "pause_closed")

    at("memory:", scenario)


@pytest.mark.parametrize(
    ("verb", "body", "path"),
    [
        ("reassign", {}, "/to"),
        ("reassign", {"to": []}, "/to"),
        ("reassign", {"to": ["", "b"]}, "/to/0"),
        ("extend", {}, "/deadline"),
        ("extend", {"deadline": "yesterday"}, "/deadline"),
        ("extend", {"deadline": "2001-01-01T00:00:00Z"}, "/deadline"),
        ("extend", {"timeout_ms": 0}, "/timeout_ms"),
        ("comment", {}, "/text"),
        ("comment", {"text": "a", "why": 1}, "/why"),
        ("resume", {"input": 1, "inptu": 2}, "/inptu"),
        ("resume", {"input": {"ok": True}, "by": 7}, "/by"),
    ],
)
def test_what_a_body_must_say_is_named_by_its_place(verb: str, body: Any, path: str) -> None:
    async def scenario(place: Place) -> None:
        hitl = {"timeout_ms": DAY_MS, "timeout_policy": "FAIL"}
        execution_id = await place.start(await place.publish(asking(**hitl)), {})
        await place.paused(execution_id)
        told = problem(await place.do(execution_id, verb, body), 422, "invalid_request")
        assert path in {error["path"] for error in told["errors"]}
        problem(await place.do(execution_id, verb, body, pause_id="p"), 422, "invalid_request")

    at("memory:", scenario)


def test_a_pause_without_a_deadline_has_none_to_move_and_an_unknown_pause_is_404() -> None:
    async def scenario(place: Place) -> None:
        execution_id = await place.start(await place.publish(asking()), {})
        await place.paused(execution_id)
        problem(await place.do(execution_id, "extend", {"timeout_ms": 5}), 409, "no_deadline")
        gone = await place.do(execution_id, "resume", {"input": {"ok": True}}, pause_id="q")
        problem(gone, 404, "unknown_pause")

    at("memory:", scenario)


def test_another_accounts_pause_is_not_there_whatever_the_body_says() -> None:
    async def scenario(place: Place) -> None:
        execution_id = await place.start(await place.publish(asking()), {})
        await place.paused(execution_id)
        async with place.http(headers=await place.key("mallory", "other")) as foreign:
            for verb in ("resume", "reassign", "extend", "comment"):
                path = f"{INVOCATIONS}/executions/{execution_id}/pauses/p/{verb}"
                problem(await foreign.post(path, content=b"no json"), 404, "unknown_execution")
            path = f"{INVOCATIONS}/executions/{execution_id}/pauses"
            problem(await foreign.get(path), 404, "unknown_execution")
            assert (await foreign.get(f"{INVOCATIONS}/pauses")).json()["pauses"] == []

    at("memory:", scenario)


def test_the_work_list_holds_what_waits_for_people_page_by_page_and_by_flow_and_assignee(
    store_url: str,
) -> None:
    async def scenario(place: Place) -> None:
        graph_id = await place.publish(asking())
        runs = [await place.start(graph_id, {"n": n}) for n in range(5)]
        idle = await place.publish(
            with_node(graph("a s", "a>s"), "s", kind="sleep", config={"duration_ms": DAY_MS})
        )
        await place.waiting(await place.start(idle, {}))
        for execution_id in runs:
            await place.paused(execution_id)
        await place.do(runs[3], "reassign", {"to": "bob"})
        await place.do(runs[4], "resume", {"input": {"ok": True}})
        await place.rig.ended(runs[4])
        seen, cursor = [], None
        while True:
            params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
            page = (await place.client.get(f"{INVOCATIONS}/pauses", params=params)).json()
            seen += [row["execution_id"] for row in page["pauses"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert sorted(seen) == sorted(runs[:4])
        page = (await place.client.get(f"{INVOCATIONS}/pauses", params={"assignee": "bob"})).json()
        assert [row["execution_id"] for row in page["pauses"]] == [runs[3]]
        page = (await place.client.get(f"{INVOCATIONS}/pauses", params={"flow": "no/such"})).json()
        assert page["pauses"] == []
        problem(await place.client.get(f"{INVOCATIONS}/pauses?asignee=bob"), 400, "invalid_query")

    at(store_url, scenario)


def test_parallel_pauses_are_answered_one_by_one_and_an_answered_one_shows_as_such() -> None:
    async def scenario(place: Place) -> None:
        plan = asking("a p q z", "a>p a>q p>z q>z")
        plan = with_node(plan, "q", config=plan.nodes[1].config)
        plan = with_node(plan, "z", join=Join("AND"))
        execution_id = await place.start(await place.publish(plan), {})
        await place.paused(execution_id)
        assert [pause["pause_id"] for pause in await place.pauses(execution_id)] == ["p", "q"]
        await place.do(execution_id, "resume", {"input": {"ok": True}}, "q")
        standing = {pause["pause_id"]: pause["status"] for pause in await place.pauses(execution_id)}
        assert standing == {"p": "open", "q": "answered"}
        await place.do(execution_id, "resume", {"input": {"ok": False}}, "p")
        assert await place.output(execution_id) == {"p": {"ok": False}, "q": {"ok": True}}

    at("memory:", scenario)


def test_a_loop_with_a_pause_asks_anew_each_round_and_runs_nothing_twice() -> None:
    async def scenario(place: Place) -> None:
        calls: list[str] = []

        async def count(ctx: Any, value: Any) -> Any:
            calls.append(ctx.node)
            return {**value, "n": 0 if value.get("ok") else 9}

        plan = asking("a d p z", "a>d d>p p>d p>z")
        plan = looping(plan, 2, 5, "n > 5")
        execution_id = await place.start(await place.publish(plan, {"d": echo, "p": count}), {})
        after = 0
        for round_ in range(3):
            await place.paused(execution_id, after)
            after = (await place.rig.head(execution_id)).seq + 1  # the answer's own
            body = {"input": {"ok": round_ == 2}}
            answer = await place.do(execution_id, "resume", body, f"p.{round_}")
            assert answer.status_code == 200, answer.text
        await place.rig.ended(execution_id)
        assert calls == ["p", "p", "p"]
        assert [pause["iteration"] for pause in await place.pauses(execution_id)] == [[0], [1], [2]]

    at("memory:", scenario)


def test_an_escalated_pause_is_one_pause_that_is_asked_of_the_next_and_keeps_its_comments() -> None:
    async def scenario(place: Place) -> None:
        hitl = {"timeout_ms": 60_000, "timeout_policy": "ESCALATE", "escalate_to": ["bob", "cy"]}
        execution_id = await place.start(await place.publish(asking(**hitl)), {})
        await place.paused(execution_id)
        await place.do(execution_id, "comment", {"text": "anyone?"})
        await place.clock.sleep(61)
        [pause] = await place.pauses(execution_id)
        assert (pause["status"], pause["level"], pause["assignees"]) == ("open", 1, ["bob"])
        assert [said["text"] for said in pause["comments"]] == ["anyone?"]
        assert (
            await place.do(execution_id, "resume", {"input": {"ok": True}, "by": "bob"})
        ).status_code == 200
        assert await place.output(execution_id) == {"ok": True}

    at("memory:", scenario)


def test_a_cancelled_run_closes_its_pauses() -> None:
    async def scenario(place: Place) -> None:
        execution_id = await place.start(await place.publish(asking()), {})
        await place.paused(execution_id)
        await place.client.delete(f"{INVOCATIONS}/flows/{execution_id}")
        [pause] = await place.pauses(execution_id)
        assert pause["status"] == "cancelled"
        problem(await place.do(execution_id, "resume", {"input": {"ok": True}}), 409, "pause_closed")

    at("memory:", scenario)


def test_a_large_answer_lies_beside_the_journal_and_arrives_whole(store_url: str) -> None:
    async def scenario(place: Place) -> None:
        plan = asking()
        plan = with_node(plan, "p", config={"hitl": {"resume_input": "Any"}})
        execution_id = await place.start(await place.publish(plan), {})
        await place.paused(execution_id)
        text = "x" * 300_000
        assert (await place.do(execution_id, "resume", {"input": {"text": text}})).status_code == 200
        assert await place.output(execution_id) == {"text": text}
        answered = [x for x in await place.rig.history(execution_id) if x.kind == e.PAUSE_ANSWERED]
        assert "blob" in answered[0].body["input"]

    at(store_url, scenario)


def test_a_paused_run_is_owned_by_nobody_and_costs_no_worker() -> None:
    async def scenario(place: Place) -> None:
        graph_id = await place.publish(asking())
        runs = [await place.start(graph_id, {"n": n}) for n in range(30)]
        for execution_id in runs:
            await place.paused(execution_id)
        assert not place.rig.workers[0].executions
        assert {(await place.rig.head(execution_id)).ready_at for execution_id in runs} == {None}

    at("memory:", scenario)
