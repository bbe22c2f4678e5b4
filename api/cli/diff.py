"""``axiom diff``: where two runs part, and what their nodes got and gave."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import click

from ..settings import Settings
from . import exits, output
from .executions import BASE, as_json, every_row
from .target import Target, reach, target_options

SHOWN: Final = 20
"""Differences printed of one node."""
TOLD: Final = frozenset({"NodeCompleted", "NodeFailed", "NodeReused"})
"""Events that say what became of a node."""
ABSENT: Final = "(absent)"


@click.command()
@click.argument("first")
@click.argument("second")
@as_json
@target_options
def diff(settings: Settings, first: str, second: str, json_: bool) -> int:
    """Compare two executions node by node.

    The exit code is 1 if they differ.

    \b
    Example:
      axiom diff 0af7651916cd43dd8448eb211c80319c 1b08651916cd43dd8448eb211c80319c
    """
    found = asyncio.run(_diff(settings, first, second))
    if json_:
        output.as_json(found)
    else:
        tell(found)
    return exits.DONE if found["same"] else exits.FAILED


async def _diff(settings: Settings, first: str, second: str) -> dict[str, Any]:
    async with reach(settings) as target:
        return compared(await _run(target, first), await _run(target, second))


async def _run(target: Target, execution_id: str) -> dict[str, Any]:
    """What is compared of a run: its row, its input, and what became of its nodes, in their order."""
    row = await target.get(f"{BASE}/{execution_id}")
    outputs = {one["seq"]: one["output"] for one in await every_row(target, execution_id, "checkpoints")}
    nodes: dict[str, Any] = {}
    given: Any = None
    for event in await every_row(target, execution_id, "events"):
        if event["seq"] == 1:
            given = event["body"]["input"]
        elif event["kind"] in TOLD and "retry_at" not in event["body"]:
            name = ".".join([event["node"], *map(str, event["iteration"])])
            nodes[name] = _outcome(event, outputs)
    return {"row": row, "input": given, "nodes": nodes}


def _outcome(event: dict[str, Any], outputs: dict[int, Any]) -> dict[str, Any]:
    if event["kind"] == "NodeFailed":
        return {"error": {name: event["body"].get(name) for name in ("code", "message")}}
    if event["seq"] in outputs:
        return {"output": outputs[event["seq"]]}
    return {"output": event["body"].get("output")}


def compared(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return ``{"same", "executions", "first", "differences": [{"node", "path", "a", "b"}]}``.

    ``first`` is the first node, in the order of the first run, whose outcome is another one; ``@flow_input`` is
    before all. Nodes that one run alone has come last.
    """
    found = [{"node": "@flow_input", **part} for part in parts(one["input"], other["input"])]
    names = [*one["nodes"], *(name for name in other["nodes"] if name not in one["nodes"])]
    for name in names:
        here, there = one["nodes"].get(name, ABSENT), other["nodes"].get(name, ABSENT)
        found += [{"node": name, **part} for part in parts(here, there)]
    rows = [one["row"], other["row"]]
    kept = ("execution_id", "flow", "graph_id", "status", "duration_ms")
    return {
        "same": not found and rows[0]["status"] == rows[1]["status"],
        "executions": [{name: row.get(name) for name in kept} for row in rows],
        "first": found[0]["node"] if found else None,
        "differences": found,
    }


def parts(a: Any, b: Any, path: str = "") -> list[dict[str, Any]]:
    """Return where two JSON values differ, each place with both values.

    >>> parts({"x": 1, "y": [1]}, {"x": 2, "y": [1, 3]})
    [{'path': '/x', 'a': 1, 'b': 2}, {'path': '/y/1', 'a': '(absent)', 'b': 3}]
    """
    if isinstance(a, dict) and isinstance(b, dict):
        names = [*a, *(name for name in b if name not in a)]
        return [
            part
            for name in names
            for part in parts(a.get(name, ABSENT), b.get(name, ABSENT), f"{path}/{name}")
        ]
    if isinstance(a, list) and isinstance(b, list):
        size = max(len(a), len(b))
        longer = [values + [ABSENT] * (size - len(values)) for values in (a, b)]
        pairs = enumerate(zip(*longer, strict=True))
        return [part for index, (x, y) in pairs for part in parts(x, y, f"{path}/{index}")]
    same = a == b and type(a) is type(b)
    return [] if same else [{"path": path, "a": a, "b": b}]


def tell(found: dict[str, Any]) -> None:
    """Print what differs, the first divergence before all."""
    one, other = found["executions"]
    for name in ("flow", "graph_id", "status"):
        if one[name] != other[name]:
            output.data(f"{name}: {one[name]} | {other[name]}")
    if found["first"] is None:
        output.data("every node came to the same")
        return
    output.data(f"they part at {found['first']}")
    shown: dict[str, int] = {}
    rows = []
    for part in found["differences"]:
        shown[part["node"]] = shown.get(part["node"], 0) + 1
        if shown[part["node"]] <= SHOWN:
            rows.append((part["node"], part["path"], part["a"], part["b"]))
    output.table(("NODE", "PATH", "A", "B"), rows)
