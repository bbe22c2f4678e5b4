async def pay(ctx, input):
    return input
