"""Profiles: what a run is configured with besides its input, resolved when it is accepted.

A profile is named ``NAME``, for all flows, or ``FLOW/NAME``, for one. Three may apply, each over the one before: the
account's ``default``, the flow's ``FLOW/default``, and the one that the caller chose with ``config_id``. What they come
to is frozen into the run's first event, so that no later edit changes what a run in flight does::

    config   {profiles: [[id, version]], values: {name: value}, secrets: {declared name: secret}, timeouts: {alias: s}}

Secrets are frozen by name only; their values are read by the worker, for each attempt. Profiles lie in documents::

    configs   account                   which profiles there are, at which version: the one document that a start reads
    config    account/id@version        a profile; never changes
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from axiom.compiler.artifact import Node, Plan

from .events import pack_value, unpack_value
from .store.base import Document, Store

INDEX: Final = "configs"
KIND: Final = "config"
DEFAULT: Final = "default"
TRIES: Final = 20


class UnknownConfig(LookupError):
    """The account has no such profile."""

    code = "unknown_config"

    def __init__(self, config_id: str, version: int | None = None) -> None:
        which = f"{config_id[:300]!r}" + (f" at version {version}" if version is not None else "")
        super().__init__(f"there is no config {which}")


class ConfigUnfit(ValueError):
    """A profile that can't be used with this flow; ``path`` is the place in the profile, a JSON pointer."""

    code = "config_unfit"

    def __init__(self, message: str, path: str = "") -> None:
        self.path = path
        super().__init__(message)


class ConfigMoved(RuntimeError):
    """Someone changed the profile first: look again."""

    code = "config_moved"

    def __init__(self, config_id: str, version: int) -> None:
        self.version = version
        super().__init__(f"the config {config_id!r} has been changed meanwhile: it is at version {version}")


class Profile(NamedTuple):
    """One version of a profile."""

    values: Mapping[str, Any]
    """Plain data, ``ctx.config`` of every handler."""
    secrets: Mapping[str, str]
    """Name that nodes declare → the account's secret that it stands for."""
    timeouts: Mapping[str, float]
    """Alias → seconds."""
    description: str = ""
    at: int = 0
    by: str = ""


class Listed(NamedTuple):
    """A profile's entry in the account's list."""

    config_id: str
    version: int
    at: int
    by: str


def flow_of(config_id: str) -> str:
    """Return the flow that a profile is for, ``""`` if it is for all.

    >>> flow_of("acme/fulfil/staging"), flow_of("staging")
    ('acme/fulfil', '')
    """
    return config_id.rpartition("/")[0]


# --- the shelf ------------------------------------------------------------------------------------------------------


async def profiles(store: Store, account: str) -> list[Listed]:
    """Return the account's profiles, by name."""
    live, _ = _index(await store.get(INDEX, account))
    return [Listed(config_id, *live[config_id]) for config_id in sorted(live)]


async def profile(
    store: Store, account: str, config_id: str, version: int | None = None
) -> tuple[int, Profile]:
    """Return a profile and its version, by default the present one. ``UnknownConfig``."""
    live, _ = _index(await store.get(INDEX, account))
    if config_id not in live:
        raise UnknownConfig(config_id)
    version = version or live[config_id][0]
    found = await store.get(KIND, f"{account}/{config_id}@{version}")
    if found is None:
        raise UnknownConfig(config_id, version)
    return version, Profile(*unpack_value(found.value))


async def put_profile(
    store: Store, account: str, config_id: str, content: Profile, *, by: str = "", expect: int | None = None
) -> tuple[int, Profile]:
    """Write a profile's next version; its number and what it is now.

    ``expect``: the version it must have now (0: none), else ``ConfigMoved``.
    """
    for _ in range(TRIES):
        found = await store.get(INDEX, account)
        live, gone = _index(found)
        now = live[config_id][0] if config_id in live else 0
        if expect is not None and now != expect:
            raise ConfigMoved(config_id, now)
        written = content._replace(at=store.now(), by=by)
        version = await _write(store, account, config_id, written, (now or gone.get(config_id, 0)) + 1)
        gone.pop(config_id, None)
        live[config_id] = (version, written.at, by)
        if await _put_index(store, account, live, gone, found):
            return version, written
    raise ConfigMoved(config_id, now)


async def remove_profile(store: Store, account: str, config_id: str) -> None:
    """Delete a profile; runs that were accepted with it keep what they have. ``UnknownConfig``."""
    for _ in range(TRIES):
        found = await store.get(INDEX, account)
        live, gone = _index(found)
        if config_id not in live:
            raise UnknownConfig(config_id)
        gone[config_id] = live.pop(config_id)[0]
        if await _put_index(store, account, live, gone, found):
            for version in range(1, gone[config_id] + 1):
                await store.remove(KIND, f"{account}/{config_id}@{version}")
            return
    raise ConfigMoved(config_id, live[config_id][0])


async def _write(store: Store, account: str, config_id: str, content: Profile, version: int) -> int:
    """Write under the first number from ``version`` that nobody has taken."""
    while await store.put(KIND, f"{account}/{config_id}@{version}", pack_value(content), expect=0) is None:
        version += 1
    return version


def _index(found: Document | None) -> tuple[dict[str, tuple[int, int, str]], dict[str, int]]:
    """Return the profiles that there are, and the last versions of those that are gone."""
    if found is None:
        return {}, {}
    live, gone = unpack_value(found.value)
    return {config_id: tuple(entry) for config_id, entry in live.items()}, gone


async def _put_index(
    store: Store, account: str, live: Mapping[str, Any], gone: Mapping[str, int], found: Document | None
) -> bool:
    content = pack_value([live, gone])
    return await store.put(INDEX, account, content, expect=found.version if found else 0) is not None


# --- what a run gets ------------------------------------------------------------------------------------------------


async def resolve(
    store: Store,
    account: str,
    plan: Plan,
    config_id: str | None = None,
    inherited: Mapping[str, Any] | None = None,
) -> dict[str, Any] | None:
    """Return what a run of ``plan`` is frozen with; ``None`` where no profile applies.

    ``inherited`` is the frozen config of a parent: its values and secrets lie over the child flow's own default.
    ``UnknownConfig``; ``ConfigUnfit`` if ``config_id`` is for another flow, or names a node that is not in this plan.
    """
    live, _ = _index(await store.get(INDEX, account))
    if config_id is not None and config_id not in live:
        raise UnknownConfig(config_id)
    if config_id is not None and flow_of(config_id) not in ("", plan.name):
        raise ConfigUnfit(f"the config {config_id!r} is for the flow {flow_of(config_id)!r}")
    names = [DEFAULT, f"{plan.name}/{DEFAULT}", *([config_id] if config_id else [])]
    chosen = [(name, live[name][0]) for name in dict.fromkeys(names) if name in live]
    if not chosen and not inherited:
        return None
    documents = await asyncio.gather(
        *(store.get(KIND, f"{account}/{name}@{version}") for name, version in chosen)
    )
    found = [Profile(*unpack_value(one.value)) if one is not None else None for one in documents]
    aliases = {node.alias for node in plan.nodes}
    frozen: dict[str, Any] = {"profiles": [], "values": {}, "secrets": {}, "timeouts": {}}
    for (name, version), content in zip(chosen, found, strict=True):
        if content is None:  # deleted between the two reads
            if name == config_id:
                raise UnknownConfig(name)
            continue
        strange = sorted(set(content.timeouts) - aliases)
        if strange and name == config_id:
            raise ConfigUnfit(
                f"the config {name!r} names the node {strange[0]!r}, which this artifact of {plan.name} doesn't have",
                f"/nodes/{strange[0]}",
            )
        frozen["profiles"].append([name, version])
        frozen["values"] |= content.values
        frozen["secrets"] |= content.secrets
        frozen["timeouts"] |= {
            alias: seconds for alias, seconds in content.timeouts.items() if alias in aliases
        }
    for name in ("values", "secrets"):
        frozen[name] |= (inherited or {}).get(name, {})
    return frozen


def inheritance(accepted: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run's children get of its config, for the order that starts one."""
    config = accepted.get("config")
    if not config or not (config["values"] or config["secrets"]):
        return {}
    return {"config": {"values": config["values"], "secrets": config["secrets"]}}


_NOTHING: Final[Mapping[str, Any]] = {}


def values_of(accepted: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``ctx.config`` of a run, from the body of its first event."""
    config = accepted.get("config")
    return config["values"] if config else _NOTHING


def secrets_chosen(accepted: Mapping[str, Any]) -> Mapping[str, str]:
    """Return which secrets a run's config puts in the place of those that nodes declare."""
    config = accepted.get("config")
    return config["secrets"] if config else _NOTHING


def timeout_of(accepted: Mapping[str, Any], node: Node) -> float:
    """Return how many seconds an attempt of ``node`` may take in a run."""
    config = accepted.get("config")
    return float(config["timeouts"].get(node.alias, node.timeout_seconds)) if config else node.timeout_seconds
