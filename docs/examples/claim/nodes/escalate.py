"""Escalate: the loop went round as often as it may."""


async def escalate(ctx, input):
    return {"decision": "court", "detail": input["code"]}
