"""Decide: its input is the answer of a person, for which the flow waits before it runs."""


async def decide(ctx, input):
    return {"approved": input["approved"], "reason": input.get("reason", "")}
