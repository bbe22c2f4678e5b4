"""Price: the lines of an order become one total."""


async def price(ctx, input):
    total = sum(line["quantity"] * line["price"] for line in input["lines"])
    items = sum(line["quantity"] for line in input["lines"])
    return {
        "order_id": input["order_id"],
        "card": input["card"],
        "total": round(float(total), 2),
        "items": items,
    }
