"""Calls and answers come out of their bytes as they went in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom.runtime.store import wire
from axiom.runtime.store.base import (
    Append,
    Beat,
    Conflict,
    Create,
    Exists,
    Fence,
    Fenced,
    Final,
    Frame,
    FrameAppend,
    Full,
    Missing,
    Ok,
    Outgoing,
    Park,
    Query,
    StoreError,
    Unclear,
)

texts = st.text(max_size=12)
numbers = st.integers(0, 2**53)
fences = st.builds(Fence, texts, numbers)
appends = st.builds(
    Append,
    texts,
    st.lists(st.binary(max_size=40), max_size=3).map(tuple),
    st.lists(st.integers(0, 2**32 - 1), max_size=3).map(tuple),
    numbers,
    st.none() | numbers,
    st.none() | fences,
    st.none() | texts,
    st.none() | st.just("RUNNING"),
    st.none() | st.builds(Park, texts, st.none() | numbers),
    st.lists(st.builds(Outgoing, texts, texts, st.binary(max_size=9), numbers), max_size=2).map(tuple),
    st.none() | st.binary(max_size=9),
    st.none()
    | st.tuples(texts, texts, texts, texts, texts, numbers, numbers).map(lambda fields: Create(*fields)),
)
outcomes = st.one_of(
    st.builds(Ok, numbers),
    st.builds(Conflict, numbers),
    st.builds(Fenced, numbers),
    st.builds(Final, texts),
    st.builds(Exists, texts, texts, st.booleans()),
    st.just(Missing()),
)


def carried(message: Any, piece: int = 7) -> Any:
    """Send a message in small pieces."""
    unframer = wire.Unframer()
    data = wire.framed(message)
    found = [m for at in range(0, len(data), piece) for m in unframer.feed(data[at : at + piece])]
    assert len(found) == 1
    return found[0]


@given(st.lists(appends, max_size=4))
def test_appends_survive_the_wire(batch: list[Append]) -> None:
    _, _, arguments = carried((1, "append", (batch,)))
    (decoded,) = wire.CALLS["append"].arguments(arguments)
    assert decoded == batch
    for item, was in zip(decoded, batch, strict=True):
        assert type(item.fence) is type(was.fence)
        assert type(item.create) is type(was.create)
        assert all(type(outgoing) is Outgoing for outgoing in item.outbox)


@given(st.lists(outcomes, max_size=6))
def test_outcomes_survive_the_wire(answers: list[Any]) -> None:
    call = wire.CALLS["append"]
    decoded = call.result(carried((1, 5, True, call.answer(answers)))[3])
    assert decoded == answers
    assert [type(outcome) for outcome in decoded] == [type(outcome) for outcome in answers]


@given(
    st.lists(
        st.builds(FrameAppend, texts, fences, numbers, st.just((Frame(1, "a", 0, 0, b"x"),))), max_size=3
    )
)
def test_frames_survive_the_wire(batch: list[FrameAppend]) -> None:
    (decoded,) = wire.CALLS["append_frames"].arguments(carried((1, "append_frames", (batch,)))[2])
    assert decoded == batch


def test_queries_and_beats_survive_the_wire() -> None:
    query = Query("a", ("RUNNING",), q="x", cursor=(5, "id"))
    assert wire.CALLS["find"].arguments(carried((1, "find", (query,)))[2]) == (query,)
    beat = Beat(1, True, [("id", 3)], 2, 2**32 - 1, 0)
    assert wire.beat_in(carried((1, 5, True, beat))[3]) == beat


@given(st.lists(st.lists(numbers, max_size=5), max_size=6), st.integers(1, 50))
def test_a_stream_is_cut_into_its_messages_wherever_it_breaks(messages: list[list[int]], piece: int) -> None:
    unframer = wire.Unframer()
    data = b"".join(wire.framed(message) for message in messages)
    found = [list(m) for at in range(0, len(data), piece) for m in unframer.feed(data[at : at + piece])]
    assert found == messages


def test_a_message_that_is_too_long_is_refused_before_it_is_gathered() -> None:
    with pytest.raises(wire.TooLong):
        list(wire.Unframer().feed(b"\xff\xff\xff\xff"))


@pytest.mark.parametrize("error", [Full("f"), Unclear("u"), StoreError("s")])
def test_errors_keep_their_kind(error: StoreError) -> None:
    decoded = wire.error_in(carried((1, 5, False, wire.error_out(error)))[3])
    assert type(decoded) is type(error)
    assert str(decoded) == str(error)


def test_other_errors_become_the_stores() -> None:
    decoded = wire.error_in(wire.error_out(KeyError("x")))
    assert type(decoded) is StoreError
    assert "KeyError" in str(decoded)
