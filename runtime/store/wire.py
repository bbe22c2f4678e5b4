"""Calls of the store protocol as messages: what travels between a holder and its clients.

A message is a length of four bytes, big-endian, and so many bytes of MessagePack::

    call     [number, method, [argument, …]]          number from 1
    answer   [number, now, true, result]              now: the store's time
             [number, now, false, [code, text]]       code: a ``StoreError``'s
    hints    [0, now, [hint, …]]                      pushed to who called ``watch``

Tuples of ``base.py`` travel as arrays in the order of their fields; an outcome has its number in ``OUTCOMES`` before
them. ``CALLS`` lists every method, how its arguments and results are made of arrays again, and whether a call whose
answer was lost may simply be made again.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import msgpack

from .base import (
    Append,
    Beat,
    Conflict,
    Create,
    Document,
    Exists,
    Fence,
    Fenced,
    Finding,
    Frame,
    FrameAppend,
    Full,
    Head,
    Hint,
    Missing,
    Ok,
    OutboxEntry,
    Outcome,
    Outgoing,
    Page,
    Park,
    Query,
    Session,
    Settle,
    StoreError,
    Unavailable,
    Unclear,
    Unusable,
)
from .base import (
    Final as FinalOutcome,
)
from .permits import Ask, Given, Limit, Rate, Turn

VERSION: Final = 1
"""Of this protocol; ``hello`` carries it, and a holder refuses another."""
LARGEST: Final = 64 << 20
"""Bytes of one message; a longer one ends the connection."""
OUTCOMES: Final[tuple[Any, ...]] = (Ok, Conflict, Fenced, FinalOutcome, Exists, Missing)
_OUTCOME_NUMBERS: Final = {kind: number for number, kind in enumerate(OUTCOMES)}
_ERRORS: Final[dict[str, type[StoreError]]] = {
    kind.code: kind for kind in (StoreError, Unclear, Unavailable, Full, Unusable)
}
_LENGTH: Final = struct.Struct(">I")


class TooLong(ValueError):
    """A message is longer than ``LARGEST``."""


def framed(message: Any) -> bytes:
    """Return the bytes of one message."""
    body: bytes = msgpack.packb(message, use_bin_type=True)
    return _LENGTH.pack(len(body)) + body


class Unframer:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Yield each message that is complete now."""
        held = self._bytes
        held += data
        start = 0
        while len(held) - start >= 4:
            (length,) = _LENGTH.unpack_from(held, start)
            if length > LARGEST:
                raise TooLong(f"a message of {length} bytes")
            if len(held) - start - 4 < length:
                break
            body = bytes(memoryview(held)[start + 4 : start + 4 + length])
            start += 4 + length
            yield msgpack.unpackb(body, use_list=False, strict_map_key=False)
        if start:
            del held[:start]


# --- values out of arrays -----------------------------------------------------------------------------------------


def outcomes_out(outcomes: list[Outcome]) -> list[tuple[Any, ...]]:
    return [(_OUTCOME_NUMBERS[type(outcome)], *outcome) for outcome in outcomes]


def outcomes_in(raw: Any) -> list[Outcome]:
    return [OUTCOMES[item[0]](*item[1:]) for item in raw]


def append_in(raw: Any) -> Append:
    item = Append(*raw)
    if item.fence is None and item.park is None and item.create is None and not item.outbox:
        return item
    return item._replace(
        fence=None if item.fence is None else Fence(*item.fence),
        park=None if item.park is None else Park(*item.park),
        outbox=tuple(Outgoing(*outgoing) for outgoing in item.outbox),
        create=None if item.create is None else Create(*item.create),
    )


def frame_append_in(raw: Any) -> FrameAppend:
    execution_id, fence, after, frames = raw
    return FrameAppend(execution_id, Fence(*fence), after, tuple(Frame(*frame) for frame in frames))


def many(kind: Callable[..., Any]) -> Callable[[Any], list[Any]]:
    """Arrays of fields into a list of tuples of that kind."""
    return lambda raw: [kind(*item) for item in raw]


def maybe(kind: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda raw: None if raw is None else kind(*raw)


def heads_in(raw: Any) -> list[Head | None]:
    return [None if item is None else Head(*item) for item in raw]


def page_in(raw: Any) -> Page:
    heads, cursor = raw
    return Page([Head(*head) for head in heads], cursor)


def claims_in(raw: Any) -> list[Any]:
    return [(Head(*head), former, snapshot, list(lines)) for head, former, snapshot, lines in raw]


def beat_in(raw: Any) -> Beat:
    beat = Beat(*raw)
    return beat._replace(mailbox=list(beat.mailbox))


def same(raw: Any) -> Any:
    return raw


class Call(NamedTuple):
    """One method: its arguments and its result out of arrays."""

    arguments: Callable[[Any], Any] = same
    result: Callable[[Any], Any] = same
    answer: Callable[[Any], Any] = same
    """The result into arrays."""
    again: bool = True
    """If the answer was lost, the same call may be made again; else it is ``Unclear`` what was written."""


def batch_of(item: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda raw: ([item(one) for one in raw[0]], *raw[1:])


CALLS: Final[dict[str, Call]] = {
    "append": Call(batch_of(append_in), outcomes_in, outcomes_out, again=False),
    "append_frames": Call(batch_of(frame_append_in), outcomes_in, outcomes_out, again=False),
    "lines": Call(result=list),
    "snapshot": Call(),
    "heads": Call(result=heads_in),
    "find": Call(arguments=lambda raw: (Query(*raw[0]),), result=page_in),
    "scan": Call(result=many(Head)),
    "put_blob": Call(),
    "blob": Call(),
    "frames": Call(result=many(Frame)),
    "frame_counts": Call(),
    "claim": Call(result=claims_in),
    "end_session": Call(),
    "sessions": Call(result=many(Session)),
    "owned": Call(result=list),
    "claim_outbox": Call(result=many(OutboxEntry), again=False),
    "settle_outbox": Call(arguments=lambda raw: (raw[0], [Settle(*item) for item in raw[1]])),
    "outbox": Call(result=many(OutboxEntry)),
    "redeliver": Call(again=False),
    "expired": Call(result=many(Head)),
    "delete": Call(),
    "put": Call(again=False),
    "get": Call(result=maybe(Document)),
    "documents": Call(result=many(Document)),
    "remove": Call(again=False),
    "acquire": Call(arguments=lambda raw: ([Ask(*item) for item in raw[0]],), result=list),
    "release": Call(arguments=lambda raw: ([Given(*item) for item in raw[0]],), result=many(Turn)),
    "turns": Call(result=many(Turn)),
    "take": Call(arguments=lambda raw: ([Rate(*item) for item in raw[0]],), result=list),
    "limits": Call(result=many(Limit)),
    "findings": Call(result=many(Finding)),
}


def hints_in(raw: Any) -> list[Hint]:
    return [Hint(*hint) for hint in raw]


def error_out(error: BaseException) -> tuple[str, str]:
    """An error's code and text; whatever is no ``StoreError`` is the holder's own fault, and says so."""
    if isinstance(error, StoreError):
        return error.code, str(error)
    return StoreError.code, f"{type(error).__name__}: {error}"


def error_in(raw: Any) -> StoreError:
    code, text = raw
    return _ERRORS.get(code, StoreError)(text)
