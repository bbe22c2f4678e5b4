"""Nothing that a stranger sends makes the compiler fail in another way than by telling what is wrong."""

from __future__ import annotations

import copy
import json
import time
from typing import Any

import jsonschema
import yaml
from compiler_kit import DIAMOND, RICH, common, compiled, refs, shop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from axiom.compiler.artifact import Plan, thaw
from axiom.compiler.compile import compile_canvas, single_node_plan
from axiom.compiler.errors import CompileFailed
from axiom.compiler.expressions import closure
from axiom.compiler.model import Package
from axiom.compiler.report import MAX_PROBLEMS
from axiom.compiler.source import plain, read

WORDS = st.sampled_from(
    [
        "",
        "start",
        "meet",
        "Order",
        "Check",
        "AND",
        "@flow_input",
        "@flow_output",
        "id",
        "total > 1.0",
        "inputs.left",
        "CEL",
        "N_OF_M",
        "acme/common",
        "acme/common@1.0.0",
        "#",
        "#/messages/Order",
        "$ref",
        "(",
        "^a",
        "runtime",
        "nodes/check.py:check",
        "pipeline",
        "../x.py:y",
        "acme/audit",
        "CANCEL",
        "BRANCH",
        "lines",
        "[value]",
        "é",
        "\x7f",
    ]
)
KEYS = st.sampled_from(
    [
        "alias",
        "node",
        "edges",
        "nodes",
        "from",
        "to",
        "adapter",
        "condition",
        "op",
        "field",
        "value",
        "cel",
        "config",
        "join",
        "kind",
        "n",
        "compose",
        "type",
        "properties",
        "$ref",
        "required",
        "items",
        "anyOf",
        "not",
        "pattern",
        "enum",
        "const",
        "$defs",
        "name",
        "input",
        "output",
        "messages",
        "retry",
        "max_attempts",
        "kind",
        "flow",
        "hitl",
        "map",
        "loop",
        "max_iterations",
        "duration_ms",
        "correlate",
        "resume_with",
        "compensate",
    ]
)
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in plain data."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(path for key, item in inner for path in paths(item, (*here, key)))]


def replaced(value: Any, path: tuple[Any, ...], junk: Any) -> Any:
    if not path:
        return junk
    out = copy.copy(value)
    out[path[0]] = replaced(value[path[0]], path[1:], junk)
    return out


def flow_data() -> Any:
    from axiom.compiler.report import Report

    tree = read(DIAMOND, "f", Report())
    assert tree is not None
    return plain(tree)


FLOW = flow_data()
RICH_FLOW = yaml.safe_load(RICH)
MANIFEST = shop().manifest()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(paths(FLOW)), JUNK)
def test_any_value_anywhere_in_a_flow_is_told(path: tuple[Any, ...], junk: Any) -> None:
    flow = replaced(FLOW, path, junk)
    result = compiled(json.dumps(flow))
    assert (result.artifact is None) == any(d.severity == "error" for d in result.diagnostics)
    if isinstance(flow, dict):
        drawn = compile_canvas(flow, [common()], shop())
        assert (drawn.artifact is None) == (result.artifact is None)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(paths(RICH_FLOW)), JUNK)
def test_any_value_anywhere_in_a_flow_that_waits_is_told(path: tuple[Any, ...], junk: Any) -> None:
    flow = replaced(RICH_FLOW, path, junk)
    result = compiled(json.dumps(flow), flows=refs)
    assert (result.artifact is None) == any(d.severity == "error" for d in result.diagnostics)
    if result.artifact:
        assert thaw(result.artifact.graph_id, result.artifact.content).numbers == result.artifact.plan.numbers


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(paths(MANIFEST)), JUNK)
def test_any_value_anywhere_in_a_manifest_is_told(path: tuple[Any, ...], junk: Any) -> None:
    manifest = replaced(MANIFEST, path, junk)
    if not isinstance(manifest, dict):
        return
    try:
        package = Package.from_manifest(manifest)
        for name in package.nodes:
            single_node_plan(package, name, [common()])
    except CompileFailed:
        return


TEXT = st.text(max_size=5)
ORDERS = st.fixed_dictionaries(
    {
        "id": TEXT,
        "total": st.integers(0) | st.floats(0, 1e9),
        "express": st.booleans(),
        "kind": st.sampled_from(["new", "old"]),
        "customer": st.fixed_dictionaries(
            {"name": TEXT, "address": st.fixed_dictionaries({"street": TEXT, "city": TEXT})}
        ),
    },
    optional={"note": TEXT, "more": st.none()},
)
PLAN: Plan = compiled(DIAMOND).require().plan


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(ORDERS)
def test_what_was_proved_holds_for_every_message(order: Any) -> None:
    """Whatever leaves a node, after its adapter and the join, is an input of the next one."""
    right = next(edge for edge in PLAN.edges if edge.target == PLAN.numbers["right"])
    adapted = {name: closure(tree)(order, None) for name, tree in (right.adapter or {}).items()}
    jsonschema.Draft202012Validator(PLAN.messages["Order"]).validate(adapted)  # type: ignore[arg-type]
    joined: dict[str, Any] = {}
    for edge in PLAN.incoming[PLAN.numbers["meet"]]:
        joined |= {name: closure(tree)(order, None) for name, tree in (edge.adapter or {}).items()}
    jsonschema.Draft202012Validator(PLAN.messages["Pair"]).validate(joined)  # type: ignore[arg-type]


def test_a_source_made_of_mistakes_is_told_soon() -> None:
    """Ten thousand edges to aliases that almost exist: the search ends, and says so."""
    nodes = "".join(f"- {{alias: node{n}, node: Check}}\n" for n in range(10_000))
    edges = "".join(f"- {{from: node{n}, to: nodes{n}}}\n" for n in range(10_000))
    started = time.perf_counter()
    result = compiled(f"name: f\nnodes:\n{nodes}edges:\n{edges}")
    assert len(result.diagnostics) == MAX_PROBLEMS + 1
    assert result.diagnostics[0].code == "AX1027"
    assert result.artifact is None
    assert time.perf_counter() - started < 30


def test_a_chain_of_ten_thousand_nodes_compiles() -> None:
    nodes = "".join(f"- {{alias: n{n}, node: Check}}\n" for n in range(10_000))
    edges = "".join(f"- {{from: n{n}, to: n{n + 1}}}\n" for n in range(9_999))
    result = compiled(f"name: f\nnodes:\n{nodes}edges:\n{edges}")
    assert result.require().plan.terminal == 9_999
    assert result.positions["n9999"] == (9_999, 0)
