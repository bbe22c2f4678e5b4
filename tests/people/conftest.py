"""Doors for people and events: what these tests share with those of the rooms; see ``people_kit.py``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
for folder in (TESTS / "runtime", TESTS / "runtime" / "store", TESTS / "api"):
    sys.path.insert(0, str(folder))

from redis_server import RedisServer, running  # noqa: E402


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One ``redis-server`` for all tests of this process."""
    with running() as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", "redis"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store of each kind; the memory store lives in virtual time."""
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        server.command("FLUSHALL")
        return server.url
    return "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/x.db"
