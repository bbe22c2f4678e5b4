"""``axiom migrate``: move runs that are under way to another artifact, where that is proved to be sound."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from ..settings import Settings
from . import exits, output
from .executions import BASE, STATUSES
from .run import GRAPH_ID
from .target import Target, reach, target_options


@click.command()
@click.argument("execution_ids", nargs=-1)
@click.option("--to", required=True, help="The artifact to move to: a graph id, or a flow's name.")
@click.option("--flow", help="Every run of this flow that has not ended.")
@click.option("--status", multiple=True, type=click.Choice(STATUSES, False), help="With --flow: only these.")
@click.option(
    "--dry-run", is_flag=True, help="Only say which runs could move, and what is against the others."
)
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
@target_options
def migrate(
    settings: Settings,
    execution_ids: tuple[str, ...],
    to: str,
    flow: str | None,
    status: tuple[str, ...],
    dry_run: bool,
    json_: bool,
) -> int:
    """Move runs that are under way to another artifact.

    What can't be proved to fit stays where it is, and the reasons are printed. The exit code is 1 if any run was
    refused.

    \b
    Example:
      axiom migrate --flow acme/fulfil --status PAUSED --to acme/fulfil --dry-run
    """
    if bool(execution_ids) == bool(flow):
        raise exits.usage("name the executions, or their --flow")
    rows = asyncio.run(_migrate(settings, execution_ids, to, flow, status, dry_run))
    if json_:
        output.as_json(rows)
    else:
        moved = "could move" if dry_run else "moved"
        output.table(
            ("EXECUTION", "RESULT", "WHY"),
            (
                (row["execution_id"], "refused" if row["reasons"] else moved, _why(row["reasons"]))
                for row in rows
            ),
        )
    return exits.FAILED if any(row["reasons"] for row in rows) else exits.DONE


def _why(reasons: list[dict[str, Any]]) -> str:
    return "; ".join(
        f"{one['node']}: {one['message']}" if "node" in one else one["message"] for one in reasons
    )


async def _migrate(
    settings: Settings,
    ids: tuple[str, ...],
    to: str,
    flow: str | None,
    status: tuple[str, ...],
    dry_run: bool,
) -> list[dict[str, Any]]:
    async with reach(settings) as target:
        if not GRAPH_ID.fullmatch(to):
            to = (await target.get(f"/registry/v1/aliases/{to}"))["graph_id"]
        found = list(ids) if flow is None else await _live(target, flow, status)
        return [await _one(target, execution_id, to, dry_run) for execution_id in found]


async def _live(target: Target, flow: str, status: tuple[str, ...]) -> list[str]:
    """The ids of a flow's runs that have not ended, over all pages."""
    wanted = status or tuple(one for one in STATUSES if one not in ("COMPLETED", "FAILED", "CANCELLED"))
    ids: list[str] = []
    cursor = None
    while True:
        page = await target.get(BASE, flow=flow, status=list(wanted), limit=500, cursor=cursor)
        ids += [row["execution_id"] for row in page["executions"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return ids


async def _one(target: Target, execution_id: str, to: str, dry_run: bool) -> dict[str, Any]:
    path = f"{BASE}/{execution_id}/migrate{'?plan=true' if dry_run else ''}"
    answer = await target.post(path, {"to": to}, accept=(409,))
    told = {name: answer.get(name, []) for name in ("starts", "reasons")}
    return {"execution_id": execution_id, "to": to, **told}
