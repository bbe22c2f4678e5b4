async def undo(ctx, input):
    return input
