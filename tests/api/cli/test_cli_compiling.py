"""``validate``, ``compile`` and ``explain``: what the compiler says reaches people and programs alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from axiom.api.cli import exits
from axiom.api.cli.init import EXAMPLES
from axiom.api.cli.main import outcome
from axiom.api.cli.project import read_project
from axiom.compiler.compile import validate_package
from axiom.compiler.package import NODE_KEYS, PACKAGE_KEYS, load_package

ROOT = Path(__file__).resolve().parents[3]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    assert outcome(["init", str(tmp_path / "hello")]) == 0
    return tmp_path / "hello"


def spoil(package: Path) -> None:
    """Misspell a field of a condition, and a node's name."""
    (package / "flow.yaml").write_text(
        "name: local/hello\nversion: 0.1.0\nnodes:\n  - {alias: a, node: Hello}\n  - {alias: b, node: Helo}\n"
        "edges:\n  - {from: a, to: b}\n"
    )


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_compiles_without_a_warning(example: str) -> None:
    project = read_project(ROOT / "docs" / "examples" / example)
    assert project.sound
    assert project.flows
    assert not project.diagnostics


def test_the_annotated_example_of_a_package_compiles(tmp_path: Path) -> None:
    """With handlers for its nodes and the package that it imports from, it has no problem at all."""
    common = tmp_path / "common"
    common.mkdir()
    (common / "axiom.yaml").write_text(
        "name: acme/common\nversion: 1.0.0\nlanguage: python\nmessages: {Address: {type: object}}\n"
    )
    orders = tmp_path / "orders"
    (orders / "nodes").mkdir(parents=True)
    (orders / "axiom.yaml").write_text((ROOT / "axiom.yaml.example").read_text())
    for name in ("reserve_stock", "check_address"):
        (orders / "nodes" / f"{name}.py").write_text(f"def {name}(ctx, input):\n    return input\n")
    (orders / "nodes" / "stream_tokens.py").write_text(
        "async def stream_tokens(ctx, frames):\n    yield {}\n"
    )
    assert validate_package(orders, [load_package(common)]) == []


def test_the_annotated_example_shows_every_key() -> None:
    shown = yaml.safe_load((ROOT / "axiom.yaml.example").read_text())
    assert set(shown) == set(PACKAGE_KEYS)
    assert {key for node in shown["nodes"] for key in node} == set(NODE_KEYS)


def test_compile_prints_a_graph_id_for_each_flow(package: Path, capsys: Capture) -> None:
    assert outcome(["compile", str(package)]) == 0
    name, graph_id, mode = capsys.readouterr().out.strip().split("\t")
    assert (name, mode) == ("local/hello", "unary")
    assert len(graph_id) == 32


def test_compile_of_one_file_is_that_of_its_folder(package: Path, capsys: Capture) -> None:
    outcome(["compile", str(package)])
    whole = capsys.readouterr().out
    outcome(["compile", str(package / "flow.yaml")])
    assert capsys.readouterr().out == whole


def test_compile_writes_nothing(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(package)
    before = sorted(package.rglob("*"))
    assert outcome(["compile"]) == 0
    assert sorted(package.rglob("*")) == before


def test_errors_are_shown_with_place_and_caret_on_stderr(package: Path, capsys: Capture) -> None:
    spoil(package)
    assert outcome(["compile", str(package)]) == exits.FAILED
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "flow.yaml:5:" in shown.err
    assert "^" in shown.err
    assert "Hello" in shown.err


@pytest.mark.parametrize("command", ["compile", "validate"])
def test_errors_are_told_to_programs_as_json(package: Path, capsys: Capture, command: str) -> None:
    spoil(package)
    assert outcome([command, str(package), "--json"]) == exits.FAILED
    found = json.loads(capsys.readouterr().out)["diagnostics"]
    assert all(item["code"].startswith("AX") and item["line"] for item in found)


def test_validate_says_that_all_is_well(package: Path, capsys: Capture) -> None:
    assert outcome(["validate", str(package), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "diagnostics": []}


def test_explain_tells_a_flow_node_by_node(capsys: Capture) -> None:
    assert outcome(["explain", str(ROOT / "docs" / "examples" / "orders")]) == 0
    told = capsys.readouterr().out
    assert all(alias in told for alias in ("price", "reserve", "charge", "apologise"))


def test_explain_tells_what_a_code_means(capsys: Capture) -> None:
    assert outcome(["explain", "AX1001"]) == 0
    assert "UTF-8" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["AX0000", "no/such/place"])
def test_explain_of_nothing_is_not_found(what: str) -> None:
    assert outcome(["explain", what]) == exits.NOT_FOUND


def test_outside_a_package_it_says_how_to_make_one(tmp_path: Path, capsys: Capture) -> None:
    assert outcome(["compile", str(tmp_path)]) == exits.USAGE
    assert "axiom init" in capsys.readouterr().err


def test_a_created_node_validates(package: Path) -> None:
    outcome(["create", "node", "Shout", "--input", "Greeting", "--output", "Greeting", "--dir", str(package)])
    assert outcome(["validate", str(package)]) == 0
