"""What becomes of runs that have begun: restart, fork, pause, resume, bulk and erase on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from axiom.api.cli import exits
from axiom.api.cli.main import outcome

REFUNDS = Path(__file__).parents[3] / "docs" / "examples" / "refunds"
ORDER = {"order_id": "o-1", "item": "tea", "amount": 20.0, "country": "Atlantis"}
Told = Callable[..., Any]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with one run that failed and was compensated."""
    url = f"sqlite:///{tmp_path_factory.mktemp('lives')}/x.db"
    command = [sys.executable, "-m", "axiom.api.cli.main", "run", str(REFUNDS), "-d", json.dumps(ORDER)]
    done = subprocess.run([*command, "--store", url], capture_output=True, text=True, timeout=120)
    assert done.returncode == exits.FAILED, done.stderr
    return url


@pytest.fixture
def told(store: str, capsys: pytest.CaptureFixture[str]) -> Told:
    def call(*command: str) -> Any:
        capsys.readouterr()
        code = outcome(["executions", *command, "--store", store])
        assert code == exits.DONE, capsys.readouterr().err
        out = capsys.readouterr()
        return json.loads(out.out) if "--json" in command else out.out + out.err

    return call


@pytest.mark.slow
def test_a_run_is_forked_held_resumed_and_erased(
    told: Told, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (failed,) = told("list", "--status", "FAILED", "--json")
    run = failed["execution_id"]
    assert outcome(["executions", "restart", run, "--store", store]) == exits.USAGE
    assert "undone" in capsys.readouterr().err
    plan = told("fork", run, "--plan")
    assert "reserve\tstarts" in plan
    assert "the effect of charge happens again" in plan
    fork = told("fork", run, "--seq", "1", "--value", json.dumps({**ORDER, "country": "Norway"})).split()[0]
    assert told("get", fork, "--json")["origin"]["execution_id"] == run
    assert "PAUSED" in told("pause", fork, "--comment", "a look first")
    assert "QUEUED" in told("resume", fork)
    assert "cancelled" in told("cancel", fork)
    restarted = told("restart", fork, "--json")
    assert restarted["origin"]["kind"] == "restart"
    assert told("bulk", "cancel", "--status", "QUEUED", "--plan", "--json")["count"] == 1
    assert restarted["execution_id"] in told("bulk", "cancel", "--status", "QUEUED")
    assert "erased" in told("erase", restarted["execution_id"])
    assert outcome(["executions", "get", restarted["execution_id"], "--store", store]) == exits.NOT_FOUND


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["fork", "0" * 32, "--value", "{"],
        ["fork", "0" * 32, "--node", "a", "--iteration", "one"],
        ["bulk", "cancel"],
    ],
)
def test_what_means_nothing_is_refused_before_anything_is_asked(command: list[str], store: str) -> None:
    assert outcome(["executions", *command, "--store", store]) == exits.USAGE
