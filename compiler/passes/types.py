"""Types on edges: every message that can leave A must be one that B takes (design §4).

The proof is ``containment``'s; what it can't prove is an error, unless the edge says ``check: runtime``. That mark is
kept only where it is needed: a proved edge costs nothing at run time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..artifact import Schema
from ..containment import Refusal, contained
from ..errors import Place
from ..model import FLOW_INPUT, FLOW_OUTPUT, Edge, Flow, MessageId, Placement
from ..report import Report, listed, suggest
from ..schemas import pointed
from .context import Context
from .gates import single_arm
from .refusal import refuse


def types(flow: Flow, context: Context) -> Flow:
    """Return ``flow`` with ``check`` only where it is needed."""
    edges = tuple(_checked(edge, flow, context) for edge in flow.edges)
    for node in flow.nodes:
        _check_join(node, flow, context)
    _check_ends(flow, context)
    return replace(flow, edges=edges)


def _checked(edge: Edge, flow: Flow, context: Context) -> Edge:
    if edge.target == FLOW_OUTPUT:
        _check_output(edge, flow, context)
        return edge
    node = flow.by_alias[edge.target]
    if node.open and not (edge.loop and node.kind == "sleep"):
        return replace(edge, check=False)  # it takes what comes
    if edge.source == FLOW_INPUT and edge.adapter and not flow.input:
        message = "an adapter on `@flow_input` needs the flow's `input`"
        context.report.error("AX1026", edge.at("adapter"), message, expected="`input:` with a message")
        return edge
    if node.joined is not None and edge.forward:
        if edge.check:
            message = f"`check: runtime` can't stand on an arm of the join at `{node.alias}`"
            expected = "adapters or a `compose` that fit"
            context.report.error("AX1307", edge.at("check"), message, expected=expected)
        return edge
    if edge.carries is None or node.input is None or (edge.forward and _merged(node, flow)):
        return edge
    target = context.library.schema(node.input)
    if edge.carries is target:  # the same message: the most frequent edge needs no proof
        return replace(edge, check=False)
    if _misspelt(edge.writes or {}, target, edge, node, context.report):
        return edge
    refusal = _proof(edge, edge.carries, node.input, flow, context)
    if refusal and not edge.check:
        code = "AX1302" if edge.source == FLOW_INPUT else "AX1301"
        what = f"what goes from `{edge.source}` to `{edge.target}`"
        place = edge.at("adapter") if edge.adapter else edge.place
        refuse(
            code, place, f"{what} is not proved to be its input `{node.input.name}`", refusal, context.report
        )
    return replace(edge, check=edge.check and refusal is not None)


def _proof(edge: Edge, carries: Schema, target: MessageId, flow: Flow, context: Context) -> Refusal | None:
    """Return why ``target`` may not take what an edge carries. Whole messages are compared once per pair."""
    source = flow.by_alias.get(edge.source)
    if edge.adapter or edge.on_error or not source or not source.gives:
        return contained(carries, context.library.schema(target))
    key = (source.gives, target)
    if key not in context.proofs:
        context.proofs[key] = contained(carries, context.library.schema(target))
    return context.proofs[key]


def _merged(node: Placement, flow: Flow) -> bool:
    """Whether no single arm is the node's input."""
    several = flow.mode == "unary" and len(flow.arms(node.alias)) > 1
    return several and (node.join is None or not single_arm(node.join))


def _check_join(node: Placement, flow: Flow, context: Context) -> None:
    if node.joined is None or node.input is None or node.open:
        return
    target = context.library.schema(node.input)
    fields = node.composed or {name: None for arm in flow.arms(node.alias) for name in arm.writes or ()}
    if _misspelt(fields, target, node, node, context.report):
        return
    refusal = contained(node.joined, target)
    if refusal:
        kind = node.join.kind if node.join else ""
        message = f"the joined input ({kind}) of `{node.alias}` is not proved to be `{node.input.name}`"
        place = node.at("config.compose") if node.compose else node.place
        refuse("AX1303", place, message, refusal, context.report)


def _check_ends(flow: Flow, context: Context) -> None:
    """The flow's own messages where no edge of ``@flow_input`` or ``@flow_output`` was written."""
    entry, terminal = flow.by_alias.get(flow.entry), flow.by_alias.get(flow.terminal)
    takes = entry.input if entry and not entry.open else None
    if entry and takes and flow.input_message and not any(e.source == FLOW_INPUT for e in flow.edges):
        refusal = _between(flow.input_message, takes, context)
        if refusal:
            message = f"the flow's input is not proved to be the input `{takes.name}` of `{entry.alias}`"
            refuse("AX1302", flow.at("input"), message, refusal, context.report)
    if (
        terminal
        and terminal.gives
        and flow.output_message
        and not any(e.target == FLOW_OUTPUT for e in flow.edges)
    ):
        refusal = _between(terminal.gives, flow.output_message, context)
        if refusal:
            message = f"the output `{terminal.gives.name}` of `{terminal.alias}` is not proved to be the flow's output"
            refuse("AX1304", flow.at("output"), message, refusal, context.report)


def _check_output(edge: Edge, flow: Flow, context: Context) -> None:
    if edge.adapter and not flow.output:
        message = "an adapter on `@flow_output` needs the flow's `output`"
        context.report.error("AX1026", edge.at("adapter"), message, expected="`output:` with a message")
    if edge.carries is None or flow.output_message is None:
        return
    target = context.library.schema(flow.output_message)
    if _misspelt(edge.writes or {}, target, edge, None, context.report):
        return
    refusal = contained(edge.carries, target)
    if refusal:
        message = (
            f"what leaves `{edge.source}` is not proved to be the flow's output `{flow.output_message.name}`"
        )
        refuse("AX1304", edge.place, message, refusal, context.report)


def _between(source: MessageId, target: MessageId, context: Context) -> Refusal | None:
    return contained(context.library.schema(source), context.library.schema(target))


def _misspelt(
    fields: Mapping[str, object], target: Schema, at: Edge | Placement, node: Placement | None, report: Report
) -> bool:
    """Complain about fields that are written and that the target does not declare, though it would let them pass."""
    known = _declared(target)
    if known is None:
        return False
    wrong = [name for name in fields if name not in known]
    for name in wrong:
        where = f"`{node.alias}` takes" if node else "the flow's output has"
        message = f"{where} no field `{name}`"
        place = _place(name, at)
        report.error(
            "AX1305", place, message, found=name, expected=listed(known), suggestion=suggest(name, known)
        )
    return bool(wrong)


def _place(name: str, at: Edge | Placement) -> Place:
    table = at.adapter if isinstance(at, Edge) else at.compose
    entry = table.entry(name) if table else None
    return entry.place if entry else at.place


def _declared(schema: Schema) -> set[str] | None:
    """Return the fields of a closed-minded object; ``None`` where others are plainly welcome or can't be told."""
    seen: set[str] = set()
    here = schema
    while isinstance(here, Mapping) and isinstance(here.get("$ref"), str) and here["$ref"] not in seen:
        seen.add(here["$ref"])
        path = pointed(schema, here["$ref"])
        found: object = schema
        for step in path or ():
            found = found[step]  # type: ignore[index]
        here = found  # type: ignore[assignment]
    if not isinstance(here, Mapping) or not here.get("properties"):
        return None
    if here.get("additionalProperties", False) is not False or set(here) & {
        *["allOf", "anyOf", "oneOf", "if"]
    }:
        return None
    return None if "patternProperties" in here else set(here["properties"])
