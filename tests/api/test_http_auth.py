"""Who may do what: keys, scopes, accounts, cookies, hosts, origins, rates."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest
from http_kit import house, order, plan, run
from starlette.routing import Route
from test_http_invoke import problem

from axiom.api.app import ROUTES
from axiom.api.auth import SCOPES, create_key
from axiom.api.guards import allowed_hosts, bare
from axiom.api.http import web
from axiom.api.settings import Settings

LIST = "/invocations/v1/executions"
OPEN = {
    "/health",
    "/ready",
    "/metrics",
    "/session",
    "/assets/{name:path}",
    "/approvals/{token}",
    "/approvals.css",
}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def filled(path: str, execution_id: str = "0" * 32) -> str:
    """A route's path with its parameters filled in."""
    known = {"execution_id": execution_id, "graph_id": "a" * 32, "key_id": "0" * 16}
    return re.sub(r"\{(\w+)(:path)?\}", lambda m: known.get(m[1], "x"), path)


def test_every_route_but_the_probes_needs_a_key() -> None:
    """Walks the whole list of routes: a new one can't be forgotten."""

    async def case() -> None:
        async with house() as at, httpx.AsyncClient(base_url=at.url) as nobody:
            seen = 0
            for route in ROUTES:
                assert isinstance(route, Route)
                if route.path in OPEN or route in web.ROUTES:
                    continue
                for method in (route.methods or set()) - {"HEAD"}:
                    answer = await nobody.request(method, filled(route.path))
                    assert answer.status_code == 401, (method, route.path)
                    assert answer.headers["www-authenticate"].startswith("Bearer"), route.path
                    seen += 1
            assert seen > 25

    run(case())


def test_another_accounts_objects_are_not_there() -> None:
    """Walks every route that names an execution, an artifact or an alias, with a foreign key: 404 everywhere."""

    async def case() -> None:
        async with house() as at:
            graph_id, hand = await at.publish(plan("pipeline")), at.hand()
            body = {"graph_id": graph_id, "input": order(), "timeout_seconds": 0}
            started = await at.client.post("/invocations/v1/flows/invoke/stream", json=body)
            execution_id = started.headers["axiom-execution-id"]
            await at.client.put("/registry/v1/aliases/acme/fulfil", json={"graph_id": graph_id})
            foreign = await at.key_for("other")
            async with httpx.AsyncClient(base_url=at.url, headers=foreign) as other:
                for route in ROUTES:
                    assert isinstance(route, Route)
                    if route in web.ROUTES:
                        continue  # the shell, the same for all
                    if "{execution_id}" not in route.path and "{graph_id}" not in route.path:
                        continue
                    path = filled(route.path, execution_id).replace("a" * 32, graph_id)
                    for method in (route.methods or set()) - {"HEAD"}:
                        assert (await other.request(method, path)).status_code == 404, (method, path)
                problem(await other.post("/invocations/v1/flows/invoke", json=body), 404, "unknown_artifact")
                named = {"flow": "acme/fulfil", "input": order()}
                problem(await other.post("/invocations/v1/flows/invoke", json=named), 404, "unknown_alias")
                put = await other.put("/registry/v1/aliases/x", json={"graph_id": graph_id})
                problem(put, 404, "unknown_artifact")
                assert (await other.get(LIST)).json()["executions"] == []
                assert (await other.get("/registry/v1/aliases")).json()["aliases"] == []
                mine = (await at.client.get("/console/v1/keys")).json()["keys"][0]["id"]
                problem(await other.delete(f"/console/v1/keys/{mine}"), 404, "unknown_key")
            assert await hand.take() == execution_id

    run(case())


@pytest.mark.parametrize("value", ["Bearer axm_nonsense", "Bearer", "Basic abc", "axm_x", ""])
def test_a_key_that_is_none_is_401(value: str) -> None:
    async def case() -> None:
        async with house() as at:
            problem(await at.client.get(LIST, headers={"authorization": value}), 401, "unauthorized")

    run(case())


def test_a_key_is_shown_once_and_kept_as_a_hash() -> None:
    async def case() -> None:
        async with house() as at:
            made = await at.client.post("/console/v1/keys", json={"name": "laptop"})
            assert made.status_code == 201
            assert made.headers["cache-control"] == "no-store"
            raw = made.json()["key"]
            assert (await at.client.get(LIST, headers=bearer(raw))).status_code == 200
            listed = (await at.client.get("/console/v1/keys")).json()
            assert {row["name"] for row in listed["keys"]} == {"test", "laptop"}
            assert raw not in str(listed)
            for document in await at.store.documents("key"):
                assert raw.encode() not in document.value
                assert raw not in document.key

    run(case())


def test_a_revoked_key_is_refused_at_once() -> None:
    async def case() -> None:
        async with house() as at:
            made = (await at.client.post("/console/v1/keys", json={"name": "gone"})).json()
            assert (await at.client.get(LIST, headers=bearer(made["key"]))).status_code == 200
            assert (await at.client.delete(f"/console/v1/keys/{made['id']}")).status_code == 204
            told = problem(await at.client.get(LIST, headers=bearer(made["key"])), 401, "unauthorized")
            assert "revoked" in told["detail"]
            problem(await at.client.delete("/console/v1/keys/ffffffffffffffff"), 404, "unknown_key")

    run(case())


def test_an_expired_key_is_refused() -> None:
    async def case() -> None:
        async with house() as at:
            past = await create_key(at.store, at.clock, name="old", expires_at=at.store.now() - 1)
            told = problem(await at.client.get(LIST, headers=bearer(past)), 401, "unauthorized")
            assert "expired" in told["detail"]
            later = {"name": "new", "expires_in_seconds": 60}
            made = (await at.client.post("/console/v1/keys", json=later)).json()
            assert (await at.client.get(LIST, headers=bearer(made["key"]))).status_code == 200

    run(case())


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        ("invoke", "POST", "/invocations/v1/flows/invoke"),
        ("invoke", "POST", "/invocations/v1/flows/invoke/stream"),
        ("read", "GET", LIST),
        ("cancel", "DELETE", f"/invocations/v1/flows/{'0' * 32}"),
        ("compile", "POST", "/registry/v1/flows/compile"),
        ("compile", "PUT", "/registry/v1/aliases/x"),
        ("admin", "GET", "/console/v1/keys"),
        ("admin", "GET", "/console/v1/webhooks/secret"),
    ],
)
def test_a_key_may_do_what_its_scopes_say_and_nothing_else(scope: str, method: str, path: str) -> None:
    async def case() -> None:
        async with house() as at:
            others = [one for one in SCOPES if one != scope]
            told = problem(
                await at.client.request(method, path, headers=await at.key_for(scopes=others)),
                403,
                "missing_scope",
            )
            assert told["scope"] == scope
            allowed = await at.client.request(method, path, headers=await at.key_for(scopes=[scope]))
            assert allowed.status_code not in (401, 403)

    run(case())


def test_no_key_makes_one_that_may_do_more() -> None:
    async def case() -> None:
        async with house() as at:
            weak = await at.key_for(scopes=["admin", "read"])
            body = {"name": "more", "scopes": ["read", "invoke"]}
            answer = await at.client.post("/console/v1/keys", json=body, headers=weak)
            assert problem(answer, 422, "invalid_request")["errors"][0]["path"] == "/scopes/1"
            same = await at.client.post("/console/v1/keys", json={"name": "same"}, headers=weak)
            assert same.json()["scopes"] == ["read", "admin"]
            with pytest.raises(ValueError, match="unknown scope"):
                await create_key(at.store, at.clock, scopes=["everything"])

    run(case())


def test_when_a_key_was_used_last_is_noted_once_a_minute() -> None:
    async def case() -> None:
        async with house() as at:
            gate = at.app.state.service.gate
            for _ in range(3):
                gate._known.clear()
                assert (await at.client.get(LIST)).status_code == 200
            (document,) = await at.store.documents("key")
            assert document.version == 2, "made, and noted once"
            keys = (await at.client.get("/console/v1/keys")).json()["keys"]
            assert keys[0]["last_used_at"] is not None

    run(case())


def test_a_rate_that_is_set_is_kept_per_key() -> None:
    async def case() -> None:
        async with house(rate_limit_per_second=2.0) as at:
            answers = [await at.client.get(LIST) for _ in range(8)]
            assert [answer.status_code for answer in answers[:4]] == [200] * 4
            limited = next(answer for answer in answers if answer.status_code == 429)
            told = problem(limited, 429, "rate_limited")
            assert int(limited.headers["retry-after"]) == told["retry_after_seconds"] >= 1
            assert (await at.client.get(LIST, headers=await at.key_for())).status_code == 200

    run(case())


def test_too_many_requests_at_once_are_refused_with_a_time_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("axiom.api.guards.AT_ONCE", 2)

    async def case() -> None:
        async with house() as at:
            graph_id, hand = await at.publish(), at.hand()
            waiting = [asyncio.create_task(at.invoke(graph_id, wait=True)) for _ in range(2)]
            ids = [await hand.take(), await hand.take()]
            answer = await at.client.get(LIST)
            problem(answer, 503, "overloaded")
            assert answer.headers["retry-after"] == "1"
            for execution_id in ids:
                await hand.complete(execution_id, 1)
            assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [202, 202]
            assert (await at.client.get(LIST)).status_code == 200

    run(case())


# --- pages ----------------------------------------------------------------------------------------------------------


def docs_of(graph_id: str) -> str:
    return f"/registry/v1/artifacts/{graph_id}/docs"


def test_in_development_a_page_on_loopback_gets_a_cookie_without_a_login() -> None:
    async def case() -> None:
        async with house(dev=True) as at, httpx.AsyncClient(base_url=at.url) as browser:
            graph_id = await at.publish()
            page = await browser.get(docs_of(graph_id))
            assert page.status_code == 200
            cookie = page.headers["set-cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            assert (await browser.get(LIST)).status_code == 200
            origin = {"origin": at.url}
            body = {"graph_id": graph_id, "input": order()}
            invoke = "/invocations/v1/flows/invoke"
            assert (await browser.post(invoke, json=body, headers=origin)).status_code == 202
            evil = {"origin": "http://evil.example"}
            problem(await browser.post(invoke, json=body, headers=evil), 403, "forbidden_origin")
            problem(
                await browser.post(invoke, json=body, headers={"origin": "null"}), 403, "forbidden_origin"
            )

    run(case())


def test_a_served_page_asks_for_a_key_once() -> None:
    async def case() -> None:
        async with house() as at, httpx.AsyncClient(base_url=at.url) as browser:
            graph_id = await at.publish()
            page = await browser.get(docs_of(graph_id))
            assert page.status_code == 401
            assert page.headers["content-type"].startswith("text/html")
            assert "set-cookie" not in page.headers
            problem(await browser.post("/session", json={"key": "axm_wrong"}), 401, "unauthorized")
            signed_in = await browser.post("/session", json={"key": at.key})
            assert signed_in.json()["account"] == "default"
            assert (await browser.get(docs_of(graph_id))).status_code == 200
            assert (await browser.get(LIST)).status_code == 200
            problem(await browser.get(docs_of("a" * 32)), 404, "unknown_artifact")
            key_id = (await browser.get("/console/v1/keys")).json()["keys"][0]["id"]
            await browser.delete(f"/console/v1/keys/{key_id}", headers={"origin": at.url})
            problem(await browser.get(LIST), 401, "unauthorized")

    run(case())


def test_a_cookie_that_was_changed_or_is_old_or_of_development_is_refused() -> None:
    async def case() -> None:
        async with house(dev=True) as at:
            gate = at.app.state.service.gate
            good = await gate.cookie("dev")
            name, until, signature = good.split(".")
            text = f"dev.{int(until) - 30 * 86_400}"
            stale = f"{text}.{await gate._sign(text)}"
            bad = [f"{name}.{int(until) + 1}.{signature}", stale, "x", "dev.1.2.3", good + "0"]
            async with httpx.AsyncClient(base_url=at.url) as browser:
                for cookie in bad:
                    answer = await browser.get(LIST, headers={"cookie": f"axiom_session={cookie}"})
                    problem(answer, 401, "unauthorized")
                ok = await browser.get(LIST, headers={"cookie": f"axiom_session={good}"})
                assert ok.status_code == 200
            async with house(store=at.store) as served, httpx.AsyncClient(base_url=served.url) as browser:
                answer = await browser.get(LIST, headers={"cookie": f"axiom_session={good}"})
                problem(answer, 401, "unauthorized")

    run(case())


def test_pages_and_answers_carry_a_policy_that_allows_no_inline_script() -> None:
    async def case() -> None:
        async with house(dev=True) as at:
            page = await at.client.get(docs_of(await at.publish()))
            policy = page.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert page.headers["x-content-type-options"] == "nosniff"
            assert not re.search(r"<script(?![^>]*src=)[^>]*>|<style|\son\w+=|style=", page.text)
            for asset in re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.text):
                found = await at.client.get(asset)
                assert found.status_code == 200, asset
                assert not re.search(r"https?://(?!www\.w3\.org)", found.text), f"{asset} is self-contained"
            for wrong in ("/assets/../artifact.html", "/assets/%2e%2e/artifact.html", "/assets/nothing.js"):
                assert (await at.client.get(wrong)).status_code == 404

    run(case())


# --- host -----------------------------------------------------------------------------------------------------------


def test_a_name_that_someone_else_points_here_is_refused() -> None:
    """DNS rebinding: a page of evil.example, whose name now resolves to loopback."""

    async def case() -> None:
        async with house(dev=True) as at:
            for host in ("evil.example", "evil.example:4000", "localhost.evil.example", ""):
                answer = await at.client.get("/health", headers={"host": host})
                assert answer.status_code in (400, 421), host
            assert (await at.client.get("/health", headers={"host": "localhost:1"})).status_code == 200

    run(case())


@pytest.mark.parametrize(
    ("settings", "host", "allowed"),
    [
        (Settings(), "localhost", True),
        (Settings(), "evil.example", False),
        (Settings(host="0.0.0.0"), "anything.example", True),
        (Settings(host="0.0.0.0", dev=True), "anything.example", False),
        (Settings(host="0.0.0.0", allowed_hosts=("axiom.example",)), "axiom.example", True),
        (Settings(host="0.0.0.0", allowed_hosts=("axiom.example",)), "else.example", False),
        (Settings(host="::1"), "[::1]", True),
    ],
)
def test_hosts_that_may_be_asked_for(settings: Settings, host: str, allowed: bool) -> None:
    hosts = allowed_hosts(settings)
    assert (hosts is None or bare(host) in hosts) is allowed


def test_the_command_line_inside_this_process_needs_no_key() -> None:
    """A principal in the scope lets in; a header that says the same does not."""

    async def case() -> None:
        async with house() as at:
            from axiom.api.auth import LOCAL, SCOPE_KEY

            transport: Any = httpx.ASGITransport(at.app)

            class Inside(httpx.AsyncBaseTransport):
                async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                    async def app(scope: Any, receive: Any, send: Any) -> None:
                        await at.app({**scope, SCOPE_KEY: LOCAL}, receive, send)

                    return await httpx.ASGITransport(app).handle_async_request(request)

            async with httpx.AsyncClient(base_url="http://local", transport=Inside()) as local:
                assert (await local.get(LIST)).status_code == 200
            async with httpx.AsyncClient(base_url="http://localhost", transport=transport) as outside:
                assert (await outside.get(LIST, headers={SCOPE_KEY: "local"})).status_code == 401

    run(case())
