"""A hundred thousand executions, and a run of ten thousand events: few rows in the page, and none left out."""

from __future__ import annotations

from typing import Any

import pytest
from browser_kit import Browsing, Site, Tab, apart
from playwright.sync_api import expect

from axiom.runtime import events as e
from axiom.runtime.events import Event
from axiom.runtime.store.base import Append, Create, Ok, Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

COUNT = 100_000
BATCH = 256
ROWS_MOST = 300
"""In the page at a time, whatever the list's length."""
NOTHING = "a" * 32


def seeded(number: int, at: int) -> Append:
    """An execution that was accepted and ended, in one append."""
    execution_id = f"{number % 16:04x}{number:028x}"
    body: dict[str, Any] = {
        "graph_id": NOTHING,
        "flow": f"seed/{number % 4}",
        "mode": "unary",
        "account": "default",
    }
    ended = Event(e.CANCELLED, at, body={"reason": "seeded"})
    data = [e.encode(one) for one in (Event(e.ACCEPTED, at, body={**body, "input": {"value": {}}}), ended)]
    create = Create("default", body["flow"], NOTHING, "unary", "default")
    crcs = tuple(e.crc(execution_id, one) for one in data)
    status = ("FAILED", "CANCELLED", "COMPLETED")[number % 3]
    return Append(execution_id, tuple(data), crcs, at, 0, status=status, create=create)


async def fill(store: Store) -> None:
    for start in range(0, COUNT, BATCH):
        at = store.now()
        outcomes = await store.append([seeded(n, at) for n in range(start, min(COUNT, start + BATCH))])
        assert all(isinstance(outcome, Ok) for outcome in outcomes)


@pytest.fixture(scope="module")
def full(site: Site) -> Site:
    """The site with all of them in its store."""
    apart(lambda: site.bed.with_store(fill))
    return site


def scrolled_to(tab: Tab, loaded: int) -> None:
    """Scroll down until so many rows are there."""
    tab.page.wait_for_function(
        """wanted => {
            const box = document.querySelector(".scroll");
            box.scrollTop = box.scrollHeight;
            return document.querySelectorAll("[role=row][data-id]").length > 0
                && parseInt(document.querySelector(".foot").textContent.replaceAll(",", "")) >= wanted;
        }""",
        arg=loaded,
        polling=50,
    )


def test_a_hundred_thousand_rows_are_paged_and_few_are_in_the_page(full: Site, chromium: Browsing) -> None:
    with chromium.tab(full) as tab:
        tab.page.set_default_timeout(240_000)
        tab.go("/executions")
        expect(tab.rows().first).to_be_visible()
        scrolled_to(tab, COUNT)
        assert tab.rows().count() <= ROWS_MOST
        expect(tab.page.locator(".foot")).to_contain_text("100,000 executions loaded")
        expect(tab.page.locator(".foot")).not_to_contain_text("more below")
        last = tab.rows().last.get_attribute("data-id")
        assert last == f"{0:032x}", "the oldest is at the end"


def test_a_filter_over_all_of_them_is_a_link(full: Site, chromium: Browsing) -> None:
    with chromium.tab(full) as tab:
        tab.go("/executions?status=FAILED&flow=seed%2F2")
        expect(tab.rows().first).to_be_visible()
        scrolled_to(tab, 1_500)
        assert tab.rows().count() <= ROWS_MOST
        chips = tab.page.locator("[role=row] [data-status]").evaluate_all(
            "all => all.map(one => one.dataset.status)"
        )
        assert set(chips) == {"FAILED"}


def test_new_ones_wait_aside_while_somebody_reads_further_down(full: Site, chromium: Browsing) -> None:
    with chromium.tab(full) as tab:
        tab.go("/executions")
        expect(tab.rows().first).to_be_visible()
        scrolled_to(tab, 600)
        run = full.api.start("chain", full.bed.task())
        tab.button("new execution").click()
        expect(tab.page.locator(f'[data-id="{run}"]')).to_be_visible()
