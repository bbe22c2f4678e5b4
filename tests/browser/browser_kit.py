"""What the tests with a browser share: a site (a bed with its server and worker), tabs that note what goes wrong.

A tab waits for conditions, never for times; bounds are generous. Whatever a page says in its console as an error, any
script error, any request to another host, and any serious finding of axe fails the test that caused it.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Playwright, expect, sync_playwright
from process_kit import Api, Bed, a_bed

from axiom.web import pages

PATIENCE_MS = 120_000
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --disable-dev-shm-usage --js-flags=--max-old-space-size=512"
)
AXE = pages.WEB / "node_modules" / "axe-core" / "axe.min.js"
T = TypeVar("T")
expect.set_options(timeout=PATIENCE_MS)


def apart(work: Callable[[], T]) -> T:
    """Do something that runs a loop of its own: this thread's belongs to the browser's driver."""
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]


class Site:
    """A bed, its server and a worker."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.api: Api = bed.serve()
        self.worker = bed.worker("worker")
        self.url = self.api.url

    def restart(self) -> None:
        """The server again, at the same address."""
        port = self.url.rpartition(":")[2]
        process = self.bed.process("serve", "serve", "--port", port, "--store", self.bed.store)
        process.wait_for("axiom serves")
        self.api = Api(process, self.url, self.bed.key)


def site_of(folder: Path) -> Iterator[Site]:
    node = pages.find_node() or pages.fetch_node()
    pages.make()
    pages.install(node)
    manager = a_bed("sqlite", folder)
    bed = apart(manager.__enter__)
    try:
        yield Site(bed)
    finally:
        manager.__exit__(None, None, None)


class Tab:
    """A page of the site, and what went wrong in it."""

    def __init__(self, page: Page, site: Site) -> None:
        self.page, self.site = page, site
        self.wrong: list[str] = []
        self.allowed: tuple[str, ...] = ()
        """What the console may say: a browser calls every refused or broken request an error."""
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.wrong.append(f"script error: {error}"))
        page.on("request", lambda request: self._request(request.url))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not any(re.search(known, message.text) for known in self.allowed):
            self.wrong.append(f"console: {message.text}")

    def _request(self, url: str) -> None:
        if not url.startswith((f"{self.site.url}/", "data:", "blob:")):
            self.wrong.append(f"a request to {url}")

    def go(self, path: str) -> None:
        self.page.goto(self.site.url + path)

    def text(self, text: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_text(text).first

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name)

    def rows(self) -> Locator:
        return self.page.locator("[role=row][data-id]")

    def node(self, alias: str, phase: str) -> Locator:
        """A node of the canvas in a phase."""
        return self.page.locator(f'.flow-node[data-alias="{alias}"][data-phase="{phase}"]')

    def phases(self) -> dict[str, str]:
        """Every node of the canvas and its phase."""
        found = self.page.locator(".flow-node")
        pairs = found.evaluate_all("nodes => nodes.map(node => [node.dataset.alias, node.dataset.phase])")
        return dict(pairs)

    def accessible(self) -> None:
        """axe finds nothing serious."""
        self.page.evaluate(AXE.read_text("utf-8"))
        found: dict[str, Any] = self.page.evaluate("axe.run()")
        serious = [
            f"{one['id']}: {one['nodes'][0]['target']} {one['nodes'][0]['failureSummary']}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]
        assert not serious, "\n".join(serious)


class Browsing:
    """The browser, and tabs in it."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser

    @contextmanager
    def tab(self, site: Site, sign_in: bool = True, **more: Any) -> Iterator[Tab]:
        """A tab with cookies and storage of its own."""
        context = self.browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **more})
        try:
            if sign_in:
                answer = context.request.post(f"{site.url}/session", data={"key": site.bed.key})
                assert answer.ok, answer.text()
            tab = Tab(context.new_page(), site)
            yield tab
            assert not tab.wrong, "\n".join(tab.wrong)
        finally:
            context.close()


def browsing() -> Iterator[Browsing]:
    path = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    assert path, "the pages are tested in Chromium: apt-get install chromium"
    driver: Playwright = sync_playwright().start()
    try:
        browser = driver.chromium.launch(executable_path=path, headless=True, args=FLAGS.split())
        try:
            yield Browsing(browser)
        finally:
            browser.close()
    finally:
        driver.stop()
