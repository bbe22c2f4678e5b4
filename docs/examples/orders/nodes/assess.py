"""Assess: large orders are a little riskier."""


async def assess(ctx, input):
    return {"card": input["card"], "score": min(1.0, input["total"] / 10_000)}
