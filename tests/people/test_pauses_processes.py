"""A pause in a deployment: server and worker are killed, both start again, and then it is answered."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "process"))

from process_kit import a_bed, until

FLOW = """\
name: proof/asked
nodes:
  - {alias: a, node: Step}
  - {alias: b, node: Step, config: {hitl: {message: "'go on?'"}}}
edges:
  - {from: a, to: b}
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_paused_run_survives_the_death_of_server_and_worker_and_runs_nothing_twice(
    kind: str, tmp_path: Path
) -> None:
    with a_bed(kind, tmp_path) as bed:
        api = bed.serve()
        worker = bed.worker("first")
        answer = api.http.post(
            "/registry/v1/flows/compile",
            content=FLOW.replace("node: Step", "package: proof/effects@1.0.0, node: Step"),
            headers={"content-type": "application/yaml"},
        )
        assert answer.status_code == 200, answer.text
        body = {"graph_id": answer.json()["graph_id"], "input": bed.task()}
        run = str(api.call("POST", "/invocations/v1/flows/invoke", json=body)["execution_id"])
        until(lambda: api.detail(run)["status"] == "PAUSED", f"{run} waits for people")
        path = api.call("POST", f"/invocations/v1/executions/{run}/pauses/b/link", json={"by": "ada"})["path"]
        worker.kill()
        api.process.kill()
        api = bed.serve("second")
        [row] = api.call("GET", "/invocations/v1/pauses")["pauses"]
        assert (row["execution_id"], row["pause_id"], row["message"]) == (run, "b", "go on?")
        first = {"input": bed.task()}
        resume = f"/invocations/v1/executions/{run}/pauses/b/resume"
        assert api.call("POST", resume, json=first)["status"] == "answered"
        assert api.http.post(resume, json=first).status_code == 409
        page = api.http.get(path, headers={"authorization": ""})
        assert page.status_code == 403
        assert "answered" in page.text
        bed.worker("next")
        assert api.ended(run) == "COMPLETED"
        assert bed.runs(run) == {"a": 1, "b": 1}
        bed.check()
