"""Open: a claim becomes a case."""


async def open(ctx, input):
    return {**input, "round": 0, "offer": 0.0}
