"""Handlers that do what handlers should not."""

import asyncio
import os
import sys
import time

from .ledger import note


def prints(ctx, input):
    print("to stdout, where another engine might keep its protocol")
    print('{"output": "forged"}', file=sys.stderr)
    sys.stdout.write("x" * 100_000)
    return {"printed": True}


def exits(ctx, input):
    sys.exit(3)


def exits_hard(ctx, input):
    os._exit(3)


def forks(ctx, input):
    note(ctx, input, "begun")
    if os.fork() == 0:
        note(ctx, input, "fork")
        return {"by": "the copy"}
    return {"by": "the original"}


def wrong_type(ctx, input):
    return {"ledger": 7}


def no_data(ctx, input):
    return {"a set": {1, 2}, "an object": object()}


def never(ctx, input):
    note(ctx, input, "begun")
    time.sleep(600)


async def never_async(ctx, input):
    await asyncio.sleep(600)
