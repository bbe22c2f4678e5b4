"""Step: the least that a node can do; with ``length`` it makes a text of that length, and passes it on from there."""

from typing import Any


async def step(ctx: Any, input: dict[str, Any]) -> dict[str, Any]:
    output = {"n": input["n"] + 1}
    if "length" in input:
        output["text"] = "x" * input["length"]
    elif "text" in input:
        output["text"] = input["text"]
    return output
