"""``init`` and ``create``: what they write compiles, and what was there stays."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from axiom.api.cli import exits
from axiom.api.cli.create import with_node
from axiom.api.cli.init import EXAMPLES, default_name
from axiom.api.cli.main import outcome


def axiom_ends(code: int, *arguments: object) -> None:
    assert outcome([str(argument) for argument in arguments]) == code


def test_init_makes_a_package_named_after_its_folder(tmp_path: Path) -> None:
    axiom_ends(0, "init", tmp_path / "Hello World")
    package = yaml.safe_load((tmp_path / "Hello World" / "axiom.yaml").read_text())
    assert package["name"] == "local/hello-world"
    assert (tmp_path / "Hello World" / "nodes" / "hello.py").is_file()


def test_init_leaves_a_package_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "axiom.yaml").write_text("mine")
    axiom_ends(exits.USAGE, "init", tmp_path)
    assert (tmp_path / "axiom.yaml").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["axiom.yaml"]


def test_init_leaves_other_files_that_are_there(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine\n")
    axiom_ends(0, "init", tmp_path)
    assert (tmp_path / ".gitignore").read_text() == "mine\n"


@pytest.mark.parametrize("name", ["orders", "Acme/Orders", "acme/", "a b/c"])
def test_init_refuses_a_name_that_is_none(tmp_path: Path, name: str) -> None:
    axiom_ends(exits.USAGE, "init", tmp_path / "x", "--name", name)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("example", EXAMPLES)
def test_init_copies_an_example_whole(tmp_path: Path, example: str) -> None:
    axiom_ends(0, "init", tmp_path / "mine", "--example", example)
    names = {path.name for path in (tmp_path / "mine").iterdir()}
    more = {"word-counts": {"texts"}, "nightly-batch": {"zones.csv"}}.get(example, set())
    assert names == {"axiom.yaml", "flow.yaml", "nodes", "README.md", "tests"} | more


@pytest.mark.parametrize(
    ("folder", "name"), [("x", "local/x"), ("My Shop!", "local/my-shop"), ("---", "local/package")]
)
def test_a_folder_gives_its_package_a_name(folder: str, name: str) -> None:
    assert default_name(Path("/somewhere") / folder) == name


def test_create_node_adds_its_lines_its_handler_and_missing_messages(tmp_path: Path) -> None:
    axiom_ends(0, "init", tmp_path)
    (tmp_path / "deeper").mkdir()
    axiom_ends(
        0,
        "create",
        "node",
        "ChargeCard",
        "--input",
        "Person",
        "--output",
        "Paid",
        "--dir",
        tmp_path / "deeper",
    )
    package = yaml.safe_load((tmp_path / "axiom.yaml").read_text())
    assert [node["name"] for node in package["nodes"]] == ["Hello", "ChargeCard"]
    assert "async def charge_card(ctx, input):" in (tmp_path / "nodes" / "charge_card.py").read_text()
    assert (tmp_path / "messages" / "Paid.yaml").is_file()
    assert not (tmp_path / "messages" / "Person.yaml").exists()


def test_create_node_makes_generators_too(tmp_path: Path) -> None:
    axiom_ends(0, "init", tmp_path)
    axiom_ends(
        0,
        "create",
        "node",
        "Split",
        "--input",
        "Person",
        "--output",
        "Person",
        "--pipeline",
        "--dir",
        tmp_path,
    )
    assert yaml.safe_load((tmp_path / "axiom.yaml").read_text())["nodes"][1]["type"] == "pipeline"
    assert "yield" in (tmp_path / "nodes" / "split.py").read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        ["node", "Hello", "--input", "Person", "--output", "Greeting"],
        ["node", "lower", "--input", "Person", "--output", "Greeting"],
        ["node", "New", "--input", "person", "--output", "Greeting"],
        ["message", "Person"],
        ["message", "../Person"],
    ],
)
def test_create_refuses_what_exists_or_has_no_proper_name(tmp_path: Path, arguments: list[str]) -> None:
    axiom_ends(0, "init", tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    axiom_ends(exits.USAGE, "create", *arguments, "--dir", tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_create_outside_a_package_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    axiom_ends(exits.USAGE, "create", "message", "A", "--dir", tmp_path)
    assert "axiom init" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("name: x\n", "name: x\nnodes:\n  - {NEW}\n"),
        ("name: x", "name: x\nnodes:\n  - {NEW}\n"),
        ("nodes: []\nenv: []\n", "nodes:\n  - {NEW}\nenv: []\n"),
        ("nodes:\n", "nodes:\n  - {NEW}\n"),
        ("nodes:\n- {name: A}\nenv: []\n", "nodes:\n- {name: A}\n- {NEW}\nenv: []\n"),
        (
            "nodes:\n    - name: A  # first\n      retry: {max_attempts: 2}\n\n# imports\nimports: []\n",
            "nodes:\n    - name: A  # first\n      retry: {max_attempts: 2}\n    - {NEW}\n\n# imports\nimports: []\n",
        ),
    ],
)
def test_a_node_goes_behind_the_last_one_and_nothing_else_moves(before: str, after: str) -> None:
    new = "name: N, input: I, output: O"
    assert with_node(before, "N", "I", "O", False) == after.replace("NEW", new)


NODES = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("ABCD"), "note": st.text(max_size=20)}), max_size=4
)


@given(NODES, st.integers(2, 6), st.booleans())
def test_whatever_the_layout_the_new_node_is_the_last_of_the_list(
    nodes: list[dict[str, str]], indent: int, more: bool
) -> None:
    package = {"name": "a/b", "nodes": nodes, **({"version": "1"} if more else {})}
    text = yaml.safe_dump(package, sort_keys=False, indent=indent, default_flow_style=False)
    changed = yaml.safe_load(with_node(text, "New", "I", "O", True))
    assert changed == {
        **package,
        "nodes": [*nodes, {"name": "New", "input": "I", "output": "O", "type": "pipeline"}],
    }
