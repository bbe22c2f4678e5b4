"""The shell of the pages: where it is served, to whom, with which headers; and what the server says without pages."""

from __future__ import annotations

import gzip
from pathlib import Path

import httpx
import pytest
from http_kit import house, run

from axiom.api.auth import COOKIE
from axiom.api.http import pages, web

LIST = "/invocations/v1/executions"
PAGES = ("/executions", "/executions/" + "0" * 32, "/pauses", "/flows", "/flows/acme/fulfil")


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pages as a build leaves them."""
    assets = tmp_path / "dist" / "assets"
    assets.mkdir(parents=True)
    (assets.parent / "index.html").write_text("<!doctype html><title>Axiom</title>")
    (assets / "index-abc123.js").write_text("let a = 1;")
    (assets / "index-abc123.js.gz").write_bytes(gzip.compress(b"let a = 1;"))
    for module in (pages, web):
        monkeypatch.setattr(module, "DIST", assets.parent)
    return assets.parent


def test_every_page_is_the_same_shell_and_in_development_brings_its_cookie(built: Path) -> None:
    async def case() -> None:
        async with house(dev=True) as at:
            for path in PAGES:
                async with httpx.AsyncClient(base_url=at.url) as browser:
                    page = await browser.get(path)
                    assert page.status_code == 200
                    assert page.headers["content-type"].startswith("text/html")
                    assert page.headers["cache-control"] == "no-store"
                    assert "unsafe" not in page.headers["content-security-policy"]
                    cookie = page.headers["set-cookie"]
                    assert cookie.startswith(COOKIE)
                    assert "HttpOnly" in cookie
                    assert "SameSite=Strict" in cookie
                    assert (await browser.get(LIST)).status_code == 200
                    assert "set-cookie" not in (await browser.get(path)).headers

    run(case())


def test_a_cookie_of_another_server_on_this_host_is_replaced(built: Path) -> None:
    async def case() -> None:
        async with house(dev=True) as at, house(dev=True) as other:
            async with httpx.AsyncClient(base_url=at.url) as browser:
                await browser.get("/executions")
                foreign = {"cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
            async with httpx.AsyncClient(base_url=other.url, headers=foreign) as browser:
                assert (await browser.get(LIST)).status_code == 401
                assert "set-cookie" in (await browser.get("/executions")).headers

    run(case())


def test_a_served_shell_is_shown_to_everybody_and_brings_no_cookie(built: Path) -> None:
    async def case() -> None:
        async with house() as at, httpx.AsyncClient(base_url=at.url) as browser:
            page = await browser.get("/executions")
            assert page.status_code == 200
            assert "set-cookie" not in page.headers
            assert (await browser.get(LIST)).status_code == 401

    run(case())


def test_the_root_leads_to_the_executions(built: Path) -> None:
    async def case() -> None:
        async with house() as at:
            answer = await at.client.get("/")
            assert (answer.status_code, answer.headers["location"]) == (307, "/executions")

    run(case())


def test_what_was_built_is_kept_for_ever_and_what_was_not_is_asked_for_again(built: Path) -> None:
    async def case() -> None:
        async with house() as at:
            script = await at.client.get("/assets/index-abc123.js")
            assert "immutable" in script.headers["cache-control"]
            assert script.headers["content-encoding"] == "gzip"
            assert script.text == "let a = 1;"
            plain = await at.client.get("/assets/index-abc123.js", headers={"accept-encoding": "identity"})
            assert "content-encoding" not in plain.headers
            assert plain.text == "let a = 1;"
            assert (await at.client.get("/assets/artifact.js")).headers["cache-control"] == "no-cache"
            for wrong in ("/assets/index.html", "/assets/index-abc123.js.gz", "/assets/..%2findex.html"):
                assert (await at.client.get(wrong)).status_code == 404

    run(case())


def test_without_built_pages_the_server_works_and_says_how_to_build_them(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def case() -> None:
        monkeypatch.setattr(web, "DIST", tmp_path / "nothing")
        async with house(dev=True) as at:
            page = await at.client.get("/executions")
            assert page.status_code == 503
            assert "web/pages.py" in page.text
            assert (await at.client.get(LIST)).status_code == 200

    run(case())


def test_an_artifact_tells_what_it_takes_to_draw_it_and_to_fold_its_journal() -> None:
    async def case() -> None:
        async with house() as at:
            graph_id = await at.publish()
            told = (await at.client.get(f"/registry/v1/artifacts/{graph_id}")).json()
            assert [(node["number"], node["alias"]) for node in told["nodes"]] == [(0, "first"), (1, "last")]
            assert told["nodes"][0].keys() >= {"kind", "join", "join_n", "join_policy", "traits", "position"}
            assert told["edges"][0].keys() >= {"number", "from", "to", "on_error", "loop"}
            assert told["compensate"] == {}

    run(case())
