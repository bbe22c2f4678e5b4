"""Runs the fenced snippets of a page, top to bottom, as its reader would.

A page is one story in one empty folder:

* ```` ```bash ```` runs under ``bash -eu -o pipefail``; ``axiom`` is this checkout's. The words after it say more:
  ``background`` leaves it running until the page ends, and goes on when it has printed ``until=WORD``;
  ``exits=N`` expects that exit code.
* ```` ```yaml file=PATH ````, ```` ```python file=PATH ````, ```` ```json file=PATH ```` write that file. Without
  ``file=`` YAML and JSON must parse, and Python is run.
* ```` ```output ```` must be in what the snippet before it printed; ``…`` stands for anything.
* Every other block (``text``) is for reading.

Port 4000 becomes a free one, so that pages can be run side by side.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from ports import free_port

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```\s*$", re.M | re.S)
PATIENCE_SECONDS = 180.0


@dataclass(frozen=True)
class Snippet:
    """One fenced block: its language, the words behind it, where it stands and what it says."""

    language: str
    words: dict[str, str]
    line: int
    body: str


def snippets(text: str) -> list[Snippet]:
    found = []
    for match in FENCE.finditer(text):
        language, *rest = match["info"].split() or [""]
        words = dict(word.partition("=")[::2] for word in rest)
        indent = len(match["indent"])
        body = "".join(line[indent:] for line in match["body"].splitlines(keepends=True))
        found.append(Snippet(language, words, text.count("\n", 0, match.start()) + 1, body))
    return found


class Story:
    """One page being run. ``last`` is what the last command printed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.last = ""
        self.running: list[subprocess.Popen[str]] = []
        self.port = free_port()
        bin_ = folder / ".bin"
        bin_.mkdir()
        launcher = bin_ / "axiom"
        launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m axiom.api.cli.main "$@"\n')
        launcher.chmod(0o755)
        path = f"{bin_}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AXIOM_")}
        self.environment = {**kept, "PATH": path, "HOME": str(folder)}

    def tell(self, snippet: Snippet) -> None:
        """Do what one snippet says; an ``AssertionError`` tells what went otherwise."""
        body = snippet.body.replace("4000", str(self.port))
        if "file" in snippet.words:
            path = self.folder / snippet.words["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(body, encoding="utf-8")
        elif snippet.language == "bash":
            self.shell(body, snippet.words)
        elif snippet.language == "python":
            self.run([sys.executable, "-c", body], 0)
        elif snippet.language == "yaml":
            list(yaml.safe_load_all(body))
        elif snippet.language == "json":
            json.loads(body)
        elif snippet.language == "output":
            pattern = re.escape(body.strip()).replace("…", ".*?")
            assert re.search(pattern, self.last, re.S), f"expected:\n{body}\nprinted:\n{self.last}"

    def shell(self, body: str, words: dict[str, str]) -> None:
        command = ["bash", "-eu", "-o", "pipefail", "-c", body]
        if "background" in words:
            self.start(command, words.get("until", ""))
        else:
            self.run(command, int(words.get("exits", "0")))

    def run(self, command: list[str], code: int) -> None:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        self.last = done.stdout + done.stderr
        assert done.returncode == code, f"exit code {done.returncode}:\n{self.last}"

    def start(self, command: list[str], until: str) -> None:
        log = self.folder / f".background-{len(self.running)}"
        with log.open("w") as out:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self.running.append(process)
        patience = time.monotonic() + PATIENCE_SECONDS
        while until not in (said := log.read_text()):
            assert process.poll() is None, f"ended with {process.returncode}:\n{said}"
            assert time.monotonic() < patience, f"never said {until!r}:\n{said}"
            time.sleep(0.05)
        self.last = said

    def end(self) -> None:
        """Stop what still runs, as Ctrl-C would."""
        for process in reversed(self.running):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
                try:
                    process.wait(120)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    raise
