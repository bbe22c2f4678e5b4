"""Act: one effect, a moment's time, and the next number; Doomed always fails; Undo takes an effect back."""

import asyncio

from .ledger import note


async def act(ctx, input):
    note(ctx, input, "effect")
    await asyncio.sleep(0.03)
    return {**input, "n": input["n"] + 1}


async def doomed(ctx, input):
    note(ctx, input, "effect")
    raise ValueError("as told")


async def undo(ctx, input):
    note(ctx, input, "effect")
    return {}
