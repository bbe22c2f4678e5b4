"""Step: one effect, on the loop; then it waits while it is held."""

import asyncio

from .ledger import held, note


async def step(ctx, input):
    note(ctx, input, "effect")
    while held(ctx, input):
        await asyncio.sleep(0.01)
    return {"ledger": input["ledger"], "hold": input["hold"]}
