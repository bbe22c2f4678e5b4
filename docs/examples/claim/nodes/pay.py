"""Pay: what was agreed to, once: the key is the same whenever this attempt runs again."""


async def pay(ctx, input):
    ctx.log.info("paid", key=ctx.idempotency_key)
    return {
        "decision": "paid",
        "detail": f"{input['claim_id']}: {input['offer']:.2f} in round {input['round']}",
    }
