"""Later: fails the first time, to be tried again in a day."""

from typing import Any


async def later(ctx: Any, input: dict[str, Any]) -> dict[str, Any]:
    if ctx.attempt == 1:
        raise RuntimeError("not today")
    return input
