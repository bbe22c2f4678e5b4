"""The batch over its whole file, in a store of its own."""

import json
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def test_every_row_is_looked_at_and_known():
    command = [sys.executable, "-m", "axiom.api.cli.main", "run", PROJECT, "-d", '{"year": 2026}']
    done = subprocess.run([*command, "--store", "memory:"], capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    rows = (PROJECT / "zones.csv").read_text().splitlines()[1:]
    assert report["zones"] == len(rows) >= 500
    assert report["unknown"] == 0
    assert report["with_changes"] > 100
