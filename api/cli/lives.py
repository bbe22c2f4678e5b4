"""``axiom executions restart|fork|pause|resume|bulk|erase``: what becomes of runs that have begun."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import click

from axiom.runtime.store.base import Status

from ..settings import Settings
from . import exits, output
from .target import reach, target_options

BASE: Final = "/invocations/v1/executions"

as_json = click.option("--json", "json_", is_flag=True, help="Print JSON.")
execution = click.argument("execution_id")
plan_only = click.option("--plan", is_flag=True, help="Say what would happen, and do nothing.")
comment = click.option("--comment", help="Why; shown by `axiom why`.")


@click.command()
@execution
@plan_only
@as_json
@target_options
def restart(settings: Settings, execution_id: str, plan: bool, json_: bool) -> None:
    """Run what failed again in a new execution that keeps what had completed.

    \b
    Example:
      axiom executions restart 0af7651916cd43dd8448eb211c80319c --plan
    """
    _begin(settings, execution_id, "restart", {}, plan, json_)


@click.command()
@execution
@click.option("--node", help="Go on behind the last checkpoint of this node.")
@click.option("--iteration", help="Of this iteration of the node: 2, or 0.3 where loops lie in one another.")
@click.option("--seq", type=click.IntRange(1), help="Go on behind this event; 1 is the input.")
@click.option("--value", help="JSON in place of what the checkpoint holds.")
@plan_only
@as_json
@target_options
def fork(
    settings: Settings,
    execution_id: str,
    plan: bool,
    json_: bool,
    iteration: str | None,
    value: str | None,
    **place: Any,
) -> None:
    """Go on from a checkpoint in a new execution, with another value if one is given.

    \b
    Example:
      axiom executions fork 0af7651916cd43dd8448eb211c80319c --node charge --value '{"amount": 12}'
    """
    body = {name: told for name, told in place.items() if told is not None}
    if iteration is not None:
        try:
            body["iteration"] = [int(part) for part in iteration.split(".")]
        except ValueError as error:
            raise exits.usage(f"--iteration {iteration} is none", "write 2, or 0.3") from error
    if value is not None:
        try:
            body["value"] = json.loads(value)
        except ValueError as error:
            raise exits.usage(f"--value is no JSON: {error}") from error
    _begin(settings, execution_id, "fork", body, plan, json_)


@click.command()
@execution
@comment
@target_options
def pause(settings: Settings, execution_id: str, comment: str | None) -> None:
    """Hold a run: what runs finishes, and nothing new starts.

    \b
    Example:
      axiom executions pause 0af7651916cd43dd8448eb211c80319c --comment "the bank is closed"
    """
    _hold(settings, execution_id, "pause", comment)


@click.command()
@execution
@comment
@target_options
def resume(settings: Settings, execution_id: str, comment: str | None) -> None:
    """Let a run that is held go on.

    \b
    Example:
      axiom executions resume 0af7651916cd43dd8448eb211c80319c
    """
    _hold(settings, execution_id, "resume", comment)


@click.command()
@click.argument("action", type=click.Choice(["cancel", "restart", "delete"]))
@click.option(
    "--status", multiple=True, type=click.Choice([one.value for one in Status]), help="May be repeated."
)
@click.option("--flow", help="Only of this flow.")
@click.option("--graph-id", help="Only of this artifact.")
@click.option("--from", "from_", help="Accepted at or after this time (ISO 8601).")
@click.option("--to", help="Accepted before this time.")
@click.option("--plan", is_flag=True, help="Count them and name the first, and do nothing.")
@as_json
@target_options
def bulk(settings: Settings, action: str, plan: bool, json_: bool, from_: str | None, **filters: Any) -> None:
    """Cancel, restart or delete all executions that the filters find.

    \b
    Example:
      axiom executions bulk restart --status FAILED --flow acme/fulfil --plan
    """
    wanted = {name: told for name, told in {**filters, "from": from_}.items() if told}
    if not wanted:
        raise exits.usage("name at least one filter", "--status FAILED, --flow, --graph-id, --from or --to")
    found = asyncio.run(_bulk(settings, {"action": action, "filter": wanted}, plan))
    if json_:
        output.as_json(found)
    elif plan:
        output.note(f"{action}: {found['count']} executions" + (" and more" if found["more"] else ""))
        output.table(("EXECUTION",), ([name] for name in found["executions"]))
    else:
        done = ([one["execution_id"], one.get("restarted_as") or "done", None] for one in found["done"])
        refused = ([one["execution_id"], None, one["detail"]] for one in found["refused"])
        output.table(("EXECUTION", action.upper(), "REFUSED"), [*done, *refused])


@click.command()
@execution
@target_options
def erase(settings: Settings, execution_id: str) -> None:
    """Delete an ended execution with all of its data, now.

    \b
    Example:
      axiom executions erase 0af7651916cd43dd8448eb211c80319c
    """
    asyncio.run(_call(settings, "DELETE", f"{BASE}/{execution_id}/data"))
    output.note(f"{execution_id} is erased")


def _begin(settings: Settings, execution_id: str, what: str, body: Any, plan: bool, json_: bool) -> None:
    path = f"{BASE}/{execution_id}/{what}" + ("?plan=true" if plan else "")
    found = asyncio.run(_call(settings, "POST", path, body))
    if json_:
        output.as_json(found)
    elif plan:
        show_plan(found)
    else:
        output.data(found["execution_id"])
        output.note(f"{what} of {execution_id}: {found['reused']} outcomes are taken over")


def show_plan(found: dict[str, Any]) -> None:
    """Print what a restart or a fork would do: one line per outcome and per effect."""
    rows = [(place(one), one["outcome"] + (", edited" if one["edited"] else "")) for one in found["reused"]]
    rows += [(place(one), "starts") for one in found["starts"]]
    output.table(("NODE", "WHAT BECOMES OF IT"), rows)
    for one in found["effects"]:
        how = "counts once" if one["counts_once"] else "happens again"
        output.note(f"the effect of {place(one)} {how}")


def place(one: dict[str, Any]) -> str:
    """A node with its iteration: ``review[2]``."""
    iteration = ".".join(map(str, one["iteration"]))
    return f"{one['node']}[{iteration}]" if iteration else str(one["node"])


def _hold(settings: Settings, execution_id: str, what: str, comment: str | None) -> None:
    body = {} if comment is None else {"comment": comment}
    found = asyncio.run(_call(settings, "POST", f"{BASE}/{execution_id}/{what}", body))
    output.note(f"{execution_id} is {found['status']}")


async def _call(settings: Settings, method: str, path: str, body: Any = None) -> Any:
    async with reach(settings) as target:
        return await target.call(method, path, json=body)


async def _bulk(settings: Settings, body: dict[str, Any], plan: bool) -> dict[str, Any]:
    """Go on until the filters find nothing more."""
    whole: dict[str, Any] = {"action": body["action"], "done": [], "refused": []}
    async with reach(settings) as target:
        if plan:
            told: dict[str, Any] = await target.post(f"{BASE}/bulk", {**body, "dry_run": True})
            return told
        while True:
            found = await target.post(f"{BASE}/bulk", body)
            whole["done"] += found["done"]
            whole["refused"] += found["refused"]
            if found["next_cursor"] is None:
                return whole
            body = {**body, "cursor": found["next_cursor"]}


COMMANDS: Final = (restart, fork, pause, resume, bulk, erase)
