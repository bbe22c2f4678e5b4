async def send(ctx, input):
    return input
