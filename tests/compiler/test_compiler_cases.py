"""Every problem that the compiler knows, by example: ``cases/<pass>/*.yaml``.

A case holds a flow or the files of a package, and all that must be said of it: code, line and column, and where it
matters what was found, expected and suggested. Nothing more may be said: a case with one mistake has one diagnostic.
``flows`` are others at hand, by alias; ``unsupported`` names features that are switched off, by default none.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from compiler_kit import HERE, common, compiled, shop

from axiom.compiler.codes import CODES, reference
from axiom.compiler.compile import FlowRef, compile_flow, validate_package
from axiom.compiler.errors import Diagnostic
from axiom.compiler.render import render

CASES = sorted((HERE / "cases").glob("*/*.yaml"))
ROOT = HERE.parent.parent
BOMB = "x0: &x0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 9)
)
ELSEWHERE = {"AX1027"}
"""Two hundred problems in one file: ``test_compiler_robust.py``."""
MADE = {
    "bomb": BOMB.encode(),
    "deep": b"[" * 70 + b"]" * 70,
    "large": b"a: " + b"x" * (1 << 20),
    "latin": "name: caf\xe9".encode("latin-1"),
}


@pytest.mark.parametrize("file", CASES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_case_is_told_exactly(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    case = yaml.safe_load(file.read_text())
    found = _diagnostics(case, tmp_path)
    shown = "\n\n".join(map(render, found))
    assert [_place(d) for d in found] == [_wanted(item) for item in case["expect"]], shown
    for diagnostic, wanted in zip(found, case["expect"], strict=True):
        for key in ("found", "expected", "suggestion", "message", "severity", "file"):
            if key in wanted:
                assert getattr(diagnostic, key) == wanted[key], shown
        _check_caret(diagnostic)


def test_every_code_has_a_case() -> None:
    told = {item["code"] for file in CASES for item in yaml.safe_load(file.read_text())["expect"]}
    assert told | ELSEWHERE == set(CODES)


def test_every_code_in_the_source_is_in_the_table() -> None:
    files = [*(ROOT / "compiler").glob("*.py"), *(ROOT / "compiler" / "passes").glob("*.py")]
    used = {code for file in files for code in re.findall(r'"(AX\d+)"', file.read_text())}
    assert {code for code in used if len(code) == 6} == set(CODES)


def test_the_page_of_codes_is_not_stale() -> None:
    page = (ROOT / "docs" / "reference" / "errors.md").read_text()
    assert page == reference(), "python -m axiom.compiler.codes > docs/reference/errors.md"


def _diagnostics(case: dict[str, Any], folder: Path) -> list[Diagnostic]:
    if "package" in case:
        for name, text in case["package"].items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return validate_package(folder, [common()], unsupported=frozenset())
    source = MADE[case["made"]] if "made" in case else case["flow"]
    if case.get("home") is False:
        return compile_flow(source, "flow.yaml", [common(), shop()]).diagnostics
    flows = {name: _ref(text) for name, text in case.get("flows", {}).items()}
    settings = {"flows": flows.get, "unsupported": frozenset(case.get("unsupported", ()))}
    return compiled(source, pipeline_mode=case.get("pipeline_mode"), **settings).diagnostics


def _ref(source: str) -> FlowRef:
    artifact = compiled(source).require()
    return FlowRef(artifact.graph_id, artifact.plan)


def _place(diagnostic: Diagnostic) -> tuple[str, int, int]:
    return diagnostic.code, diagnostic.line, diagnostic.column


def _wanted(item: dict[str, Any]) -> tuple[str, int, int]:
    return item["code"], item["line"], item["column"]


def _check_caret(diagnostic: Diagnostic) -> None:
    if diagnostic.line and diagnostic.snippet and diagnostic.column:
        line, caret = diagnostic.snippet.split("\n")
        assert caret.strip() == "^"
        assert len(caret) <= min(len(line) + 1, 121)
