"""Confirm: the one end of every path."""


async def confirm(ctx, input):
    return {"outcome": input["outcome"], "detail": input["detail"]}
