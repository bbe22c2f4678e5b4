"""``axiom workers``: who is there to execute."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from ..settings import Settings
from . import output
from .target import reach, target_options


@click.group()
def workers() -> None:
    """List the workers that are alive.

    \b
    Example:
      axiom workers list
    """


@workers.command("list")
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
@target_options
def list_(settings: Settings, json_: bool) -> None:
    """List the workers that are alive, with what they own and what they serve.

    \b
    Example:
      axiom workers list
    """
    found = asyncio.run(_list(settings))
    if json_:
        output.as_json(found)
        return
    output.table(("WORKER", "HOST", "PID", "OWNS", "POOLS", "PACKAGES"), map(row, found))


def row(worker: dict[str, Any]) -> tuple[Any, ...]:
    packages = worker.get("packages") or {}
    return (
        worker.get("worker"),
        worker.get("host"),
        worker.get("pid"),
        worker.get("owned"),
        " ".join(worker.get("pools") or ()),
        " ".join(packages),
    )


async def _list(settings: Settings) -> list[dict[str, Any]]:
    async with reach(settings) as target:
        found: list[dict[str, Any]] = (await target.get("/console/v1/workers"))["workers"]
        return found
