"""What the plan says of nodes that wait, go round, run many times, contain flows or undo others."""

from __future__ import annotations

import time
from typing import Any

import pytest
from compiler_kit import HERE, RICH, codes, common, compiled, refs, shop

from axiom.compiler.artifact import Node, Plan, freeze, thaw
from axiom.compiler.compile import compile_files, validate_package
from axiom.compiler.expressions import closure
from axiom.compiler.model import FlowFile
from axiom.compiler.package import load_package
from axiom.compiler.passes import UNSUPPORTED
from axiom.compiler.passes.supported import FEATURES


def rich() -> Plan:
    return compiled(RICH, flows=refs).require().plan


def node(plan: Plan, alias: str) -> Node:
    return plan.nodes[plan.numbers[alias]]


def fn(expression: Any) -> Any:
    return lambda message: closure(expression)(message, None)


def test_a_node_that_sleeps_passes_its_message_on() -> None:
    plan = rich()
    nap = node(plan, "nap")
    assert (nap.kind, nap.name, nap.package, nap.entry, nap.pool) == ("sleep", "", "", "", "default")
    assert (nap.input, nap.output) == ("Order", "Order")
    assert nap.config.keys() == {"duration"}
    assert [fn(nap.config["duration"])({"total": total}) for total in (11.0, 5.0)] == [60_000, 1_000]


def test_a_node_that_waits_for_an_event_gives_its_payload() -> None:
    plan = rich()
    settled = node(plan, "settled")
    assert (settled.kind, settled.input, settled.output) == ("event", "Order", "Receipt")
    assert settled.config["name"] == "payment.settled"
    assert settled.config["timeout_ms"] == 3_600_000
    assert fn(settled.config["correlate"])({"id": "o-1"}) == "o-1"


def test_an_event_without_a_message_gives_any_object() -> None:
    source = "name: f\nnodes: [{alias: a, kind: event, config: {name: x}}]\n"
    plan = compiled(source).require().plan
    assert plan.messages == {"object": {"type": "object"}}
    assert (plan.input, plan.output, plan.nodes[0].config) == ("object", "object", {"name": "x"})


def test_a_pause_says_what_the_runtime_needs() -> None:
    plan = rich()
    pause = dict(node(plan, "send").config["hitl"])
    assert fn(pause.pop("message"))({"id": "7"}) == "Send 7?"
    assert pause == {
        "resume_input": "Approved",
        "timeout_ms": 86_400_000,
        "timeout_policy": "ESCALATE",
        "escalate_to": ["ada", "grace"],
        "remind_every_ms": 3_600_000,
        "quorum": 2,
    }
    assert plan.messages["Approved"]["properties"]["paid"]["minimum"] == 0  # type: ignore[index, call-overload]


def test_a_pause_that_says_nothing_waits_for_the_nodes_input() -> None:
    source = "name: f\nnodes: [{alias: a, node: Check}, {alias: b, node: Send, config: {hitl: %s}}]\n"
    source += "edges: [{from: a, to: b}]\n"
    assert node(compiled(source % "{}").require().plan, "b").config == {
        "hitl": {"resume_input": "Receipt", "quorum": 1}
    }
    late = node(compiled(source % "{timeout_ms: 5}").require().plan, "b").config["hitl"]
    assert (late["timeout_ms"], late["timeout_policy"]) == (5, "CANCEL")


def test_a_pause_resumes_with_a_value() -> None:
    pause = "{timeout_ms: 5, timeout_policy: RESUME_WITH, resume_with: {id: none, paid: 0}}"
    source = f"name: f\nnodes: [{{alias: a, node: Send, config: {{hitl: {pause}}}}}]\n"
    assert node(compiled(source).require().plan, "a").config["hitl"]["resume_with"] == {
        "id": "none",
        "paid": 0,
    }


def test_a_map_runs_over_items_and_its_followers_see_a_list() -> None:
    plan = rich()
    each = node(plan, "each")
    assert (each.input, each.output) == ("Receipt", "Receipt")
    fan = dict(each.config["map"])
    assert fn(fan.pop("items"))({"id": "x"}) == [{"id": "x"}]
    assert fan == {"max_concurrency": 10, "failure_policy": "TOLERATE_FAILURES"}


def test_a_flow_that_ends_with_a_map_gives_a_list() -> None:
    source = "name: f\ninput: Cart\nnodes: [{alias: a, node: Check, config: {map: {items: lines%s}}}]\n"
    plan = compiled(source % "").require().plan
    assert (plan.input, plan.output) == ("Cart", "Order[]")
    assert plan.messages["Order[]"]["type"] == "array"  # type: ignore[index, call-overload]
    assert compiled(source % ", failure_policy: TOLERATE_FAILURES").require().plan.output == "Order?[]"


def test_a_subflow_is_pinned() -> None:
    plan = rich()
    audit, found = node(plan, "audit"), refs("acme/audit")
    assert found
    assert audit.config == {"graph_id": found.graph_id, "wait": False}
    assert (audit.kind, audit.pool, plan.output) == ("flow", "default", "started")
    waiting = compiled(RICH.replace(", config: {wait: false}", ""), flows=refs).require().plan
    assert node(waiting, "audit").config["wait"] is True
    assert waiting.messages[waiting.output] == found.plan.messages[found.plan.output]


def test_back_edges_stand_in_the_plan_with_their_bounds() -> None:
    plan = rich()
    (back,) = (edge for edge in plan.edges if edge.loop)
    assert back.source == back.target == plan.numbers["send"]
    assert (back.max_iterations, fn(back.condition)({"paid": 0.5})) == (3, True)


def test_what_undoes_comes_last_and_is_named() -> None:
    plan = rich()
    assert (plan.compensate, plan.on_cancel) == ({"send": "take_back"}, "compensate")
    assert plan.nodes[-1].alias == "take_back"
    assert plan.terminal == plan.numbers["audit"]


def test_a_rich_plan_survives_freezing() -> None:
    artifact = compiled(RICH, flows=refs).require()
    again = thaw(artifact.graph_id, artifact.content)
    assert freeze(again).graph_id == artifact.graph_id
    assert [n.config for n in again.nodes] == [n.config for n in artifact.plan.nodes]


def test_what_sleeps_at_a_gate_passes_the_gate_on() -> None:
    """What arrives is the joined message, or with XOR that of either arm."""
    source = (
        "name: f\nnodes:\n- {alias: s, node: Check}\n- {alias: a, node: Check}\n- {alias: b, node: Pay}\n"
    )
    source += (
        "- {alias: j, kind: sleep, config: {duration_ms: 5, join: {kind: %s}}}\n- {alias: t, node: Send%s}\n"
    )
    source += "edges: [{from: s, to: a}, {from: s, to: b}, {from: a, to: j}, {from: b, to: j}, {from: j, to: t%s}]\n"
    fits = compiled(source % ("AND", "", ", adapter: {id: a.id, paid: b.paid}")).require().plan
    assert fits.messages[node(fits, "j").output]["required"] == ["a", "b"]  # type: ignore[index, call-overload]
    assert codes(compiled(source % ("XOR", "", ", adapter: {id: id, paid: paid}"))) == ["AX1402"]
    assert codes(compiled(source % ("XOR", "", ", adapter: {id: id, paid: 'has(paid) ? 1.0 : 0.0'}"))) == []


def test_conditions_that_go_round_or_on_leave_no_gap() -> None:
    source = "name: f\nnodes: [{alias: a, node: Check}, {alias: b, node: Check}]\n"
    source += "edges:\n- {from: a, to: b, condition: %s}\n"
    source += "- {from: a, to: a, loop: true, max_iterations: 2, condition: express}\n"
    assert codes(compiled(source % "'!express'")) == []
    assert codes(compiled(source % "total > 1.0")) == ["AX1505"]


def test_five_hundred_loops_are_looked_at_soon_and_more_are_refused() -> None:
    def chain(count: int) -> str:
        nodes = "".join(f"- {{alias: n{n}, node: Check}}\n" for n in range(4_000))
        edges = "".join(f"- {{from: n{n}, to: n{n + 1}}}\n" for n in range(3_999))
        loop = "loop: true, max_iterations: 2, condition: express"
        edges += "".join(f"- {{from: n{7 * n + 5}, to: n{7 * n}, {loop}}}\n" for n in range(count))
        return f"name: f\nnodes:\n{nodes}edges:\n{edges}"

    started = time.perf_counter()
    assert codes(compiled(chain(500))) == []
    assert time.perf_counter() - started < 30
    assert codes(compiled(chain(501))) == ["AX1219"]


@pytest.mark.parametrize("name", sorted(FEATURES))
def test_a_feature_is_switched_off_by_its_name_alone(name: str) -> None:
    """The rich flow has most of them; whichever is off, the others are not complained of."""
    found = [d.found for d in compiled(RICH, flows=refs, unsupported=frozenset({name})).diagnostics]
    assert set(found) <= {name}
    assert bool(found) == (name in {"sleep", "event", "hitl", "map", "loop", "subflow", "compensate"})
    assert FEATURES.keys() >= UNSUPPORTED


def files(*sources: str) -> list[FlowFile]:
    return [FlowFile(f"flows/{number}.yaml", source.encode()) for number, source in enumerate(sources)]


def contains(name: str, other: str) -> str:
    nodes = f"nodes: [{{alias: a, node: Check}}, {{alias: b, flow: {other}}}]"
    return f"name: {name}\n{nodes}\nedges: [{{from: a, to: b}}]\n"


def compiled_files(*sources: str) -> list[Any]:
    every = compile_files(files(*sources), [common()], shop(), unsupported=frozenset())
    return list(every.values())


def test_flows_of_one_folder_contain_one_another_in_any_order() -> None:
    leaf = "name: acme/leaf\nnodes: [{alias: a, node: Check}]\n"
    top, middle, bottom = compiled_files(
        contains("acme/top", "acme/middle"), contains("acme/middle", "acme/leaf"), leaf
    )
    assert node(top.require().plan, "b").config["graph_id"] == middle.require().graph_id
    assert node(middle.require().plan, "b").config["graph_id"] == bottom.require().graph_id


def test_flows_that_contain_one_another_in_a_circle_are_told() -> None:
    first, second = compiled_files(contains("acme/one", "acme/two"), contains("acme/two", "acme/one"))
    assert [(d.code, d.found) for d in second.diagnostics] == [("AX1126", "acme/one → acme/two → acme/one")]
    assert [(d.code, d.message) for d in first.diagnostics] == [
        ("AX1125", "the flow `acme/two` has errors of its own")
    ]


def test_flows_lie_only_so_deep_in_one_another() -> None:
    every = compiled_files(*(contains(f"acme/f{n}", f"acme/f{n + 1}") for n in range(200)))
    assert any("deep" in d.message for each in every for d in each.diagnostics)
    assert all(each.artifact is None for each in every)


def test_a_package_is_validated_with_its_flows_in_one_another(tmp_path: Any) -> None:
    for file in (HERE / "packages" / "shop").rglob("*.*"):
        target = tmp_path / file.relative_to(HERE / "packages" / "shop")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "a.yaml").write_text(contains("acme/a", "acme/b"))
    (tmp_path / "flows" / "b.yaml").write_text("name: acme/b\nnodes: [{alias: a, node: Check}]\n")
    assert validate_package(tmp_path, [common()], unsupported=frozenset()) == []
    assert load_package(tmp_path).flows[0].file.endswith("flows/a.yaml")
