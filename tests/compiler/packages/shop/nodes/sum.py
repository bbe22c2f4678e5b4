async def sum(ctx, input):
    return input
