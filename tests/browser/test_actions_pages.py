"""What can be done with runs from their pages: held, let go on, cancelled, restarted, one by one and all that match."""

from __future__ import annotations

import pytest
from browser_kit import Site, Tab
from playwright.sync_api import expect
from process_kit import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def status(tab: Tab, name: str) -> None:
    expect(tab.page.locator(f'header [data-status="{name}"]')).to_be_visible()


def test_a_run_is_held_and_goes_on(site: Site, tab: Tab) -> None:
    gate = site.bed.gate("hold-gate")
    run = site.api.start("chain", site.bed.task(b=gate))
    tab.go(f"/executions/{run}")
    expect(tab.node("b", "running")).to_be_visible()
    tab.page.locator("header").get_by_role("button", name="Hold").click()
    tab.accessible()
    tab.button("Hold the execution").click()
    status(tab, "PAUSED")
    gate.unlink()
    expect(tab.node("b", "completed")).to_be_visible()
    expect(tab.node("c", "ready")).to_be_visible()
    tab.button("Go on").click()
    status(tab, "COMPLETED")
    expect(tab.node("c", "completed")).to_be_visible()


def test_a_restart_shows_its_plan_and_leads_to_the_new_run(site: Site, tab: Tab) -> None:
    gate = site.bed.gate("restart-gate")
    run = site.api.start("chain", site.bed.task(b=gate))
    tab.go(f"/executions/{run}")
    expect(tab.node("b", "running")).to_be_visible()
    tab.page.locator("header").get_by_role("button", name="Cancel").click()
    tab.button("Cancel the execution").click()
    status(tab, "CANCELLED")
    gate.unlink()
    tab.button("Restart").click()
    dialog = tab.page.get_by_role("dialog")
    expect(dialog.get_by_text("keeps 1 outcome: a.")).to_be_visible()
    expect(dialog.get_by_text("It starts at b.")).to_be_visible()
    tab.accessible()
    dialog.get_by_role("button", name="Restart").click()
    expect(tab.text("Restart of")).to_be_visible()
    status(tab, "COMPLETED")
    assert tab.phases() == dict.fromkeys("abc", "completed")
    assert not tab.page.url.endswith(run)


def test_all_that_match_are_counted_and_then_cancelled(site: Site, tab: Tab) -> None:
    gate = site.bed.gate("bulk-gate")
    kept = site.api.start("diamond", site.bed.task(left=gate))
    runs = [site.api.start("chain", site.bed.task(b=gate)) for _ in range(3)]
    for run in runs:
        site.bed.begun(run, "b")
    tab.go("/executions")
    expect(tab.button("Cancel or restart all…")).to_be_disabled()
    tab.go("/executions?flow=proof%2Fchain&status=RUNNING")
    expect(tab.rows()).to_have_count(3)
    tab.button("Cancel or restart all…").click()
    dialog = tab.page.get_by_role("dialog")
    expect(dialog.get_by_text("3 would be cancelled.")).to_be_visible()
    tab.accessible()
    dialog.get_by_role("button", name="Cancel them").click()
    expect(dialog.get_by_text("Done: 3 executions cancelled.")).to_be_visible()
    assert [site.api.detail(run)["status"] for run in runs] == ["CANCELLED"] * 3
    assert site.api.detail(kept)["status"] == "RUNNING"
    gate.unlink()
    until(lambda: site.api.detail(kept)["status"] == "COMPLETED", "the other one ends")
