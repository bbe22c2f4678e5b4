"""Review: a pretend customer, who takes less the more documents there are, and without any takes nothing."""


async def review(ctx, input):
    wanted = 1.0 - 0.1 * input["documents"] if input["documents"] else 2.0
    return {**input, "agreed": input["offer"] >= input["amount"] * wanted}
