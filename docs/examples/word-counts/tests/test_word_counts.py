"""The counts, streamed over the whole text, against a plain count of it."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

PROJECT = Path(__file__).parents[1]
TEXT = PROJECT / "texts" / "licences.txt"


def test_the_streamed_counts_are_those_of_the_text():
    command = [sys.executable, "-m", "axiom.api.cli.main", "run", PROJECT, "-d", '{"text": "licences"}']
    done = subprocess.run(
        [*command, "--stream", "--store", "memory:"], capture_output=True, text=True, check=True
    )
    frames = [json.loads(line) for line in done.stdout.splitlines()]
    words = Counter(re.findall(r"[a-z]+(?:'[a-z]+)?", TEXT.read_text().lower()))
    lines = TEXT.read_text().count("\n")
    assert [frame["line"] for frame in frames] == list(range(1, lines + 1))
    assert lines >= 3000
    assert frames[-1]["total"] == words.total()
    assert frames[-1]["distinct"] == len(words)
    assert frames[-1]["commonest"] == words.most_common(1)[0][0]
