"""``axiom diff``: the first node whose outcome is another one, and every place in which two runs differ."""

from __future__ import annotations

from typing import Any

import pytest
from http_kit import house, order, run

from axiom.api.cli.diff import _run, compared, parts, tell
from axiom.api.cli.target import Target


def test_values_differ_place_by_place_and_by_their_types() -> None:
    assert parts({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}) == []
    assert parts({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}) == [{"path": "/a/1/b", "a": 2, "b": 3}]
    assert parts([1], [True]) == [{"path": "/0", "a": 1, "b": True}]
    assert parts({"a": 1}, {}) == [{"path": "/a", "a": 1, "b": "(absent)"}]


async def ran(at: Any, graph_id: str, total: float, output: Any) -> str:
    execution_id, hand = await at.start(graph_id, input_=order(total=total)), at.hand(f"h{total}")
    await hand.take()
    await hand.complete(execution_id, output)
    return str(execution_id)


def test_two_runs_part_at_the_first_node_whose_outcome_is_another(capsys: pytest.CaptureFixture[str]) -> None:
    async def case() -> None:
        async with house() as at:
            graph_id = await at.publish()
            target = Target(at.client, at.url)
            ids = [await ran(at, graph_id, 2, {"n": n, "text": "x"}) for n in (1, 1, 7)]
            one, same, other = [await _run(target, execution_id) for execution_id in ids]
            assert compared(one, same)["same"]
            told = compared(one, other)
            assert (told["same"], told["first"]) == (False, "last")
            assert told["differences"] == [{"node": "last", "path": "/output/n", "a": 1, "b": 7}]
            tell(told)
            assert "they part at last" in capsys.readouterr().out

    run(case())


def test_another_input_and_a_failure_are_differences() -> None:
    async def case() -> None:
        async with house() as at:
            graph_id = await at.publish()
            target = Target(at.client, at.url)
            one = await _run(target, await ran(at, graph_id, 2, {"n": 1}))
            execution_id, hand = await at.start(graph_id, input_=order(total=3)), at.hand("failing")
            await hand.take()
            await hand.fail(execution_id, "declined", "no money")
            told = compared(one, await _run(target, execution_id))
            assert told["first"] == "@flow_input"
            assert {part["node"] for part in told["differences"]} == {"@flow_input", "last"}
            assert [row["status"] for row in told["executions"]] == ["COMPLETED", "FAILED"]

    run(case())
