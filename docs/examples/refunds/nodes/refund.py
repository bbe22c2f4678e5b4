"""Refund: what `charge` gave comes in, and the money goes back. Compensations have retries like every node."""

from axiom.sdk import NodeFailure


async def refund(ctx, input):
    if ctx.attempt == 1:
        raise NodeFailure("the bank is busy", code="bank_busy")
    return {"undone": f"payment {input['payment']}"}
