"""``axiom pauses``: what waits for people, and what they do to it."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import click

from ..settings import Settings
from . import exits, output
from .executions import BASE, as_json
from .run import read_input
from .target import Target, reach, target_options

PAGE: Final = 100

by_option = click.option("--by", help="Whose voice it is, if not the key's own (takes the scope admin).")
comment_option = click.option("--comment", help="A word with it.")


@click.group()
def pauses() -> None:
    """See and answer what waits for people.

    \b
    Example:
      axiom pauses list --assignee ada
    """


@pauses.command("list")
@click.argument("execution_id", required=False)
@click.option("--flow", help="Only of this flow.")
@click.option("--assignee", help="Only what this person is asked.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many."
)
@as_json
@target_options
def list_(
    settings: Settings,
    execution_id: str | None,
    flow: str | None,
    assignee: str | None,
    limit: int,
    json_: bool,
) -> None:
    """List what waits for people; with EXECUTION_ID all pauses of that one, closed ones too.

    \b
    Example:
      axiom pauses list --flow acme/loan
    """
    rows = asyncio.run(_list(settings, execution_id, limit, {"flow": flow, "assignee": assignee}))
    if json_:
        output.as_json(rows)
        return
    columns = ("EXECUTION", "PAUSE", "STATUS", "FLOW", "ASSIGNEES", "DEADLINE", "MESSAGE")
    output.table(columns, map(_row, rows))


@pauses.command()
@click.argument("execution_id")
@click.argument("pause_id")
@as_json
@target_options
def show(settings: Settings, execution_id: str, pause_id: str, json_: bool) -> None:
    """Show one pause: what is asked, of whom, until when, and what was said.

    \b
    Example:
      axiom pauses show 0af7651916cd43dd8448eb211c80319c approve
    """
    found = asyncio.run(_show(settings, execution_id, pause_id))
    if json_:
        output.as_json(found)
        return
    policy = {name: value for name, value in found["policy"].items() if value}
    output.fields({**found, "policy": policy})


@pauses.command()
@click.argument("execution_id")
@click.argument("pause_id")
@click.option("-d", "--data", required=True, help="The answer as JSON; @FILE reads a file, - reads stdin.")
@comment_option
@by_option
@as_json
@target_options
def resume(settings: Settings, execution_id: str, pause_id: str, data: str, **said: Any) -> None:
    """Answer a pause.

    \b
    Example:
      axiom pauses resume 0af7651916cd43dd8448eb211c80319c approve -d '{"ok": true}'
    """
    _do(settings, execution_id, pause_id, "resume", {"input": read_input(data)}, **said)


@pauses.command()
@click.argument("execution_id")
@click.argument("pause_id")
@click.argument("people", nargs=-1, required=True)
@comment_option
@by_option
@as_json
@target_options
def reassign(
    settings: Settings, execution_id: str, pause_id: str, people: tuple[str, ...], **said: Any
) -> None:
    """Ask others.

    \b
    Example:
      axiom pauses reassign 0af7651916cd43dd8448eb211c80319c approve bob
    """
    _do(settings, execution_id, pause_id, "reassign", {"to": list(people)}, **said)


@pauses.command()
@click.argument("execution_id")
@click.argument("pause_id")
@click.option("--deadline", help="The new deadline (ISO 8601).")
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), help="Or so many hours from now.")
@comment_option
@by_option
@as_json
@target_options
def extend(
    settings: Settings,
    execution_id: str,
    pause_id: str,
    deadline: str | None,
    hours: float | None,
    **said: Any,
) -> None:
    """Move a pause's deadline.

    \b
    Example:
      axiom pauses extend 0af7651916cd43dd8448eb211c80319c approve --hours 48
    """
    if (deadline is None) == (hours is None):
        raise exits.usage("give one of --deadline and --hours")
    until = {"deadline": deadline} if hours is None else {"timeout_ms": max(1, int(hours * 3_600_000))}
    _do(settings, execution_id, pause_id, "extend", until, **said)


@pauses.command()
@click.argument("execution_id")
@click.argument("pause_id")
@click.argument("text")
@by_option
@as_json
@target_options
def comment(settings: Settings, execution_id: str, pause_id: str, text: str, **said: Any) -> None:
    """Say something about a pause.

    \b
    Example:
      axiom pauses comment 0af7651916cd43dd8448eb211c80319c approve "Which branch?"
    """
    _do(settings, execution_id, pause_id, "comment", {"text": text}, **said)


@pauses.command()
@click.argument("execution_id")
@click.argument("pause_id")
@click.option("--expires-in", type=click.IntRange(1), help="Seconds; until the deadline, or a week, without.")
@by_option
@as_json
@target_options
def link(
    settings: Settings, execution_id: str, pause_id: str, expires_in: int | None, by: str | None, json_: bool
) -> None:
    """Make a link by which one person answers once, without a key.

    \b
    Example:
      axiom pauses link 0af7651916cd43dd8448eb211c80319c approve --by ada
    """
    body = {"expires_in_seconds": expires_in, "by": by}
    made = asyncio.run(_post(settings, execution_id, pause_id, "link", body))
    if json_:
        output.as_json(made)
        return
    output.data(made["url"] if settings.url else made["path"])
    output.note(f"for {made['by']}, until {made['expires_at']}")


def _do(
    settings: Settings, execution_id: str, pause_id: str, verb: str, body: dict[str, Any], **said: Any
) -> None:
    json_ = said.pop("json_")
    pause = asyncio.run(_post(settings, execution_id, pause_id, verb, {**body, **said}))
    if json_:
        output.as_json(pause)
    else:
        output.note(f"{pause['pause_id']} of {execution_id} is {pause['status']}")


async def _post(settings: Settings, execution_id: str, pause_id: str, verb: str, body: dict[str, Any]) -> Any:
    given = {name: value for name, value in body.items() if name == "input" or value is not None}
    async with reach(settings) as target:
        return await target.post(f"{BASE}/{execution_id}/pauses/{pause_id}/{verb}", given)


async def _show(settings: Settings, execution_id: str, pause_id: str) -> dict[str, Any]:
    async with reach(settings) as target:
        for pause in await of_execution(target, execution_id):
            if pause["pause_id"] == pause_id:
                return pause
    raise exits.not_found(f"{execution_id} has no pause {pause_id!r}", f"axiom pauses list {execution_id}")


async def of_execution(target: Target, execution_id: str) -> list[dict[str, Any]]:
    """Return the pauses of one execution."""
    found: list[dict[str, Any]] = (await target.get(f"{BASE}/{execution_id}/pauses"))["pauses"]
    return found


async def _list(
    settings: Settings, execution_id: str | None, limit: int, filters: dict[str, Any]
) -> list[dict[str, Any]]:
    async with reach(settings) as target:
        if execution_id is not None:
            return [
                {"execution_id": execution_id, **pause} for pause in await of_execution(target, execution_id)
            ]
        rows: list[dict[str, Any]] = []
        cursor = None
        while len(rows) < limit:
            page = await target.get(
                "/invocations/v1/pauses", **filters, limit=min(limit - len(rows), PAGE), cursor=cursor
            )
            rows += page["pauses"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        return rows


def _row(pause: dict[str, Any]) -> tuple[Any, ...]:
    return (
        pause["execution_id"],
        pause["pause_id"],
        pause["status"],
        pause.get("flow"),
        ", ".join(pause["assignees"]) or None,
        pause["deadline"],
        pause["message"],
    )
