"""The command line as a whole: quick help, one-line errors, exit codes, commands imported only when called."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from axiom.api.cli import exits, output, reference
from axiom.api.cli.main import COMMANDS, axiom, explained, outcome
from axiom.runtime.store.base import Unavailable, Unusable

AXIOM = [sys.executable, "-P", "-m", "axiom.api.cli.main"]


def every_command() -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    for name in COMMANDS:
        module, _, attribute = COMMANDS[name][0].partition(":")
        command = getattr(import_module(module), attribute)
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {sub}", each) for sub, each in command.commands.items()]
    return found


def test_help_imports_no_library_but_click() -> None:
    """So it is there at once: what takes time is importing."""
    code = "import sys; from axiom.api.cli.main import *; outcome(['--help']); print(*sys.modules, file=sys.stderr)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr.split())
    assert not loaded & {
        "rich",
        "httpx",
        "yaml",
        "starlette",
        "msgpack",
        "redis",
        "asyncio",
        "jsonschema",
        "celpy",
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_of_a_command_what_its_own_help_says(name: str) -> None:
    command = dict(every_command())[name]
    assert command.help
    assert command.help.splitlines()[0].strip() == COMMANDS[name][1]


def test_every_command_has_a_help_with_an_example() -> None:
    bare = [
        name for name, command in every_command() if f"axiom {name.split()[0]}" not in (command.help or "")
    ]
    assert not bare


def test_every_option_says_what_it_is_for() -> None:
    silent = [
        f"{name} {parameter.opts[0]}"
        for name, command in every_command()
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert not silent


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["comple"], "Did you mean 'compile'?"),
        (["init", "--nam", "x"], "--name"),
        (["completion"], "Missing argument"),
    ],
)
def test_a_misuse_is_one_line_and_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert outcome(arguments) == exits.USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
    assert shown.err.count("\n") == 1


def test_the_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(["--version"]) == 0
    assert capsys.readouterr().out.startswith("axiom 0.")


def test_an_unknown_setting_ends_a_command_with_code_2() -> None:
    done = subprocess.run(
        [*AXIOM, "executions", "list"], env={**os.environ, "AXIOM_STROE": "x"}, capture_output=True, text=True
    )
    assert done.returncode == exits.USAGE
    assert "did you mean 'store'" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert outcome(["completion", shell]) == 0
    assert "_AXIOM_COMPLETE" in capsys.readouterr().out


def test_completion_knows_the_commands() -> None:
    environment = {
        **os.environ,
        "_AXIOM_COMPLETE": "bash_complete",
        "COMP_WORDS": "axiom exe",
        "COMP_CWORD": "1",
    }
    code = "from axiom.api.cli.main import axiom; axiom(prog_name='axiom')"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["plain,executions"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unavailable("gone"), exits.AWAY),
        (Unusable("read-only"), exits.FAILED),
        (FileNotFoundError(2, "No such file or directory", "x.yaml"), exits.USAGE),
    ],
)
def test_a_known_cause_has_an_exit_code(error: Exception, code: int) -> None:
    known = explained(error)
    assert known is not None
    assert known[1] == code


def test_a_defect_of_ours_is_not_dressed_up() -> None:
    assert explained(ZeroDivisionError()) is None


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 ms"),
        (12.4, "12 ms"),
        (3400, "3.4 s"),
        (125_000, "2 min 5 s"),
        (10_920_000, "3 h 2 min"),
        (None, "-"),
    ],
)
def test_spans_are_written_for_people(ms: float | None, text: str) -> None:
    assert output.duration(ms) == text


def test_data_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["a", "b"], [["x\x1b[2J", {"k": "v\n"}]])
    assert capsys.readouterr().out == 'x\\x1b[2J\t{"k":"v\\n"}\n'


def test_the_group_lists_its_commands_in_the_order_of_the_table() -> None:
    assert axiom.list_commands(click.Context(axiom)) == list(COMMANDS)


def test_nothing_is_written_where_it_was_not_asked(tmp_path: Path) -> None:
    subprocess.run([*AXIOM, "--help"], cwd=tmp_path, check=True, capture_output=True)
    assert not list(tmp_path.iterdir())


def test_the_reference_page_says_what_the_commands_say() -> None:
    """``python -m axiom.api.cli.reference > docs/reference/cli.md`` renews it."""
    page = Path(__file__).resolve().parents[3] / "docs" / "reference" / "cli.md"
    assert page.read_text(encoding="utf-8") == reference.page()
