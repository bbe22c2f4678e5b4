"""``axiom keys``: who may call. A key is shown once, when it is made."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from ..settings import Settings
from . import output
from .target import reach, target_options

BASE = "/console/v1/keys"
as_json = click.option("--json", "json_", is_flag=True, help="Print JSON.")


@click.group()
def keys() -> None:
    """Create, list and revoke API keys.

    \b
    Example:
      axiom keys create --name laptop
    """


@keys.command()
@click.option("--name", required=True, help="What it is for; shown in lists.")
@click.option(
    "--scope", "scopes", multiple=True, help="What it may do; may be repeated. Everything by default."
)
@click.option(
    "--expires-days", type=click.FloatRange(min=0, min_open=True), help="It ends after so many days."
)
@as_json
@target_options
def create(
    settings: Settings, name: str, scopes: tuple[str, ...], expires_days: float | None, json_: bool
) -> None:
    """Make a key and print it, this once.

    \b
    Example:
      axiom keys create --name laptop --json
    """
    body: dict[str, Any] = {"name": name, **({"scopes": list(scopes)} if scopes else {})}
    if expires_days:
        body["expires_in_seconds"] = round(expires_days * 86_400)
    made = asyncio.run(_call(settings, "POST", BASE, body))
    if json_:
        output.as_json(made)
    else:
        output.data(made["key"])
        output.note("this is the only time it is shown")


@keys.command("list")
@as_json
@target_options
def list_(settings: Settings, json_: bool) -> None:
    """List keys, without the keys themselves.

    \b
    Example:
      axiom keys list
    """
    rows = asyncio.run(_call(settings, "GET", BASE))["keys"]
    if json_:
        output.as_json(rows)
        return
    names = ("id", "name", "scopes", "created_at", "expires_at", "last_used_at")
    output.table([name.upper() for name in names], ([row.get(name) for name in names] for row in rows))


@keys.command()
@click.argument("key_id")
@target_options
def revoke(settings: Settings, key_id: str) -> None:
    """Revoke a key; the next call with it is refused.

    \b
    Example:
      axiom keys revoke 3f9a1c
    """
    asyncio.run(_call(settings, "DELETE", f"{BASE}/{key_id}"))
    output.note(f"{key_id} is revoked")


async def _call(settings: Settings, method: str, path: str, body: Any = None) -> Any:
    async with reach(settings, create=method == "POST") as target:
        return await target.call(method, path, json=body)
