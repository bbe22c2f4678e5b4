"""Report: what came of all rows; ``None`` stands for one that failed."""


async def report(ctx, input):
    known = [row for row in input if row is not None]
    return {
        "zones": len(input),
        "with_changes": sum(row["changes"] > 0 for row in known),
        "differing": [row["zone"] for row in known if row["differs"]],
        "unknown": len(input) - len(known),
    }
