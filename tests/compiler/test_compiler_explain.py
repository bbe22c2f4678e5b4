"""What people read: a plan in words, a picture's positions, diagnostics on a terminal."""

from __future__ import annotations

import pytest
from compiler_kit import DIAMOND, RICH, common, compiled, refs, shop
from hypothesis import given, settings
from hypothesis import strategies as st

from axiom.compiler.compile import explain
from axiom.compiler.errors import Diagnostic, Place
from axiom.compiler.explain import spelt
from axiom.compiler.expressions import check, parse
from axiom.compiler.layout import crossings, layout
from axiom.compiler.messages import Library
from axiom.compiler.model import Edge, Flow, MessageId, Placement
from axiom.compiler.render import render, render_all
from axiom.compiler.report import nearest

HEAD = Place("f")


def flow_of(edges: list[tuple[str, str]], pins: dict[str, tuple[int, int]] | None = None) -> Flow:
    aliases = sorted({alias for edge in edges for alias in edge})
    nodes = tuple(Placement(place=HEAD, alias=alias, pin=(pins or {}).get(alias)) for alias in aliases)
    return Flow(
        place=HEAD, name="f", nodes=nodes, edges=tuple(Edge(place=HEAD, source=a, target=b) for a, b in edges)
    )


EDGES = st.lists(
    st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda e: e[0] < e[1]),
    min_size=1,
    max_size=30,
    unique=True,
)


@settings(deadline=None)
@given(
    EDGES, st.dictionaries(st.integers(0, 11), st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=3)
)
def test_no_two_nodes_share_a_cell_and_arrows_lead_right(
    edges: list[tuple[int, int]], pins: dict[int, tuple[int, int]]
) -> None:
    names = [(f"n{a:02}", f"n{b:02}") for a, b in edges]
    pinned = {f"n{a:02}": cell for a, cell in pins.items()}
    cells = layout(flow_of(names, pinned))
    assert cells.keys() == {alias for edge in names for alias in edge}
    free = [cell for alias, cell in cells.items() if alias not in pinned]
    assert len(set(free)) == len(free)
    assert not set(free) & {pinned[alias] for alias in pinned if alias in cells}
    assert all(cells[alias] == cell for alias, cell in pinned.items() if alias in cells)
    assert all(cells[a][0] < cells[b][0] for a, b in names if not {a, b} & pinned.keys())


def test_crossings_are_taken_out() -> None:
    """Two parallel chains whose names would order them crosswise."""
    flow = flow_of(
        [("a", "b"), ("a", "c"), ("b", "z"), ("c", "y"), ("z", "p"), ("y", "q"), ("p", "end"), ("q", "end")]
    )
    after: dict[str, list[str]] = {}
    for edge in flow.edges:
        after.setdefault(edge.source, []).append(edge.target)
    assert crossings([["a"], ["b", "c"], ["y", "z"]], after) == 1
    cells = layout(flow)
    layers: list[list[str]] = [[] for _ in range(5)]
    for alias, (column, _) in sorted(cells.items(), key=lambda item: item[1]):
        layers[column].append(alias)
    assert crossings(layers, after) == 0


def test_a_flow_is_explained() -> None:
    result = compiled(DIAMOND)
    text = explain(result.require())
    assert result.positions == {"start": (0, 0), "left": (1, 0), "right": (1, 1), "meet": (2, 0)}
    assert text.index("start: Check") < text.index("left: Check") < text.index("meet: Merge")
    for words in (
        "[entry]",
        "[end]",
        "adapted to {customer, express, id, kind, total}",
        "up to 2 attempts of at most 5 s",
        "AND: goes when all 2 arrived; a failed arm fails it",
        result.require().graph_id,
    ):
        assert words in text


def test_what_waits_is_explained() -> None:
    text = explain(compiled(RICH + "retention_days: 30\n", flows=refs).require())
    for words in (
        "kept for 30 days",
        "after a failure or a cancel take_back undoes send",
        "nap: sleeps … ms",
        "settled: waits for the event payment.settled for id, at most 3600000 ms",
        "first waits for 2 answers (Approved), which becomes its input, at most 86400000 ms",
        "ms, then to ada, then grace",
        "after send, if paid < 1.0, round again, at most 3 times",
        "once for each of …, 10 at a time; a failed one gives null",
        ", not waited for  [end]",
    ):
        assert words in text, text


@pytest.mark.parametrize("policy", ["CANCEL", "FAIL", "BRANCH"])
def test_what_happens_at_a_deadline_is_explained(policy: str) -> None:
    source = "name: f\nnodes:\n- {alias: a, node: Check}\n- {alias: u, node: Undo}\n"
    source += f"- {{alias: b, node: Check, config: {{hitl: {{timeout_ms: 5, timeout_policy: {policy}}}}}}}\n"
    source += "edges:\n- {from: a, to: b}\n- {from: b, to: u, on_error: true, adapter: {reason: message}}\n"
    words = {"CANCEL": "the run is cancelled", "FAIL": "it fails", "BRANCH": "along its `on_error` edge"}
    assert words[policy] in explain(compiled(source).require())


def test_loops_and_compensation_are_drawn_where_they_belong() -> None:
    """Back edges move nothing; what undoes a node stands in its column, below."""
    cells = compiled(RICH, flows=refs).positions
    assert [cells[alias] for alias in ("start", "nap", "settled", "send", "each", "audit")] == [
        (column, 0) for column in range(6)
    ]
    assert cells["take_back"] == (3, 1)


@pytest.mark.parametrize(
    ("cel", "words"),
    [
        ("total>10.0", "total > 10.0"),
        ("!express", "!express"),
        ("!(total == 1.0)", "!(total == 1.0)"),
        ("kind == 'new' && (express || total < 5.0)", 'kind == "new" && (express || total < 5.0)'),
        ("customer.address.city != ''", 'customer.address.city != ""'),
        ("(total + 1.0) * 2.0 > total", "((total + 1.0) * 2.0) > total"),
        ("id.startsWith('x')", "…"),
    ],
)
def test_a_condition_is_spelt_out(cel: str, words: str) -> None:
    code, _ = check(parse(cel), Library([shop(), common()]).schema(MessageId("acme/shop", "1.2.0", "Order")))
    assert spelt(code) == words


def test_a_diagnostic_is_drawn_with_its_caret() -> None:
    result = compiled("name: acme/f\nnodes:\n  - {alias: a, node: Chek}\n")
    assert render(result.diagnostics[0]) == (
        "error[AX1122]: `acme/shop` declares no node `Chek`\n"
        "  --> flow.yaml:3:22\n"
        "3 |   - {alias: a, node: Chek}\n"
        "  |                      ^\n"
        "  = found: Chek\n"
        "  = expected: Check, Dig, Merge, Pay, Send, Sum, Undo, Watch\n"
        "  = help: did you mean `Check`?"
    )
    assert render_all(result.diagnostics).endswith("\n\n1 error\n")
    assert render_all([]) == "no problems\n"
    assert render(Diagnostic("AX1003", "too large", "f.yaml")) == "error[AX1003]: too large\n  --> f.yaml"


def test_a_line_of_a_megabyte_is_cut_around_its_caret() -> None:
    source = (
        '{"name": "f", "nodes": ['
        + ", ".join('{"alias": "a", "node": "Check"}' for _ in range(2))
        + "]"
        + " " * 5000
        + "}"
    )
    found = compiled(source).diagnostics[0]
    line, caret = found.snippet.split("\n")
    assert len(line) <= 120
    assert line[len(caret) - 1 :].startswith('"a"')


def test_suggestions_are_near() -> None:
    assert nearest("reservestok", ["ReserveStock", "Charge"]) == "ReserveStock"
    assert nearest("zzz", ["ReserveStock"]) == ""
