"""Approval links: signed, for one person, for a while, for one answer; and the page behind them."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from people_kit import INVOCATIONS, Place, asking, at, problem
from test_waits import expression, with_node

from axiom.api.approval_form import value_of
from axiom.api.approval_page import form_page
from axiom.runtime.pauses import Pause

FORM = {"content-type": "application/x-www-form-urlencoded"}


async def link(place: Place, execution_id: str, **body: Any) -> str:
    """The path of a new link."""
    answer = await place.do(execution_id, "link", body)
    assert answer.status_code == 201, answer.text
    assert answer.json()["url"].endswith(answer.json()["path"])
    return str(answer.json()["path"])


def refused(answer: httpx.Response, words: str) -> None:
    assert answer.status_code == 403, answer.text
    assert "text/html" in answer.headers["content-type"]
    assert words in answer.text


def test_whoever_holds_a_link_answers_without_a_key_once_and_as_the_person_it_was_made_for(
    store_url: str,
) -> None:
    async def scenario(place: Place) -> None:
        plan = asking(message=expression("'Ship ' + order + '?'"))
        execution_id = await place.start(await place.publish(plan), {"order": "<b>o-1</b>"})
        await place.paused(execution_id)
        path = await link(place, execution_id, by="ada")
        async with place.http() as nobody:
            page = await nobody.get(path)
            assert page.status_code == 200
            assert "Ship &lt;b&gt;o-1&lt;/b&gt;?" in page.text
            assert "<script" not in page.text
            assert "<b>" not in page.text
            assert "default-src 'none'" in page.headers["content-security-policy"]
            assert page.headers["cache-control"] == "no-store"
            assert (await nobody.get("/approvals.css")).headers["content-type"].startswith("text/css")
            assert (await nobody.get(path)).status_code == 200  # looking uses nothing up
            sent = await nobody.post(path, data={"f.ok": "true", "f.limit": "7", "comment": "fine"})
            assert sent.status_code == 200, sent.text
            refused(await nobody.post(path, data={"f.ok": "false"}), "used")
            refused(await nobody.get(path), "used")
        assert await place.output(execution_id) == {"ok": True, "limit": 7}
        [pause] = await place.pauses(execution_id)
        [given] = pause["answers"]
        assert (given["by"], given["comment"]) == ("ada", "fine")

    at(store_url, scenario)


def test_an_unsigned_an_altered_and_an_expired_link_are_refused_with_a_page_that_says_so() -> None:
    async def scenario(place: Place) -> None:
        execution_id = await place.start(await place.publish(asking()), {})
        await place.paused(execution_id)
        path = await link(place, execution_id, by="ada", expires_in_seconds=60)
        claim, _, signature = path.partition(".")
        async with place.http() as nobody:
            for bad in (
                claim,
                f"{claim}.",
                f"{claim}.{'A' * len(signature)}",
                f"{claim[:-2]}AA.{signature}",
                "/approvals/x",
                "/approvals/%ff.%ff",
                f"/approvals/{'a' * 5000}.b",
            ):
                refused(await nobody.get(bad), "altered")
                refused(await nobody.post(bad, data={"f.ok": "true"}), "altered")
            await place.clock.sleep(61)
            refused(await nobody.get(path), "expired")
            refused(await nobody.post(path, data={"f.ok": "true"}), "expired")
        [pause] = await place.pauses(execution_id)
        assert pause["status"] == "open"

    at("memory:", scenario)


def test_what_does_not_fit_is_shown_again_with_what_is_wrong_and_the_link_stays_good() -> None:
    async def scenario(place: Place) -> None:
        execution_id = await place.start(await place.publish(asking()), {})
        await place.paused(execution_id)
        path = await link(place, execution_id)
        async with place.http() as nobody:
            missing = await nobody.post(path, data={"f.note": "because", "comment": "<i>"})
            assert missing.status_code == 422
            assert "ok" in missing.text
            assert 'value="because"' in missing.text
            assert "&lt;i&gt;" in missing.text
            bad = await nobody.post(path, data={"f.ok": "true", "f.limit": "many"})
            assert bad.status_code == 422
            assert "a whole number" in bad.text
            json_ = await nobody.post(path, json={"ok": True})
            problem(json_, 415, "unsupported_media_type")
            assert (await nobody.post(path, data={"f.ok": "false"})).status_code == 200
        assert await place.output(execution_id) == {"ok": False}

    at("memory:", scenario)


def test_links_of_two_people_make_a_quorum_and_two_links_of_one_person_do_not() -> None:
    async def scenario(place: Place) -> None:
        execution_id = await place.start(await place.publish(asking(quorum=2)), {})
        await place.paused(execution_id)
        ada, again, bob = [await link(place, execution_id, by=who) for who in ("ada", "ada", "bob")]
        async with place.http() as nobody:
            assert (await nobody.post(ada, data={"f.ok": "true"})).status_code == 200
            refused(await nobody.post(ada, data={"f.ok": "true"}), "used")
            refused(await nobody.post(again, data={"f.ok": "true"}), "answered")
            assert (await nobody.post(bob, data={"f.ok": "true"})).status_code == 200
        assert await place.output(execution_id) == {"ok": True}

    at("memory:", scenario)


def test_a_used_link_stays_used_when_the_pause_is_escalated() -> None:
    async def scenario(place: Place) -> None:
        hitl = {"timeout_ms": 60_000, "timeout_policy": "ESCALATE", "escalate_to": ["bob"], "quorum": 2}
        execution_id = await place.start(await place.publish(asking(**hitl)), {})
        await place.paused(execution_id)
        path = await link(place, execution_id, by="ada", expires_in_seconds=600)
        async with place.http() as nobody:
            assert (await nobody.post(path, data={"f.ok": "true"})).status_code == 200
            await place.clock.sleep(61)
            refused(await nobody.post(path, data={"f.ok": "true"}), "used")

    at("memory:", scenario)


def test_links_are_made_for_open_pauses_of_the_callers_account_only() -> None:
    async def scenario(place: Place) -> None:
        execution_id = await place.start(await place.publish(asking()), {})
        await place.paused(execution_id)
        path = f"{INVOCATIONS}/executions/{execution_id}/pauses/p/link"
        problem(await place.client.post(path, json={"expires_in_seconds": 0}), 422, "invalid_request")
        small = await place.key("eve", scopes=["invoke"])
        problem(await place.client.post(path, json={"by": "ada"}, headers=small), 403, "missing_scope")
        kept = await link(place, execution_id)
        await place.do(execution_id, "resume", {"input": {"ok": True}})
        await place.rig.ended(execution_id)
        problem(await place.client.post(path), 409, "pause_closed")
        async with place.http() as nobody:
            refused(await nobody.post(kept, data={"f.ok": "true"}), "answered")

    at("memory:", scenario)


SCHEMA = {
    "$defs": {"Kind": {"enum": ["a", 2, None]}},
    "type": "object",
    "required": ["ok", "why"],
    "properties": {
        "ok": {"type": "boolean", "title": "Go <ahead>?"},
        "why": {"type": "string"},
        "kind": {"$ref": "#/$defs/Kind"},
        "sum": {"type": ["number", "null"], "minimum": 1},
        "lines": {"type": "array"},
        "v": {"const": 3},
        "endless": {"$ref": "#/properties/endless"},
    },
}


@pytest.mark.parametrize(
    ("form", "value", "wrong"),
    [
        ({"f.ok": "false", "f.why": ""}, {"ok": False, "why": "", "v": 3}, set()),
        (
            {"f.ok": "true", "f.why": "x", "f.kind": "1", "f.sum": "2.5", "f.lines": "[1]"},
            {"ok": True, "why": "x", "kind": 2, "sum": 2.5, "lines": [1], "v": 3},
            set(),
        ),
        (
            {"f.ok": "yes", "f.why": "x", "f.kind": "9", "f.sum": "1e999", "f.lines": "[NaN]"},
            {"why": "x", "v": 3},
            {"ok", "kind", "sum", "lines"},
        ),
    ],
)
def test_a_form_gives_the_value_that_was_typed(form: dict[str, str], value: Any, wrong: set[str]) -> None:
    found, complaints = value_of(form, SCHEMA)
    assert (found, set(complaints)) == (value, wrong)


def test_every_name_and_text_of_a_schema_is_escaped() -> None:
    nasty = '"><script>alert(1)</script>'
    schema = {
        "type": "object",
        "properties": {
            nasty: {
                "title": nasty,
                "description": nasty,
                "type": "string",
                "format": nasty,
                "maxLength": nasty,
            },
            "e": {"enum": [nasty, {nasty: nasty}]},
            "j": {},
        },
    }
    pause = Pause("p", nasty, (), "open", {nasty: nasty}, schema, 0, None, {}, 1, 0, (), None, 1)
    filled = {f"f.{nasty}": nasty, "f.j": nasty, "comment": nasty}
    page = form_page(nasty, nasty, pause, nasty, filled, {nasty: nasty}, [nasty])
    assert "<script" not in page
    assert not re.search(r'""', page.replace('value=""', ""))


def test_an_answer_that_is_no_object_is_one_field() -> None:
    async def scenario(place: Place) -> None:
        plan = asking()
        plan = with_node(plan, "p", config={"hitl": {"resume_input": "Any"}})
        execution_id = await place.start(await place.publish(plan), {})
        await place.paused(execution_id)
        path = await link(place, execution_id)
        async with place.http() as nobody:
            assert 'name="f."' in (await nobody.get(path)).text
            assert (await nobody.post(path, data={"f.": '{"a": [1, 2]}'})).status_code == 200
        assert await place.output(execution_id) == {"a": [1, 2]}

    at("memory:", scenario)
