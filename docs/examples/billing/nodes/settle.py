"""Settle: its input is the event's payload."""


async def settle(ctx, input):
    return {"state": "paid", "detail": f"{input['invoice_id']} was paid: {input['amount']:.2f}"}
