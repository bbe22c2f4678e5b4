"""A user's process is killed with workflows in flight, and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from axiom.runtime.catalog import load_plan
from axiom.runtime.store.opening import open_store
from axiom.runtime.topology import Topology
from axiom.runtime.verify import verify

PROGRAM = Path(__file__).with_name("user_program.py")
RUNS = 20

pytestmark = pytest.mark.slow


def start(folder: Path) -> subprocess.Popen[str]:
    words = [sys.executable, str(PROGRAM), str(folder / "x.db"), str(folder / "effects"), str(RUNS)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_a_process_killed_again_and_again_finishes_every_run_with_each_effect_under_one_key(
    tmp_path: Path,
) -> None:
    for _ in range(3):
        program = start(tmp_path)
        assert program.stdout is not None
        assert program.stdout.readline() == "begun\n"
        before = len(_lines(tmp_path))
        while len(_lines(tmp_path)) < min(before + 5, 4 * RUNS - 1) and program.poll() is None:
            time.sleep(0.005)
        os.kill(program.pid, signal.SIGKILL)
        program.wait()
    program = start(tmp_path)
    out, _ = program.communicate(timeout=500)
    assert out.split() == ["begun", "done"]
    effects = [line.split() for line in (tmp_path / "effects").read_text().splitlines()]
    keys = Counter((order, part) for _, order, part in effects)
    assert len(keys) == 4 * RUNS
    assert len({key for key, _, _ in effects}) == 4 * RUNS, "a task done again has the key of its first time"
    asyncio.run(_check(f"sqlite:///{tmp_path / 'x.db'}"))


def _lines(folder: Path) -> list[str]:
    effects = folder / "effects"
    return effects.read_text().splitlines() if effects.exists() else []


async def _check(url: str) -> None:
    store = open_store(url)
    await store.open()

    async def topology_of(graph_id: str) -> Topology:
        return Topology(await load_plan(store, graph_id))

    assert [violation async for violation in verify(store, topology_of)] == []
    await store.close()
