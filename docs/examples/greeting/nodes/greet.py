"""Greet: a name in, a greeting out."""


async def greet(ctx, input):
    return {"greeting": f"Hello, {input['name']}!"}
