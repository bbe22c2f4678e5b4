"""Flows that contain one another, from a folder to the end of a run in one process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from axiom.api.cli.main import outcome
from axiom.api.cli.project import read_project

MANIFEST = """\
name: acme/shop
version: 1.0.0
language: python
messages:
  Number: {type: object, required: [n], properties: {n: {type: integer}}}
nodes:
  - {name: Double, input: Number, output: Number, handler: "nodes/maths.py:double"}
"""
CODE = "async def double(ctx, input):\n    return {'n': input['n'] * 2}\n"
CHILD = "name: acme/child\nnodes: [{alias: d, node: Double}]\n"
PARENT = """\
name: acme/parent
nodes:
  - {alias: d, node: Double}
  - {alias: c, flow: acme/child}
edges: [{from: d, to: c}]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    for name, text in {
        "axiom.yaml": MANIFEST,
        "nodes/maths.py": CODE,
        "flows/a-parent.yaml": PARENT,
        "flows/b-child.yaml": CHILD,
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_flow_finds_the_other_flows_of_its_package(shop: Path) -> None:
    project = read_project(shop)
    assert project.sound, project.diagnostics
    pinned = project.flows[0].artifact.plan.nodes[1].config["graph_id"]
    assert pinned == project.graph_ids["acme/child"]
    assert project.contained == ()


def test_a_flow_that_is_read_alone_brings_those_that_it_contains(shop: Path) -> None:
    (shop / "flows" / "c-other.yaml").write_text("name: acme/other\nnodes: [{alias: d, node: Double}]\n")
    project = read_project(shop, only=shop / "flows" / "a-parent.yaml")
    assert [flow.artifact.plan.name for flow in project.flows] == ["acme/parent"]
    assert [flow.artifact.plan.name for flow in project.contained] == ["acme/child"]


def test_a_flow_of_another_package_is_found_in_the_store(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = f"sqlite:///{tmp_path}/axiom.db"
    other = tmp_path / "other"
    for name in ("axiom.yaml", "nodes/maths.py"):
        path = other / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((shop / name).read_text().replace("acme/shop", "acme/other"))
    (other / "flow.yaml").write_text(PARENT)
    assert outcome(["compile", str(other / "flow.yaml")]) == 1
    assert "AX1125" in capsys.readouterr().err
    assert outcome(["packages", "publish", str(shop), "--store", store]) == 0
    capsys.readouterr()
    assert outcome(["compile", str(other / "flow.yaml"), "--store", store, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["flows"]) == 1


@pytest.mark.slow
@pytest.mark.xdist_group("processes")
def test_a_flow_runs_another_in_one_process(shop: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "axiom.api.cli.main", "run", str(shop / "flows" / "a-parent.yaml")]
    command += ["-d", '{"n": 3}', "--store", f"sqlite:///{tmp_path}/axiom.db"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"n": 12}
