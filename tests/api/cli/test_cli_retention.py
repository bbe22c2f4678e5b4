"""``axiom prune``: told first, done on demand; what lives stays."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from axiom.api.cli.retention import prune as command
from axiom.runtime import events as e
from axiom.runtime.events import Event
from axiom.runtime.store.base import Append, Create
from axiom.runtime.store.opening import open_store

DAY_MS = 86_400_000


def execution(flow: str, number: int, age_days: int, status: str) -> Append:
    execution_id = f"{number:032x}"
    at = 1_700_000_000_000 - age_days * DAY_MS
    kinds = [e.ACCEPTED, e.COMPLETED] if status == "COMPLETED" else [e.ACCEPTED]
    data = tuple(e.encode(Event(kind, at, body={"input": {"value": {}}})) for kind in kinds)
    crcs = tuple(e.crc(execution_id, encoded) for encoded in data)
    create = Create("default", flow, "g" * 32, "unary", "default", retention_days=30)
    return Append(execution_id, data, crcs, at, 0, status=status, create=create)


def prune(url: str, *more: str) -> dict[str, Any]:
    result = CliRunner().invoke(command, ["--json", "--store", url, *more], standalone_mode=False)
    assert not result.exception, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def test_a_dry_run_tells_by_flow_and_removes_nothing_and_a_real_one_leaves_what_lives(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/x.db"

    async def fill() -> None:
        store = open_store(url)
        await store.open()
        await store.append(
            [
                execution("a/old", 1, 400, "COMPLETED"),
                execution("a/old", 2, 400, "COMPLETED"),
                execution("a/live", 3, 400, "QUEUED"),
                execution("b/old", 4, 400, "COMPLETED"),
            ]
        )
        await store.close()

    asyncio.run(fill())
    for _ in range(2):
        rows = prune(url, "--dry-run")["would_delete"]
        assert [(row["flow"], row["executions"]) for row in rows] == [("a/old", 2), ("b/old", 1)]
    assert len(prune(url, "--dry-run", "--flow", "b/old")["would_delete"]) == 1
    assert prune(url) == {"deleted": 3}
    assert prune(url) == {"deleted": 0}
