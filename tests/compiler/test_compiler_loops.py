"""The rules of loops, tried against their definition: small random graphs, every way through them written out."""

from __future__ import annotations

from collections.abc import Iterator

from compiler_kit import codes, compiled
from hypothesis import given, settings
from hypothesis import strategies as st

Pair = tuple[int, int]
COUNT = 7
FORWARD = st.tuples(*(st.sets(st.integers(0, n - 1), min_size=1, max_size=2) for n in range(1, COUNT))).map(
    lambda before: [(a, b) for b, sources in enumerate(before, 1) for a in sorted(sources)]
)
"""Graphs with one entry: every other node has one or two before it."""
BACK = st.lists(
    st.tuples(st.integers(0, COUNT - 1), st.integers(0, COUNT - 1)).filter(lambda e: e[0] >= e[1]),
    unique=True,
    min_size=1,
    max_size=4,
)
OF_LOOPS = {"AX1216", "AX1217", "AX1218"}


def ways(start: int, end: int, forward: list[Pair]) -> Iterator[list[int]]:
    """Every way from ``start`` to ``end``."""
    if start == end:
        yield [start]
    for source, target in forward:
        if source == start:
            yield from ([start, *rest] for rest in ways(target, end, forward))


def expected(forward: list[Pair], back: list[Pair]) -> set[str]:
    """The codes, from the words of the reference alone."""
    bodies = [
        ({n for way in ways(head, source, forward) for n in way}, head, source) for source, head in back
    ]
    for number, (one, _, _) in enumerate(bodies):
        for other, _, _ in bodies[number + 1 :]:
            if one & other and not one <= other and not other <= one:
                return {"AX1218"}
    found = set()
    for body, head, source in bodies:
        for start, end in forward + back:
            if start not in body and end in body and end != head:
                found.add("AX1216")
            if start in body and end not in body and start != source:
                found.add("AX1217")
    return found


def flow_of(forward: list[Pair], back: list[Pair]) -> str:
    arms = {end: sum(target == end for _, target in forward) for end in range(COUNT)}
    join = ", config: {join: {kind: XOR}}"
    nodes = "".join(f"- {{alias: n{n}, node: Check{join if arms[n] > 1 else ''}}}\n" for n in range(COUNT))
    edges = "".join(f"- {{from: n{a}, to: n{b}}}\n" for a, b in forward)
    loop = "loop: true, max_iterations: 2, condition: express"
    edges += "".join(f"- {{from: n{a}, to: n{b}, {loop}}}\n" for a, b in back)
    return f"name: f\nnodes:\n{nodes}edges:\n{edges}"


@settings(deadline=None, max_examples=300)
@given(FORWARD, BACK)
def test_loops_are_refused_exactly_where_the_rules_say(forward: list[Pair], back: list[Pair]) -> None:
    back = [pair for pair in back if any(ways(pair[1], pair[0], forward))]
    found = set(codes(compiled(flow_of(forward, back)))) & OF_LOOPS
    assert found == expected(forward, back)


@settings(deadline=None, max_examples=100)
@given(FORWARD, BACK)
def test_a_graph_of_any_form_is_compiled_or_told(forward: list[Pair], back: list[Pair]) -> None:
    result = compiled(flow_of(forward, back))
    assert (result.artifact is None) == any(d.severity == "error" for d in result.diagnostics)
    if result.artifact:
        plan = result.artifact.plan
        assert all(edge.source >= edge.target for edge in plan.edges if edge.loop)
        assert all(edge.source < edge.target for edge in plan.edges if not edge.loop and edge.target >= 0)
