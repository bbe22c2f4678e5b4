"""Numbers: 0, 1, 2, …; waits in the middle while it is held."""

import asyncio

from .ledger import held, note


async def numbers(ctx, frames):
    async for wanted in frames:
        note(ctx, wanted, "begun")
        for n in range(wanted["count"]):
            while n == wanted["count"] // 2 and held(ctx, wanted):
                await asyncio.sleep(0.01)
            yield {"n": n}
