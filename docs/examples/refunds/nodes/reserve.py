"""Reserve: hold the stock. The key names the reservation, so that a second call finds the first one's."""


async def reserve(ctx, input):
    return {
        "order_id": input["order_id"],
        "amount": input["amount"],
        "country": input["country"],
        "reservation": ctx.idempotency_key[:12],
    }
