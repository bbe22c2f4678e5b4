"""What is told of gates and their arms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from graphs import Play, graph

from axiom.compiler.artifact import Join
from axiom.runtime import events as e
from axiom.runtime.branches import Gate, gates_of
from axiom.runtime.events import Event

MINUTE = 60_000


def gate(play: Play) -> Gate:
    (told,) = gates_of(play.topology, play.state, [0, *(event.at for event in play.events)])
    return told


def states(play: Play) -> dict[str, str]:
    return {arm.alias: arm.state for arm in gate(play).arms}


def waits(play: Play, node: str) -> Play:
    body = {"for": "timer", "due": play.at + MINUTE}
    return play.put(Event(e.NODE_WAITING, play.at, node, (), play.attempt(node), 1, body))


@pytest.fixture
def play() -> Play:
    """``s`` opens two arms and a third of two nodes."""
    arrows = "s>a s>b s>c c>d a>j b>j d>j"
    return Play(graph("s a b c d j", arrows, {"j": Join("AND", "FAIL_FAST", 0, 10 * MINUTE)}))


def test_before_anything_arrived_the_arms_run_or_are_pending(play: Play):
    assert states(play) == {"a": "running", "b": "running", "d": "running"}, "s is on the way to all"
    assert [arm.node for arm in gate(play).arms] == ["s", "s", "s"]
    play.done("s")
    assert (gate(play).state, gate(play).since, gate(play).due) == ("pending", None, None)
    assert [(arm.alias, arm.node) for arm in gate(play).arms] == [("a", "a"), ("b", "b"), ("d", "c")]


def test_a_waiting_gate_says_since_when_and_what_it_needs(play: Play):
    play.done("s").later(7).done("a")
    waits(play, "b")
    told = gate(play)
    assert told[:8] == ("j", (), "AND", "FAIL_FAST", "waiting", 1_007, 1_007 + 10 * MINUTE, "b, d")
    assert states(play) == {"a": "arrived", "b": "waiting", "d": "running"}
    assert told.arms[0].since == 1_007


def test_a_gate_that_went_needs_nothing(play: Play):
    play.done("s").done("a").done("b").done("c").done("d")
    assert states(play) == {"a": "arrived", "b": "arrived", "d": "arrived"}
    assert (gate(play).state, gate(play).needs) == ("went", "")
    play.fails("j")
    assert gate(play).state == "went", "what its node did afterwards is another matter"


def test_a_gate_that_failed_tells_which_arm_did_it_and_which_were_stopped(play: Play):
    play.done("s").done("a").fails("c")
    assert gate(play).state == "failed"
    assert states(play) == {"a": "arrived", "b": "cancelled", "d": "failed"}


def test_an_arm_that_comes_after_the_gate_went_is_late():
    plan = graph("s a b j", "s>a s>b a>j b>j", {"j": Join("FIRST")})
    play = Play(plan).done("s").done("b").done("a")
    assert states(play) == {"a": "late", "b": "arrived"}
    assert gate(play).state == "went"


def test_an_arm_whose_condition_was_false_is_not_taken():
    plan = graph("s a b j", "s>a s?b a>j b>j", {"j": Join("OR")})
    play = Play(plan).done("s", skipped=(1,))
    assert states(play) == {"a": "running", "b": "not_taken"}
    assert gate(play).needs == "each of a settled"


@pytest.mark.parametrize(
    ("join", "needs"),
    [
        (Join("XOR", "TOLERATE_FAILURES"), "the first of b, c"),
        (Join("OR", "TOLERATE_FAILURES"), "each of b, c settled"),
        (Join("N_OF_M", "TOLERATE_FAILURES", 2), "2 of b, c"),
    ],
)
def test_what_each_kind_needs(join: Join, needs: str):
    plan = graph("s a b c j", "s>a s>b s>c a>j b>j c>j", {"j": join})
    play = Play(plan).done("s").fails("a")
    assert gate(play).needs == needs
    assert states(play)["a"] == "failed"


def test_a_run_that_was_cancelled_leaves_no_arm_on_its_way(play: Play):
    play.done("s").done("a").put(Event(e.CANCELLED, play.at, body={"reason": "enough"}))
    assert states(play) == {"a": "arrived", "b": "cancelled", "d": "cancelled"}
    assert gate(play).state == "cancelled"


def test_a_gate_in_a_loop_is_told_for_each_time_round():
    plan = graph("s h a b j", "s>h h>a h>b a>j b>j j>h", {"j": Join()}, terminal="j")
    back: Any = replace(plan.edges[5], loop=True, max_iterations=3, condition=["const", True])
    play = Play(replace(plan, edges=(*plan.edges[:5], back)))

    def done(node: str, turn: int, skipped: tuple[int, ...] = ()) -> None:
        body = {"output": {"value": node}, "skipped": list(skipped)}
        play.put(Event(e.NODE_COMPLETED, play.at, node, (turn,), 1, 1, body))

    play.done("s")
    for node in "habj":
        done(node, 0)
    done("h", 1)
    done("a", 1)
    told = list(gates_of(play.topology, play.state, [0, *(event.at for event in play.events)]))
    assert [(one.iteration, one.state) for one in told] == [((0,), "went"), ((1,), "waiting")]
    assert [arm.state for arm in told[1].arms] == ["arrived", "running"]


def test_a_flow_without_gates_has_none():
    play = Play(graph("a b", "a>b"))
    assert list(gates_of(play.topology, play.state, [0, 0, 0, 0])) == []
