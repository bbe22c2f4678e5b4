async def merge(ctx, input):
    return input
