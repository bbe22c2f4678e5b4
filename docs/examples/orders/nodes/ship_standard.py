"""ShipStandard: hand the parcel over."""


async def ship_standard(ctx, input):
    return {
        "outcome": "standard",
        "detail": f"{input['order_id']} paid {input['amount']:.2f} in {input['attempts']} attempts",
    }
