"""A client that costs little: HTTP over bare sockets, so that what is measured is the server.

``python -m axiom.api.bench.load`` reads orders, one line of JSON each, and answers each with a line:

``{"do": "invoke", "port", "key", "graph_id", "input", "connections", "seconds"}``
    Invoke with ``wait`` over so many kept-alive connections for so long; answers ``{"runs", "seconds", "median_ms",
    "p99_ms"}``.
``{"do": "stream", "port", "path", "key", "body", "streams"}``
    Read so many streams one after the other: ``{"frames", "seconds", "first_ms"}``, the last the median time from
    request to first frame.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from typing import Any, Final

from ..loops import run_loop

INVOKE: Final = "/invocations/v1/flows/invoke"
ANSWER_SECONDS: Final = 60.0
DATA: Final = b"\ndata: "
LAST: Final = b'"is_final":true'
FAILED: Final = b'"success":false'


def request(port: int, path: str, key: str, body: bytes) -> bytes:
    """Return a POST as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\naccept: */*\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Invoker(asyncio.Protocol):
    """One connection: sends the next request when the last is answered, until the time is over."""

    def __init__(self, wire: bytes, until: float) -> None:
        self.spent: list[float] = []
        self.done: Final[asyncio.Future[None]] = asyncio.get_running_loop().create_future()
        self._wire: Final = wire
        self._until: Final = until
        self._buffer = b""
        self._sent = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._wire)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, gap, body = self._buffer.partition(b"\r\n\r\n")
        if not gap or len(body) < _length(head):
            return
        self._buffer = b""
        now = time.perf_counter()
        self.spent.append(now - self._sent)
        if b'"success":true' not in body.replace(b" ", b""):
            self._end(RuntimeError(f"answered {head[:40]!r} {body[:200]!r}"))
        elif now < self._until:
            self._send()
        else:
            self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or ConnectionError("the server closed a connection"))

    def _end(self, error: Exception | None) -> None:
        if not self.done.done():
            if error is None:
                self.done.set_result(None)
            else:
                self.done.set_exception(error)
            self._transport.close()


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    raise ValueError(f"an answer without a length: {head[:80]!r}")


async def invoke(order: dict[str, Any]) -> dict[str, Any]:
    """Do an ``invoke`` order."""
    body = {"graph_id": order["graph_id"], "input": order["input"], "wait": True}
    wire = request(order["port"], INVOKE, order["key"], json.dumps(body).encode())
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    made = [
        await loop.create_connection(
            lambda: Invoker(wire, began + order["seconds"]), "127.0.0.1", order["port"]
        )
        for _ in range(order["connections"])
    ]
    invokers = [invoker for _, invoker in made]
    async with asyncio.timeout(order["seconds"] + ANSWER_SECONDS):
        await asyncio.gather(*[invoker.done for invoker in invokers])
    took = time.perf_counter() - began
    spent = sorted(each for invoker in invokers for each in invoker.spent)
    return {
        "runs": len(spent),
        "seconds": took,
        "median_ms": statistics.median(spent) * 1000,
        "p99_ms": spent[len(spent) * 99 // 100] * 1000,
    }


async def stream(order: dict[str, Any]) -> dict[str, Any]:
    """Do a ``stream`` order."""
    wire = request(order["port"], order["path"], order["key"], json.dumps(order["body"]).encode())
    frames, seconds, firsts = 0, 0.0, []
    for _ in range(order["streams"]):
        count, took, first = await _one_stream(order["port"], wire)
        frames, seconds = frames + count, seconds + took
        firsts.append(first)
    return {"frames": frames, "seconds": seconds, "first_ms": statistics.median(firsts) * 1000}


async def _one_stream(port: int, wire: bytes) -> tuple[int, float, float]:
    """Return a stream's frames (without the final one), how long it took, and when the first came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.perf_counter()
    writer.write(wire)
    frames, first, tail = 0, 0.0, b""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                data = await reader.read(1 << 18)
                if not data:
                    raise ConnectionError(f"a stream broke off after {frames} frames: {tail[-200:]!r}")
                seen = tail + data
                found = seen.count(DATA)
                if found and not first:
                    first = time.perf_counter() - began
                frames += found
                if LAST in seen:
                    if FAILED in seen:
                        raise RuntimeError(f"a stream ended badly: {seen[-400:]!r}")
                    return frames - 1, time.perf_counter() - began, first
                # what may be the beginning of a mark is looked at again, a whole mark is not
                cut = seen.rfind(DATA) + len(DATA) if found else 0
                tail = seen[max(cut, len(seen) - len(LAST) + 1) :]
    finally:
        writer.close()


DO: Final = {"invoke": invoke, "stream": stream}


async def serve() -> None:
    """Do what stdin says until it ends."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        try:
            answer = await DO[order.pop("do")](order)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    run_loop(serve())
