"""Alone: notes when it goes in and when it comes out, and stays in while it is held."""

import asyncio

from .ledger import held, note


async def alone(ctx, input):
    note(ctx, input, "in")
    await asyncio.sleep(0.005)
    while held(ctx, input):
        await asyncio.sleep(0.01)
    note(ctx, input, "out")
    return {"ledger": input["ledger"], "hold": input["hold"]}
