"""``axiom configs`` and ``axiom secrets``: what they write, what they refuse, and that a value never passes argv."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from axiom.api.cli.configs import configs
from axiom.api.cli.exits import NOT_FOUND, USAGE, Stop
from axiom.api.cli.secrets import secrets
from axiom.runtime.vault import parse_keys


class Shell:
    """Runs commands over one store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = f"sqlite:///{folder}/x.db"

    def __call__(self, command: click.Command, *words: str, input: str | bytes | None = None) -> Result:
        return CliRunner().invoke(
            command, [*words, "--store", self.store], input=input, standalone_mode=False
        )

    def good(self, command: click.Command, *words: str, input: str | bytes | None = None) -> str:
        result = self(command, *words, input=input)
        assert result.exception is None, (result.exception, result.output)
        return result.stdout

    def bad(self, command: click.Command, *words: str, input: str | bytes | None = None) -> Stop:
        error = self(command, *words, input=input).exception
        assert isinstance(error, Stop), error
        return error

    def listed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.good(secrets, "list", "--json"))
        return found


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell.good(configs, "set", "default", "--value", "region=us")
    return shell


def test_a_config_is_changed_piece_by_piece_and_each_change_is_a_version(shell: Shell) -> None:
    shell.good(configs, "set", "default", "--value", "batch:=25", "--value", "url=http://x/?a=1")
    told = json.loads(shell.good(configs, "show", "default"))
    assert told["values"] == {"region": "us", "batch": 25, "url": "http://x/?a=1"}
    assert told["version"] == 2
    shell.good(configs, "set", "default", "--unset", "values.region")
    assert json.loads(shell.good(configs, "show", "default"))["values"] == {
        "batch": 25,
        "url": "http://x/?a=1",
    }
    assert json.loads(shell.good(configs, "show", "default", "--version", "1"))["values"] == {"region": "us"}
    assert shell.good(configs, "list").split("\t")[:2] == ["default", "3"]


def test_a_file_says_all_of_it(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("values: {region: eu}\ndescription: for trials\n")
    shell.good(configs, "set", "default", "--file", str(file))
    told = json.loads(shell.good(configs, "show", "default"))
    assert (told["values"], told["description"]) == ({"region": "eu"}, "for trials")
    shell.good(configs, "delete", "default")
    assert shell.bad(configs, "show", "default").exit_code == NOT_FOUND


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set", "x"), "nothing to set"),
        (("set", "x", "--value", "region"), "NAME=TEXT"),
        (("set", "x", "--value", "region:={"), "no JSON"),
        (("set", "x", "--timeout", "a=soon"), "ALIAS=SECONDS"),
        (("set", "x", "--timeout", "a=5"), "/nodes"),
        (("set", "x", "--secret", "A=NOBODY"), "/secrets/A"),
        (("set", "default", "--unset", "values.gone"), "values.gone"),
        (("set", "UPPER", "--value", "a=1"), "NAME"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(shell: Shell, words: tuple[str, ...], said: str) -> None:
    stop = shell.bad(configs, *words)
    assert stop.exit_code == USAGE
    assert said in str(stop)


def test_a_config_of_a_flow_that_is_not_there_is_not_found(shell: Shell) -> None:
    assert shell.bad(configs, "set", "acme/none/default", "--value", "a=1").exit_code == NOT_FOUND


def test_a_secret_comes_from_stdin_or_a_file_and_loses_one_line_break(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_bytes(b"canary-two\r\n")
    outputs = [
        shell.good(secrets, "set", "ONE", input="canary-one\n"),
        shell.good(secrets, "set", "TWO", "--file", str(file)),
        shell.good(secrets, "rotate", "ONE", "--file", "-", input="canary-one-more\n\n"),
        shell.good(secrets, "list"),
    ]
    assert not any("canary" in text for text in outputs)
    assert [(row["name"], row["version"]) for row in shell.listed()] == [("ONE", 2), ("TWO", 1)]
    assert (tmp_path / "x.db.key").stat().st_mode & 0o777 == 0o600
    shell.good(secrets, "delete", "ONE")
    assert [row["name"] for row in shell.listed()] == ["TWO"]


def test_no_command_takes_a_value_as_an_argument() -> None:
    for name in ("set", "rotate"):
        command = secrets.commands[name]
        words = [parameter.name for parameter in command.params]
        assert not {"value", "secret"} & set(words)


def test_what_a_secret_can_not_be_is_told_without_it(shell: Shell, tmp_path: Path) -> None:
    assert shell.bad(secrets, "rotate", "NONE", input="canary-one").exit_code == NOT_FOUND
    assert shell.bad(secrets, "delete", "NONE").exit_code == NOT_FOUND
    stop = shell.bad(secrets, "set", "ONE", input="short")
    assert (stop.exit_code, "short" in str(stop).replace("shorter", "")) == (USAGE, False)
    file = tmp_path / "bytes"
    file.write_bytes(b"\xff\xfecanary")
    assert "UTF-8" in str(shell.bad(secrets, "set", "ONE", "--file", str(file)))
    shell.good(secrets, "set", "ONE", input="canary-one")
    assert "canary" not in str(shell.bad(secrets, "set", "ONE", input="canary-two"))
    shell.good(secrets, "set", "ONE", "--replace", input="canary-two")


def test_the_key_of_an_embedded_store_is_rotated_in_its_file(shell: Shell, tmp_path: Path) -> None:
    shell.good(secrets, "set", "ONE", input="canary-one")
    (before,) = shell.listed()
    result = shell(secrets, "rotate-key")
    assert "1 of 1 secrets" in result.output
    file = tmp_path / "x.db.key"
    assert len(parse_keys(file.read_text(), "it")) == 2
    (after,) = shell.listed()
    assert after["key_id"] != before["key_id"]
    shell.good(secrets, "rotate-key", "--drop-old")
    assert len(parse_keys(file.read_text(), "it")) == 1
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_key_that_is_missing_is_named_and_nothing_is_lost(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.good(secrets, "set", "ONE", input="canary-one")
    (before,) = shell.listed()
    file = tmp_path / "x.db.key"
    kept = file.read_text()
    monkeypatch.setenv("AXIOM_SECRETS_KEY", CliRunner().invoke(secrets, ["new-key"]).stdout.strip())
    assert before["key_id"] in str(shell.bad(secrets, "rotate-key"))
    monkeypatch.setenv("AXIOM_SECRETS_KEY", f"{CliRunner().invoke(secrets, ['new-key']).stdout} {kept}")
    assert "1 of 1" in shell(secrets, "rotate-key").output
    assert file.read_text() == kept, "keys of the environment are yours to change"
