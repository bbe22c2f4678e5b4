"""The pages fold journals as the runtime does: the same status and the same phase of every node after every event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from journals import journals

from axiom.runtime import events as e
from axiom.web import pages

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]


FOLDED = {
    e.ACCEPTED, e.STARTED, e.TAKEN_OVER, e.NODE_STARTED, e.NODE_COMPLETED, e.NODE_FAILED, e.NODE_WAITING, e.NODE_WOKEN,
    e.MAP_OPENED, e.GATE_WAITING, e.GATE_TIMED_OUT, e.SIGNAL_RECEIVED, e.PAUSE_ANSWERED, e.PAUSE_CHANGED,
    e.CANCEL_REQUESTED, e.COMPENSATION_STARTED, e.NODE_REUSED, e.HELD, e.RESUMED,
    e.DEBUG_ORDERED, e.COMPLETED, e.FAILED, e.CANCELLED,
}  # fmt: skip
"""Every kind that changes a state. One more: write it into the pages' fold, and name a test that makes a run of it."""


@pytest.fixture(scope="module")
def runs() -> list[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        return journals(patch)


def test_the_runs_show_what_there_is_to_fold(runs: list[dict[str, Any]]) -> None:
    """A comparison is worth what it compares: every kind that changes a state, and every phase."""
    kinds = {event["kind"] for run in runs for event in run["events"]}
    phases = {phase for run in runs for _, changed in run["states"] for _, _, phase, _ in changed}
    statuses = {status for run in runs for status, _ in run["states"]}
    assert kinds >= FOLDED
    assert phases == {
        "ready", "running", "retrying", "waiting", "mapping", "completed", "failed", "not_taken", "cancelled",
    }  # fmt: skip
    assert statuses >= {
        "PAUSED",
        "WAITING",
        "WAITING_ON_GATE",
        "COMPENSATING",
        "DEBUG_PAUSED",
        "FAILED",
        "CANCELLED",
    }


def test_the_pages_fold_as_the_runtime_does(
    runs: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journals.json"
    path.write_text(json.dumps(runs))
    monkeypatch.setenv("AXIOM_JOURNALS", str(path))
    node = pages.find_node() or pages.fetch_node()
    pages.install(node)
    node.tool("vitest", "run", "src/state/fold.test.ts", "--reporter", "dot")
