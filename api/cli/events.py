"""``axiom signals`` and ``axiom events``: telling runs what happened outside."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from ..settings import Settings
from . import output
from .executions import BASE, as_json
from .run import read_input
from .target import reach, target_options

data_option = click.option(
    "-d", "--data", default="null", help="The payload as JSON; @FILE reads a file, - stdin."
)
id_option = click.option("--id", "id_", help="Sent twice with one id, it counts once.")


@click.group()
def signals() -> None:
    """Send events to one execution.

    \b
    Example:
      axiom signals send 0af7651916cd43dd8448eb211c80319c payment.settled -d '{"sum": 12.5}'
    """


@signals.command("send")
@click.argument("execution_id")
@click.argument("name")
@data_option
@click.option("--correlate", help="Only for a node that waits for this value.")
@id_option
@as_json
@target_options
def send_signal(
    settings: Settings,
    execution_id: str,
    name: str,
    data: str,
    correlate: str | None,
    id_: str | None,
    json_: bool,
) -> None:
    """Send an event to one execution; it is kept until a node takes it.

    \b
    Example:
      axiom signals send 0af7651916cd43dd8448eb211c80319c payment.settled -d '{"sum": 12.5}'
    """
    body = _body(data, correlate, id_)
    told = asyncio.run(_post(settings, f"{BASE}/{execution_id}/signals/{name}", body))
    output.as_json(told) if json_ else output.note(f"{execution_id} has it as event {told['seq']}")


@click.group()
def events() -> None:
    """Send events to whichever execution waits for them.

    \b
    Example:
      axiom events send payment.settled --correlate o-17 -d '{"sum": 12.5}'
    """


@events.command("send")
@click.argument("name")
@click.option("--correlate", required=True, help="The value that the flow's `correlate` yields.")
@data_option
@id_option
@click.option("--keep-seconds", type=click.IntRange(1), help="How long it waits for a run; a week without.")
@as_json
@target_options
def send_event(
    settings: Settings,
    name: str,
    correlate: str,
    data: str,
    id_: str | None,
    keep_seconds: int | None,
    json_: bool,
) -> None:
    """Send an event to the executions that wait for it; if none does, it is kept for the first that does.

    \b
    Example:
      axiom events send payment.settled --correlate o-17 -d '{"sum": 12.5}' --id pay-4711
    """
    body = _body(data, correlate, id_)
    if keep_seconds is not None:
        body["keep_seconds"] = keep_seconds
    told = asyncio.run(_post(settings, f"/invocations/v1/events/{name}", body))
    if json_:
        output.as_json(told)
    elif told["delivered_to"]:
        output.note(f"delivered to {', '.join(told['delivered_to'])}")
    else:
        output.note(f"nobody waits for it; kept until {told['kept_until']}")


def _body(data: str, correlate: str | None, id_: str | None) -> dict[str, Any]:
    body = {"payload": read_input(data), "correlate": correlate, "id": id_}
    return {name: value for name, value in body.items() if name == "payload" or value is not None}


async def _post(settings: Settings, path: str, body: dict[str, Any]) -> Any:
    async with reach(settings) as target:
        return await target.post(path, body)
