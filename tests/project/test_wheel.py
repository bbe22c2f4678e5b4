"""What is published works where nothing else is: the wheel of a clean clone in a bare virtual environment."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from test_house import ROOT
from test_launcher import copy_of_the_tree

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AXIOM_", "PYTHON", "VIRTUAL"))
    }
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**kept, "HOME": str(cwd), "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (
        f"{command} ended with {done.returncode}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    )
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("wheel")
    clone = copy_of_the_tree(base / "clone")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", base, clone, cwd=base)
    (built,) = base.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` of a bare environment with the wheel in it."""
    bare = tmp_path_factory.mktemp("bare")
    run(sys.executable, "-m", "venv", bare / "venv", cwd=bare)
    binaries = bare / "venv" / "bin"
    run(binaries / "pip", "install", "--constraint", ROOT / "requirements.lock", wheel, cwd=bare)
    return binaries


def test_the_wheel_holds_every_module_and_every_example(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    clone = wheel.parent / "clone"
    places = {
        "api/sdk": "sdk",
        "compiler": "compiler",
        "runtime": "runtime",
        "api": "api",
        "docs/examples": "examples",
    }
    for path in clone.rglob("*"):
        inside = path.relative_to(clone).as_posix()
        place = next((place for place in places if inside.startswith(f"{place}/")), None)
        if place and path.suffix in {".py", ".lua", ".sql", ".yaml", ".txt", ".md", ".csv"}:
            assert f"axiom/{places[place]}{inside.removeprefix(place)}" in held
    assert not [name for name in held if "__pycache__" in name or name.startswith("tests/")]


def test_the_wheel_holds_the_pages_built_and_not_what_they_are_built_from(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {"axiom/web/dist/index.html", "axiom/web/static/artifact.html"} <= held
    assert [name for name in held if name.startswith("axiom/web/dist/assets/index-")]
    assert not [name for name in held if "node_modules" in name or name.endswith((".ts", ".tsx"))]


def test_the_installed_command_shows_its_help(installed: Path, tmp_path: Path) -> None:
    assert "axiom demo" in run(installed / "axiom", "--help", cwd=tmp_path).stdout


def test_the_installed_demo_runs_to_its_end(installed: Path, tmp_path: Path) -> None:
    run(installed / "axiom", "demo", "--exit", cwd=tmp_path)


def test_an_installed_example_runs_from_a_copy(installed: Path, tmp_path: Path) -> None:
    run(installed / "axiom", "init", "mine", "--example", "greeting", cwd=tmp_path)
    done = run(
        installed / "axiom", "run", "mine", "-d", '{"name": "Ada"}', "--store", "memory:", cwd=tmp_path
    )
    assert "Hello, Ada!" in done.stdout
