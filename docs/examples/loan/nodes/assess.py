"""Assess: a loan of more than an income is risky."""


async def assess(ctx, input):
    share = input["amount"] / max(input["income"], 1)
    risk = "low" if share < 0.5 else "middle" if share <= 1 else "high"
    return {"customer": input["customer"], "amount": input["amount"], "risk": risk}
