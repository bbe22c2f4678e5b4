"""``axiom debug``: look at a run that stops before its nodes, and move it node by node."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from ..settings import Settings
from . import exits, output
from .executions import BASE
from .run import read_input
from .target import reach, target_options


@click.command()
@click.argument("execution_id")
@click.option(
    "--continue", "action", flag_value="continue", help="Let all nodes go on, to the next breakpoint."
)
@click.option("--step", "action", flag_value="step", help="Start one stopped node.")
@click.option("--pause", "action", flag_value="pause", help="Start no further node.")
@click.option("--break", "breakpoints", multiple=True, help="Stop before this node; may be repeated.")
@click.option("--no-break", "clear", is_flag=True, help="Take all breakpoints off.")
@click.option("--edit", help="Give a stopped node this input instead: JSON, @FILE, or - for stdin.")
@click.option("--node", help="Which stopped node to step or edit; else the one that stopped first.")
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
@target_options
def debug(
    settings: Settings,
    execution_id: str,
    action: str | None,
    breakpoints: tuple[str, ...],
    clear: bool,
    edit: str | None,
    node: str | None,
    json_: bool,
) -> None:
    """Show where a run is stopped and with which inputs; step, continue, edit.

    Several orders are given in this order: breakpoints, edit, then step, continue or pause.

    \b
    Example:
      axiom debug 0af7651916cd43dd8448eb211c80319c --edit '{"total": 9.5}' --step
    """
    orders: list[dict[str, Any]] = []
    if breakpoints and clear:
        raise exits.usage("--break and --no-break exclude each other")
    if breakpoints or clear:
        orders.append({"action": "breakpoints", "breakpoints": list(breakpoints)})
    named = {"node": node} if node else {}
    if edit is not None:
        orders.append({"action": "edit", "input": read_input(edit), **named})
    if action is not None:
        orders.append({"action": action, **(named if action == "step" else {})})
    found = asyncio.run(_order(settings, execution_id, orders))
    if json_:
        output.as_json(found)
    else:
        tell(found)


async def _order(settings: Settings, execution_id: str, orders: list[dict[str, Any]]) -> dict[str, Any]:
    path = f"{BASE}/{execution_id}/debug"
    async with reach(settings) as target:
        for order in orders[:-1]:
            await target.post(path, order)
        found: dict[str, Any] = await (target.post(path, orders[-1]) if orders else target.get(path))
        return found


def tell(found: dict[str, Any]) -> None:
    """Print what stands where: the stopped nodes with their inputs, what runs, and the outputs so far."""
    output.fields({"status": found["status"], "breakpoints": " ".join(found["breakpoints"]) or None})
    rows = [(_name(one), "stopped, edited" if one["edited"] else "stopped", one.get("input", one.get("error")))
            for one in found["nodes"]]  # fmt: skip
    rows += [(_name(one), "runs", None) for one in found["running"]]
    rows += [(_name(one), "waits", None) for one in found["waiting"]]
    rows += [(_name(one), "completed", one["output"]) for one in reversed(found["outputs"])]
    output.table(("NODE", "STATE", "MESSAGE"), rows)


def _name(one: dict[str, Any]) -> str:
    return ".".join([one["node"], *map(str, one["iteration"])])
