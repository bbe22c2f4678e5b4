"""``axiom schedules``: what starts by itself, and when."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import click

from ..settings import Settings
from . import output
from .run import read_input
from .target import reach, target_options

BASE: Final = "/console/v1/schedules"
as_json = click.option("--json", "json_", is_flag=True, help="Print JSON.")


@click.group()
def schedules() -> None:
    """List, make, pause and start schedules.

    \b
    Example:
      axiom schedules create nightly --flow acme/report --cron "0 3 * * *" --time-zone Europe/Berlin
    """


@schedules.command("list")
@as_json
@target_options
def list_(settings: Settings, json_: bool) -> None:
    """List schedules with their next times.

    \b
    Example:
      axiom schedules list
    """
    rows = _call(settings, "GET", "")["schedules"]
    if json_:
        output.as_json(rows)
        return
    output.table(
        ("SCHEDULE", "FLOW", "WHEN", "TIME ZONE", "NEXT", "LAST"),
        (
            (
                row["name"],
                row["flow"] or row["graph_id"],
                row["cron"] or f"every {row['every_seconds']:g} s",
                row["time_zone"],
                "paused" if row["paused"] else row["next_at"],
                row["last_execution_id"],
            )
            for row in rows
        ),
    )


@schedules.command()
@click.argument("name")
@click.option("--flow", help="The flow's name; what it stands for is looked up at each firing.")
@click.option("--graph-id", help="Or exactly this artifact.")
@click.option("--cron", help="Five fields, or @hourly, @daily, @weekly, @monthly, @yearly.")
@click.option("--every", "every_seconds", type=float, help="Or every so many seconds.")
@click.option("--time-zone", help="Of the cron line, such as Europe/Berlin; UTC by default.")
@click.option("-d", "--data", default="{}", help="The input as JSON; @FILE reads a file, - reads stdin.")
@click.option("--start-at", help="Not due before this time (ISO 8601).")
@click.option("--end-at", help="Not due after this time.")
@click.option(
    "--overlap", help="SKIP, BUFFER_ONE, ALLOW or CANCEL_OTHER: what if the last run has not ended."
)
@click.option("--catch-up", "catch_up_seconds", type=float, help="How late it may start; 3600 by default.")
@click.option("--jitter", "jitter_seconds", type=float, help="Start up to so many seconds later.")
@click.option("--paused", is_flag=True, default=None, help="Don't start anything yet.")
@as_json
@target_options
def create(settings: Settings, name: str, data: str, json_: bool, **fields: Any) -> None:
    """Make a schedule.

    In the input, "@scheduled_at", "@scheduled_date" and "@schedule" stand for the time, the day and the name.

    \b
    Example:
      axiom schedules create nightly --flow acme/report --cron "0 3 * * *" -d '{"day": "@scheduled_date"}'
    """
    given = {field: value for field, value in fields.items() if value is not None}
    _show(_call(settings, "POST", "", {"name": name, "input": read_input(data), **given}), json_)


@schedules.command()
@click.argument("name")
@as_json
@target_options
def show(settings: Settings, name: str, json_: bool) -> None:
    """Show a schedule, its next times and its last firings.

    \b
    Example:
      axiom schedules show nightly
    """
    _show(_call(settings, "GET", f"/{name}"), json_)


@schedules.command("next")
@click.argument("name")
@click.option("--count", type=click.IntRange(1, 100), default=5, show_default=True, help="So many.")
@as_json
@target_options
def next_(settings: Settings, name: str, count: int, json_: bool) -> None:
    """Show when a schedule is due next.

    \b
    Example:
      axiom schedules next nightly --count 10
    """
    found = _call(settings, "GET", f"/{name}/next?count={count}")["next"]
    output.as_json(found) if json_ else output.data("\n".join(found))


@schedules.command()
@click.argument("name")
@target_options
def pause(settings: Settings, name: str) -> None:
    """Start nothing until it is resumed; what is due meanwhile is passed over.

    \b
    Example:
      axiom schedules pause nightly
    """
    _call(settings, "POST", f"/{name}/pause")
    output.note(f"{name} is paused")


@schedules.command()
@click.argument("name")
@target_options
def resume(settings: Settings, name: str) -> None:
    """Go on with a paused schedule, from its next time.

    \b
    Example:
      axiom schedules resume nightly
    """
    output.note(f"{name} is due next at {_call(settings, 'POST', f'/{name}/resume')['next_at']}")


@schedules.command()
@click.argument("name")
@target_options
def trigger(settings: Settings, name: str) -> None:
    """Start it now, beside its times; prints the execution's id.

    \b
    Example:
      axiom schedules trigger nightly
    """
    output.data(_call(settings, "POST", f"/{name}/trigger")["execution_id"])


@schedules.command()
@click.argument("name")
@target_options
def delete(settings: Settings, name: str) -> None:
    """Remove a schedule; what it started goes on.

    \b
    Example:
      axiom schedules delete nightly
    """
    _call(settings, "DELETE", f"/{name}")
    output.note(f"{name} is gone")


def _show(told: dict[str, Any], json_: bool) -> None:
    if json_:
        output.as_json(told)
        return
    history = told.pop("history")
    told["next"] = ", ".join(told["next"]) or None
    output.fields(told)
    if history:
        columns = ("DUE", "AT", "OUTCOME", "EXECUTION", "REASON")
        names = ("due", "at", "outcome", "execution_id", "reason")
        output.table(columns, ([entry.get(name) for name in names] for entry in history))


def _call(settings: Settings, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    async def call() -> Any:
        async with reach(settings) as target:
            return await target.call(method, BASE + path, json=body)

    return asyncio.run(call())
