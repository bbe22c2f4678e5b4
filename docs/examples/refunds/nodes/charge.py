"""Charge: take the money."""


async def charge(ctx, input):
    return {
        "order_id": input["order_id"],
        "amount": input["amount"],
        "country": input["country"],
        "payment": ctx.idempotency_key[:12],
    }
