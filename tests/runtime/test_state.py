"""The fold and the decisions, as rules of graphs."""

from __future__ import annotations

import pytest
from graphs import Play, accepted, graph
from hypothesis import given
from hypothesis import strategies as st

from axiom.compiler.artifact import Join
from axiom.runtime import events as e
from axiom.runtime.events import Event
from axiom.runtime.fold import fold
from axiom.runtime.snapshot import dump, load
from axiom.runtime.state import IllegalTransition, State
from axiom.runtime.topology import Topology

TOLERATE = "TOLERATE_FAILURES"


def test_a_chain_runs_node_by_node_and_completes_with_the_terminals_output():
    play = Play(graph("a b c", "a>b b>c"))
    assert play.running == "a"
    assert play.done("a").running == "b"
    assert play.done("b").running == "c"
    play.done("c")
    assert play.ending == ("COMPLETED", None)
    seq = play.state.outcome["output_seq"]
    assert play.events[seq - 1].kind == e.NODE_COMPLETED
    assert play.events[seq - 1].node == "c"


def test_branches_run_together_and_an_and_join_waits_for_all():
    play = Play(graph("a b c d", "a>b a>c b>d c>d", {"d": Join("AND")}))
    assert play.done("a").running == "b c"
    assert play.done("c").running == "b"
    assert play.done("b").running == "d"
    assert play.done("d").ending == ("COMPLETED", None)


def test_an_and_join_with_an_arm_not_taken_is_not_taken_and_so_is_all_behind_it():
    play = Play(graph("a b c d z", "a>b a?c b>d c>d d>z", {"d": Join("AND")}))
    play.done("a", skipped=(1,))
    assert (play.phase("c"), play.phase("d"), play.phase("z")) == ("not_taken", "not_taken", "not_taken")
    assert play.running == "b", "the other branch is not cut short"
    assert play.done("b").ending == ("FAILED", "no_path_taken")


@pytest.mark.parametrize("policy", ["FAIL_FAST", TOLERATE])
def test_an_xor_join_takes_the_arm_that_came_and_not_taken_is_no_failure(policy):
    play = Play(graph("a b c d", "a?b a?c b>d c>d", {"d": Join("XOR", policy)}))
    assert play.done("a", skipped=(0,)).running == "c"
    assert play.done("c").running == "d"
    assert play.done("d").ending == ("COMPLETED", None)


def test_a_late_arm_of_an_xor_join_is_recorded_and_starts_nothing():
    play = Play(graph("a b c d z", "a>b a>c b>d c>d d>z", {"d": Join("XOR")}))
    play.done("a").done("b")
    assert play.running == "c d"
    assert play.done("c").running == "d"
    assert play.state.arms[(3, ())] == "arrived"
    assert play.done("d").done("z").ending == ("COMPLETED", None)


def test_fail_fast_fails_the_join_at_once_and_stops_the_other_arms():
    play = Play(graph("a b c d", "a>b a>c b>d c>d", {"d": Join("AND", "FAIL_FAST")}))
    play.done("a").fails("b", "declined")
    assert play.phase("c") == "cancelled"
    assert play.ending == ("FAILED", "declined")
    assert play.state.outcome["node"] == "b"


def test_a_tolerated_failure_counts_as_not_taken():
    play = Play(graph("a b c d", "a>b a>c b>d c>d", {"d": Join("OR", TOLERATE)}))
    play.done("a").fails("b")
    assert play.running == "c"
    assert play.done("c").running == "d"
    assert play.done("d").ending == ("COMPLETED", None)


def test_when_every_tolerated_arm_failed_the_run_fails_with_the_first_error():
    play = Play(graph("a b c d", "a>b a>c b>d c>d", {"d": Join("OR", TOLERATE)}))
    play.done("a").fails("b", "first").fails("c", "second")
    assert play.ending == ("FAILED", "first")


def test_an_error_branch_that_rejoins_handles_the_error():
    play = Play(graph("a b r d", "a>b a!r b>d r>d", {"d": Join("XOR")}))
    assert play.fails("a").running == "r"
    assert play.phase("b") == "not_taken"
    assert play.done("r").done("d").ending == ("COMPLETED", None)


def test_an_error_branch_that_ends_runs_to_its_end_and_leaves_the_run_failed():
    play = Play(graph("a b r s", "a>b a!r r>s", terminal="b"))
    assert play.fails("a", "declined").running == "r"
    assert play.done("r").running == "s"
    assert play.done("s").ending == ("FAILED", "declined")


def test_the_error_branch_of_a_join_hears_of_the_arm_that_failed():
    play = Play(graph("a b c d r z", "a>b a>c b>d c>d d>z d!r r>z", {"d": Join(), "z": Join("XOR")}))
    play.done("a").fails("b", "declined")
    assert play.phase("d") == "failed"
    assert play.running == "r"
    assert play.state.failures[3, ()][:1] + play.state.failures[3, ()][2:] == ("declined", "b", 1)
    assert play.done("r").done("z").ending == ("COMPLETED", None)


def test_a_failure_with_no_way_out_ends_the_run_and_what_still_runs():
    play = Play(graph("a b c d", "a>b a>c b>d c>d", {"d": Join("AND")}))
    play.done("a").fails("c")
    assert play.state.status == "FAILED"
    assert not play.state.running


def test_n_of_m_goes_at_the_nth_and_fails_when_the_nth_is_out_of_reach():
    plan = graph("a b c d j", "a>b a>c a>d b>j c>j d>j", {"j": Join("N_OF_M", TOLERATE, n=2)})
    play = Play(plan).done("a").done("b")
    assert play.phase("j") is None
    assert "j" in play.done("d").running
    play = Play(plan).done("a").fails("b").fails("c")
    assert play.running == "", "what leads only to the join is stopped"
    assert play.ending == ("FAILED", "gate_unreachable")


def test_a_retry_waits_until_it_is_due_and_shows_as_waiting_when_that_is_long():
    play = Play(graph("a", ""))
    play.fails("a", retry_in=60_000)
    assert play.state.status == "WAITING"
    assert play.later(59_999).running == ""
    assert play.later(1).running == "a"
    assert play.attempt("a") == 2
    assert play.state.status == "RUNNING"


def test_the_deadline_of_the_run_fails_it_whatever_it_does():
    play = Play(graph("a", ""), deadline=5_000)
    assert play.later(3_999).running == "a"
    assert play.later(1).ending == ("FAILED", "run_timeout")


def test_ten_lost_owners_without_progress_poison_a_run_and_progress_forgives():
    over = Event(e.TAKEN_OVER, 1_000, epoch=2, body={"worker": "w"})
    play = Play(graph("a b", "a>b")).put(*[over] * 9)
    assert play.done("a").put(*[over] * 9).running == "b"
    play.put(over)
    assert play.ending == ("FAILED", "poisoned")
    assert play.state.outcome["node"] == "b"


def test_a_result_counts_only_for_the_attempt_that_runs():
    topology = Topology(graph("a b", "a>b"))
    state = fold(topology, State(), [accepted(), Event(e.STARTED, 1), Event(e.NODE_STARTED, 1, "a", (), 1)])
    stale = Event(e.NODE_COMPLETED, 1, "a", (), 2, body={"output": {"value": 1}})
    with pytest.raises(IllegalTransition):
        fold(topology, state, [stale])
    done = stale._replace(attempt=1)
    with pytest.raises(IllegalTransition):
        fold(topology, state, [done, done])


def test_nothing_follows_a_final_status():
    play = Play(graph("a", "")).done("a")
    with pytest.raises(IllegalTransition):
        play.put(Event(e.CANCELLED, 1))


def test_many_ready_nodes_are_started_a_bounded_number_at_a_time():
    names = " ".join(f"n{i}" for i in range(600))
    plan = graph(f"a {names} z", " ".join(f"a>n{i} n{i}>z" for i in range(600)), {"z": Join("AND")})
    play = Play(plan).done("a")
    assert len(play.state.running) == 256
    play.done("n0") if "n0" in play.running.split() else play.done(play.running.split()[0])
    assert len(play.state.running) == 256


def test_a_long_chain_of_nodes_not_taken_settles_without_recursion():
    count = 5_000
    names = "a " + " ".join(f"n{i}" for i in range(count)) + " y z"
    arrows = "a?n0 a>y y>z " + " ".join(f"n{i}>n{i + 1}" for i in range(count - 1)) + f" n{count - 1}>z"
    play = Play(graph(names, arrows, {"z": Join("XOR")})).done("a", skipped=(0,))
    assert play.phase(f"n{count - 1}") == "not_taken"


# --- properties over random graphs ----------------------------------------------------------------------------------


@st.composite
def plans(draw):
    """A random graph whose every node leads to the last one, with joins, conditions and error branches."""
    count = draw(st.integers(2, 8))
    arrows: list[str] = []
    into: dict[int, int] = {}
    for source in range(count - 1):
        targets = draw(st.sets(st.integers(source + 1, count - 1), min_size=1, max_size=3))
        for target in targets:
            arrows.append(f"n{source}{draw(st.sampled_from('>>>?!'))}n{target}")
            into[target] = into.get(target, 0) + 1
    for target in range(1, count):
        if target not in into:
            arrows.append(f"n{draw(st.integers(0, target - 1))}>n{target}")
    seen: set[tuple[str, str]] = set()
    kept = []
    for arrow in arrows:
        pair = tuple(arrow.replace(">", " ").replace("?", " ").replace("!", " ").split())
        if pair not in seen:
            seen.add(pair)
            kept.append(arrow)
    joins = {
        f"n{target}": Join(
            draw(st.sampled_from(["AND", "OR", "XOR", "FIRST"])),
            draw(st.sampled_from(["FAIL_FAST", TOLERATE])),
        )
        for target in range(count)
    }
    return graph(" ".join(f"n{i}" for i in range(count)), " ".join(kept), joins)


def play_out(plan, choose):
    """Run a plan to its end, with ``choose(n)`` picking among n possibilities."""
    play = Play(plan)
    for _ in range(200):
        if play.state.final:
            return play
        running = sorted(play.running.split())
        assert running, f"stuck: {play.state.status}, {dict(play.state.nodes)}"
        node = running[choose(len(running))]
        number = play.topology.numbers[node]
        if choose(4) == 0:
            play.fails(node)
        else:
            conditional = [
                edge.number for edge in plan.outgoing[number] if edge.condition is not None and choose(2)
            ]
            play.done(node, tuple(conditional))
    raise AssertionError("never ended")


@given(plans(), st.data())
def test_every_run_ends_once_and_never_gets_stuck(plan, data):
    play = play_out(plan, lambda n: data.draw(st.integers(0, n - 1)))
    finals = [event for event in play.events if event.kind in (e.COMPLETED, e.FAILED)]
    assert len(finals) == 1
    completed = [event.node for event in play.events if event.kind == e.NODE_COMPLETED]
    assert len(completed) == len(set(completed)), "a node completes at most once"
    if play.state.status == "COMPLETED":
        assert play.topology.aliases[plan.terminal] in completed


@given(plans(), st.data())
def test_a_history_cut_anywhere_and_resumed_from_a_snapshot_ends_the_same(plan, data):
    play = play_out(plan, lambda n: data.draw(st.integers(0, n - 1)))
    cut = data.draw(st.integers(0, len(play.events)))
    before = fold(play.topology, State(), play.events[:cut])
    revived = load(dump(before))
    after = fold(play.topology, revived, play.events[cut:])
    for name in State.__slots__:
        assert getattr(after, name) == getattr(play.state, name), name


def test_a_snapshot_of_another_version_is_not_used():
    data = bytearray(dump(State()))
    data[1] = 99
    assert load(bytes(data)) is None
