"""Ship: find a carrier. To Atlantis there is none, and trying again would not help."""

from axiom.sdk import NodeFailure


async def ship(ctx, input):
    if input["country"] == "Atlantis":
        raise NodeFailure("no carrier goes to Atlantis", code="no_carrier", retryable=False)
    return {"order_id": input["order_id"], "carrier": "post"}
