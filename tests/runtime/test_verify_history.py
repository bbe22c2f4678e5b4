"""The checker must be able to fail: each way of damaging a history is found."""

from __future__ import annotations

import pytest
from graphs import Play, graph
from hypothesis import given
from hypothesis import strategies as st

from axiom.compiler.artifact import Join
from axiom.runtime import events as e
from axiom.runtime.events import Event
from axiom.runtime.verify import check_history

ID = "0af7651916cd43dd8448eb211c80319c"
PLAN = graph("a b c d", "a>b a>c b>d c>d", {"d": Join("AND")})


def numbered(events: list[Event]) -> list[Event]:
    """Number and chain events as a store does."""
    out, check = [], 0
    for seq, event in enumerate(events, 1):
        check = e.chain(check, (e.crc(ID, e.encode(event)),))
        out.append(event._replace(seq=seq, check=check))
    return out


def history() -> list[Event]:
    return numbered(Play(PLAN).done("a").done("b").done("c").done("d").events)


def codes(events: list[Event]) -> list[str]:
    return [violation.code for violation in check_history(ID, events, Play(PLAN).topology)]


def test_a_true_history_is_clean():
    assert codes(history()) == []


@given(st.integers(0, len(history()) - 2))
def test_a_removed_event_is_found(index):
    events = history()
    del events[index]
    assert codes(events)


@given(st.integers(0, len(history()) - 2))
def test_two_events_in_the_wrong_order_are_found(index):
    events = history()
    events[index], events[index + 1] = events[index + 1], events[index]
    assert codes(events)
    swapped = [event._replace(seq=seq) for seq, event in enumerate(events, 1)]
    assert "check" in codes(swapped), "also when their numbers were mended"


@given(st.integers(0, len(history()) - 1))
def test_a_duplicated_event_is_found(index):
    events = history()
    events.insert(index, events[index])
    assert codes(events)
    assert codes(numbered(events)), "also when numbers and checks were forged"


@given(st.integers(0, len(history()) - 1), st.data())
def test_an_altered_event_is_found(index, data):
    events = history()
    event = events[index]
    changed = data.draw(
        st.sampled_from(
            [
                event._replace(at=event.at + 1),
                event._replace(attempt=event.attempt + 1),
                event._replace(epoch=event.epoch + 1),
                event._replace(body={**event.body, "x": 1}),
                event._replace(check=event.check ^ 1),
            ]
        )
    )
    events[index] = changed
    assert codes(events)


def test_a_cut_off_end_is_still_a_true_prefix_and_only_the_head_can_tell():
    assert codes(history()[:-1]) == []


@pytest.mark.parametrize("forged", ["twice", "early", "after_end", "wrong_output"])
def test_a_well_formed_history_that_breaks_a_promise_is_found(forged):
    events = [event._replace(seq=0, check=0) for event in history()]
    completed = [i for i, event in enumerate(events) if event.kind == e.NODE_COMPLETED]
    if forged == "twice":
        events.insert(completed[1] + 1, events[completed[1]])
    elif forged == "early":
        started = next(
            i for i, event in enumerate(events) if event.kind == e.NODE_STARTED and event.node == "d"
        )
        events.insert(completed[1], events.pop(started))
    elif forged == "after_end":
        events.append(Event(e.TAKEN_OVER, events[-1].at, epoch=1, body={}))
    else:
        events[-1] = events[-1]._replace(body={"output_seq": 1})
    assert codes(numbered(events)) == [
        {"twice": "order", "early": "order", "after_end": "ending", "wrong_output": "output"}[forged]
    ]


def test_time_and_epochs_never_go_back():
    events = [event._replace(seq=0, check=0) for event in history()]
    events[3] = events[3]._replace(at=events[3].at - 500)
    assert "time" in codes(numbered(events))
    events = [event._replace(seq=0, check=0) for event in history()]
    events[3] = events[3]._replace(epoch=9)
    assert "epoch" in codes(numbered(events))
