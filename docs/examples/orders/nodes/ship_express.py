"""ShipExpress: hand the parcel over."""


async def ship_express(ctx, input):
    return {
        "outcome": "express",
        "detail": f"{input['order_id']} paid {input['amount']:.2f} in {input['attempts']} attempts",
    }
