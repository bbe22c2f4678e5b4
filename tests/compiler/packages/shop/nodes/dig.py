async def dig(ctx, input):
    return input
