"""The page of guarantees names tests that exist, and leaves out nothing that it has to name."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PAGE = (TOP / "docs" / "operations" / "guarantees.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py::\w+)`", PAGE)))
SCENARIOS = {1, 2, *range(4, 20)}
WINDOWS = set(range(1, 21))


@cache
def functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(
        node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )


def rows(title: str) -> dict[int, list[str]]:
    """The numbered rows below a heading: their tests."""
    section = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^\| (\d+) \|.*\|(.*)\|$", section, re.M)
    return {int(number): re.findall(r"`(tests/[^`]+)`", tests) for number, tests in found}


@pytest.mark.parametrize("name", NAMED)
def test_a_named_proof_exists(name: str) -> None:
    path, _, function = name.partition("::")
    assert function in functions(TOP / path)


def test_each_scenario_and_each_crash_window_has_a_proof() -> None:
    scenarios, windows = rows("Scenarios"), rows("Crash windows")
    assert set(scenarios) == SCENARIOS
    assert set(windows) == WINDOWS
    assert all(scenarios.values())
    assert all(windows.values())


def test_no_promise_is_without_a_proof() -> None:
    promises = PAGE.partition("\n## Promises\n")[2].partition("\n## ")[0]
    lines = [line for line in promises.splitlines() if line.startswith("| ")][1:]
    assert lines
    assert all("::" in line for line in lines)


def test_every_test_with_real_processes_is_named() -> None:
    """A proof that the page doesn't know of is one that a reader won't find."""
    known = {name.partition("::")[2] for name in NAMED}
    for path in sorted((TOP / "tests" / "process").glob("test_process_*.py")):
        assert known & functions(path), f"nothing of {path.name} is on the page"
