"""Close: one end for both ways."""


async def close(ctx, input):
    return input
