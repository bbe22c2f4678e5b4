"""Handlers that don't let go: each notes its process, and then stays where it is."""

import asyncio
import hashlib
import time

from .ledger import note


def sleep(ctx, input):
    note(ctx, input, "begun")
    time.sleep(600)


def spin(ctx, input):
    note(ctx, input, "begun")
    while True:
        pass


def derive(ctx, input):
    """In one call of C, which sees no signal handler of Python's."""
    note(ctx, input, "begun")
    hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 2**31 - 1)


async def deaf(ctx, input):
    note(ctx, input, "begun")
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            note(ctx, input, "deaf")


async def sleep_in_loop(ctx, input):
    note(ctx, input, "begun")
    if stays(ctx, input):
        time.sleep(600)  # noqa: ASYNC251
    return {}


async def spin_in_loop(ctx, input):
    note(ctx, input, "begun")
    while stays(ctx, input):
        pass
    return {}


def stays(ctx, input):
    """Whether this call is the run's first: only that one blocks."""
    with open(input["ledger"], encoding="utf-8") as lines:
        return sum(ctx.execution_id in line for line in lines) == 1
