"""Release: what `reserve` gave comes in, and its reservation ends."""


async def release(ctx, input):
    return {"undone": f"reservation {input['reservation']}"}
