"""Summarise: what the two looks found, as one message."""


async def summarise(ctx, input):
    return dict(input)
