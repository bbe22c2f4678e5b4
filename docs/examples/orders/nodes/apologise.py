"""Apologise: what a failed charge leads to. Its input is the failure."""


async def apologise(ctx, input):
    return {"outcome": "refused", "detail": f"sorry: {input['message']} ({input['code']})"}
