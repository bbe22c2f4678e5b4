"""CloseMonth: minutes become an invoice, whose id is made of the customer and the month."""

PRICE = 0.05


async def close_month(ctx, input):
    return {
        "invoice_id": f"{input['customer']}-{input['month']}",
        "customer": input["customer"],
        "amount": round(input["minutes"] * PRICE, 2),
    }
