"""Book: the one end of both ways."""


async def book(ctx, input):
    return input
