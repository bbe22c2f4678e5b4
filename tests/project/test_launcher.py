"""The launcher on a fresh machine: it installs once, again when it was interrupted, and then steps aside."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from test_house import ROOT, tracked

pytestmark = pytest.mark.slow


def copy_of_the_tree(folder: Path) -> Path:
    """What a clone would hold, with today's changes."""
    for path in tracked():
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target, follow_symlinks=False)
    return folder


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which the launcher was used once, through a link and from another folder."""
    base = tmp_path_factory.mktemp("launcher")
    clone = copy_of_the_tree(base / "clone")
    (base / "link").symlink_to(clone / "axiom")
    done = launch(base / "link", "--install-only", cwd=base)
    assert done.returncode == 0, done.stderr
    assert "installing" in done.stderr
    assert done.stdout == ""
    return clone


def launch(
    launcher: Path, *arguments: str, cwd: Path, path: str = "", timeout: float = 500
) -> subprocess.CompletedProcess[str]:
    environment = {
        **{
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AXIOM_", "VIRTUAL_ENV"))
        },
        "HOME": str(cwd),
        "PATH": f"{path}:{os.environ['PATH']}",
    }
    return subprocess.run(
        [launcher, *arguments],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def test_the_second_use_installs_nothing(clone: Path, tmp_path: Path) -> None:
    done = launch(clone / "axiom", "--version", cwd=tmp_path)
    assert done.stdout.startswith("axiom ")
    assert done.stderr == ""


def test_the_launcher_itself_starts_no_process(clone: Path, tmp_path: Path) -> None:
    """So it takes no time: after its first use it finds no other program, and needs none."""
    (tmp_path / "sh").symlink_to("/bin/sh")
    command = ["/bin/sh", str(clone / "axiom"), "--install-only"]
    done = subprocess.run(command, cwd=tmp_path, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_folder_with_modules_of_ours_changes_nothing(clone: Path, tmp_path: Path) -> None:
    """The working folder is not on the path: a user's click.py is no business of ours."""
    (tmp_path / "click.py").write_text("raise SystemExit('shadowed')")
    assert launch(clone / "axiom", "--help", cwd=tmp_path).returncode == 0


def test_an_interrupted_install_is_done_again(clone: Path, tmp_path: Path) -> None:
    (clone / ".venv" / ".installed").unlink()
    done = launch(clone / "axiom", "--version", cwd=tmp_path)
    assert "installing" in done.stderr
    assert done.stdout.startswith("axiom ")


def test_a_changed_lock_is_installed(clone: Path, tmp_path: Path) -> None:
    lock = clone / "requirements.lock"
    lock.write_text(lock.read_text() + "# changed\n")
    assert "installing" in launch(clone / "axiom", "--install-only", cwd=tmp_path).stderr
    assert launch(clone / "axiom", "--install-only", cwd=tmp_path).stderr == ""


def test_a_touched_lock_is_not(clone: Path, tmp_path: Path) -> None:
    os.utime(clone / "requirements.lock")
    assert launch(clone / "axiom", "--install-only", cwd=tmp_path).stderr == ""


def fake(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


PYTHONS = ("python3", "python3.11", "python3.12", "python3.13", "python3.14")


def test_without_a_python_that_is_new_enough_it_says_which_it_needs(tmp_path: Path) -> None:
    clone = copy_of_the_tree(tmp_path / "clone")
    for name in PYTHONS:
        fake(tmp_path / "bin", name, "exit 1")
    done = launch(clone / "axiom", "--version", cwd=tmp_path, path=str(tmp_path / "bin"))
    assert done.returncode != 0
    assert "Python 3.11 or newer is needed" in done.stderr
    assert not (clone / ".venv" / ".installed").exists()


def test_without_venv_it_says_what_to_install(tmp_path: Path) -> None:
    """Debian has Python without venv; where the launcher may not install it, it says how."""
    clone = copy_of_the_tree(tmp_path / "clone")
    for name in PYTHONS:
        fake(tmp_path / "bin", name, '[ "$1" != -m ]')
    for name in ("apt-get", "sudo"):
        fake(tmp_path / "bin", name, "exit 100")
    done = launch(clone / "axiom", "--version", cwd=tmp_path, path=str(tmp_path / "bin"))
    assert done.returncode != 0
    assert "apt-get install python3-venv" in done.stderr


def test_a_failed_install_shows_its_last_words(tmp_path: Path) -> None:
    clone = copy_of_the_tree(tmp_path / "clone")
    project = clone / "pyproject.toml"
    project.write_text(project.read_text().replace('"click>=8.1"', '"click>=8.1,<8"'))
    done = launch(clone / "axiom", "--version", cwd=tmp_path)
    assert done.returncode != 0
    assert "click" in done.stderr
    assert "install.log" in done.stderr
    assert not (clone / ".venv" / ".installed").exists()
