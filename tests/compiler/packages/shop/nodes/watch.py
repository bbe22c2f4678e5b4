async def watch(ctx, frames):
    async for frame in frames:
        yield {"id": frame["id"], "paid": 1.0}
