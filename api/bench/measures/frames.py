"""Frames of a pipeline over real HTTP: how many a second one reader gets, and how soon the first comes.

The limit is a server of plain streams, which makes the same frames and keeps none; a third process reads both, in turn.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from typing import Any

from axiom.runtime.clock import SystemClock

from ...auth import create_key
from ...loops import run_loop
from ..beds import Bed
from ..figures import Figure, Target
from ..processes import Client, client, plain_server, server, worker
from ..rig import artifacts, opened, publish

STREAM = "/invocations/v1/flows/invoke/stream"
LEAST = Target("≥", 0.5)
LATER = Target("≤", 5.0, "excess", "ms")
FIRST_FRAMES = 10
"""Frames of a stream whose first is timed."""


def frames(bed: Bed) -> list[Figure]:
    """Measure ``frames.throughput`` and ``frames.first``."""
    with ExitStack() as stack:
        _, port = stack.enter_context(server(bed.url))
        key = run_loop(_set_up(bed))
        stack.enter_context(worker(bed.url))
        plain = stack.enter_context(plain_server())
        caller = stack.enter_context(client())
        return run_loop(_frames(bed, caller, port, key, plain))


async def _set_up(bed: Bed) -> str:
    async with opened(bed.url) as store:
        await publish(store, artifacts()["emit"])
        return await create_key(store, SystemClock())


async def _frames(bed: Bed, caller: Client, port: int, key: str, plain: int) -> list[Figure]:
    graph_id = artifacts()["emit"].graph_id

    async def pair(count: int, streams: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Ask the plain server, then the engine."""
        asked = {"frames": count}
        body = {"graph_id": graph_id, "input": asked}
        order = {"do": "stream", "key": key, "streams": streams}
        bare = await caller.ask(**order, port=plain, path="/", body=asked)
        ours = await caller.ask(**order, port=port, path=STREAM, body=body)
        for answer in (bare, ours):
            if answer["frames"] != count * streams:
                raise AssertionError(f"{answer['frames']} frames came, not {count * streams}")
        return bare, ours

    long = [await pair(bed.size.frames, 1) for _ in range(bed.size.rounds + 1)][1:]
    short = [await pair(FIRST_FRAMES, bed.size.first_frames) for _ in range(bed.size.rounds + 1)][1:]
    rates = [(bare["frames"] / bare["seconds"], ours["frames"] / ours["seconds"]) for bare, ours in long]
    firsts = [(bare["first_ms"], ours["first_ms"]) for bare, ours in short]
    return [
        _figure("frames.throughput", bed, rates, "frames/s", LEAST),
        _figure("frames.first", bed, firsts, "ms", LATER),
    ]


def _figure(name: str, bed: Bed, pairs: list[tuple[float, float]], unit: str, target: Target) -> Figure:
    return Figure(
        name,
        bed.store,
        statistics.median(ours for _, ours in pairs),
        unit,
        statistics.median(bare for bare, _ in pairs),
        statistics.median(ours / bare for bare, ours in pairs),
        target,
    )
