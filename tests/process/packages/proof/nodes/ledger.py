"""The ledger of effects: one line each, appended in one write, so that a kill leaves whole lines only."""

import json
import os


def note(ctx, message, what, part=""):
    """Write down that ``what`` happened, under the key that makes it count once."""
    line = {
        "run": ctx.execution_id,
        "node": ctx.node,
        "key": ctx.idempotency_key + part,
        "attempt": ctx.attempt,
        "epoch": ctx.fencing_token,
        "pid": os.getpid(),
        "what": what,
    }
    file = os.open(message["ledger"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, json.dumps(line).encode() + b"\n")
    finally:
        os.close(file)


def held(ctx, message):
    """Whether the test still holds this node."""
    gate = message["hold"].get(ctx.node)
    return gate is not None and os.path.exists(gate)
