"""Flows and their Run dialog."""

from __future__ import annotations

import json

import pytest
from browser_kit import Site, Tab
from playwright.sync_api import expect

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def run_dialog(tab: Tab, flow: str) -> None:
    tab.go(f"/flows/{flow}")
    tab.button("▶ Run").click()


def test_a_flow_has_its_graph_its_yaml_and_its_versions(site: Site, tab: Tab) -> None:
    tab.go("/flows")
    tab.page.get_by_role("link", name="proof/diamond").click()
    expect(tab.page.locator(".flow-node")).to_have_count(5)
    expect(tab.page.locator(".yaml")).to_contain_text("name: proof/diamond")
    tab.page.get_by_role("tab", name="Versions").click()
    expect(tab.page.locator("tbody tr")).to_have_count(1)
    tab.page.get_by_role("tab", name="Input and output").click()
    expect(tab.text('"ledger"')).to_be_visible()
    tab.accessible()


def test_a_unary_run_is_filled_in_run_and_shown(site: Site, tab: Tab) -> None:
    run_dialog(tab, "proof/chain")
    expect(tab.text("Unary — single request / response")).to_be_visible()
    dialog = tab.page.get_by_role("dialog")
    run = dialog.get_by_role("button", name="▶ Run")
    run.click()
    expect(dialog.get_by_text("is required").first).to_be_visible()
    dialog.get_by_label("ledger").fill(str(site.bed.ledger))
    dialog.get_by_label("hold").fill("{")
    expect(dialog.get_by_role("alert").first).to_be_visible()
    dialog.get_by_label("hold").fill("{}")
    tab.accessible()
    run.click()
    expect(dialog.get_by_text("completed.")).to_be_visible()
    expect(dialog.locator(".tree")).to_contain_text("ledger")
    dialog.get_by_role("link").click()
    expect(tab.node("c", "completed")).to_be_visible()


def test_form_and_json_are_two_views_of_one_value(site: Site, tab: Tab) -> None:
    run_dialog(tab, "proof/sums")
    dialog = tab.page.get_by_role("dialog")
    dialog.get_by_label("ledger").fill("x")
    dialog.get_by_label("count").fill("7")
    dialog.get_by_role("tab", name="JSON").click()
    box = dialog.get_by_label("Input", exact=True)
    assert json.loads(box.input_value())["count"] == 7
    box.fill('{"ledger": "y", "count": 9, "hold": {"a": "b"}, "more": true}')
    dialog.get_by_role("tab", name="Form").click()
    expect(dialog.get_by_label("count")).to_have_value("9")
    expect(dialog.get_by_text("Also given: more")).to_be_visible()
    dialog.get_by_role("tab", name="JSON").click()
    assert json.loads(box.input_value()) == {"ledger": "y", "count": 9, "hold": {"a": "b"}, "more": True}


def test_a_pipeline_run_shows_its_frames_as_they_come(site: Site, tab: Tab) -> None:
    gate = site.bed.gate("frames-gate")
    run_dialog(tab, "proof/sums")
    expect(tab.text("⚡ Pipeline — streams multiple frames via SSE")).to_be_visible()
    dialog = tab.page.get_by_role("dialog")
    dialog.get_by_role("tab", name="JSON").click()
    value = {**site.bed.task(numbers=gate), "count": 20}
    dialog.get_by_label("Input", exact=True).fill(json.dumps(value))
    dialog.get_by_role("button", name="▶ Run").click()
    frames = dialog.get_by_role("log").locator("> div")
    expect(frames).to_have_count(10)
    expect(dialog.get_by_text("runs…")).to_be_visible()
    gate.unlink()
    expect(frames).to_have_count(20)
    expect(dialog.get_by_text("completed.")).to_be_visible()
    expect(frames.last).to_contain_text("{ n, sum }")
