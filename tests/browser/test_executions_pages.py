"""The list of executions and the page of one, while they happen and afterwards."""

from __future__ import annotations

import re

import pytest
from browser_kit import Browsing, Site, Tab
from playwright.sync_api import expect

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_served_page_asks_for_a_key_once(site: Site, chromium: Browsing) -> None:
    with chromium.tab(site, sign_in=False) as tab:
        tab.allowed = ("401",)
        tab.go("/flows")
        tab.page.get_by_label("API key").fill("axm_wrong")
        tab.button("Sign in").click()
        expect(tab.text("unauthorized")).to_be_visible()
        tab.accessible()
        tab.page.get_by_label("API key").fill(site.bed.key)
        tab.button("Sign in").click()
        expect(tab.page.get_by_role("link", name="proof/chain", exact=True)).to_be_visible()
        tab.page.reload()
        expect(tab.page.get_by_role("link", name="proof/chain", exact=True)).to_be_visible()


def test_a_run_appears_by_itself_and_its_filters_stand_in_the_address(site: Site, tab: Tab) -> None:
    gate = site.bed.gate("list-gate")
    tab.go("/executions")
    expect(tab.page.get_by_role("heading", name="Executions")).to_be_visible()
    held = site.api.start("chain", site.bed.task(b=gate))
    row = tab.page.locator(f'[data-id="{held}"]')
    expect(row.locator('[data-status="RUNNING"]')).to_be_visible()
    done = site.api.start("diamond", site.bed.task())
    expect(tab.page.locator(f'[data-id="{done}"] [data-status="COMPLETED"]')).to_be_visible()

    tab.button("Running").click()
    expect(tab.page).to_have_url(re.compile(r"status=RUNNING"))
    expect(tab.rows()).to_have_count(1)
    tab.page.reload()
    expect(tab.rows()).to_have_count(1)
    expect(tab.button("Running")).to_have_attribute("aria-pressed", "true")
    gate.unlink()
    expect(row.locator('[data-status="COMPLETED"]')).to_be_visible()

    tab.page.go_back()
    tab.page.get_by_label("Flow", exact=True).select_option("proof/diamond")
    expect(tab.page.locator(f'[data-id="{done}"]')).to_be_visible()
    expect(tab.page.locator(f'[data-id="{held}"]')).to_have_count(0)
    tab.page.get_by_label(re.compile("^Search")).fill(held[:12])
    expect(tab.text("No execution matches these filters")).to_be_visible()
    tab.button("Clear filters").first.click()
    expect(tab.page).to_have_url(re.compile(r"/executions$"))
    expect(row).to_be_visible()
    tab.accessible()


def test_a_run_is_followed_while_it_goes_on_and_is_the_same_after_a_reload(site: Site, tab: Tab) -> None:
    left, end = site.bed.gate("left-gate"), site.bed.gate("end-gate")
    run = site.api.start("diamond", site.bed.task(left=left, z=end))
    tab.go(f"/executions/{run}")
    expect(tab.node("left", "running")).to_be_visible()
    expect(tab.node("middle", "completed")).to_be_visible()
    expect(tab.page.locator(".why")).not_to_be_empty()
    before = tab.phases()
    assert before["a"] == "completed"
    assert before["z"] == "idle"
    tab.page.reload()
    expect(tab.node("left", "running")).to_be_visible()
    assert tab.phases() == before
    left.unlink()
    expect(tab.node("z", "running")).to_be_visible()
    end.unlink()
    expect(tab.page.locator('header [data-status="COMPLETED"]')).to_be_visible()
    expect(tab.node("z", "completed")).to_be_visible()
    after = tab.phases()
    tab.page.reload()
    expect(tab.node("z", "completed")).to_be_visible()
    assert tab.phases() == after
    tab.accessible()


def test_the_slider_goes_through_the_run_event_by_event(site: Site, tab: Tab) -> None:
    run = site.api.start("chain", site.bed.task())
    site.api.ended(run)
    count = len(site.api.events(run))
    tab.go(f"/executions/{run}")
    where = tab.page.locator("[data-shown]")
    expect(where).to_have_attribute("data-shown", str(count))
    slider = tab.page.get_by_role("slider", name="Event")
    slider.focus()
    slider.press("Home")
    expect(where).to_have_attribute("data-shown", "1")
    expect(tab.node("a", "ready")).to_be_visible()
    assert tab.phases() == {"a": "ready", "b": "idle", "c": "idle"}
    kinds = site.api.kinds(run)
    for _ in range(kinds.index("NodeStarted b 1")):
        slider.press("ArrowRight")
    expect(tab.node("b", "running")).to_be_visible()
    assert tab.phases() == {"a": "completed", "b": "running", "c": "idle"}
    tab.page.get_by_role("tab", name="Events").click()
    expect(tab.page.locator("[role=option][aria-selected=true]")).to_contain_text("Started")
    tab.page.get_by_role("option").last.click()
    expect(where).to_have_attribute("data-shown", str(count))
    tab.button("Play the run back").click()
    expect(where).to_have_attribute("data-shown", str(count))
    tab.accessible()


def test_checkpoints_and_output_are_shown_as_they_are_and_never_as_markup(site: Site, tab: Tab) -> None:
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    run = site.api.call(
        "POST",
        "/invocations/v1/nodes/proof/effects/1.0.0/NoData",
        json={"input": {"text": evil}, "wait": False},
    )["execution_id"]
    chain = site.api.start("chain", {**site.bed.task(), "hold": {evil: "nowhere"}})
    site.api.ended(chain)
    site.api.ended(run)
    dialogs: list[str] = []
    tab.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    tab.go(f"/executions/{chain}#checkpoints")
    expect(tab.page.locator(".tree")).to_be_visible()
    expect(tab.page.locator(".tree").get_by_text(evil, exact=False).first).to_be_visible()
    compare = tab.page.get_by_label("Compare with")
    compare.select_option(index=1)
    expect(tab.text("They are the same.")).to_be_visible()
    tab.page.get_by_role("tab", name="Output").click()
    expect(tab.page.locator(".tree")).to_be_visible()
    assert tab.page.locator("#app img[src=x], #app script").count() == 0
    assert not dialogs
    tab.accessible()


def test_a_run_can_be_cancelled_from_its_page(site: Site, tab: Tab) -> None:
    gate = site.bed.gate("cancel-gate")
    run = site.api.start("chain", site.bed.task(b=gate))
    tab.go(f"/executions/{run}")
    expect(tab.node("b", "running")).to_be_visible()
    tab.button("Cancel").click()
    tab.button("Keep it running").click()
    assert site.api.detail(run)["status"] == "RUNNING"
    tab.button("Cancel").click()
    tab.button("Cancel the execution").click()
    expect(tab.page.locator('header [data-status="CANCELLED"]')).to_be_visible()
    expect(tab.node("b", "cancelled")).to_be_visible()
    assert site.api.detail(run)["status"] == "CANCELLED"
    gate.unlink()


def test_frames_of_a_pipeline_are_shown(site: Site, tab: Tab) -> None:
    run = tab.page.context.request.post(
        f"{site.url}/invocations/v1/flows/invoke/stream",
        headers={"authorization": f"Bearer {site.bed.key}"},
        data={"flow": "proof/sums", "input": {**site.bed.task(), "count": 40}},
    ).headers["axiom-execution-id"]
    site.api.ended(run)
    tab.go(f"/executions/{run}#output")
    expect(tab.page.get_by_role("tab", name="Frames")).to_be_visible()
    expect(tab.page.get_by_role("listitem")).to_have_count(40)


def test_what_is_not_there_is_said(site: Site, tab: Tab) -> None:
    tab.allowed = ("404",)
    tab.go("/executions/" + "0" * 32)
    expect(tab.text("There is no such execution")).to_be_visible()
    tab.go("/flows/proof/nothing")
    expect(tab.text("There is no flow proof/nothing")).to_be_visible()


def test_the_server_may_go_away_and_come_back(site: Site, tab: Tab) -> None:
    tab.allowed = ("ERR_", "Failed to load resource")
    gate = site.bed.gate("away-gate")
    run = site.api.start("chain", site.bed.task(b=gate))
    tab.go(f"/executions/{run}")
    expect(tab.node("b", "running")).to_be_visible()
    site.api.process.terminate()
    expect(tab.text("The server does not answer.")).to_be_visible()
    expect(tab.node("b", "running")).to_be_visible()
    site.restart()
    expect(tab.text("The server does not answer.")).to_be_hidden()
    gate.unlink()
    expect(tab.node("c", "completed")).to_be_visible()
    expect(tab.page.locator('header [data-status="COMPLETED"]')).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_have_two_sets_of_colours_and_both_can_be_read(
    site: Site, chromium: Browsing, scheme: str
) -> None:
    run = site.api.start("diamond", site.bed.task())
    site.api.ended(run)
    with chromium.tab(site, color_scheme=scheme) as tab:
        for path in (
            "/executions",
            f"/executions/{run}",
            f"/executions/{run}#events",
            "/flows",
            "/flows/proof/diamond",
        ):
            tab.go(path)
            expect(tab.page.locator("[role=row][data-id], .flow-node, td").first).to_be_visible()
            tab.accessible()
        ground = "getComputedStyle(document.documentElement).backgroundColor"
        first = tab.page.evaluate(ground)
        while tab.page.evaluate(ground) == first:
            tab.button("Colours:").click()
        tab.accessible()
        chosen = tab.page.evaluate(ground)
        tab.page.reload()
        expect(tab.page.locator(".flow-node").first).to_be_visible()
        assert tab.page.evaluate(ground) == chosen


def test_on_a_phone_the_lists_fit(site: Site, chromium: Browsing) -> None:
    run = site.api.start("chain", site.bed.task())
    site.api.ended(run)
    with chromium.tab(site, viewport={"width": 390, "height": 800}) as tab:
        for path in ("/executions", f"/executions/{run}", "/flows"):
            tab.go(path)
            expect(tab.page.locator("[role=row][data-id], .flow-node, td").first).to_be_visible()
            assert tab.page.evaluate("document.documentElement.scrollWidth") <= 390
        tab.accessible()
