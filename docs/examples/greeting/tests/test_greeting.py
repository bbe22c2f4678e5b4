"""The greeting, run whole in a store of its own."""

import json
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def run(input, store="memory:"):
    command = [
        sys.executable,
        "-m",
        "axiom.api.cli.main",
        "run",
        PROJECT,
        "-d",
        json.dumps(input),
        "--store",
        store,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_ada_is_greeted():
    assert json.loads(run({"name": "Ada"}).stdout) == {"greeting": "Hello, Ada!"}


def test_a_greeting_needs_a_name():
    refused = run({"nmae": "Ada"})
    assert refused.returncode == 2
    assert "name" in refused.stderr
