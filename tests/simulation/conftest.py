"""How many schedules, or which."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "runtime"))

SCHEDULES = 2_000
BLOCK = 100


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", type=int, default=SCHEDULES, help="how many schedules to simulate")
    parser.addoption("--seed", type=int, default=None, help="the one schedule to play again")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test per block of schedules, so that the workers share them."""
    if "seeds" in metafunc.fixturenames:
        one, count = metafunc.config.getoption("--seed"), metafunc.config.getoption("--seeds")
        blocks = (
            [[one]]
            if one is not None
            else [list(range(first, min(first + BLOCK, count))) for first in range(0, count, BLOCK)]
        )
        metafunc.parametrize("seeds", blocks, ids=[f"{block[0]}-{block[-1]}" for block in blocks])
