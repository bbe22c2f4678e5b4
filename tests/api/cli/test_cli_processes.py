"""``dev``, ``serve``, ``worker`` and ``demo`` as processes: what a user starts, breaks, edits and stops."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from ports import free_port

from axiom.api.cli import exits

pytestmark = pytest.mark.slow
AXIOM = [sys.executable, "-P", "-m", "axiom.api.cli.main"]
PATIENCE_SECONDS = 120.0


def until(true: Callable[[], object], what: str) -> None:
    patience = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < patience, f"never happened: {what}"
        time.sleep(0.03)


class House:
    """A folder, and the processes that were started in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[bytes]] = []
        self.port = free_port()

    def run(self, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*AXIOM, *map(str, arguments)],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == code, (
            f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        )
        return done

    def start(self, name: str, *arguments: object) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [*AXIOM, *map(str, arguments)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def dev(self, *arguments: object) -> subprocess.Popen[bytes]:
        process = self.start("dev", "dev", "hello", "--port", self.port, *arguments)
        until(lambda: "Ctrl-C" in self.said("dev") or process.poll() is not None, "dev is up")
        assert process.poll() is None, self.said("dev")
        return process

    def workers(self) -> list[int]:
        rows = json.loads(self.run("workers", "list", "--json").stdout)
        return [row["pid"] for row in rows if row["alive"]]

    def end(self) -> None:
        for process in reversed(self.started):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    house.run("init", "hello")
    yield house
    house.end()


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def greet(house: House, name: str = "Ada") -> str:
    done = house.run("run", "local/hello", "-d", json.dumps({"name": name}))
    return str(json.loads(done.stdout)["greeting"])


def below(pid: int) -> list[int]:
    """All processes under one."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            child = int(path.parent.name)
            found += [child, *below(child)]
    return found


# --- dev --------------------------------------------------------------------------------------------------------------


def test_dev_prints_a_curl_line_that_works_as_it_is(house: House) -> None:
    house.dev()
    (line,) = re.findall(r"^curl .*$", house.said("dev"), re.M)
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["result"]["output"] == {"greeting": "Hello, Ada!"}


def test_dev_takes_up_a_changed_file_and_keeps_what_works_when_it_is_broken(house: House) -> None:
    house.dev()
    assert greet(house) == "Hello, Ada!"
    handler = house.folder / "hello" / "nodes" / "hello.py"
    handler.write_text(handler.read_text().replace("Hello,", "Welcome,"))
    until(lambda: "reloaded" in house.said("dev"), "the reload")
    assert greet(house) == "Welcome, Ada!"
    flow = house.folder / "hello" / "flow.yaml"
    flow.write_text(flow.read_text().replace("node: Hello", "node: Helo"))
    until(lambda: "goes on" in house.said("dev"), "the problem is shown")
    assert "flow.yaml:4:" in house.said("dev")
    assert greet(house) == "Welcome, Ada!"


def test_dev_replaces_a_worker_that_was_killed(house: House) -> None:
    house.dev()
    (pid,) = house.workers()
    os.kill(pid, signal.SIGKILL)
    until(lambda: house.workers() not in ([], [pid]), "another worker")
    assert greet(house) == "Hello, Ada!"
    assert f"worker {pid} died (signal 9)" in house.said("dev")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_dev_ends_in_order_and_leaves_nothing_behind(house: House, number: int) -> None:
    process = house.dev("--workers", 2)
    family = below(process.pid)
    assert len(family) >= 4, "two workers, each with a fork server"
    process.send_signal(number)
    assert process.wait(120) == 0
    until(lambda: not any(map(lives, family)), "all of its processes are gone")
    assert "Traceback" not in house.said("dev")


def test_dev_that_is_killed_takes_its_workers_with_it(house: House) -> None:
    process = house.dev()
    family = below(process.pid)
    process.kill()
    process.wait()
    until(lambda: not any(map(lives, family)), "the lifeline ends the workers")


def test_dev_finds_its_runs_and_its_key_again(house: House) -> None:
    first = house.dev()
    greet(house)
    key = (house.folder / ".axiom" / "dev-key").read_text()
    first.send_signal(signal.SIGINT)
    first.wait(120)
    house.dev()
    assert (house.folder / ".axiom" / "dev-key").read_text() == key
    assert (house.folder / ".axiom" / "dev-key").stat().st_mode & 0o077 == 0
    assert len(house.run("executions", "list").stdout.splitlines()) == 1


def test_dev_starts_with_errors_and_serves_when_they_are_mended(house: House) -> None:
    flow = house.folder / "hello" / "flow.yaml"
    sound = flow.read_text()
    flow.write_text(sound.replace("node: Hello", "node: Helo"))
    house.start("dev", "dev", "hello", "--port", house.port)
    until(lambda: "nothing is served yet" in house.said("dev"), "the problem is shown")
    flow.write_text(sound)
    until(lambda: "reloaded" in house.said("dev"), "it is mended")
    assert greet(house) == "Hello, Ada!"


def test_a_port_that_is_taken_is_one_line_and_no_store_is_made(house: House) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", house.port))
        taken.listen()
        done = house.run("dev", "hello", "--port", house.port, code=exits.USAGE)
    assert f":{house.port}: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (house.folder / ".axiom").exists()


# --- serve and worker -------------------------------------------------------------------------------------------------


def serve(house: House, *workers: str) -> tuple[httpx.Client, subprocess.Popen[bytes]]:
    """A server, named workers of ``hello``, and a client with a key."""
    server = house.start("serve", "serve", "--port", house.port)
    until(lambda: "axiom serves" in house.said("serve"), "the server is up")
    key = house.run("keys", "create", "--name", "test").stdout.strip()
    for name in workers:
        house.start(name, "worker", "hello", "--name", name)
        until(lambda name=name: "serves" in house.said(name), "the worker is up")
    client = httpx.Client(
        base_url=f"http://127.0.0.1:{house.port}", headers={"Authorization": f"Bearer {key}"}
    )
    return client, server


def test_serve_needs_a_key_and_a_worker_beside_it_runs_what_it_starts(house: House) -> None:
    house.run("run", "hello", "-d", '{"name": "first"}')  # publishes the flow
    client, server = serve(house, "w1")
    url = f"http://127.0.0.1:{house.port}"
    refused = house.run("executions", "list", "--url", url, code=exits.USAGE)
    assert "key" in refused.stderr
    key = client.headers["authorization"].removeprefix("Bearer ")
    done = house.run("run", "local/hello", "-d", '{"name": "Eve"}', "--url", url, "--key", key)
    assert json.loads(done.stdout) == {"greeting": "Hello, Eve!"}
    server.terminate()
    assert server.wait(120) == 0


def test_a_worker_drains_at_sigterm_and_its_session_ends_at_once(house: House) -> None:
    house.run("run", "hello", "-d", '{"name": "first"}')
    serve(house, "w1")
    worker = house.started[-1]
    worker.terminate()
    assert worker.wait(120) == 0
    assert house.workers() == []
    assert "Traceback" not in house.said("w1")


def test_a_server_that_is_away_is_exit_code_4(house: House) -> None:
    done = house.run("executions", "list", "--url", f"http://127.0.0.1:{house.port}", code=exits.AWAY)
    assert "can't be reached" in done.stderr


# --- run --------------------------------------------------------------------------------------------------------------

SLOW = "import time\n\n\ndef hello(ctx, input):\n    time.sleep(600)\n"
FAILS = "def hello(ctx, input):\n    raise ValueError('no')\n"


def handler(house: House, code: str) -> None:
    (house.folder / "hello" / "nodes" / "hello.py").write_text(code)


def test_run_of_a_failing_flow_is_exit_code_1_and_one_line(house: House) -> None:
    handler(house, FAILS)
    done = house.run("run", "hello", "-d", '{"name": "Ada"}', "--store", "memory:", code=exits.FAILED)
    assert "ValueError: no in node hello" in done.stderr
    assert done.stdout == ""


def test_run_that_outlasts_its_wait_is_exit_code_124(house: House) -> None:
    handler(house, SLOW)
    done = house.run(
        "run", "hello", "-d", '{"name": "A"}', "--timeout", 1, "--store", "memory:", code=exits.TIMED_OUT
    )
    assert "goes on" in done.stderr


def test_run_of_what_someone_cancels_is_exit_code_5(house: House) -> None:
    handler(house, SLOW)
    house.dev()
    running = house.start("run", "run", "local/hello", "-d", '{"name": "Ada"}')
    rows: list[list[str]] = []

    def listed() -> bool:
        rows[:] = [line.split("\t") for line in house.run("executions", "list").stdout.splitlines()]
        return bool(rows) and rows[0][1] == "RUNNING"

    until(listed, "it runs")
    house.run("executions", "cancel", rows[0][0])
    assert running.wait(120) == exits.CANCELLED


def test_run_refuses_what_does_not_fit_and_what_is_not_there(house: House) -> None:
    refused = house.run("run", "hello", "-d", '{"nam": "Ada"}', "--store", "memory:", code=exits.USAGE)
    assert "name" in refused.stderr
    house.run("run", "hello", "-d", "{", "--store", "memory:", code=exits.USAGE)
    house.run("run", "hello", "-d", '{"name": "Ada"}')
    house.run("run", "no/such", "-d", "{}", code=exits.NOT_FOUND)


def test_run_reads_its_input_from_a_file_and_leaves_it_running_if_asked(house: House) -> None:
    (house.folder / "in.json").write_text('{"name": "File"}')
    house.dev()
    started = house.run("run", "local/hello", "-d", "@in.json", "--no-wait").stdout.strip()
    assert re.fullmatch(r"[0-9a-f]{32}", started)
    assert house.run("executions", "tail", started).stdout.count("\n") == 5
    assert "COMPLETED" in house.run("executions", "get", started).stdout


def test_a_key_of_idempotency_starts_one_run(house: House) -> None:
    house.dev()
    for _ in range(2):
        house.run("run", "local/hello", "-d", '{"name": "Ada"}', "--idempotency-key", "k1")
    assert len(house.run("executions", "list").stdout.splitlines()) == 1


def test_aliases_move_and_roll_back(house: House) -> None:
    house.run("run", "hello", "-d", '{"name": "Ada"}')
    handler(house, "async def hello(ctx, input):\n    return {'greeting': 'changed'}\n")
    house.run("run", "hello", "-d", '{"name": "Ada"}')
    moves = json.loads(house.run("aliases", "history", "local/hello", "--json").stdout)
    assert [move["version"] for move in moves] == [2, 1]
    house.run("aliases", "rollback", "local/hello")
    rows = json.loads(house.run("aliases", "list", "--json").stdout)
    assert (rows[0]["version"], rows[0]["graph_id"]) == (3, moves[1]["graph_id"])
    house.run("aliases", "set", "local/hello", moves[0]["graph_id"])
    house.run("aliases", "rollback", "no/such", code=exits.NOT_FOUND)


def test_what_was_run_can_be_looked_at_and_verified(house: House) -> None:
    house.run("run", "hello", "-d", '{"name": "Ada"}')
    execution_id = house.run("executions", "list", "-q", "local/hello").stdout.split("\t")[0]
    assert "ExecutionCompleted" in house.run("executions", "events", execution_id).stdout
    (row,) = json.loads(house.run("executions", "checkpoints", execution_id, "--json").stdout)
    assert row["output"] == {"greeting": "Hello, Ada!"}
    assert "ended" in house.run("why", execution_id).stdout
    assert json.loads(house.run("verify", "--json").stdout) == {"ok": True, "checked": 1, "violations": []}
    assert house.run("verify", "0" * 32, code=exits.FAILED).stdout.startswith("0" * 32)
    assert {"store", "python"} <= {row["code"] for row in json.loads(house.run("doctor", "--json").stdout)}
    assert "local/hello" in house.run("packages", "list").stdout
    house.run("executions", "get", "0" * 32, code=exits.NOT_FOUND)


def test_a_revoked_key_is_refused(house: House) -> None:
    client, _ = serve(house)
    assert client.get("/invocations/v1/executions").status_code == 200
    (row,) = json.loads(house.run("keys", "list", "--json").stdout)
    house.run("keys", "revoke", row["id"])
    until(lambda: client.get("/invocations/v1/executions").status_code == 401, "the key is refused")


def test_the_demo_shows_what_it_promises_and_leaves_nothing_behind(house: House) -> None:
    with socket.socket() as taken:
        with suppress(OSError):  # then someone else has the default port: the demo takes another either way
            taken.bind(("127.0.0.1", 4000))
            taken.listen()
        done = house.run("demo", "--exit")
    assert done.stderr == ""
    for promise in (
        "Hello, Ada!",
        "3260 lines",
        "took over",
        "no gap, no repeat",
        "no violations",
        "kill -9",
    ):
        assert promise in done.stdout, promise
    assert not (house.folder / ".axiom").exists()
    assert not below(os.getpid())


def test_a_worker_whose_loop_stands_still_is_ended_after_its_timeout_and_another_goes_on(
    house: House,
) -> None:
    """The setting says how long a blocked loop is borne: by default the first attempt here would come to its end."""
    mark = house.folder / "tried"
    handler(
        house,
        "import os, time\n\n\nasync def hello(ctx, input):\n"
        f"    if not os.path.exists({str(mark)!r}):\n"
        f"        open({str(mark)!r}, 'w').close()\n"
        "        time.sleep(4.7)\n"
        "        return {'greeting': 'borne'}\n"
        "    return {'greeting': 'at last'}\n",
    )
    (house.folder / ".axiom").mkdir()
    (house.folder / ".axiom" / "settings.yaml").write_text("worker_timeout_ms: 2000\n")
    house.dev()
    assert greet(house) == "at last"
