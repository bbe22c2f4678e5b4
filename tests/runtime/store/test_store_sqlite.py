"""The SQLite store keeps every rule, in the process that holds the file and from beside it over the socket."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from conformance import RULES, Rule

from axiom.runtime.store import sqlite_backing
from axiom.runtime.store.sqlite import SqliteStore


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("pair", ["holder", "holder on a slow disk", "client+holder", "client+client"])
def test_sqlite_keeps_the_rule_that(
    rule: Rule, pair: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "slow" in pair:
        monkeypatch.setattr(
            sqlite_backing, "INLINE_SECONDS", 0.0
        )  # every commit is made by the writer's thread
    url = f"sqlite:///{tmp_path}/x.db"

    async def run() -> None:
        holder = SqliteStore(url, role="holder")
        clients = [SqliteStore(url, role="client") for _ in range(pair.count("client"))]
        for store in (holder, *clients):
            await store.open()
        first, second = [*clients, holder, holder][:2]
        try:
            await rule(first, second)
        finally:
            for store in (*clients, holder):
                await store.close()

    asyncio.run(run())
