"""Flaky: fails until the attempt that it is told to succeed at."""

from .ledger import note


async def flaky(ctx, input):
    note(ctx, input, "effect")
    if ctx.attempt < input["succeed_at"]:
        raise ConnectionError(f"attempt {ctx.attempt}")
    return {"attempt": ctx.attempt}
