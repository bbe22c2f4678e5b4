"""A month that is paid, one that was paid early, and one that nobody pays."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
USAGE = {"customer": "ada", "month": "2026-01", "minutes": 840}
PAYMENT = {"invoice_id": "ada-2026-01", "amount": 42}


def axiom(store, *arguments, exits=0):
    command = [sys.executable, "-m", "axiom.api.cli.main", *map(str, arguments), "--store", store]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == exits, done.stdout + done.stderr
    return done.stdout


def start(project, **more):
    return "run", project, "-d", json.dumps(USAGE | more), "--idempotency-key", "ada-2026-01"


def pay(store, payment_id):
    told = ("--correlate", "ada-2026-01", "--id", payment_id, "-d", json.dumps(PAYMENT), "--json")
    return json.loads(axiom(store, "events", "send", "payment.settled", *told))


@pytest.mark.slow
def test_a_payment_ends_the_month_that_waits_for_it(tmp_path):
    store = f"sqlite:///{tmp_path}/x.db"
    axiom(store, *start(PROJECT), "--timeout", 2, exits=124)
    assert not pay(store, "bank-1")["duplicate"]
    assert pay(store, "bank-1")["duplicate"]
    assert json.loads(axiom(store, *start(PROJECT))) == {
        "state": "paid",
        "detail": "ada-2026-01 was paid: 42.00",
    }


@pytest.mark.slow
def test_a_payment_that_comes_before_the_month_is_closed_is_kept(tmp_path):
    store = f"sqlite:///{tmp_path}/x.db"
    axiom(store, "run", PROJECT, "-d", json.dumps(USAGE | {"customer": "bob"}), "--no-wait")
    assert pay(store, "bank-1")["delivered_to"] == []
    assert json.loads(axiom(store, *start(PROJECT)))["state"] == "paid"


@pytest.mark.slow
def test_without_a_payment_the_customer_is_suspended(tmp_path):
    project = tmp_path / "billing"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("__pycache__", ".axiom"))
    flow = project / "flow.yaml"
    flow.write_text(flow.read_text().replace("1209600000", "100"))
    booking = json.loads(axiom(f"sqlite:///{tmp_path}/x.db", *start(project)))
    assert booking["state"] == "suspended"
    assert "event_timeout" in booking["detail"]
