"""A store that is full, read-only or gone: a clear error with a code, nothing half-written, and everything goes on."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import pytest
from ports import free_port
from process_kit import AXIOM, Api, Bed, until
from redis_server import running

pytestmark = pytest.mark.slow


def refused(api: Api, bed: Bed) -> dict[str, object] | None:
    """The problem document of a start that is refused; ``None`` if it is not."""
    body = {"flow": "proof/chain", "input": {**bed.task(), "filling": "x" * 60_000}}
    answer = api.http.post("/invocations/v1/flows/invoke", json=body)
    if answer.status_code == 202:
        return None
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) > 0
    told: dict[str, object] = answer.json()
    return told


def fill(bed: Bed, api: Api) -> None:
    """Leave the store no room from now on."""
    if bed.redis is not None:
        bed.redis.command("CONFIG", "SET", "maxmemory", "1mb")
        return
    largest = max(path.stat().st_size for path in bed.folder.glob("axiom.db*"))
    _, hard = resource.prlimit(api.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(api.process.pid, resource.RLIMIT_FSIZE, (largest + 300_000, hard))


def make_room(bed: Bed, api: Api) -> None:
    if bed.redis is not None:
        bed.redis.command("CONFIG", "SET", "maxmemory", "0")
        return
    _, hard = resource.prlimit(api.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(api.process.pid, resource.RLIMIT_FSIZE, (hard, hard))


def test_a_store_that_is_full_refuses_new_runs_and_loses_none(bed: Bed) -> None:
    """Redis at its memory, SQLite on a disk that takes no more bytes (the limit of file size of the holder)."""
    api, gate = bed.serve(), bed.gate()
    bed.worker("w1")
    before = [api.start("chain", bed.task(b=gate)) for _ in range(5)]
    for run in before:
        bed.begun(run, "b")
    seen = {run: api.events(run) for run in before}
    fill(bed, api)
    problem = until(lambda: refused(api, bed), "a start is refused")
    assert problem["code"] in ("store_full", "store_unclear", "store_unavailable"), problem
    assert problem["detail"]
    for run, events in seen.items():
        answer = api.http.get(f"/invocations/v1/executions/{run}/events")
        if answer.status_code == 503:  # the file is being opened again, and that takes room too
            assert answer.json()["code"] == "store_unavailable"
        else:
            assert answer.json()["events"][: len(events)] == events
    assert api.http.get("/health").status_code == 200
    make_room(bed, api)
    until(lambda: refused(api, bed) is None, "a start is taken again")
    for run, events in seen.items():
        assert api.events(run)[: len(events)] == events, "what was acknowledged is there"
    gate.unlink()
    assert api.all_ended(before) == {"COMPLETED": 5}
    rows = api.call("GET", "/invocations/v1/executions", params={"limit": 500})["executions"]
    assert {api.ended(row["execution_id"]) for row in rows} == {"COMPLETED"}, "none is half-written"
    bed.check(len(rows))


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_store_that_is_gone_at_start_is_an_error_in_one_line(command: str, tmp_path: Path) -> None:
    said = starts_in_vain(command, f"redis://127.0.0.1:{free_port()}/0", tmp_path)
    assert "redis" in said.lower()


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_place_that_can_not_be_written_is_an_error_in_one_line(command: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in ("/proc/axiom.db", f"{tmp_path}/file/axiom.db"):
        said = starts_in_vain(command, f"sqlite:///{place}", tmp_path)
        assert place.rpartition("/")[0] in said, "it names the place"
    assert not list(tmp_path.glob("*.db*"))


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_redis_that_takes_no_writes_is_an_error_in_one_line(command: str, tmp_path: Path) -> None:
    with running() as server:
        server.command("REPLICAOF", "127.0.0.1", str(free_port()))
        said = starts_in_vain(command, server.url, tmp_path)
    assert "replica" in said.lower() or "read only" in said.lower() or "read-only" in said.lower(), said


def starts_in_vain(command: str, store: str, folder: Path) -> str:
    """Start a server or worker on that store; what it says when it gives up."""
    package = folder / "hello"
    if not package.exists():
        subprocess.run([*AXIOM, "init", "hello"], cwd=folder, capture_output=True, check=True)
    arguments = ["--port", "0"] if command == "serve" else [str(package)]
    done = subprocess.run(
        [*AXIOM, command, *arguments, "--store", store],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode not in (0, 2), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr
