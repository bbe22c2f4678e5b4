"""``axiom flows``, ``aliases`` and ``packages``: what the registry holds."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click

from ..settings import Settings
from . import exits, output
from .target import reach, target_options

BASE: Final = "/registry/v1"

as_json = click.option("--json", "json_", is_flag=True, help="Print JSON.")


@click.command()
@as_json
@target_options
def flows(settings: Settings, json_: bool) -> None:
    """List the flows that can be started by name.

    \b
    Example:
      axiom flows
    """
    show_aliases(settings, json_)


@click.group()
def aliases() -> None:
    """Show and move the names of artifacts.

    \b
    Example:
      axiom aliases rollback acme/fulfil
    """


@aliases.command("list")
@as_json
@target_options
def list_(settings: Settings, json_: bool) -> None:
    """List names and the artifacts they stand for.

    \b
    Example:
      axiom aliases list
    """
    show_aliases(settings, json_)


@aliases.command("set")
@click.argument("name")
@click.argument("graph_id")
@target_options
def set_(settings: Settings, name: str, graph_id: str) -> None:
    """Let NAME stand for the artifact GRAPH_ID, from the next start on.

    \b
    Example:
      axiom aliases set acme/fulfil qmxkv5m2x6t4c3b7a2z5y4w3v2u7t6s5
    """
    moved = asyncio.run(call(settings, "PUT", alias_path(name), {"graph_id": graph_id}))
    output.note(f"{name} is {moved['graph_id']} (version {moved['version']})")


@aliases.command()
@click.argument("name")
@as_json
@target_options
def history(settings: Settings, name: str, json_: bool) -> None:
    """Show how NAME was moved, newest first.

    \b
    Example:
      axiom aliases history acme/fulfil
    """
    found = asyncio.run(call(settings, "GET", alias_path(name)))["history"]
    if json_:
        output.as_json(found)
        return
    columns = ("version", "graph_id", "at", "by", "reason")
    output.table(
        [column.upper() for column in columns], ([row[column] for column in columns] for row in found)
    )


@aliases.command()
@click.argument("name")
@click.option("--to", type=int, help="The version to go back to; by default the one before.")
@target_options
def rollback(settings: Settings, name: str, to: int | None) -> None:
    """Move NAME back to where it stood before.

    \b
    Example:
      axiom aliases rollback acme/fulfil --to 3
    """
    moved = asyncio.run(call(settings, "POST", f"{alias_path(name)}/rollback", {"to": to} if to else {}))
    output.note(f"{name} is {moved['graph_id']} (version {moved['version']})")


@click.group()
def packages() -> None:
    """List the packages that were published.

    \b
    Example:
      axiom packages list
    """


@packages.command()
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--store", help="Where to publish (AXIOM_STORE).")
def publish(directory: Path, store: str | None) -> None:
    """Publish DIRECTORY: its package, its flows as artifacts, and their names.

    A published version never changes: other code needs another version.

    \b
    Example:
      axiom packages publish orders/ --store redis://localhost:6379/0
    """
    from axiom.runtime.catalog import PackageTaken

    from ..settings import load
    from .compiling import project_of, require
    from .embedded import opened_store
    from .project import publish as publish_project

    url = load({"store": store}).store
    project = project_of(directory, store=url)
    require(project)

    async def publish_it() -> None:
        async with opened_store(url) as opened:
            moved = await publish_project(opened, project, by="publish")
            output.table(("FLOW", "GRAPH_ID"), moved.items())

    try:
        asyncio.run(publish_it())
    except PackageTaken as error:
        raise exits.failed(str(error)) from error


@packages.command("list")
@as_json
@target_options
def list_packages(settings: Settings, json_: bool) -> None:
    """List packages with their versions and nodes.

    \b
    Example:
      axiom packages list --json
    """
    found = asyncio.run(call(settings, "GET", f"{BASE}/packages"))["packages"]
    if json_:
        output.as_json(found)
        return
    output.table(
        ("PACKAGE", "VERSION", "NODES"),
        ((row["name"], row["version"], " ".join(map(node_name, row["nodes"]))) for row in found),
    )


def node_name(node: Any) -> str:
    return str(node["name"] if isinstance(node, dict) else node)


def show_aliases(settings: Settings, json_: bool) -> None:
    found = asyncio.run(call(settings, "GET", f"{BASE}/aliases"))["aliases"]
    if json_:
        output.as_json(found)
        return
    columns = ("name", "graph_id", "version", "moved_at")
    output.table(
        [column.upper() for column in columns], ([row[column] for column in columns] for row in found)
    )


def alias_path(name: str) -> str:
    return f"{BASE}/aliases/{quote(name)}"


async def call(settings: Settings, method: str, path: str, body: Any = None) -> Any:
    async with reach(settings) as target:
        return await target.call(method, path, **({} if body is None else {"json": body}))
