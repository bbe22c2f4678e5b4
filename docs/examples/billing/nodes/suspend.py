"""Suspend: no payment came in time."""


async def suspend(ctx, input):
    return {"state": "suspended", "detail": f"{input['message']} ({input['code']})"}
