"""A checked flow to a plan: aliases become numbers, and order is fixed.

The order of nodes is topological, then by alias, and those that compensate come last; that of edges is by their ends.
So the order of the YAML, its formatting and its comments leave no trace in the plan, and the same meaning has the same
``graph_id``. An edge of ``@flow_input`` or ``@flow_output`` that adapts nothing says nothing, and is left out.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from . import artifact
from .artifact import Plan
from .messages import Library
from .model import FLOW_INPUT, FLOW_OUTPUT, Edge, Flow, MessageId, Placement

ENDS: Final = {FLOW_INPUT: artifact.FLOW_INPUT, FLOW_OUTPUT: artifact.FLOW_OUTPUT}


def lower(flow: Flow, library: Library, drift: bool = False) -> Plan:
    """Return the plan of a flow in which all passes found no error."""
    order = sorted(topological(flow), key=flow.compensating.__contains__)
    numbers = {alias: number for number, alias in enumerate(order)} | ENDS
    entry, terminal = flow.by_alias[flow.entry], flow.by_alias[flow.terminal]
    input_message = flow.input_message or entry.input
    output_message = flow.output_message or terminal.gives
    assert input_message is not None, "resolve left the input open without an error"
    assert output_message is not None, "resolve left the output open without an error"
    used = [
        m for node in flow.nodes for m in (node.input, node.output, node.pause and node.pause.answer) if m
    ]
    keys = message_keys([*used, input_message, output_message])
    return Plan(
        name=flow.name,
        version=flow.version,
        mode=flow.mode,
        input=keys[input_message],
        output=keys[output_message],
        messages={key: library.schema(message) for message, key in keys.items()},
        nodes=tuple(_node(flow.by_alias[alias], numbers[alias], keys) for alias in order),
        edges=tuple(_edges(flow.edges, numbers)),
        entry=numbers[flow.entry],
        terminal=numbers[flow.terminal],
        timeout_seconds=flow.timeout_seconds,
        retention_days=flow.retention_days,
        on_cancel=flow.on_cancel,
        priority=flow.priority,
        concurrency=flow.limits.get("concurrency"),
        rate_limit=flow.limits.get("rate_limit"),
        compensate={item.alias: item.by for item in flow.compensate},
        drift=drift,
    )


def topological(flow: Flow) -> list[str]:
    """Return the aliases so that no forward edge leads back; among equals by alias. Nodes in cycles are left out."""
    waiting = {node.alias: 0 for node in flow.nodes}
    follow: dict[str, list[str]] = {}
    for edge in flow.edges:
        if edge.forward:
            waiting[edge.target] += 1
            follow.setdefault(edge.source, []).append(edge.target)
    ready = [alias for alias, count in waiting.items() if not count]
    heapq.heapify(ready)
    order: list[str] = []
    while ready:
        order.append(heapq.heappop(ready))
        for target in follow.get(order[-1], ()):
            waiting[target] -= 1
            if not waiting[target]:
                heapq.heappush(ready, target)
    return order


def message_keys(messages: Iterable[MessageId]) -> dict[MessageId, str]:
    """Return a key for each message: its name where that is unique, else with its package, else its version too."""
    every = sorted(set(messages), key=lambda m: (m.name, m.package, m.version))
    names = Counter(m.name for m in every)
    qualified = Counter((m.package, m.name) for m in every)
    return {
        m: m.name
        if names[m.name] == 1
        else f"{m.package}/{m.name}"
        if qualified[m.package, m.name] == 1
        else f"{m.package}@{m.version}/{m.name}"
        for m in every
    }


def _node(node: Placement, number: int, keys: Mapping[MessageId, str]) -> artifact.Node:
    assert node.input is not None, "a node's input was left open without an error"
    assert node.output is not None, "a node's output was left open without an error"
    plain = artifact.Node(
        number=number,
        alias=node.alias,
        package=node.package,
        version=node.version,
        digest=node.digest,
        name="",
        entry="",
        input=keys[node.input],
        output=keys[node.output],
        kind=node.kind,
        join=node.join,
        compose=node.composed,
        retry=node.retry or artifact.Retry(),
        config=_config(node, keys),
    )
    declared = node.declared
    if declared is None:
        assert node.kind != "node", "resolve left a node open without an error"
        return plain
    return replace(
        plain,
        name=declared.name,
        entry=declared.entry,
        type=declared.type,
        isolation=declared.isolation,
        pool=declared.pool,
        timeout_seconds=node.timeout_seconds or declared.timeout_seconds,
        retry=node.retry or declared.retry,
        on_resume=declared.on_resume,
        required_secrets=declared.required_secrets,
        pure=declared.pure,
    )


def _config(node: Placement, keys: Mapping[MessageId, str]) -> Mapping[str, Any]:
    if node.pause is None:
        return node.settings
    assert node.pause.answer is not None, "resolve left an answer open without an error"
    pause = {**node.settings["hitl"], "resume_input": keys[node.pause.answer]}
    return {**node.settings, "hitl": pause}


def _edges(edges: Iterable[Edge], numbers: Mapping[str, int]) -> list[artifact.Edge]:
    meant = [
        e
        for e in edges
        if e.adapted is not None or e.check or (e.source != FLOW_INPUT and e.target != FLOW_OUTPUT)
    ]
    meant.sort(key=lambda e: (numbers[e.source], numbers[e.target], e.loop))
    return [
        artifact.Edge(
            number=number,
            source=numbers[edge.source],
            target=numbers[edge.target],
            adapter=edge.adapted,
            condition=edge.decided,
            on_error=edge.on_error,
            check=edge.check,
            loop=edge.loop,
            max_iterations=edge.max_iterations,
        )
        for number, edge in enumerate(meant)
    ]
