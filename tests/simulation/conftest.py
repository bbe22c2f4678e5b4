"""How many schedules, or which."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "runtime"))

SCHEDULES = 200


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", type=int, default=SCHEDULES, help="how many schedules to simulate")
    parser.addoption("--seed", type=int, default=None, help="the one schedule to play again")


@pytest.fixture
def seeds(request: pytest.FixtureRequest) -> list[int]:
    one = request.config.getoption("--seed")
    return [one] if one is not None else list(range(request.config.getoption("--seeds")))
