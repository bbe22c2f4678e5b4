"""Charge: a pretend bank. Its failures show what a retry mends and what it does not.

A card that ends in 0000 is declined for good, 1111 finds the bank busy twice, 2222 belongs to a slow bank.
"""

import time

from axiom.sdk import NodeFailure


def charge(ctx, input):
    """A plain ``def``: it runs in a process of its own, where a blocking client does no harm."""
    if input["card"].endswith("0000"):
        raise NodeFailure("the card was declined", code="card_declined", retryable=False)
    if input["card"].endswith("1111") and ctx.attempt < 3:
        raise NodeFailure("the bank is busy", code="bank_busy")
    if input["card"].endswith("2222"):
        time.sleep(2)
    return {"order_id": input["order_id"], "amount": input["amount"], "attempts": ctx.attempt}
