"""Same meaning, same ``graph_id``; another meaning, another one (design §4)."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml
from compiler_kit import DIAMOND, RICH, common, compiled, refs, shop
from hypothesis import given, settings
from hypothesis import strategies as st

from axiom.compiler.artifact import freeze, thaw
from axiom.compiler.compile import FlowRef, compile_canvas, compile_flow, single_node_plan
from axiom.compiler.errors import CompileFailed
from axiom.compiler.model import Package

FLOW: dict[str, Any] = yaml.safe_load(DIAMOND)
FLOW["edges"][0]["condition"] = "total > 10.0"
FLOW["edges"][1]["condition"] = {"op": "LTE", "field": "total", "value": 10.0}
FLOW["nodes"][3]["config"]["join"] = {"kind": "XOR"}
FLOW["nodes"][3]["node"] = "Check"
for _edge in FLOW["edges"][2:]:
    del _edge["adapter"]
CEL_SPELLING = {**FLOW["edges"][1], "condition": "total <= 10.0"}


def graph_id(flow: dict[str, Any], **settings: Any) -> str:
    return compiled(yaml.safe_dump(flow, sort_keys=False), **settings).require().graph_id


def shuffled(value: Any, random: Any) -> Any:
    """The same data with the keys of every mapping in another order, and nodes and edges too."""
    if isinstance(value, dict):
        keys = list(value)
        random.shuffle(keys)
        out = {key: shuffled(value[key], random) for key in keys}
        for key in ("nodes", "edges"):
            if isinstance(out.get(key), list):
                random.shuffle(out[key])
        return out
    return [shuffled(item, random) for item in value] if isinstance(value, list) else value


@settings(deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from([None, 2, "\t"]), st.booleans())
def test_the_same_meaning_has_the_same_id(random: Any, indent: Any, cel: bool) -> None:
    """Order, formatting, JSON or YAML, pins, descriptions, comments and the spelling of conditions don't count."""
    flow = copy.deepcopy(FLOW)
    flow["description"] = "words"
    flow["nodes"][1] |= {"col": random.randint(0, 9), "row": 1}
    if cel:
        flow["edges"][1] = CEL_SPELLING
    flow["edges"].append({"from": "@flow_input", "to": "start"})
    flow["edges"].append({"from": "meet", "to": "@flow_output"})
    flow = shuffled(flow, random)
    text = (
        json.dumps(flow, indent=indent) if indent else "# a comment\n" + yaml.safe_dump(flow, sort_keys=False)
    )
    assert compiled(text).require().graph_id == graph_id(FLOW)


def change(path: str, value: Any) -> Any:
    def apply(flow: dict[str, Any]) -> None:
        here: Any = flow
        *steps, last = [int(s) if s.isdigit() else s for s in path.split("/")]
        for step in steps:
            here = here[step]
        here[last] = value

    return apply


CHANGES = {
    "name": change("name", "acme/other"),
    "version": change("version", "1.0.1"),
    "timeout": change("timeout_seconds", 60),
    "retention": change("retention_days", 1),
    "priority": change("priority", 5),
    "mode": change("nodes/3/config/join/kind", "FIRST"),
    "policy": change("nodes/3/config/join/failure_policy", "TOLERATE_FAILURES"),
    "condition": change("edges/0/condition", "total > 10.5"),
    "adapter": change("edges/1/adapter/id", "'s-' + id"),
    "retry": change("nodes/2/config/retry/max_attempts", 3),
    "node timeout": change("nodes/2/config/timeout_seconds", 6),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_meaning_has_another_id(name: str) -> None:
    flow = copy.deepcopy(FLOW)
    CHANGES[name](flow)
    assert graph_id(flow) != graph_id(FLOW)


@settings(deadline=None)
@given(
    st.sets(st.sampled_from(sorted(CHANGES)), max_size=4),
    st.sets(st.sampled_from(sorted(CHANGES)), max_size=4),
)
def test_two_flows_have_one_id_only_if_they_changed_alike(left: set[str], right: set[str]) -> None:
    ids = []
    for names in (left, right):
        flow = copy.deepcopy(FLOW)
        for name in names:
            CHANGES[name](flow)
        ids.append(graph_id(flow))
    assert (ids[0] == ids[1]) == (left == right)


RICH_FLOW: dict[str, Any] = yaml.safe_load(RICH)
HITL = "nodes/3/config/hitl"
RICH_CHANGES = {
    "duration": change("nodes/1/config/duration_ms", "total > 10.0 ? 60000 : 1001"),
    "literal duration": change("nodes/1/config/duration_ms", 1000),
    "event": change("nodes/2/config/name", "payment.failed"),
    "correlate": change("nodes/2/config/correlate", "kind == 'new' ? id : 'x'"),
    "event timeout": change("nodes/2/config/timeout_ms", 3_600_001),
    "pause message": change(f"{HITL}/message", "id"),
    "answer": change(f"{HITL}/resume_input", "Receipt"),
    "pause timeout": change(f"{HITL}/timeout_ms", 1),
    "chain": change(f"{HITL}/escalate_to", ["grace", "ada"]),
    "reminders": change(f"{HITL}/remind_every_ms", 5),
    "quorum": change(f"{HITL}/quorum", 1),
    "items": change("nodes/4/config/map/items", "[value, value]"),
    "concurrency": change("nodes/4/config/map/max_concurrency", 11),
    "tolerance": change("nodes/4/config/map/failure_policy", "FAIL_FAST"),
    "waiting": change("nodes/5/config/wait", True),
    "bound": change("edges/3/max_iterations", 4),
    "again": change("edges/3/condition", "paid < 2.0"),
    "compensation": change("compensate", {"settled": "take_back"}),
    "cancel": change("on_cancel", "stop"),
}


@settings(deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from([None, 2]), st.booleans())
def test_the_same_meaning_has_the_same_id_whatever_waits(random: Any, indent: Any, spelt: bool) -> None:
    """Defaults may be written out, and expressions spelt otherwise."""
    flow = copy.deepcopy(RICH_FLOW)
    if spelt:
        flow["nodes"][1]["config"]["duration_ms"] = " (total>10.0)?60000:(1000) "
        flow["nodes"][2]["config"]["correlate"] = "value.id"
        flow["nodes"][4]["config"]["map"] |= {"max_concurrency": 10}
        flow["nodes"][3]["config"]["hitl"] |= {"message": "'Send ' + id + \"?\""}
    flow = shuffled(flow, random)
    text = json.dumps(flow, indent=indent) if indent else yaml.safe_dump(flow, sort_keys=False)
    assert compiled(text, flows=refs).require().graph_id == graph_id(RICH_FLOW, flows=refs)


def test_a_duration_in_quotes_is_the_same_duration() -> None:
    flow = copy.deepcopy(RICH_FLOW)
    ids = set()
    for spelling in (1000, "1000", "0x3E8"):
        flow["nodes"][1]["config"]["duration_ms"] = spelling
        ids.add(graph_id(flow, flows=refs))
    assert len(ids) == 1


@settings(deadline=None)
@given(
    st.sets(st.sampled_from(sorted(RICH_CHANGES)), max_size=4),
    st.sets(st.sampled_from(sorted(RICH_CHANGES)), max_size=4),
)
def test_flows_that_wait_have_one_id_only_if_they_changed_alike(left: set[str], right: set[str]) -> None:
    ids = []
    for names in (left, right):
        flow = copy.deepcopy(RICH_FLOW)
        for name in sorted(names):
            RICH_CHANGES[name](flow)
        ids.append(graph_id(flow, flows=refs))
    exclusive = {"duration", "literal duration"}
    alike = left == right or (left ^ right == {"duration"} and exclusive & left & right)
    assert (ids[0] == ids[1]) == bool(alike)


FROZEN = {
    "diamond": (DIAMOND, "ejzbkzoccivzyoamxefwpi76gkh5mbpy"),
    "rich": (RICH, "2igoawdkui4m2qwtw5otb5llj46ro6vf"),
    "watch": ("name: acme/watch\nnodes: [{alias: a, node: Watch}]\n", "53tbxefyfbad4hzawjaxfckno3ikeehf"),
}


@pytest.mark.parametrize("name", FROZEN)
def test_ids_outlive_versions_of_the_compiler(name: str) -> None:
    """An id that changes here changes in every store: all runs would be of artifacts that nothing compiles to."""
    source, expected = FROZEN[name]
    home = Package.from_manifest({**shop().manifest(), "digest": "0" * 64})
    found = compile_flow(source, "f", [common()], home, flows=pinned, unsupported=frozenset())
    assert found.require().graph_id == expected


def pinned(name: str) -> FlowRef | None:
    found = refs(name)
    return found and FlowRef("a" * 32, found.plan)


def test_changed_code_and_drift_change_the_id() -> None:
    manifest = shop().manifest()
    other = Package.from_manifest({**manifest, "digest": "0" * 64})
    text = yaml.safe_dump(FLOW)
    assert compile_flow(text, "f", [common()], other).require().graph_id != graph_id(FLOW)
    drifting = compiled(text, drift=True).require()
    assert drifting.graph_id != graph_id(FLOW)
    assert drifting.plan.drift


def test_a_plan_survives_freezing() -> None:
    artifact = compiled(DIAMOND).require()
    again = thaw(artifact.graph_id, artifact.content)
    assert freeze(again).graph_id == artifact.graph_id
    assert [node.alias for node in again.nodes] == ["start", "left", "right", "meet"]


def test_what_a_flow_says_of_a_node_overrides_its_package() -> None:
    plan = compiled(DIAMOND).require().plan
    start, right = plan.nodes[plan.numbers["start"]], plan.nodes[plan.numbers["right"]]
    assert (start.retry.max_attempts, start.timeout_seconds) == (4, 20)
    assert (right.retry.max_attempts, right.timeout_seconds) == (2, 5)


def test_a_check_is_kept_only_where_it_is_needed() -> None:
    nodes = "nodes: [{alias: a, node: %s}, {alias: b, node: Check}]\n"
    edge = "edges: [{from: a, to: b, check: runtime}]\n"
    proved = compiled("name: f\n" + nodes % "Check" + edge).require().plan
    unproved = compiled("name: f\n" + nodes % "Pay" + edge).require().plan
    assert [proved.edges[0].check, unproved.edges[0].check] == [False, True]


def test_a_canvas_compiles_to_the_same_artifact() -> None:
    flow = yaml.safe_load(DIAMOND)
    canvas = {
        **flow,
        "nodes": [
            {
                "id": node["alias"],
                "type": "axiomNode",
                "position": {"x": 240 * index, "y": 120},
                **{k: v for k, v in node.items() if k != "alias"},
            }
            for index, node in enumerate(flow["nodes"])
        ],
        "edges": [
            {
                "id": f"e{index}",
                "source": edge["from"],
                "target": edge["to"],
                **{k: v for k, v in edge.items() if k not in ("from", "to")},
            }
            for index, edge in enumerate(flow["edges"])
        ],
    }
    result = compile_canvas(canvas, [common()], shop())
    assert result.require().graph_id == compiled(DIAMOND).require().graph_id
    assert result.positions == {"start": (0, 1), "left": (1, 1), "right": (2, 1), "meet": (3, 1)}


def test_what_is_wrong_with_a_canvas_has_a_pointer() -> None:
    canvas = {"name": "f", "nodes": [{"id": "a", "node": "Chek"}], "edges": [{"source": "a", "target": "b"}]}
    found = compile_canvas(canvas, [common()], shop()).diagnostics
    assert [(d.code, d.file) for d in found] == [
        ("AX1202", "canvas#/edges/0/target"),
        ("AX1122", "canvas#/nodes/0/node"),
    ]
    assert compile_canvas({"nodes": {1: 2}}, []).diagnostics[0].code == "AX1022"


def test_one_node_alone_is_a_flow() -> None:
    plan = single_node_plan(shop(), "Check", [common()]).plan
    assert (plan.input, plan.output, plan.nodes[0].retry.max_attempts) == ("Order", "Order", 4)
    assert single_node_plan(shop(), "Watch", [common()]).plan.mode == "pipeline"
    with pytest.raises(CompileFailed, match="AX1122"):
        single_node_plan(shop(), "Chek", [common()])


def test_a_pipeline_node_makes_a_pipeline_and_so_does_the_caller() -> None:
    one = "name: f\nnodes: [{alias: a, node: %s}]\n"
    assert compiled(one % "Watch").require().plan.mode == "pipeline"
    assert compiled(one % "Check").require().plan.mode == "unary"
    assert compiled(one % "Check", pipeline_mode=True).require().plan.mode == "pipeline"


def test_frames_need_no_join() -> None:
    source = DIAMOND.replace("name: acme/diamond", "name: acme/diamond\npipeline_mode: true")
    source = source.replace(", config: {join: {kind: AND}}", "").replace("node: Merge", "node: Check")
    source = source.replace("adapter: {left: value}", "check: runtime").replace(
        ", adapter: {right: value}", ""
    )
    assert compiled(source).require().plan.mode == "pipeline"


def test_a_flow_without_a_home_finds_its_nodes() -> None:
    source = "name: f\ninput: Receipt\nnodes:\n"
    source += "- {alias: a, node: Send}\n- {alias: l, package: acme/common, node: Locate}\n"
    source += "edges: [{from: a, to: l, adapter: {street: id, city: id}}]\n"
    plan = compile_flow(source, "f", [common(), shop()]).require().plan
    assert plan.packages.keys() == {"acme/shop@1.2.0", "acme/common@1.0.0"}
