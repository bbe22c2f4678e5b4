"""Conclude: the application and the decision become a letter."""


async def conclude(ctx, input):
    word = "we lend you" if input["approved"] else "we can't lend you"
    why = f" ({input['reason']})" if input["reason"] else ""
    return {"letter": f"Dear {input['customer']}, {word} {input['amount']:.2f}{why}."}
