"""Who may look at a clock, draw a number, wait, or revive an object: checked on the syntax tree of every file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

TIMED_MODULES = {"time", "random", "secrets", "uuid", "datetime"}
TIMED_CALLS = {
    ("asyncio", "sleep"),
    ("asyncio", "create_task"),
    ("asyncio", "ensure_future"),
    ("os", "urandom"),
}
FREE_OF_THE_CLOCK = {"runtime/clock.py"}
"""The one file of ``runtime/`` that may."""
REVIVING_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle"}
REVIVING_CALLS = {"eval", "exec"}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def modules_imported(module: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.lineno, node.module.split(".")[0]


def calls(module: ast.Module) -> Iterator[tuple[int, str, str]]:
    """``(line, owner, name)`` of each call; owner '' for a bare name."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield node.lineno, "", node.func.id
            elif isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
                yield node.lineno, node.func.value.id, node.func.attr


def breaches_of_time(source: ast.Module) -> list[str]:
    found = [f"{line}: imports {name}" for line, name in modules_imported(source) if name in TIMED_MODULES]
    found += [
        f"{line}: calls {owner}.{name}" for line, owner, name in calls(source) if (owner, name) in TIMED_CALLS
    ]
    return found


def breaches_of_data(source: ast.Module) -> list[str]:
    found = [f"{line}: imports {name}" for line, name in modules_imported(source) if name in REVIVING_MODULES]
    return found + [
        f"{line}: calls {name}" for line, owner, name in calls(source) if not owner and name in REVIVING_CALLS
    ]


def files(*rooms: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for room in rooms for path in (ROOT / room).rglob("*.py"))


def test_in_runtime_time_and_chance_come_from_the_clock_that_was_handed_in() -> None:
    watched = sorted(set(files("runtime")) - FREE_OF_THE_CLOCK)
    found = [f"{name}:{breach}" for name in watched for breach in breaches_of_time(tree(ROOT / name))]
    assert not found, "\n".join(found)


def test_nothing_stored_or_sent_is_revived_as_an_object() -> None:
    found = [
        f"{name}:{breach}"
        for name in files("compiler", "runtime", "api")
        for breach in breaches_of_data(tree(ROOT / name))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "code",
    [
        "import time",
        "from random import random",
        "import asyncio\nasyncio.sleep(1)",
        "def f():\n    import uuid",
    ],
)
def test_the_rule_of_time_sees(code: str) -> None:
    assert breaches_of_time(ast.parse(code))


@pytest.mark.parametrize("code", ["import pickle", "eval('1')", "exec('x')", "from marshal import loads"])
def test_the_rule_of_data_sees(code: str) -> None:
    assert breaches_of_data(ast.parse(code))


@pytest.mark.parametrize(
    "code", ["clock.sleep(1)", "import asyncio", "import re\nre.compile('x')", "self.eval(x)"]
)
def test_the_rules_leave_the_rest_alone(code: str) -> None:
    assert not breaches_of_time(ast.parse(code))
    assert not breaches_of_data(ast.parse(code))
