"""``axiom secrets``: set, list, rotate and delete secrets, and rotate the key that they are sealed with.

A value comes from stdin, from a file, or from a prompt that shows nothing: never from the command line, which other
users of the machine can read. ``rotate-key`` opens the store itself, because private keys must not pass a door.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import click

from ..settings import Settings, load
from . import exits, output
from .target import reach, target_options

BASE = "/console/v1/secrets"
VALUE_MOST = 256 << 10
as_json = click.option("--json", "json_", is_flag=True, help="Print JSON.")
from_file = click.option(
    "--file",
    "-f",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
    help="Read the value from a file; - is stdin.",
)


@click.group()
def secrets() -> None:
    """Set, rotate, list and delete secrets, and rotate their key.

    \b
    Example:
      axiom secrets set WAREHOUSE_KEY < warehouse.key
    """


@secrets.command("set")
@click.argument("name")
@from_file
@click.option("--replace", is_flag=True, help="Also if there is one of this name.")
@target_options
def set_(settings: Settings, name: str, file: Path | None, replace: bool) -> None:
    """Set a secret. Its value is read from stdin or --file, or asked for; one line break at its end is dropped.

    \b
    Example:
      axiom secrets set WAREHOUSE_KEY --file warehouse.key
    """
    body = {"value": read_value(name, file), **({"replace": True} if replace else {})}
    told = asyncio.run(_call(settings, "PUT", f"{BASE}/{name}", body))
    output.note(f"{name} is set (version {told['version']})")


@secrets.command()
@click.argument("name")
@from_file
@target_options
def rotate(settings: Settings, name: str, file: Path | None) -> None:
    """Give a secret that is there another value: the next attempt of a node gets it.

    \b
    Example:
      axiom secrets rotate WAREHOUSE_KEY < new.key
    """
    told = asyncio.run(_call(settings, "POST", f"{BASE}/{name}/rotate", {"value": read_value(name, file)}))
    output.note(f"{name} is rotated (version {told['version']})")


@secrets.command("list")
@as_json
@target_options
def list_(settings: Settings, json_: bool) -> None:
    """List secrets, without their values.

    \b
    Example:
      axiom secrets list
    """
    rows = asyncio.run(_call(settings, "GET", BASE))["secrets"]
    if json_:
        output.as_json(rows)
        return
    names = ("name", "version", "updated_at", "updated_by", "key_id")
    output.table([name.upper() for name in names], ([row[name] for name in names] for row in rows))


@secrets.command()
@click.argument("name")
@target_options
def delete(settings: Settings, name: str) -> None:
    """Delete a secret, at once.

    \b
    Example:
      axiom secrets delete WAREHOUSE_KEY
    """
    asyncio.run(_call(settings, "DELETE", f"{BASE}/{name}"))
    output.note(f"{name} is deleted")


@secrets.command("new-key")
def new_key() -> None:
    """Print a fresh key for AXIOM_SECRETS_KEY_FILE.

    \b
    Example:
      (umask 077; axiom secrets new-key > secrets.key)
    """
    from axiom.runtime import vault
    from axiom.runtime.clock import SystemClock

    output.data(vault.new_key(SystemClock()))


@secrets.command("rotate-key")
@click.option("--store", help="The store (AXIOM_STORE).")
@click.option("--drop-old", is_flag=True, help="Then take the former keys out of the file.")
@click.option("--config", type=click.Path(path_type=Path), help="A file of settings (AXIOM_CONFIG).")
def rotate_key(store: str | None, drop_old: bool, config: Path | None) -> None:
    """Seal every secret anew: with a fresh key, which goes first into the file of keys.

    Workers read the file again when they meet the fresh key. With AXIOM_SECRETS_KEY, put the fresh key first there
    yourself. Backups of the store need the keys of their time.

    \b
    Example:
      axiom secrets rotate-key --store redis://localhost:6379/0
    """
    settings = load({"store": store}, file=config)
    asyncio.run(_rotate_key(settings, drop_old))


async def _rotate_key(settings: Settings, drop_old: bool) -> None:
    from axiom.runtime import vault
    from axiom.runtime.clock import SystemClock

    from ..sealing import keys_of
    from .embedded import opened_store
    from .target import must_exist

    must_exist(settings.store)
    keys = keys_of(settings)
    if keys.file is None and not settings.secrets_key:
        raise exits.usage("there is no key to rotate", "set AXIOM_SECRETS_KEY_FILE, or AXIOM_SECRETS_KEY")
    try:
        if keys.file is not None:
            former = vault.read_key_file(keys.file) if keys.file.exists() else ""
            vault.write_key_file(keys.file, f"{vault.new_key(SystemClock())}\n{former}")
        async with opened_store(settings.store) as opened:
            done, count = await vault.reseal(opened, keys)
        if drop_old and keys.file is not None:
            vault.write_key_file(keys.file, keys_first(vault.read_key_file(keys.file)))
    except (vault.BadKey, vault.NoKey) as error:
        raise exits.failed(str(error)) from error
    output.note(f"{done} of {count} secrets sealed anew")


def keys_first(text: str) -> str:
    return text.replace(",", " ").split()[0] + "\n"


def read_value(name: str, file: Path | None) -> str:
    """Return a secret's value, without the line break that an editor or ``echo`` puts behind it."""
    if file is None and sys.stdin.isatty():
        return str(click.prompt(f"value of {name}", hide_input=True, err=True))
    where = "stdin" if file is None or str(file) == "-" else str(file)
    try:
        data = sys.stdin.buffer.read(VALUE_MOST) if where == "stdin" else Path(where).read_bytes()
        text = data.decode()
    except UnicodeDecodeError:
        raise exits.usage(f"{where} is no UTF-8 text", "encode it, e.g. with base64") from None
    return text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")


async def _call(settings: Settings, method: str, path: str, body: Any = None) -> Any:
    async with reach(settings, create=method == "PUT") as target:
        return await target.call(method, path, json=body)
