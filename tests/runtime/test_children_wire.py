"""Frames between worker and child, cut anywhere; and noise, which is told from them."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import Any

import pytest
from handler_kit import Lines
from hypothesis import given
from hypothesis import strategies as st

from axiom.runtime.child_forks import Forks
from axiom.runtime.child_link import Link
from axiom.runtime.child_output import Output
from axiom.runtime.child_wire import ANSWER, FAILED, FRAME_BYTES, LOG, BadFrame, Frames, frame
from axiom.runtime.failures import Failure
from axiom.runtime.loading import Reference

BODY = st.lists(st.integers(0, 9) | st.text(max_size=5) | st.binary(max_size=50), min_size=4, max_size=6)


@given(st.lists(BODY, max_size=5), st.lists(st.integers(1, 40), min_size=1))
def test_frames_come_out_whole_however_the_stream_is_cut(bodies: list[Any], cuts: list[int]) -> None:
    stream = b"".join(map(frame, bodies))
    frames, found = Frames(), []
    while stream:
        for cut in cuts:
            found += frames.feed(stream[:cut])
            stream = stream[cut:]
    assert found == bodies


@given(st.binary(min_size=1, max_size=200))
def test_noise_is_refused_or_waited_on_and_never_a_crash(noise: bytes) -> None:
    try:
        for body in Frames().feed(noise):
            assert len(body) >= 4
    except BadFrame:
        pass


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!I", FRAME_BYTES + 1) + b"xxxx",
        struct.pack("!I", 1) + b"\xc1",
        struct.pack("!I", 1) + b"\x01",
        struct.pack("!I", 2) + b"\x91\x01",
    ],
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(BadFrame):
        Frames().feed(data)


@given(st.lists(st.text("abc \n*", max_size=30), max_size=8))
def test_a_secret_is_struck_out_wherever_the_reads_cut_it(parts: list[str]) -> None:
    lines, (read, write) = Lines(), os.pipe()
    output = Output(read)
    output.begin(lines.context(secrets={"K": "abc"}))
    for part in parts:
        os.write(write, part.encode())
        if part:
            assert output.read()
    os.close(write)
    output.end()
    os.close(read)
    text = "".join(parts)
    assert not any("abc" in message for message in lines.messages)
    assert "abc" not in output.tail
    assert lines.messages == [line.replace("abc", "[redacted]") for line in text.split("\n") if line]


class Stub(Forks):
    """A fork server that forks nothing: the test is the child."""

    def __init__(self) -> None:
        self.killed: list[int] = []

    def fork(self, number: int, link: socket.socket, output: int) -> None:
        self.child = link.dup()
        self.output = os.dup(output)

    def kill(self, number: int) -> None:
        self.killed.append(number)


def outcome_of(said: bytes, status: int) -> bytes | Failure:
    """What a call comes to whose child has said that and then died, before anybody had time to listen."""

    async def check() -> bytes | Failure:
        forks = Stub()
        link = Link(1, forks, asyncio.get_running_loop())
        answer = link.call(Reference("a@1", "/", "d", "f.py:f"), b"\xc0", Lines().context())
        assert answer is not None
        with forks.child:
            forks.child.sendall(said)
        os.close(forks.output)
        link.ended(status)
        await link.gone
        return await answer

    return asyncio.run(check())


def test_an_answer_counts_though_its_child_died_right_after_it() -> None:
    assert outcome_of(frame((ANSWER, 1, b"\x2a", False)), -11) == b"\x2a"
    log = frame((LOG, 1, "info", "x" * 40_000, {}))
    assert outcome_of(log + log + frame((ANSWER, 1, b"\x2a", False)), 0) == b"\x2a"


def test_half_an_answer_is_none() -> None:
    for said in (b"", frame((ANSWER, 1, b"\x2a", False))[:-1]):
        outcome = outcome_of(said, 0)
        assert isinstance(outcome, Failure)
        assert outcome.message == "its process exited with status 0 before it answered"


@pytest.mark.parametrize(
    "body", [(ANSWER, 7, b"", False), (9, 1, b"", False), (FAILED, 1, ["x"], False), (ANSWER, 1, 2, 3, 4)]
)
def test_an_answer_to_another_call_is_noise(body: Any) -> None:
    async def check() -> None:
        forks = Stub()
        link = Link(1, forks, asyncio.get_running_loop())
        answer = link.call(Reference("a@1", "/", "d", "f.py:f"), b"\xc0", Lines().context())
        assert answer is not None
        forks.child.sendall(frame(body))
        while not forks.killed:
            await asyncio.sleep(0)
        assert not answer.done()
        link.ended(-9)
        outcome = await answer
        assert isinstance(outcome, Failure)
        assert "something else wrote" in outcome.message
        forks.child.close()
        os.close(forks.output)

    asyncio.run(check())
