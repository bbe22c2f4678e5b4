"""Settings: flags over variables over a file over defaults, and no misspelt one passes unseen."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom.api.settings import InvalidSetting, Settings, UnknownSetting, load


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text("port: 5001\nretention_days: 7\nallowed_hosts: [a.example, b.example]\n")
    return path


def test_without_any_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load({}, {}) == Settings()
    assert Settings().lease_duration_ms == 1500


def test_a_flag_beats_a_variable_beats_the_file_beats_the_default(file: Path) -> None:
    assert load({}, {}, file).port == 5001
    assert load({}, {"AXIOM_PORT": "5002"}, file).port == 5002
    assert load({"port": 5003}, {"AXIOM_PORT": "5002"}, file).port == 5003
    assert load({"port": None}, {"AXIOM_PORT": "5002"}, file).port == 5002
    assert load({"port": 5003}, {}, file).retention_days == 7


def test_the_file_in_the_working_folder_is_read_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".axiom").mkdir()
    (tmp_path / ".axiom" / "settings.yaml").write_text("port: 4100\n")
    assert load({}, {}).port == 4100


def test_a_file_that_is_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load({}, {"AXIOM_CONFIG": str(tmp_path / "gone.yaml")})


@pytest.mark.parametrize(
    ("flags", "environment"),
    [({"prot": 1}, {}), ({}, {"AXIOM_PROT": "1"}), ({}, {"AXIOM_": "1"})],
)
def test_an_unknown_setting_is_an_error(flags: dict[str, int], environment: dict[str, str]) -> None:
    with pytest.raises(UnknownSetting):
        load(flags, environment)


def test_an_unknown_key_of_the_file_names_the_file_and_the_nearest_setting(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("lease_duration: 5\n")
    with pytest.raises(UnknownSetting, match=r"s\.yaml; did you mean 'lease_duration_ms'"):
        load({}, {}, path)


@pytest.mark.parametrize("text", ["[1, 2]", "port: [", "7"])
def test_a_file_that_is_no_mapping_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(InvalidSetting):
        load({}, {}, path)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("DEV", "yes", True),
        ("DEV", "0", False),
        ("RETENTION_DAYS", "0.5", 0.5),
        ("ALLOWED_HOSTS", "a, b,", ("a", "b")),
        ("STORE", "memory:", "memory:"),
        ("STORE", "", Settings().store),
    ],
)
def test_a_variable_is_read_as_its_settings_type(name: str, text: str, value: object) -> None:
    assert getattr(load({}, {f"AXIOM_{name}": text}), name.lower()) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "many"),
        ("port", "-1"),
        ("port", 1.5),
        ("port", True),
        ("retention_days", "nan"),
        ("dev", "perhaps"),
        ("dev", 3),
        ("store", 3),
        ("allowed_hosts", 3),
        ("allowed_hosts", [3]),
    ],
)
def test_a_value_of_another_type_is_an_error_that_names_the_setting(name: str, value: object) -> None:
    with pytest.raises(InvalidSetting, match=name.replace("_", "[-_]")):
        load({name: value}, {})


def test_variables_of_others_are_none_of_its_business() -> None:
    assert load({}, {"PATH": "/bin", "AXIOM_PYTHON": "python3.12", "AXIOM_SECRET_X": "s"}) == Settings()


@given(
    st.fixed_dictionaries({}, optional={"port": st.integers(0, 65535), "retention_days": st.floats(0, 1e6)})
)
def test_what_a_variable_says_a_flag_says_too(values: dict[str, float]) -> None:
    environment = {f"AXIOM_{name.upper()}": repr(value) for name, value in values.items()}
    assert load({}, environment) == load(values, {})


def test_every_setting_has_a_default() -> None:
    assert all(field.default is not None for field in fields(Settings))


def test_weights_are_numbers_by_account() -> None:
    assert load(environment={"AXIOM_ACCOUNT_WEIGHTS": "acme=3, default=0.5"}).weights == {
        "acme": 3.0,
        "default": 0.5,
    }


@pytest.mark.parametrize("text", ["acme", "acme=", "=3", "acme=0", "acme=-1", "acme=nan", "acme=1e9"])
def test_a_weight_that_is_none_is_an_error(text: str) -> None:
    with pytest.raises(InvalidSetting, match="account=weight"):
        load(environment={"AXIOM_ACCOUNT_WEIGHTS": text})
