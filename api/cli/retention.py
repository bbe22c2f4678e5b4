"""``axiom prune``: what retention removes, told or done now; the server does it by itself every minute."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from ..settings import Settings
from . import exits, output
from .checking import as_json
from .embedded import opened_store
from .target import target_options


@click.command()
@click.option("--dry-run", is_flag=True, help="Only tell what would go, by flow.")
@click.option("--flow", help="Tell of this flow only (with --dry-run).")
@as_json
@target_options
def prune(settings: Settings, dry_run: bool, flow: str | None, json_: bool) -> int:
    """Delete executions that ended longer ago than their flow keeps them.

    Live executions and those with undelivered webhooks stay. This reads the store itself.

    \b
    Example:
      axiom prune --dry-run --store sqlite:///.axiom/axiom.db
    """
    if flow and not dry_run:
        raise exits.usage("--flow goes with --dry-run", "retention is set in each flow: retention_days")
    told = asyncio.run(_prune(settings, dry_run, flow))
    if json_:
        output.as_json(told)
    elif dry_run:
        output.table(
            ("FLOW", "EXECUTIONS", "KEPT FOR DAYS"),
            ((row["flow"], row["executions"], row["retention_days"]) for row in told["would_delete"]),
        )
    else:
        output.note(f"{told['deleted']} executions deleted")
    return exits.DONE


async def _prune(settings: Settings, dry_run: bool, flow: str | None) -> dict[str, Any]:
    from axiom.runtime.clock import SystemClock
    from axiom.runtime.pruner import Pruner, report

    async with opened_store(settings.store) as store:
        if dry_run:
            return {"would_delete": [row._asdict() for row in await report(store, flow=flow)]}
        return {"deleted": await Pruner(store, SystemClock()).prune()}
