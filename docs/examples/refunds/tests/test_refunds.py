"""Both ways through the refund flow, run whole in a store of their own."""

import json
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1]
CLI = [sys.executable, "-m", "axiom.api.cli.main"]


def run(country, store="memory:"):
    order = {"order_id": "o-1", "item": "tea", "amount": 20.0, "country": country}
    command = [*CLI, "run", PROJECT, "-d", json.dumps(order), "--store", store]
    return subprocess.run(command, capture_output=True, text=True)


def told(store, *command):
    done = subprocess.run(
        [*CLI, *command, "--json", "--store", store], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_an_order_that_can_be_shipped_undoes_nothing():
    assert json.loads(run("Norway").stdout) == {"order_id": "o-1", "carrier": "post"}


def test_an_order_that_can_not_is_undone_in_reverse_and_fails_with_its_cause(tmp_path):
    store = f"sqlite:///{tmp_path}/refunds.db"
    assert run("Atlantis", store).returncode == 1
    (row,) = told(store, "executions", "list", "--status", "FAILED")
    events = told(store, "executions", "events", row["execution_id"])
    done = [event["node"] for event in events if event["kind"] == "NodeCompleted"]
    assert done == ["reserve", "charge", "refund", "release"]
    assert [event["attempt"] for event in events if event["node"] == "refund"][-1] == 2
    assert events[-1]["body"]["code"] == "no_carrier"
