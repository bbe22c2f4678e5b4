"""Processes of the bench: they say that they are ready, they do their work, and none of them stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from axiom.api.bench.load import request
from axiom.api.bench.processes import Child, client, descendants, plain_server, usage
from axiom.api.loops import run_loop


def alive(pid: int) -> bool:
    """Whether it runs; one that is dead and not yet collected by its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_frames_of_the_plain_server_are_all_counted() -> None:
    async def ask(port: int, caller: object) -> dict[str, float]:
        order = {"do": "stream", "port": port, "path": "/", "key": "", "body": {"frames": 777}, "streams": 3}
        return await caller.ask(**order)  # type: ignore[attr-defined, no-any-return]

    with plain_server() as port, client() as caller:
        told = run_loop(ask(port, caller))
    assert told["frames"] == 3 * 777
    assert 0 < told["first_ms"] <= told["seconds"] * 1000


def test_a_failed_order_is_told_and_the_client_goes_on() -> None:
    async def ask(caller: object, **order: object) -> dict[str, float]:
        return await caller.ask(**order)  # type: ignore[attr-defined, no-any-return]

    with client() as caller:
        for _ in range(2):
            with pytest.raises(RuntimeError, match=r"OSError|Connect"):
                run_loop(ask(caller, do="stream", port=1, path="/", key="", body={}, streams=1))


def test_a_process_that_does_not_start_tells_its_last_words() -> None:
    child = Child("axiom.api.cli.main", "serve", "--port", "0", "--store", "memory:")
    try:
        with pytest.raises(RuntimeError, match="memory: is one process's own"):
            child.until("axiom serves")
    finally:
        child.stop()


def test_a_stopped_process_is_gone() -> None:
    with plain_server():
        pass
    child = Child("axiom.api.bench.plain")
    child.until("plain streams")
    assert alive(child.pid)
    child.stop()
    assert not alive(child.pid)


def test_settings_of_the_caller_do_not_reach_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AXIOM_STORE", "nonsense:")
    monkeypatch.setenv("AXIOM_NO_SUCH_SETTING", "1")
    child = Child("axiom.api.cli.main", "serve", "--port", "0", "--store", "memory:")
    try:
        with pytest.raises(RuntimeError, match="a server has no workers"):
            child.until("axiom serves")
    finally:
        child.stop()


def test_what_a_process_and_its_children_have_used_is_read() -> None:
    busy = "import time\nuntil = time.process_time() + 0.3\nwhile time.process_time() < until: pass\ninput()"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    process = subprocess.Popen(["python3", "-c", script], stdin=subprocess.PIPE)
    try:
        until = time.monotonic() + 120
        while usage(process.pid).cpu_seconds < 0.3 and time.monotonic() < until:
            time.sleep(0.02)
        told = usage(process.pid)
    finally:
        process.communicate(b"\n")
    assert told.cpu_seconds >= 0.3
    assert told.rss_bytes > 1 << 20
    assert usage(process.pid).rss_bytes == 0, "nothing is left to read"


def test_a_request_is_one_that_servers_take() -> None:
    wire = request(4000, "/x", "axm_k", b'{"a":1}')
    head, _, body = wire.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /x HTTP/1.1\r\n")
    assert b"authorization: Bearer axm_k" in head
    assert b"content-length: 7" in head
    assert body == b'{"a":1}'


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_bench_that_is_told_to_end_leaves_nothing_behind(tmp_path: Path, number: int) -> None:
    command = [
        sys.executable,
        "-P",
        "-m",
        "axiom.api.cli.main",
        "bench",
        "--only",
        "http",
        "--store",
        "redis",
    ]
    process = subprocess.Popen(
        command, env=os.environ | {"TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        until = time.monotonic() + 240
        while not any(map(is_worker, descendants(process.pid))):
            assert time.monotonic() < until, "the bench did not start"
            time.sleep(0.05)
        started = descendants(process.pid)
        process.send_signal(number)
        process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    until = time.monotonic() + 60
    while left := [pid for pid in started if alive(pid)]:  # killed, and on a busy machine not yet gone
        assert time.monotonic() < until, left
        time.sleep(0.05)
    assert not list(tmp_path.glob("axiom-bench-*"))


def is_worker(pid: int) -> bool:
    try:
        return b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
