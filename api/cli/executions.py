"""``axiom executions`` and ``axiom why``: what runs, what ran, and what holds it up."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import click

from axiom.runtime.store.base import Status

from ..settings import Settings
from . import exits, output
from .lives import COMMANDS
from .target import Target, reach, target_options

BASE: Final = "/invocations/v1/executions"
STATUSES: Final = [status.value for status in Status]

as_json = click.option("--json", "json_", is_flag=True, help="Print JSON.")


@click.group()
def executions() -> None:
    """List, inspect, follow and cancel executions.

    \b
    Example:
      axiom executions list --status FAILED
    """


@executions.command("list")
@click.option(
    "--status", "status", multiple=True, type=click.Choice(STATUSES, False), help="May be repeated."
)
@click.option("--flow", help="Only of this flow.")
@click.option("--graph-id", help="Only of this artifact.")
@click.option("--from", "from_", help="Accepted at or after this time (ISO 8601).")
@click.option("--to", help="Accepted before this time.")
@click.option("-q", "q", help="A prefix of the id, a flow's name, or a key.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="At most so many."
)
@as_json
@target_options
def list_(settings: Settings, json_: bool, limit: int, from_: str | None, **filters: Any) -> None:
    """List executions, newest first.

    \b
    Example:
      axiom executions list --status FAILED --flow acme/fulfil
    """
    rows = asyncio.run(_list(settings, limit, {**filters, "from": from_}))
    if json_:
        output.as_json(rows)
        return
    output.table(
        ("EXECUTION", "STATUS", "FLOW", "CREATED", "DURATION"),
        (
            (
                row["execution_id"],
                row["status"],
                row["flow"],
                row["created_at"],
                output.duration(row["duration_ms"]),
            )
            for row in rows
        ),
    )


async def _list(settings: Settings, limit: int, filters: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor = None
    async with reach(settings) as target:
        while len(rows) < limit:
            page = await target.get(BASE, **filters, limit=min(limit - len(rows), 500), cursor=cursor)
            rows += page["executions"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
    return rows


@executions.command()
@click.argument("execution_id")
@as_json
@target_options
def get(settings: Settings, execution_id: str, json_: bool) -> None:
    """Show one execution: its status, its times, its result.

    \b
    Example:
      axiom executions get 0af7651916cd43dd8448eb211c80319c
    """
    found = asyncio.run(_get(settings, f"{BASE}/{execution_id}"))
    if json_:
        output.as_json(found)
    else:
        output.fields({**found, "duration_ms": None, "duration": output.duration(found.get("duration_ms"))})


@executions.command()
@click.argument("execution_id")
@click.option("--node", help="Only events of this node.")
@as_json
@target_options
def events(settings: Settings, execution_id: str, node: str | None, json_: bool) -> None:
    """Show an execution's journal.

    \b
    Example:
      axiom executions events 0af7651916cd43dd8448eb211c80319c --node charge
    """
    found = asyncio.run(_every(settings, execution_id, "events", node))
    if json_:
        output.as_json(found)
    else:
        output.table(EVENT_COLUMNS, map(event_row, found))


@executions.command()
@click.argument("execution_id")
@as_json
@target_options
def checkpoints(settings: Settings, execution_id: str, json_: bool) -> None:
    """Show the outputs of the nodes that completed.

    \b
    Example:
      axiom executions checkpoints 0af7651916cd43dd8448eb211c80319c
    """
    found = asyncio.run(_every(settings, execution_id, "checkpoints", None))
    if json_:
        output.as_json(found)
    else:
        columns = ("SEQ", "AT", "NODE", "ATTEMPT", "OUTPUT")
        output.table(columns, ([row.get(name.lower()) for name in columns] for row in found))


@executions.command()
@click.argument("execution_id")
@as_json
@target_options
def branches(settings: Settings, execution_id: str, json_: bool) -> None:
    """Show the arms of each gate: which arrived, which are on their way, and what the gate still needs.

    \b
    Example:
      axiom executions branches 0af7651916cd43dd8448eb211c80319c
    """
    found = asyncio.run(_get(settings, f"{BASE}/{execution_id}/branches"))
    if json_:
        output.as_json(found)
        return
    columns = ("GATE", "ITERATION", "ARM", "STATE", "SINCE", "NODE")
    output.table(columns, ([row[name.lower()] or None for name in columns] for row in found["branches"]))
    for gate in found["gates"]:
        if gate["needs"]:
            until = f", until {gate['due']}" if gate["due"] else ""
            output.data(f"{gate['gate']} ({gate['kind']}) needs {output.clean(gate['needs'])}{until}")


@executions.command()
@click.argument("execution_id")
@target_options
def cancel(settings: Settings, execution_id: str) -> None:
    """Stop an execution, whatever it is doing.

    \b
    Example:
      axiom executions cancel 0af7651916cd43dd8448eb211c80319c
    """
    found = asyncio.run(_call(settings, "DELETE", f"/invocations/v1/flows/{execution_id}"))
    undoing = found["status"] == Status.COMPENSATING
    output.note(f"{execution_id} is {'undoing what it did' if undoing else 'cancelled'}")


@executions.command()
@click.argument("execution_id")
@as_json
@target_options
def tail(settings: Settings, execution_id: str, json_: bool) -> int:
    """Follow an execution's events until it ends; the exit code says how.

    \b
    Example:
      axiom executions tail 0af7651916cd43dd8448eb211c80319c
    """
    return asyncio.run(_tail(settings, execution_id, json_))


@click.command()
@click.argument("execution_id")
@as_json
@target_options
def why(settings: Settings, execution_id: str, json_: bool) -> None:
    """Tell why an execution waits, and what will move it.

    \b
    Example:
      axiom why 0af7651916cd43dd8448eb211c80319c
    """
    found = asyncio.run(_get(settings, f"{BASE}/{execution_id}/why"))
    if json_:
        output.as_json(found)
    else:
        tell_why(found)


for command in COMMANDS:
    executions.add_command(command)

EVENT_COLUMNS: Final = ("SEQ", "AT", "EVENT", "NODE", "ATTEMPT", "DETAILS")


def event_row(event: dict[str, Any]) -> tuple[Any, ...]:
    """One event as cells; its body as ``name=value``, long values cut."""
    body = event.get("body") or {}
    details = " ".join(f"{name}={output.clean(value)[:80]}" for name, value in body.items())
    return event["seq"], event["at"], event["kind"], event.get("node"), event.get("attempt") or None, details


def tell_why(found: dict[str, Any]) -> None:
    """Print what ``/why`` says: each reason, when it is over, and what moves it on."""
    for reason in found["reasons"]:
        output.data(reason["message"])
        until = f" (until {reason['until']})" if reason.get("until") else ""
        output.data(f"  → {reason['next']}{until}")


async def _get(settings: Settings, path: str) -> Any:
    async with reach(settings) as target:
        return await target.get(path)


async def _call(settings: Settings, method: str, path: str) -> Any:
    async with reach(settings) as target:
        return await target.call(method, path)


async def _every(settings: Settings, execution_id: str, what: str, node: str | None) -> list[dict[str, Any]]:
    async with reach(settings) as target:
        return await every_row(target, execution_id, what, node)


async def every_row(
    target: Target, execution_id: str, what: str, node: str | None = None
) -> list[dict[str, Any]]:
    """Return all rows of ``/events`` or ``/checkpoints``, over its pages."""
    rows: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = await target.get(f"{BASE}/{execution_id}/{what}", node=node, after=after)
        rows += page[what]
        after = page["next_after"]
    return rows


async def _tail(settings: Settings, execution_id: str, json_: bool) -> int:
    async with reach(settings) as target:
        async with target.events("GET", f"{BASE}/{execution_id}/live") as stream:
            async for event in stream:
                if json_:
                    output.as_json(event.data, indent=None)
                else:
                    output.data("\t".join(map(output.clean, event_row(event.data))))
        status = (await target.get(f"{BASE}/{execution_id}"))["status"]
    return exits.OF_STATUS.get(status, exits.DONE)
