"""Settings: flags over ``AXIOM_*`` variables over a file over the defaults below. An unknown one is an error.

The file is YAML, ``.axiom/settings.yaml`` unless ``AXIOM_CONFIG`` or ``--config`` names another (which must then
exist); its keys are the field names. The variable of ``lease_duration_ms`` is ``AXIOM_LEASE_DURATION_MS``. Lists are
written with commas in a variable and as lists in the file.

This module is read by every command, so it imports next to nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, get_type_hints

from axiom.runtime import limits

DEFAULT_FILE: Final = Path(".axiom/settings.yaml")
DEFAULT_STORE: Final = "sqlite:///.axiom/axiom.db"
PREFIX: Final = "AXIOM_"
OUTSIDE: Final = frozenset({"AXIOM_CONFIG", "AXIOM_PYTHON", "AXIOM_PROGRAM"})
"""Variables that are no settings: where the file is, which Python the launcher takes, and what it was called as."""
SECRETS: Final = "AXIOM_SECRET_"
"""Variables that begin so are secrets of nodes."""


class UnknownSetting(ValueError):
    """A flag, variable or key that names no setting."""

    code = "unknown_setting"


class InvalidSetting(ValueError):
    """A value that its setting does not take."""

    code = "invalid_setting"


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator may choose."""

    store: str = DEFAULT_STORE
    """Where executions live: ``sqlite:///path``, ``redis://…``, ``rediss://…``, ``memory:``."""
    url: str = ""
    """A server that commands talk to instead of a store."""
    api_key: str = ""
    """The key that commands and workers show to that server."""
    host: str = "127.0.0.1"
    """The address that ``dev`` and ``serve`` listen on."""
    port: int = 4000
    lease_duration_ms: int = limits.LEASE_MS
    """How long a silent worker keeps its executions."""
    worker_timeout_ms: int = int(limits.LOOP_STALL_SECONDS * 1000)
    """How long a worker's event loop may stand still before the worker ends itself."""
    max_concurrent_executions: int = limits.CONCURRENT_EXECUTIONS
    """Executions that one worker has in flight."""
    account_weights: tuple[str, ...] = ()
    """The accounts' shares of what workers take up, as ``acme=3``; 1 where nothing is said."""
    process_slots: int = limits.PROCESS_SLOTS
    """Warm child processes of one worker."""
    retention_days: float = limits.RETENTION_DAYS
    """How long a finished execution is kept, where its flow says nothing."""
    dev: bool = False
    """Development on this machine: no key needed from loopback, code may drift. Set by ``axiom dev``."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names that requests may ask for, besides the one listened on."""
    webhook_allow: tuple[str, ...] = ()
    """Networks (CIDR) or host names that webhooks may reach although they are private."""
    rate_limit_per_second: float = 0.0
    """Requests per key and second; 0: no limit."""
    max_body_bytes: int = limits.PAYLOAD_BYTES + (1 << 20)
    """The largest request body."""
    secrets_key: str = field(default="", repr=False)
    """The private keys of secrets, the one to seal with first. For workers."""
    secrets_key_file: str = ""
    """A file of those, which its owner alone may read; beside an SQLite store by default."""
    log_level: str = "info"
    """``debug``, ``info``, ``warning`` or ``error``."""

    @property
    def weights(self) -> dict[str, float]:
        """``account_weights`` as numbers by account. ``InvalidSetting``."""
        found: dict[str, float] = {}
        for item in self.account_weights:
            account, _, text = item.partition("=")
            try:
                weight = float(text)
            except ValueError:
                weight = 0.0
            if not account or not 0.001 <= weight <= 1_000:
                raise InvalidSetting(
                    f"account_weights must be account=weight with weights from 0.001 to 1000, not {item!r}"
                )
            found[account] = weight
        return found


_TYPES: Final = get_type_hints(Settings)
NAMES: Final = tuple(one.name for one in fields(Settings))


def load(
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Settings:
    """Return the settings in force. ``None`` among the flags means: not given.

    Raises ``UnknownSetting`` and ``InvalidSetting``, and ``FileNotFoundError`` for a named file that isn't there.
    """
    environment = os.environ if environment is None else environment
    named = file or (Path(environment["AXIOM_CONFIG"]) if environment.get("AXIOM_CONFIG") else None)
    values: dict[str, Any] = {}
    if named is not None or DEFAULT_FILE.exists():
        values |= _from_file(named or DEFAULT_FILE)
    values |= _from_environment(environment)
    for name, value in (flags or {}).items():
        _known(name, f"the flag --{name.replace('_', '-')}")
        if value is not None:
            values[name] = _typed(name, value, f"--{name.replace('_', '-')}")
    settings = Settings(**values)
    settings.weights  # noqa: B018  # says what is wrong with them now, not when a worker begins
    return settings


def _from_file(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise InvalidSetting(f"{path} is no YAML: {error}") from error
    if not isinstance(content, dict):
        raise InvalidSetting(f"{path} must hold `name: value` lines")
    for name in content:
        _known(str(name), str(path))
    return {name: _typed(name, value, f"{name} in {path}") for name, value in content.items()}


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX) or variable.startswith(SECRETS) or variable in OUTSIDE:
            continue
        name = variable.removeprefix(PREFIX).lower()
        _known(name, f"the variable {variable}")
        if text:
            values[name] = _typed(name, text, variable)
    return values


def _known(name: str, where: str) -> None:
    if name not in _TYPES:
        from difflib import get_close_matches

        near = get_close_matches(name, NAMES, 1)
        raise UnknownSetting(
            f"unknown setting {name!r} in {where}" + (f"; did you mean {near[0]!r}?" if near else "")
        )


def _typed(name: str, value: Any, where: str) -> Any:
    """Return ``value`` as the type of its field; text is parsed, other types must fit."""
    kind = _TYPES[name]
    try:
        if kind is bool:
            return _switch(value)
        if kind in (int, float):
            return _number(kind, value)
        if kind is str and isinstance(value, str):
            return value
        if kind == tuple[str, ...] and isinstance(value, (str, list, tuple)):
            items = value.split(",") if isinstance(value, str) else value
            return tuple(item.strip() for item in items if item.strip())
    except (ValueError, AttributeError):
        pass
    wanted = getattr(kind, "__name__", str(kind)) if kind in (int, float, bool, str) else "a list of texts"
    raise InvalidSetting(f"{where} must be {wanted}, not {value!r}")


def _switch(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise ValueError(value)


def _number(kind: Any, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(value)
    number = kind(value)
    if not isinstance(value, str) and number != value:
        raise ValueError(value)
    if number < 0 or number != number:
        raise ValueError(value)
    return number
