"""What all tests share: settings of the environment out of the way, and slow tests one after another."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

for name in [name for name in os.environ if name.startswith("AXIOM_")]:
    del os.environ[name]  # a developer's own settings must not reach the tests

settings.register_profile(
    "axiom",
    deadline=None,  # two busy cores: how long one example takes says nothing
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("axiom")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked ``slow`` start processes and servers: one xdist worker runs them, one after another."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.xdist_group("processes"))
