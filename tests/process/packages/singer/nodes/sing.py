"""Handlers that sing. ``how`` says which way; ``fine`` keeps the secret."""

import base64
import json
import logging
import os
import sys
import urllib.parse

from axiom.runtime.failures import NodeFailure


def _sing(ctx, how):
    secret = ctx.secrets["CANARY"]
    if how == "print":
        print("it is", secret, repr(secret), {"key": [secret]})
        print(secret, file=sys.stderr)
        print(base64.b64encode(f"user:{secret}".encode()).decode(), urllib.parse.quote(secret))
        print(json.dumps({"k": secret}), secret.encode().hex())
    elif how == "log":
        ctx.log.info("it is " + secret, key=secret, deep={"a": [secret]}, **{secret: 1})
        ctx.log.warning("again %s", secret)
        ctx.progress(0.5, secret, key=secret)
        logging.getLogger("singer").warning("standard %s", secret)
    elif how == "raise":
        raise ValueError(f"bad key {secret!r}")
    elif how == "code":
        raise NodeFailure(f"no {secret}", code=secret, details={secret: [secret]}, retryable=False)
    elif how == "return":
        return {"text": f"Bearer {secret}"}
    elif how == "key":
        return {secret: 1}
    elif how == "encoded":
        return {"text": base64.b64encode(f"user:{secret}".encode()).decode()}
    elif how == "wrong":
        return {"length": secret}
    elif how == "crash":
        sys.stdout.write(f"last words {secret}")
        sys.stdout.flush()
        os._exit(3)
    return {"length": len(secret), "region": ctx.config.get("region", "")}


def sing(ctx, input):
    return _sing(ctx, input["how"])


async def sing_async(ctx, input):
    return _sing(ctx, input["how"])


async def stream(ctx, frames):
    async for frame in frames:
        yield {"length": 0}
        yield _sing(ctx, frame["how"])
