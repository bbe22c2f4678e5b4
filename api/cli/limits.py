"""``axiom limits``: who is in, who waits, and which circuits are open."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from ..settings import Settings
from . import output
from .target import reach, target_options

SHOWN = 3
"""Holders of one limit in the table."""


@click.group()
def limits() -> None:
    """List the limits in use, who holds them and how many wait.

    \b
    Example:
      axiom limits list
    """


@limits.command("list")
@click.option("--json", "json_", is_flag=True, help="Print JSON: circuits too.")
@target_options
def list_(settings: Settings, json_: bool) -> None:
    """List the limits in use, with who holds their permits and how many wait.

    \b
    Example:
      axiom limits list
    """
    found = asyncio.run(_list(settings))
    if json_:
        output.as_json(found)
        return
    output.table(("LIMIT", "KEY", "MOST", "HELD BY", "WAITING"), map(_row, found["limits"]))


def _row(limit: dict[str, Any]) -> tuple[Any, ...]:
    where = f"{limit['flow']} {limit['node']}" if limit["node"] else limit["flow"]
    holders = limit["holders"]
    more = f" +{len(holders) - SHOWN}" if len(holders) > SHOWN else ""
    return where, limit["key"], limit["limit"], " ".join(holders[:SHOWN]) + more, limit["waiting_count"]


async def _list(settings: Settings) -> dict[str, Any]:
    async with reach(settings) as target:
        found: dict[str, Any] = await target.get("/console/v1/limits?limit=500")
        return found
