"""An application from its pause to its letter, in a store that outlives each command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
APPLICATION = {"customer": "Ada", "amount": 5000, "income": 40000}


def axiom(store, *arguments, exits=0):
    command = [sys.executable, "-m", "axiom.api.cli.main", *map(str, arguments), "--store", store]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == exits, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("approved", "word"), [(True, "we lend you"), (False, "we can't lend you")])
def test_an_application_waits_for_the_manager_and_ends_with_a_letter(tmp_path, approved, word):
    store = f"sqlite:///{tmp_path}/x.db"
    start = ("run", PROJECT, "-d", json.dumps(APPLICATION), "--idempotency-key", "ada-1")
    axiom(store, *start, exits=6)
    [pause] = json.loads(axiom(store, "pauses", "list", "--assignee", "manager", "--json"))
    assert pause["message"] == "Lend 5000 to Ada? The risk is low."
    which = (pause["execution_id"], pause["pause_id"])
    axiom(store, "pauses", "resume", *which, "-d", '{"approved": "yes"}', exits=2)
    decision = json.dumps({"approved": approved, "reason": "as agreed"})
    axiom(store, "pauses", "resume", *which, "-d", decision)
    axiom(store, "pauses", "resume", *which, "-d", decision, exits=2)
    letter = json.loads(axiom(store, *start))["letter"]
    assert word in letter
    assert "as agreed" in letter
