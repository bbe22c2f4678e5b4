"""A canary: a secret that handlers print, log, raise, return, stream and crash with is found nowhere afterwards.

The secret goes in over HTTP; then everything that Axiom wrote or answered is searched for it, in every spelling: the
files of the store, all keys of Redis and its append-only file, the logs of all processes, HTTP answers, metrics, a
webhook's body.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from process_kit import AXIOM, Api, Bed, Process, until

from axiom.api.cli.project import publish, read_project
from axiom.runtime.clock import SystemClock
from axiom.runtime.redaction import forms
from axiom.runtime.vault import new_key

pytestmark = pytest.mark.slow
PACKAGE = Path(__file__).parent / "packages" / "singer"
CANARY = 'cänary-"7f3a"/91c4+e&5b\nsecond-line-0d1e2f'
WAYS = ("print", "log", "raise", "code", "return", "key", "encoded", "wrong", "crash", "fine")
FLOWS = ("process", "thread", "loop", "stream")


@pytest.fixture
def hooks() -> Iterator[tuple[str, list[bytes]]]:
    """A receiver of webhooks: its address, and what it was sent."""
    heard: list[bytes] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", heard
    server.shutdown()
    server.server_close()


class Stage:
    """A bed with the package ``proof/singer``, a server without a key and a worker with one."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.package = bed.folder / "singer"
        shutil.copytree(PACKAGE, self.package)
        bed.with_store(lambda store: publish(store, read_project(self.package), by="tests"))
        self.key_file = bed.folder / "secrets.key"
        self.key_file.touch(0o600)
        self.key_file.write_text(new_key(SystemClock()) + "\n")
        self.api = self.serve()
        self.first = self.worker("worker")

    def serve(self) -> Api:
        process = self.bed.process(
            "serve", "serve", "--port", 0, "--store", self.bed.store, AXIOM_WEBHOOK_ALLOW="127.0.0.0/8"
        )
        process.wait_for("axiom serves")
        url = process.said().partition("on http://")[2].split()[0]
        return Api(process, f"http://{url}", self.bed.key)

    def worker(self, name: str, **env: str) -> Process:
        environment = {"AXIOM_SECRETS_KEY_FILE": str(self.key_file), **env}
        process = self.bed.process(
            name, "worker", self.package, "--name", name, "--store", self.bed.store, **environment
        )
        process.wait_for(f"{name} serves")
        return process

    def sing(self, flow: str, how: str, **more: Any) -> str:
        path = "/invocations/v1/flows/invoke" + ("/stream" if flow == "stream" else "")
        body = {"flow": f"singer/{flow}", "input": {"how": how}, **more}
        answer = self.api.http.post(path, json=body)
        assert answer.status_code < 300, answer.text
        told = answer.headers.get("axiom-execution-id") or answer.json()["execution_id"]
        return str(told)

    def result(self, run: str) -> dict[str, Any]:
        self.api.ended(run)
        return self.api.output(run)


def spellings() -> list[bytes]:
    return [form.encode() for form in forms(CANARY)] + [b"second-line-0d1e2f"]


def searched(where: str, content: bytes) -> None:
    found = [form for form in spellings() if form in content]
    assert not found, f"{where} holds {found}"


@pytest.fixture
def stage(bed: Bed) -> Stage:
    return Stage(bed)


def test_a_secret_that_handlers_sing_is_found_nowhere(stage: Stage, hooks: tuple[str, list[bytes]]) -> None:
    bed, api, (address, heard) = stage.bed, stage.api, hooks
    api.call("PUT", "/console/v1/secrets/CANARY", json={"value": CANARY})
    runs = {
        (flow, how): stage.sing(flow, how, **({"webhook": {"url": address}}))
        for flow in FLOWS
        for how in WAYS
        if how != "crash" or flow == "process"
    }
    answers: list[bytes] = []
    results = {way: stage.result(run) for way, run in runs.items()}
    for (flow, how), run in runs.items():
        base = f"/invocations/v1/executions/{run}"
        for path in (base, f"{base}/events", f"{base}/why", f"{base}/output", f"{base}/config"):
            answers.append(api.http.get(path).content)
        wanted = how in ("print", "log", "fine")
        assert results[flow, how]["success"] is wanted, (flow, how, results[flow, how])
    for flow in FLOWS:
        for how in ("return", "key", "encoded"):
            assert results[flow, how]["error"]["code"] in ("secret_in_output", "output_invalid"), (flow, how)
        assert results[flow, "code"]["error"]["code"] == "[redacted]"
        assert "[redacted]" in results[flow, "raise"]["error"]["message"]
    assert results["loop", "fine"]["output"]["length"] == len(CANARY), "the handler had the secret itself"
    assert "[redacted]" in stage.first.said(), "what was printed is there, without the secret"
    until(lambda: len(heard) >= len(runs), "every webhook comes")
    answers += [api.http.get(path).content for path in ("/metrics", "/ready", "/console/v1/secrets")]
    searched("an answer", b"\0".join(answers))
    searched("a webhook", b"\0".join(heard))
    for process in bed.processes:
        searched(f"the log of {process.name}", process.log.read_bytes())
    for where, content in contents(bed):
        searched(where, content)
    bed.check()


def contents(bed: Bed) -> Iterator[tuple[str, bytes]]:
    """Everything that the store has written."""
    for path in bed.folder.glob("axiom.db*"):
        if path.is_file() and not path.name.endswith(".lock"):
            yield path.name, path.read_bytes()
    if bed.redis is None:
        return
    import redis

    client = redis.Redis.from_url(bed.store)
    for key in client.scan_iter(count=1000):
        yield f"the key {key!r}", bytes(key) + (client.dump(key) or b"")
    for path in Path(client.config_get("dir")["dir"]).rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes()
    client.close()


def test_a_run_whose_secret_is_not_set_ends_before_its_first_node_and_says_which(stage: Stage) -> None:
    api = stage.api
    for flow in ("loop", "stream"):
        run = stage.sing(flow, "fine")
        error = stage.result(run)["error"]
        assert error["code"] == "secret_missing"
        assert "CANARY" in error["message"]
        assert not [kind for kind in api.kinds(run) if kind.startswith(("NodeStarted", "NodeStreaming"))]
        why = api.call("GET", f"/invocations/v1/executions/{run}/why")
        assert "CANARY" in why["summary"]


def test_the_environment_of_a_worker_is_where_a_secret_is_looked_for_last(stage: Stage) -> None:
    stage.worker("other", AXIOM_SECRET_CANARY="from-the-environment")
    assert stage.first.terminate() == 0
    run = stage.sing("process", "fine")
    assert stage.result(run)["output"]["length"] == len("from-the-environment")
    stage.api.call("PUT", "/console/v1/secrets/CANARY", json={"value": "from-the-store"})
    run = stage.sing("process", "fine")
    assert stage.result(run)["output"]["length"] == len("from-the-store")


def test_a_rotated_key_seals_anew_while_workers_run_and_the_old_one_is_of_no_more_use(stage: Stage) -> None:
    api, bed = stage.api, stage.bed
    api.call("PUT", "/console/v1/secrets/CANARY", json={"value": CANARY})
    (before,) = api.call("GET", "/console/v1/secrets")["secrets"]
    assert stage.result(stage.sing("loop", "fine"))["success"]
    done = subprocess.run(
        [*AXIOM, "secrets", "rotate-key", "--drop-old", "--store", bed.store],
        env={"PATH": "/usr/bin:/bin", "HOME": str(bed.folder), "AXIOM_SECRETS_KEY_FILE": str(stage.key_file)},
        cwd=bed.folder,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert "1 of 1 secrets" in done.stderr
    assert len(stage.key_file.read_text().split()) == 1
    (after,) = api.call("GET", "/console/v1/secrets")["secrets"]
    assert after["key_id"] != before["key_id"]
    assert after["version"] == before["version"]
    assert stage.result(stage.sing("loop", "fine"))["output"]["length"] == len(CANARY)
    api.call("POST", "/console/v1/secrets/CANARY/rotate", json={"value": "rotated-once"})
    assert stage.result(stage.sing("loop", "fine"))["output"]["length"] == len("rotated-once")


def test_what_a_run_is_configured_with_is_frozen_and_secrets_are_chosen_by_it(stage: Stage) -> None:
    api = stage.api
    for name in ("CANARY", "STAGING_CANARY"):
        api.call("PUT", f"/console/v1/secrets/{name}", json={"value": f"{name}-value"})
    body = {"values": {"region": "eu"}, "secrets": {"CANARY": "STAGING_CANARY"}}
    api.call("PUT", "/console/v1/configs/singer/loop/staging", json=body)
    run = stage.sing("loop", "fine", config_id="singer/loop/staging")
    assert stage.result(run)["output"] == {"length": len("STAGING_CANARY-value"), "region": "eu"}
    assert stage.result(stage.sing("loop", "fine"))["output"] == {"length": len("CANARY-value"), "region": ""}


def test_a_value_that_is_refused_is_not_told_back(stage: Stage) -> None:
    for body in (
        json.dumps({"value": "canary!"}),
        '{"value": "canary-canary-canary" oh',
        '{"vaule": "canary-canary"}',
    ):
        answer = stage.api.http.put(
            "/console/v1/secrets/X", content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code in (400, 422)
        assert "canary" not in answer.text
