"""Sums: a running sum, held in this generator alone."""


async def sums(ctx, frames):
    total = 0
    async for frame in frames:
        total += frame["n"]
        yield {"n": frame["n"], "sum": total}
