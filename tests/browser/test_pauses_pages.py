"""The work list, and an answer from it."""

from __future__ import annotations

import pytest
from browser_kit import Site, Tab
from playwright.sync_api import expect

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_what_waits_for_a_person_is_listed_answered_and_goes_on(site: Site, tab: Tab) -> None:
    tab.allowed = ("409",)
    tab.go("/pauses")
    expect(tab.text("Nothing waits for a person")).to_be_visible()
    tab.accessible()
    run = site.api.start("ask", site.bed.task())
    row = tab.page.locator(f'tr[data-pause^="{run}/"]')
    expect(row).to_contain_text("be written to?")
    row.get_by_role("button", name="Answer").click()
    dialog = tab.page.get_by_role("dialog")
    send = dialog.get_by_role("button", name="Answer and go on")
    send.click()
    expect(dialog.get_by_text("is required").first).to_be_visible()
    dialog.get_by_label("ledger").fill(str(site.bed.ledger))
    dialog.get_by_label("hold").fill("{}")
    tab.accessible()
    send.click()
    expect(dialog).to_be_hidden()
    assert site.api.ended(run) == "COMPLETED"
    expect(tab.text("Nothing waits for a person")).to_be_visible()


def test_an_open_pause_is_answered_on_its_runs_page_and_stays_in_its_history(site: Site, tab: Tab) -> None:
    run = site.api.start("ask", site.bed.task())
    tab.go(f"/executions/{run}")
    expect(tab.node("asked", "waiting")).to_be_visible()
    expect(tab.page.locator('header [data-status="PAUSED"]')).to_have_text("❚❚Paused (HITL)")
    tab.page.locator("header").get_by_role("button", name="Answer").click()
    tab.page.get_by_label("ledger").fill(str(site.bed.ledger))
    tab.page.get_by_label("hold").fill("{}")
    tab.page.get_by_label("Comment").fill("looks fine")
    tab.button("Answer and go on").click()
    expect(tab.node("asked", "completed")).to_be_visible()
    tab.page.reload()
    expect(tab.text("looks fine")).to_be_visible()
    tab.accessible()


def test_gates_say_what_they_need(site: Site, tab: Tab) -> None:
    gate = site.bed.gate("branch-gate")
    run = site.api.start("diamond", site.bed.task(left=gate))
    tab.go(f"/executions/{run}#branches")
    expect(tab.page.get_by_role("cell", name="left")).to_be_visible()
    expect(tab.page.get_by_role("row").filter(has_text="middle")).to_contain_text("arrived")
    expect(tab.page.get_by_role("row").filter(has_text="left")).to_contain_text("running")
    tab.accessible()
    gate.unlink()
    expect(tab.page.get_by_role("row").filter(has_text="left")).to_contain_text("arrived")
