"""The house is in order: packages, typing marks, import directions, file sizes, nothing left lying about."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("compiler", "runtime", "api", "web")
BELOW = {
    "compiler": set(),
    "runtime": {"compiler"},
    "api": {"compiler", "runtime", "web", "sdk"},
    "web": set(),
}
"""What each room may import from across the hall; ``axiom.sdk`` is a folder of ``api``."""
LONGEST_FILE = 520
"""Above this a file wants to be two; below it, taste decides."""
LONGEST_MEDIAN = 180


def tracked(*suffixes: str) -> list[Path]:
    """The repository's text files: those that git has or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    paths = [ROOT / name for name in listed if name and (ROOT / name).is_file()]
    return [path for path in paths if not suffixes or path.suffix in suffixes]


def sources() -> list[Path]:
    return [path for path in tracked(".py") if path.relative_to(ROOT).parts[0] in ROOMS]


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


def package_of(path: Path) -> list[str]:
    """The dotted package of a file on disk, by pyproject's mapping."""
    parts = list(path.relative_to(ROOT).parent.parts)
    return ["axiom", "sdk", *parts[2:]] if parts[:2] == ["api", "sdk"] else ["axiom", *parts]


def imports(path: Path) -> Iterator[tuple[int, str, int]]:
    """``(line, absolute module, relative level)`` of every import statement, wherever it stands."""
    package = package_of(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *((node.module or "").split(".") if node.module else [])])
            yield node.lineno, name, node.level


def mapping() -> tuple[list[str], dict[str, str]]:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    return tool["packages"], tool["package-dir"]


def on_disk(package: str, places: dict[str, str]) -> Path:
    prefix = max((p for p in places if package == p or package.startswith(p + ".")), key=len)
    return ROOT / places[prefix] / package.removeprefix(prefix).lstrip(".").replace(".", "/")


def test_the_packages_listed_are_the_folders_with_an_init() -> None:
    packages, places = mapping()
    listed = {on_disk(package, places) for package in packages}
    found = {
        path.parent for path in tracked(".py") if path.name == "__init__.py" and room_of(path) != "tests"
    }
    assert listed == found
    assert len(packages) == len(set(packages))


def test_every_package_says_that_it_is_typed() -> None:
    packages, places = mapping()
    missing = [package for package in packages if not (on_disk(package, places) / "py.typed").is_file()]
    assert not missing


def test_axiom_itself_is_a_namespace() -> None:
    import axiom

    assert axiom.__file__ is None


def test_the_sdk_has_one_name_only() -> None:
    import axiom.sdk

    with pytest.raises(ImportError, match=r"axiom\.sdk"):
        import axiom.api.sdk  # noqa: F401


def test_imports_point_one_way() -> None:
    """compiler ← runtime ← api: a room imports only from those below it."""
    wrong = []
    for path in sources():
        for line, module, level in imports(path):
            parts = module.split(".")
            if parts[0] != "axiom" or len(parts) < 2:
                continue
            target = "api" if parts[1] == "sdk" and room_of(path) == "api" else parts[1]
            if target != room_of(path) and target not in BELOW[room_of(path)]:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
            if level and package_of(path)[1] != parts[1]:
                wrong.append(f"{path.relative_to(ROOT)}:{line} leaves its room by a relative import")
    assert not wrong, "\n".join(wrong)


def test_inside_a_room_imports_are_relative() -> None:
    wrong = []
    for path in sources():
        for line, module, level in imports(path):
            parts = module.split(".")
            if not level and parts[0] == "axiom" and parts[1:2] == package_of(path)[1:2]:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {module} by its full name")
    assert not wrong, "\n".join(wrong)


def test_the_top_level_holds_what_the_plan_says() -> None:
    folders = {path.relative_to(ROOT).parts[0] for path in tracked() if len(path.relative_to(ROOT).parts) > 1}
    assert folders <= {"compiler", "runtime", "api", "web", "tests", "docs", ".ci"}


def test_files_stay_short() -> None:
    lengths = {path: path.read_text(encoding="utf-8").count("\n") for path in sources()}
    long = [f"{path.relative_to(ROOT)}: {lines}" for path, lines in lengths.items() if lines > LONGEST_FILE]
    assert not long, f"files above {LONGEST_FILE} lines: {long}"
    assert statistics.median(lines for lines in lengths.values() if lines > 3) <= LONGEST_MEDIAN


def test_every_source_file_opens_with_what_it_is_for() -> None:
    bare = [
        str(path.relative_to(ROOT))
        for path in sources()
        if path.stat().st_size and ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) is None
    ]
    assert not bare


UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|NotImplemented" + r"Error|HA" + r"CK)\b")
VAGUE = {"util", "utils", "common", "helpers", "helper", "manager", "misc"}
MACHINE = re.compile(r"(?<![\w.*~-])/(?:root|work|Users|home)/\w")


def texts() -> list[Path]:
    kept = (
        ".py",
        ".md",
        ".toml",
        ".yaml",
        ".yml",
        ".lua",
        ".sql",
        ".sh",
        ".lock",
        ".html",
        ".js",
        ".css",
        ".ts",
        ".tsx",
        "",
    )
    return [path for path in tracked(*kept) if path.name != "LICENSE"]


def test_nothing_is_left_unfinished() -> None:
    found = matches(UNFINISHED, [path for path in texts() if room_of(path) in ROOMS])
    assert not found, "\n".join(found)


def test_no_path_of_a_machine_and_no_registry_is_written_down() -> None:
    found = matches(MACHINE, texts())
    assert not found, "\n".join(found)
    assert "://" not in (ROOT / "requirements.lock").read_text()
    assert '"resolved"' not in (ROOT / "web" / "package-lock.json").read_text()


def matches(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert not [path for path in sources() if VAGUE & set(path.stem.split("_"))]


def test_no_test_is_skipped() -> None:
    pattern = re.compile(r"pytest\.(mark\.(skip|xfail)|skip\(|importorskip)|@unittest\.skip")
    found = matches(
        pattern, [p for p in tracked(".py") if room_of(p) == "tests" and p != Path(__file__).resolve()]
    )
    assert not found, "\n".join(found)


def test_the_lock_pins_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    names = {re.split(r"[<>=;\[ ]", line)[0].lower().replace("_", "-") for line in wanted}
    lock = (ROOT / "requirements.lock").read_text().lower().replace("_", "-")
    pinned = set(re.findall(r"^([\w.-]+)==", lock, re.M))
    assert names <= pinned, f"not pinned: {sorted(names - pinned)}"


@pytest.mark.parametrize("name", ["axiom", "tests/run", ".ci/run"])
def test_what_is_run_can_be_run(name: str) -> None:
    assert (ROOT / name).stat().st_mode & 0o111
