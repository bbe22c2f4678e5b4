"""Work: one effect, in a child process; then it waits while it is held."""

import time

from .ledger import held, note


def work(ctx, input):
    note(ctx, input, "effect")
    while held(ctx, input):
        time.sleep(0.01)
    return {"ledger": input["ledger"], "hold": input["hold"]}
