"""Type hints hold: mypy, strict, takes the good program and refuses each mistake of the bad one at its line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

GOOD = """
from dataclasses import dataclass

from axiom.sdk import Engine, Handle, Retry, Run, task, workflow


@dataclass
class Sent:
    id: str


@task(retry=Retry.exponential(3), timeout=30)
async def send(to: str, *, urgent: bool = False) -> Sent:
    return Sent(to)


@task
def score(x: int) -> float:
    return x / 2


@workflow(name="good", version="1")
async def good(run: Run, payload: str) -> Sent:
    sent = await send(payload, urgent=True)
    points: float = await score(3)
    return sent if points else Sent("")


async def use(engine: Engine) -> str:
    handle: Handle[Sent] = await engine.enqueue(good, "ada")
    sent = await handle.wait()
    return sent.id
"""

BAD = """
from axiom.sdk import Engine, Run, task, workflow


@task
async def send(to: str) -> int:
    return 1


@workflow(name="bad", version="1")
async def bad(run: Run, payload: str) -> int:
    await send(5)  # wrong
    text: str = await send("x")  # wrong
    return await send("x", more=1)  # wrong


async def use(engine: Engine) -> None:
    await engine.enqueue(bad, 7)  # wrong
    handle = await engine.enqueue(bad, "x")
    text: str = await handle.wait()  # wrong
"""


@pytest.mark.slow
def test_mypy_takes_the_good_program_and_refuses_each_mistake(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "bad.py").write_text(BAD)
    links = tmp_path / "types" / "axiom"
    links.mkdir(parents=True)
    for room in ("api", "compiler", "runtime", "web"):
        (links / room).symlink_to(ROOT / room)
    (links / "sdk").symlink_to(ROOT / "api" / "sdk")
    found = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "good.py", "bad.py"],
        cwd=tmp_path,
        env={"MYPYPATH": str(tmp_path / "types"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=500,
    )
    wrong = {f"bad.py:{n}" for n, line in enumerate(BAD.splitlines(), 1) if line.endswith("# wrong")}
    told = {":".join(line.split(":")[:2]) for line in found.stdout.splitlines() if ": error:" in line}
    assert told == wrong, found.stdout + found.stderr
