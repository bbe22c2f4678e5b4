"""A plan in words: what runs in which order, how branches meet, what flows along the edges."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from .artifact import FLOW_INPUT, FLOW_OUTPUT, Artifact, Edge, Expression, Node, Plan

SYMBOLS: Final = {
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
}


def explain(artifact: Artifact) -> str:
    """Return a few lines of text for people."""
    plan = artifact.plan
    lines = [
        f"{plan.name} {plan.version} ({plan.mode})",
        f"graph_id {artifact.graph_id}",
        f"takes {plan.input}, gives {plan.output}",
    ]
    lines += _policies(plan)
    lines.append("")
    for node in plan.nodes:
        lines += _node(plan, node)
    return "\n".join(lines) + "\n"


def _policies(plan: Plan) -> Iterator[str]:
    if plan.timeout_seconds:
        yield f"must end within {plan.timeout_seconds:g} s"
    if plan.priority:
        yield f"priority {plan.priority}"
    if plan.retention_days is not None:
        yield f"kept for {plan.retention_days:g} days"
    when = "a failure or a cancel" if plan.on_cancel == "compensate" else "a failure"
    for alias, by in plan.compensate.items():
        yield f"after {when} {by} undoes {alias}"
    if plan.drift:
        yield "may run with changed code (drift)"


def _node(plan: Plan, node: Node) -> Iterator[str]:
    marks = [
        mark
        for mark, there in (("entry", node.number == plan.entry), ("end", node.number == plan.terminal))
        if there
    ]
    suffix = f"  [{', '.join(marks)}]" if marks else ""
    yield f"{node.number + 1:>3}. {node.alias}: {_what(node)}{suffix}"
    kind = "frames of " if node.type == "pipeline" else ""
    yield f"     {kind}{node.input} → {kind}{node.output}"
    yield from (f"     {line}" for line in _waits(node))
    incoming = plan.incoming[node.number]
    yield from (f"     {_arrow(plan, edge)}" for edge in incoming)
    if node.join:
        yield f"     {_join(node, len(incoming))}"
    if node.compose is not None:
        yield f"     input composed of {', '.join(node.compose) or 'nothing'}"
    if node.kind == "node":
        yield f"     {_limits(node)}"
    output = plan.output_edge
    if output and output.source == node.number:
        yield f"     {_arrow(plan, output)}"


def _what(node: Node) -> str:
    config = node.config
    match node.kind:
        case "sleep" if "duration_ms" in config:
            return f"sleeps {config['duration_ms']} ms"
        case "sleep":
            return f"sleeps {spelt(config['duration'])} ms"
        case "event":
            key = f" for {spelt(config['correlate'])}" if "correlate" in config else ""
            late = f", at most {config['timeout_ms']} ms" if "timeout_ms" in config else ""
            return f"waits for the event {config['name']}{key}{late}"
        case "flow":
            return f"the flow {config['graph_id']}" + ("" if config["wait"] else ", not waited for")
    return f"{node.name} of {node.package}@{node.version}"


def _waits(node: Node) -> Iterator[str]:
    pause, fan = node.config.get("hitl"), node.config.get("map")
    if pause:
        people = f"{pause['quorum']} answers" if pause["quorum"] > 1 else "an answer"
        late = f", at most {pause['timeout_ms']} ms, then {_late(pause)}" if "timeout_ms" in pause else ""
        yield f"first waits for {people} ({pause['resume_input']}), which becomes its input{late}"
    if fan:
        failed = (
            "a failed one fails it" if fan["failure_policy"] == "FAIL_FAST" else "a failed one gives null"
        )
        yield f"once for each of {spelt(fan['items'])}, {fan['max_concurrency']} at a time; {failed}"


def _late(pause: Mapping[str, Any]) -> str:
    return {
        "CANCEL": "the run is cancelled",
        "FAIL": "it fails",
        "BRANCH": "it fails along its `on_error` edge",
        "RESUME_WITH": "it goes on with a given answer",
        "ESCALATE": f"to {', then '.join(pause.get('escalate_to', ()))}",
    }[pause["timeout_policy"]]


def _arrow(plan: Plan, edge: Edge) -> str:
    source = "the flow's input" if edge.source == FLOW_INPUT else plan.nodes[edge.source].alias
    words = [f"after {source}" if edge.target != FLOW_OUTPUT else "to the flow's output"]
    if edge.on_error:
        words.append("if it fails")
    if edge.condition is not None:
        words.append(f"if {spelt(edge.condition)}")
    if edge.loop:
        words.append(f"round again, at most {edge.max_iterations} times")
    if edge.adapter is not None:
        words.append(f"adapted to {{{', '.join(edge.adapter)}}}")
    if edge.check:
        words.append("checked at run time")
    return ", ".join(words)


def spelt(tree: Expression) -> str:
    """Return a checked tree as CEL for people; what takes more than a glance is an ellipsis."""
    match tree:
        case ["const", value]:
            return json.dumps(value, ensure_ascii=False)
        case ["message"]:
            return "value"
        case ["input", alias]:
            return f"inputs.{alias}"
        case ["field", ["message"], name]:
            return str(name)
        case ["field", base, name]:
            return f"{spelt(base)}.{name}"
        case ["not", inner]:
            return f"!{_operand(inner)}"
        case [op, _, left, right] if op in SYMBOLS:
            return f"{_operand(left)} {SYMBOLS[op]} {_operand(right)}"
        case ["and" | "or" as op, *parts]:
            sign = " && " if op == "and" else " || "
            return sign.join(
                f"({spelt(part)})" if part[0] in ("and", "or") else spelt(part) for part in parts
            )
    return "…"


def _operand(tree: Expression) -> str:
    return f"({spelt(tree)})" if tree[0] in SYMBOLS or tree[0] in ("and", "or") else spelt(tree)


def _join(node: Node, arms: int) -> str:
    join = node.join
    assert join is not None
    when = {
        "AND": f"goes when all {arms} arrived",
        "OR": "goes when every arm is settled and one or more arrived",
        "XOR": "goes with the first arm that arrives",
        "FIRST": "goes with the first arm that arrives",
        "N_OF_M": f"goes when {join.n} of {arms} arrived",
    }[join.kind]
    failed = (
        "a failed arm fails it" if join.failure_policy == "FAIL_FAST" else "a failed arm counts as not taken"
    )
    late = f", within {join.timeout_ms} ms" if join.timeout_ms else ""
    return f"{join.kind}: {when}{late}; {failed}"


def _limits(node: Node) -> str:
    attempts = node.retry.max_attempts
    tries = "one attempt" if attempts == 1 else f"up to {attempts} attempts"
    pool = f", pool {node.pool}" if node.pool != "default" else ""
    return f"{tries} of at most {node.timeout_seconds:g} s{pool}"
