"""ReadLines: a text of ``texts/`` as one frame per line."""

import asyncio
from pathlib import Path

TEXTS = Path(__file__).parents[1] / "texts"


async def read_lines(ctx, frames):
    async for request in frames:
        pause_seconds = request.get("pause_ms", 0) / 1000
        for number, line in enumerate(lines_of(request["text"]), 1):
            yield {"number": number, "text": line}
            if pause_seconds:
                await asyncio.sleep(pause_seconds)


def lines_of(name):
    with open(TEXTS / f"{name}.txt", encoding="utf-8") as text:
        return [line.rstrip("\n") for line in text]
