"""``axiom configs``: the profiles that runs are configured with."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import click

from ..settings import Settings
from . import exits, output
from .target import Target, reach, target_options

BASE = "/console/v1/configs"
as_json = click.option("--json", "json_", is_flag=True, help="Print JSON.")


@click.group()
def configs() -> None:
    """Show and change what runs are configured with.

    CONFIG_ID is NAME, for all flows, or FLOW/NAME, for one. `default` applies by itself, the others when a start names
    them.

    \b
    Example:
      axiom configs set acme/fulfil/staging --value region=eu --timeout charge=20
    """


@configs.command("list")
@click.option("--flow", help="Those of one flow alone.")
@as_json
@target_options
def list_(settings: Settings, flow: str | None, json_: bool) -> None:
    """List configs.

    \b
    Example:
      axiom configs list --flow acme/fulfil
    """
    rows = asyncio.run(_list(settings, flow))
    if json_:
        output.as_json(rows)
        return
    names = ("config_id", "version", "updated_at", "updated_by")
    output.table([name.upper() for name in names], ([row[name] for name in names] for row in rows))


@configs.command()
@click.argument("config_id")
@click.option("--version", type=click.IntRange(1), help="An earlier version.")
@target_options
def show(settings: Settings, config_id: str, version: int | None) -> None:
    """Print a config as JSON.

    \b
    Example:
      axiom configs show acme/fulfil/staging
    """
    output.as_json(asyncio.run(_show(settings, config_id, version)))


@configs.command("set")
@click.argument("config_id")
@click.option("--file", "-f", "file", help="All of it, as YAML or JSON: values, secrets, nodes. - is stdin.")
@click.option("--value", "values", multiple=True, help="NAME=TEXT, or NAME:=JSON; may be repeated.")
@click.option("--secret", "chosen", multiple=True, help="DECLARED=SECRET; may be repeated.")
@click.option("--timeout", "timeouts", multiple=True, help="ALIAS=SECONDS; may be repeated.")
@click.option("--unset", multiple=True, help="values.NAME, secrets.NAME or nodes.ALIAS; may be repeated.")
@target_options
def set_(
    settings: Settings,
    config_id: str,
    file: str | None,
    values: tuple[str, ...],
    chosen: tuple[str, ...],
    timeouts: tuple[str, ...],
    unset: tuple[str, ...],
) -> None:
    """Write a config's next version: what it was with what you give, or with --file exactly that.

    \b
    Example:
      axiom configs set acme/fulfil/default --value batch:=25 --secret API_KEY=STAGING_KEY --timeout charge=20
    """
    changes: dict[str, dict[str, Any]] = {
        "values": dict(_value(text) for text in values),
        "secrets": dict(_pair(text, "--secret", "DECLARED=SECRET") for text in chosen),
        "nodes": {alias: {"timeout_seconds": seconds} for alias, seconds in map(_timeout, timeouts)},
    }
    if not (file or any(changes.values()) or unset):
        raise exits.usage("there is nothing to set", "give --value, --secret, --timeout, --unset or --file")
    whole = _read(file) if file else None
    told = asyncio.run(_set(settings, config_id, whole, changes, unset))
    output.note(f"{config_id} is at version {told['version']}")


@configs.command()
@click.argument("config_id")
@target_options
def delete(settings: Settings, config_id: str) -> None:
    """Delete a config; runs that have it keep it.

    \b
    Example:
      axiom configs delete acme/fulfil/staging
    """
    asyncio.run(_delete(settings, config_id))
    output.note(f"{config_id} is deleted")


def _value(text: str) -> tuple[str, Any]:
    name, colon, literal = text.partition(":=")
    if colon and "=" not in name:
        try:
            return name, json.loads(literal)
        except ValueError as error:
            raise exits.usage(f"--value {name}: {literal!r} is no JSON: {error}") from error
    return _pair(text, "--value", "NAME=TEXT or NAME:=JSON")


def _pair(text: str, option: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise exits.usage(f"{option} {text!r} must be {form}")
    return name, value


def _timeout(text: str) -> tuple[str, float]:
    alias, seconds = _pair(text, "--timeout", "ALIAS=SECONDS")
    try:
        return alias, float(seconds)
    except ValueError:
        raise exits.usage(f"--timeout {text!r} must be ALIAS=SECONDS") from None


def _read(file: str) -> Any:
    import yaml

    text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise exits.usage(f"{file} is no YAML: {' '.join(str(error).split())}") from error


async def _list(settings: Settings, flow: str | None) -> list[dict[str, Any]]:
    async with reach(settings) as target:
        found: list[dict[str, Any]] = (await target.get(BASE, flow=flow))["configs"]
        return found


async def _show(settings: Settings, config_id: str, version: int | None) -> Any:
    async with reach(settings) as target:
        return await target.get(f"{BASE}/{config_id}", version=version)


async def _set(
    settings: Settings,
    config_id: str,
    whole: Any,
    changes: dict[str, dict[str, Any]],
    unset: tuple[str, ...],
) -> Any:
    async with reach(settings, create=True) as target:
        body = whole if whole is not None else await _present(target, config_id)
        if isinstance(body, dict):
            for field, given in changes.items():
                if given:
                    body[field] = {**(body.get(field) or {}), **given}
            for path in unset:
                field, _, name = path.partition(".")
                if name not in (body.get(field) or {}):
                    raise exits.usage(f"--unset {path}: {config_id} has no such thing")
                del body[field][name]
        return await target.call("PUT", f"{BASE}/{config_id}", json=body)


async def _present(target: Target, config_id: str) -> dict[str, Any]:
    """The profile as it is, with the version that a change of it expects."""
    now = await target.call("GET", f"{BASE}/{config_id}", accept=(404,))
    if now.get("code") is not None:
        return {"expect": 0}
    kept = {name: now[name] for name in ("values", "secrets", "nodes", "description") if now[name]}
    return {**kept, "expect": now["version"]}


async def _delete(settings: Settings, config_id: str) -> None:
    async with reach(settings) as target:
        await target.call("DELETE", f"{BASE}/{config_id}")
