"""What the tests with real processes share: a bed with a store in it, the processes in the bed, and their ledger.

A ``Bed`` is a folder, a store (an SQLite file, or a ``redis-server`` of its own) with the package ``proof/effects`` in
it, and every process that was started for the test; leaving the bed ends them all, whatever the test did to them.
Workers and servers are ``axiom worker`` and ``axiom serve`` as users start them.

The handlers note each effect in a **ledger**, one line under the effect's idempotency key, so that a test can say which
nodes ran again (lines) and which effects count (different keys). They wait while a **gate**, a file, is there: the test
holds a node, breaks something, and opens the gate.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx
from redis_server import RedisServer, running

from axiom.api import auth
from axiom.api.cli.project import publish, read_project
from axiom.runtime.clock import SystemClock
from axiom.runtime.store.base import Store
from axiom.runtime.store.opening import open_store

AXIOM = [sys.executable, "-P", "-m", "axiom.api.cli.main"]
PACKAGE = Path(__file__).parent / "packages" / "proof"
PATIENCE_SECONDS = 120.0
"""How long anything may take that must happen: generous, for machines with other things to do."""
LEASE_MS = "3000"
"""Twice what workers have by default: on a machine that stands still for a second, only the dead are taken over."""
MARK = "PROOF_BED"
"""In the environment of all that a bed starts, so that nothing of it outlives the bed."""
FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
T = TypeVar("T")


def until(look: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS) -> T:
    """Look until the answer is truthy, and return it."""
    end = time.monotonic() + seconds
    while not (answer := look()):
        assert time.monotonic() < end, f"never happened: {what}"
        time.sleep(0.02)
    return answer


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Line(NamedTuple):
    """One line of the ledger."""

    run: str
    node: str
    key: str
    attempt: int
    epoch: int
    pid: int
    what: str


class Process:
    """A server or a worker."""

    def __init__(self, bed: Bed, name: str, arguments: tuple[object, ...], env: dict[str, str]) -> None:
        self.name = name
        self.log = bed.folder / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*AXIOM, *map(str, arguments)],
                cwd=bed.folder,
                env={**os.environ, MARK: bed.mark, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, words: str) -> None:
        """Wait until it has said ``words``."""
        until(lambda: words in self.said() or not self.running, f"{self.name} says {words!r}")
        assert words in self.said(), f"{self.name} ended: {self.said()}"

    def kill(self) -> None:
        """As the out-of-memory killer would: no goodbye."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGSTOP: it stands still and knows nothing of it."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE_SECONDS)


class Api:
    """A server, and what a client with a key asks of it."""

    def __init__(self, process: Process, url: str, key: str) -> None:
        self.process, self.url = process, url
        self.http = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE_SECONDS
        )

    def call(self, method: str, path: str, **more: Any) -> Any:
        answer = self.http.request(method, path, **more)
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def start(self, flow: str, value: dict[str, Any], **more: Any) -> str:
        body = {"flow": f"proof/{flow}", "input": value, **more}
        return str(self.call("POST", "/invocations/v1/flows/invoke", json=body)["execution_id"])

    def start_node(self, node: str, value: dict[str, Any]) -> str:
        """Start one node alone."""
        path = f"/invocations/v1/nodes/proof/effects/1.0.0/{node}"
        return str(self.call("POST", path, json={"input": value, "wait": False})["execution_id"])

    def detail(self, execution_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/invocations/v1/executions/{execution_id}")
        return found

    def only_node(self, execution_id: str) -> str:
        """Wait until it has been taken; the alias of the one node of a run of ``start_node``."""
        kinds = until(
            lambda: [k for k in self.kinds(execution_id) if k.startswith("NodeStarted")], "it starts"
        )
        return kinds[0].split()[1]

    def events(self, execution_id: str) -> list[dict[str, Any]]:
        path = f"/invocations/v1/executions/{execution_id}/events"
        found: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            page = self.call("GET", path, params={"after": after, "limit": 500})
            found += page["events"]
            after = page["next_after"]
        return found

    def kinds(self, execution_id: str) -> list[str]:
        """``NodeStarted a 1``, …: what happened, in order."""
        return [
            event["kind"] if event["node"] is None else f"{event['kind']} {event['node']} {event['attempt']}"
            for event in self.events(execution_id)
        ]

    def output(self, execution_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/invocations/v1/executions/{execution_id}/output")
        return found

    def ended(self, execution_id: str) -> str:
        """Wait for the end; the final status."""
        status = lambda: self.detail(execution_id)["status"]  # noqa: E731
        return until(lambda: (now := status()) in FINAL and now, f"{execution_id} ends: {status()}") or ""

    def all_ended(self, ids: list[str]) -> Counter[str]:
        return Counter(self.ended(execution_id) for execution_id in ids)

    def owner(self, execution_id: str) -> str:
        """The worker that last took it."""
        taken = ("ExecutionStarted", "ExecutionTakenOver")
        return next(
            event["body"]["worker"] for event in reversed(self.events(execution_id)) if event["kind"] in taken
        )

    def takeovers(self, execution_id: str) -> int:
        return self.kinds(execution_id).count("ExecutionTakenOver")


class Bed:
    """See the top of the file. ``redis`` is the server below the store, if it is one."""

    def __init__(self, folder: Path, redis: RedisServer | None = None) -> None:
        self.folder, self.redis = folder, redis
        self.kind = "sqlite" if redis is None else "redis"
        self.store = f"sqlite:///{folder}/axiom.db" if redis is None else redis.url
        self.mark = uuid.uuid4().hex
        self.ledger = folder / "ledger.jsonl"
        self.processes: list[Process] = []
        self.package = folder / "proof"
        shutil.copytree(PACKAGE, self.package, ignore=shutil.ignore_patterns("__pycache__", ".axiom"))
        self.ledger.touch()
        self.key = self.with_store(self._furnish)

    async def _furnish(self, store: Store) -> str:
        await publish(store, read_project(self.package), by="tests")
        return await auth.create_key(store, SystemClock(), name="tests")

    def with_store(self, work: Callable[[Store], Awaitable[T]]) -> T:
        """Do something with the store in this process."""

        async def run() -> T:
            store = open_store(self.store)
            await store.open()
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(run())

    # --- processes --------------------------------------------------------------------------------------------------

    def process(self, name: str, *arguments: object, **env: str) -> Process:
        process = Process(self, name, arguments, env)
        self.processes.append(process)
        return process

    def serve(self, name: str = "serve") -> Api:
        """A server on a port of its own choice."""
        process = self.process(name, "serve", "--port", 0, "--store", self.store)
        process.wait_for("axiom serves")
        found = re.search(r"on (http://\S+)", process.said())
        assert found is not None
        return Api(process, found[1], self.key)

    def workers(self, *names: str, wait: bool = True, **env: str) -> list[Process]:
        """Workers of these names, side by side."""
        settings = {"AXIOM_LEASE_DURATION_MS": LEASE_MS, **env}
        started = [
            self.process(name, "worker", self.package, "--name", name, "--store", self.store, **settings)
            for name in names
        ]
        for process in started if wait else ():
            process.wait_for(f"{process.name} serves")
        return started

    def worker(self, name: str, **env: str) -> Process:
        return self.workers(name, **env)[0]

    def bury(self, dead: Process) -> None:
        """End a dead worker's session, as its supervisor would: nobody waits for its lease."""

        async def end(store: Store) -> None:
            for session in await store.sessions():
                if session.info.get("pid") == dead.pid:
                    await store.end_session(session.session)

        self.with_store(end)

    def owner(self, api: Api, execution_id: str) -> Process:
        """The process that runs an execution now."""
        name = api.owner(execution_id)
        return next(process for process in self.processes if process.name == name)

    def verify(self, *ids: str) -> dict[str, Any]:
        """What ``axiom verify`` says."""
        done = subprocess.run(
            [*AXIOM, "verify", *ids, "--json", "--store", self.store],
            cwd=self.folder,
            env={**os.environ, MARK: self.mark},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        assert done.stdout, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if told["ok"] else 1)
        return told

    def check(self, checked: int | None = None) -> None:
        """``axiom verify`` finds nothing wrong."""
        told = self.verify()
        assert told["ok"], told["violations"]
        assert checked is None or told["checked"] == checked

    # --- gates and effects ------------------------------------------------------------------------------------------

    def gate(self, name: str = "gate") -> Path:
        """A gate that is shut. ``unlink`` opens it."""
        path = self.folder / name
        path.touch()
        return path

    def task(self, **hold: Path) -> dict[str, Any]:
        """The message of a flow of steps; ``hold`` says which node waits at which gate."""
        return {"ledger": str(self.ledger), "hold": {node: str(path) for node, path in hold.items()}}

    def lines(self, run: str | None = None, what: str | None = None) -> list[Line]:
        """The ledger so far; a line that is still being written is not in it."""
        whole = self.ledger.read_text().rpartition("\n")[0]
        found = [Line(**json.loads(line)) for line in whole.splitlines()]
        return [
            line for line in found if (run is None or line.run == run) and (what is None or line.what == what)
        ]

    def begun(self, run: str, node: str, times: int = 1) -> Line:
        """Wait until a node has had its effect so many times; the last line of it."""
        found: list[Line] = []

        def look() -> bool:
            found[:] = [line for line in self.lines(run) if line.node == node]
            return len(found) >= times

        until(look, f"{node} of {run} runs {times} times")
        return found[-1]

    def runs(self, run: str) -> Counter[str]:
        """Node → how often it ran."""
        return Counter(line.node for line in self.lines(run, "effect"))

    def effects(self, run: str) -> Counter[str]:
        """Node → how many of its effects count: those of different keys."""
        return Counter(node for node, _ in {(line.node, line.key) for line in self.lines(run, "effect")})

    # --- the end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End every process of this bed, stopped ones and lost ones too."""
        if self.redis is not None and self.redis._process is not None:
            self.redis.stop()
        for process in self.processes:
            if process.running:
                process.kill()
        for pid in self.family():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def family(self) -> list[int]:
        """All processes that carry this bed's mark."""
        wanted = f"{MARK}={self.mark}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if wanted in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
            except OSError:
                continue
        return [pid for pid in found if alive(pid)]


@contextmanager
def a_bed(kind: str, folder: Path, **settings: str) -> Iterator[Bed]:
    """A bed over a store of ``kind``; ``settings`` are the Redis server's."""
    if kind == "sqlite":
        bed = Bed(folder)
        try:
            yield bed
        finally:
            bed.close()
        return
    with running(**settings) as redis:
        bed = Bed(folder, redis)
        try:
            yield bed
        finally:
            bed.close()
