"""The limit of streams: the same frames from a bare ``sse-starlette`` application, with no engine and no store.

``python -m axiom.api.bench.plain`` serves it on a free port, which it says on stderr. ``POST /`` with
``{"frames": n}`` answers with n frames and a final one, each made and encoded when it is sent.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any, Final

import uvicorn
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..loops import run_loop

EXECUTION_ID: Final = "0" * 32
TEXT: Final = "the quick brown fox jumps over the lazy dog"


async def emit(request: Request) -> Response:
    """Answer with the frames that the body asks for."""
    return EventSourceResponse(_frames((await request.json())["frames"]))


async def _frames(count: int) -> AsyncIterator[ServerSentEvent]:
    for n in range(count):
        yield _event(n, {"payload": {"n": n, "text": TEXT}, "is_final": False, "success": True})
    yield _event(count, {"is_final": True, "success": True})


def _event(index: int, rest: dict[str, Any]) -> ServerSentEvent:
    body = {"execution_id": EXECUTION_ID, "frame_index": index, **rest}
    return ServerSentEvent(json.dumps(body, separators=(",", ":")), id=str(index))


async def serve() -> None:
    """Serve until killed."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    app = Starlette(routes=[Route("/", emit, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    print(f"plain streams on {listener.getsockname()[1]}", file=sys.stderr, flush=True)
    await server.serve(sockets=[listener])


if __name__ == "__main__":
    run_loop(serve())
