"""Reserve: hold the stock. The key makes a second call with the same key find the first one's reservation."""


async def reserve(ctx, input):
    return {
        "order_id": input["order_id"],
        "reservation": ctx.idempotency_key[:12],
        "total": input["total"],
    }
