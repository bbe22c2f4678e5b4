"""Each way through a claim, run whole in a store of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


def run(documents):
    claim = json.dumps({"claim_id": "c-1", "amount": 1000, "documents": documents})
    command = [sys.executable, "-m", "axiom.api.cli.main", "run", PROJECT, "-d", claim, "--store", "memory:"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize(("documents", "detail"), [(5, "500.00 in round 1"), (2, "800.00 in round 3")])
def test_the_better_the_documents_the_sooner_an_offer_is_agreed_to(documents, detail):
    assert run(documents) == {"decision": "paid", "detail": f"c-1: {detail}"}


def test_without_documents_the_loop_is_exhausted_and_the_claim_goes_to_court():
    assert run(0) == {"decision": "court", "detail": "loop_exhausted"}
