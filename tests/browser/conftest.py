"""A real browser on real servers: Debian's Chromium by its path, one for each file of tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
for folder in (TESTS / "process", TESTS / "runtime", TESTS / "runtime" / "store"):
    sys.path.insert(0, str(folder))

from browser_kit import Browsing, Site, browsing, site_of  # noqa: E402


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with a worker, and the built pages."""
    yield from site_of(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def chromium(site: Site) -> Iterator[Browsing]:
    """After the site, which makes its store in a loop of its own: the browser's driver keeps this thread's."""
    yield from browsing()


@pytest.fixture
def tab(site: Site, chromium: Browsing) -> Iterator[object]:
    """A signed-in tab in a fresh profile. A test may not leave an error behind in its console."""
    with chromium.tab(site) as tab:
        yield tab
