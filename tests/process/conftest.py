"""Beds for the tests with real processes; see ``process_kit.py``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
for folder in (TESTS / "runtime", TESTS / "runtime" / "store", TESTS / "simulation"):
    sys.path.insert(0, str(folder))

from process_kit import Bed, a_bed  # noqa: E402

STORES = ("sqlite", "redis")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-event", action="store_true", help="kill a worker at each event, not at a few")


@pytest.fixture(params=STORES)
def bed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bed]:
    """A bed of the test's own, over each store."""
    with a_bed(request.param, tmp_path) as bed:
        yield bed
