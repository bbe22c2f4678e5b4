"""Emit: as many small frames as asked for, as quickly as they are taken."""

from collections.abc import AsyncIterator
from typing import Any

TEXT = "the quick brown fox jumps over the lazy dog"


async def emit(ctx: Any, frames: Any) -> AsyncIterator[dict[str, Any]]:
    async for request in frames:
        for n in range(request["frames"]):
            yield {"n": n, "text": TEXT}
