"""A pipeline handler's second parameter is a stream: its frames are made what the annotation says."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

from axiom.runtime.arguments import decoder


@dataclass
class Line:
    text: str


async def plain(ctx: Any, frames: AsyncIterator[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    yield {}


async def bare(ctx: Any, frames: AsyncIterator) -> AsyncIterator:  # type: ignore[type-arg]
    yield {}


async def typed(ctx: Any, frames: AsyncGenerator[Line, None]) -> AsyncIterator[dict[str, Any]]:
    yield {}


def test_a_stream_of_dicts_is_passed_as_it_is():
    assert decoder(plain) is None
    assert decoder(bare) is None


def test_a_stream_of_a_class_makes_each_frame_one():
    decode = decoder(typed)
    assert decode is not None
    assert decode({"text": "a"}) == Line("a")
