"""What a worker and a child process say to each other.

A stream socket of their own, frames of a four-byte length and MessagePack. The worker sends one call at a time::

    [number, reference, argument, context]

and hears, all with the number of the call they belong to::

    [ANSWER, number, output, retire]            the output's MessagePack; retire: don't use this child again
    [FAILED, number, failure, retire]
    [LOG, number, level, message, fields]       any number of these before, and from threads even after
    [REPORT, number, kind, '', body]
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

import msgpack

from .limits import PAYLOAD_BYTES

ANSWER: Final = 0
FAILED: Final = 1
LOG: Final = 2
REPORT: Final = 3

FRAME_BYTES: Final = PAYLOAD_BYTES + (4 << 20)
"""A message, and room for what comes with it: context, configuration, a failure's details."""
RECEIVE_BYTES: Final = 256 << 10

_LENGTH: Final = struct.Struct("!I")


class BadFrame(ValueError):
    """The other side does not keep to the protocol: someone else wrote into its socket."""


def frame(body: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """Return the bytes of a frame; ``default`` makes data of what MessagePack doesn't know."""
    data = msgpack.packb(body, use_bin_type=True, default=default)
    return _LENGTH.pack(len(data)) + data  # type: ignore[no-any-return]


class Frames:
    """Cuts a stream of bytes into the bodies of its frames."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        """Return the bodies that are complete with ``data``. Raises ``BadFrame``."""
        buffer = self._buffer
        if not buffer and len(data) >= 4 and _LENGTH.unpack_from(data)[0] == len(data) - 4:
            return [_body(memoryview(data)[4:])]
        buffer += data
        found = []
        while len(buffer) >= 4:
            size = _LENGTH.unpack_from(buffer)[0]
            if size > FRAME_BYTES:
                raise BadFrame(f"a frame of {size} bytes")
            if len(buffer) < 4 + size:
                break
            found.append(_body(bytes(buffer[4 : 4 + size])))
            del buffer[: 4 + size]
        return found


def _body(data: bytes | memoryview) -> Any:
    try:
        body = msgpack.unpackb(data, use_list=True, strict_map_key=False)
    except Exception as error:
        raise BadFrame(f"a frame that is no MessagePack: {error}") from error
    if type(body) is not list or len(body) < 4:
        raise BadFrame("a frame of an unknown form")
    return body
