"""The facts of an execution, and their bytes.

An execution is its journal: a list of events, numbered from 1 without a gap. An event never changes once written.
Its writer encodes it to canonical MessagePack and takes the CRC-32 of those bytes with the execution's id before
them; the store numbers it and chains the CRCs into ``check``::

    check(0) = 0        check(n) = (check(n-1) * 65599 + crc(n)) mod 2**32

so that a missing, altered, reordered or cut-off event is found (``verify.py``).

The bodies, by kind (a *value* is ``{"value": v}``, or ``{"blob": name, "size": bytes}`` when it is large)::

    ExecutionAccepted    {graph_id, flow, mode, account, input: value, deadline?: ms, ready_at?: ms, webhook?,
                          debug?: {breakpoints: [alias], pause_at_start},
                          config_id?, config?, link?: traceparent, key?, parent?,
                          origin?: {execution_id, kind, seq}, scope?}       always seq 1
    ExecutionStarted     {worker}                                            the first claim
    ExecutionTakenOver   {worker, from, frames?}                             the old owner died; frames of any node then
    NodeStarted          {isolation}                                         attempt is the event's
    NodeCompleted        {output: value, skipped: [edge number], ms,         skipped: out-edges that are NOT_TAKEN
                          child?: id, input?: value}                         of a subflow that nobody waits for
    NodeFailed           {code, message, retry_at?: ms, details?}            with retry_at: another attempt follows
    NodeCancelled        {reason}                                            a join failed fast, or the run ended
    NodeWaiting          {for: timer|event|pause|child|permit|rate|circuit,
                          due?: ms, …}                                       it needs something from outside; a child:
                                                                             {name: its id, input: value}; a permit:
                                                                             {name: the limit, key: who asks}
    NodeWoken            {by: time|signal|answer|items, seq?}                it goes on
    MapOpened            {count, bound, tolerant}                            its items run as iterations
    SignalReceived       {name, key?, id, payload: value}                    an event, a child's end; kept until taken
    PauseAnswered        {pause_id, input: value, by?, comment?, link?}      link: the number of an approval link
    PauseChanged         {pause_id, action, due?, remind_at?, to?, text?,    remind, extend, reassign, comment
                          by?}
    CancelRequested      {reason}                                            of a run that compensates
    CompensationStarted  {code?, message?, node?, undo: [[alias, iteration]]}
    ExecutionCompleted   {output_seq} | {output: value} | {frames: count}
    ExecutionFailed      {code, message, node?, attempt?, frames?}
    ExecutionCancelled   {reason, frames?}
    OutcomeDropped       {kind, reason}                                      a result that came too late
    TailLost             {expected, found}                                   the store came back shorter
    CodeDrifted          {package, pinned, running}                          development only
    NodeReused           {from: seq, output: value, skipped, ms, edited?}    of a fork: an outcome of its origin; of one
                         | {from, code, message, skipped} | {from, opened}   that failed; of a map that was opened
    ExecutionHeld        {by?, comment?}                                     nothing new starts until it is resumed
    ExecutionResumed     {by?, comment?}
    NodeStreaming        {resumes}                                           a pipeline node's handler begins here
    NodeStreamed         {frames}                                            it has ended, its frames are in the log
    DebugOrdered         {action: continue|step|pause|breakpoints|edit,      of a debug run; step and edit name a node
                          breakpoints?: [alias], input?: value, by?}
    ExecutionMigrated    {from, to, edges: [[old, new]], gone: [alias],      it has another artifact from here on;
                          by?}                                               what is before: ``reading.carried``
    GateWaiting          {due: ms}                                           its first arm came; it has till then
    GateTimedOut         {arrived, arms}                                     counts; it goes with them, or fails

Kinds are added, never changed: a reader knows all older ones for ever.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgpack

ACCEPTED: Final = "ExecutionAccepted"
STARTED: Final = "ExecutionStarted"
TAKEN_OVER: Final = "ExecutionTakenOver"
NODE_STARTED: Final = "NodeStarted"
NODE_COMPLETED: Final = "NodeCompleted"
NODE_FAILED: Final = "NodeFailed"
NODE_CANCELLED: Final = "NodeCancelled"
COMPLETED: Final = "ExecutionCompleted"
FAILED: Final = "ExecutionFailed"
CANCELLED: Final = "ExecutionCancelled"
OUTCOME_DROPPED: Final = "OutcomeDropped"
TAIL_LOST: Final = "TailLost"
CODE_DRIFTED: Final = "CodeDrifted"
NODE_STREAMING: Final = "NodeStreaming"
NODE_STREAMED: Final = "NodeStreamed"
NODE_WAITING: Final = "NodeWaiting"
NODE_WOKEN: Final = "NodeWoken"
MAP_OPENED: Final = "MapOpened"
SIGNAL_RECEIVED: Final = "SignalReceived"
PAUSE_ANSWERED: Final = "PauseAnswered"
PAUSE_CHANGED: Final = "PauseChanged"
CANCEL_REQUESTED: Final = "CancelRequested"
COMPENSATION_STARTED: Final = "CompensationStarted"
NODE_REUSED: Final = "NodeReused"
HELD: Final = "ExecutionHeld"
RESUMED: Final = "ExecutionResumed"
DEBUG_ORDERED: Final = "DebugOrdered"
MIGRATED: Final = "ExecutionMigrated"
GATE_WAITING: Final = "GateWaiting"
GATE_TIMED_OUT: Final = "GateTimedOut"

CODES: Final[dict[str, int]] = {
    ACCEPTED: 1,
    STARTED: 2,
    TAKEN_OVER: 3,
    NODE_STARTED: 4,
    NODE_COMPLETED: 5,
    NODE_FAILED: 6,
    NODE_CANCELLED: 7,
    COMPLETED: 8,
    FAILED: 9,
    CANCELLED: 10,
    OUTCOME_DROPPED: 11,
    TAIL_LOST: 12,
    CODE_DRIFTED: 13,
    NODE_STREAMING: 14,
    NODE_STREAMED: 15,
    NODE_WAITING: 16,
    NODE_WOKEN: 17,
    MAP_OPENED: 18,
    SIGNAL_RECEIVED: 19,
    PAUSE_ANSWERED: 20,
    PAUSE_CHANGED: 21,
    CANCEL_REQUESTED: 22,
    COMPENSATION_STARTED: 23,
    NODE_REUSED: 24,
    HELD: 25,
    RESUMED: 26,
    DEBUG_ORDERED: 27,
    MIGRATED: 30,
    GATE_WAITING: 31,
    GATE_TIMED_OUT: 32,
}
"""The number each kind is written with. A number is never used again for another kind."""
KINDS: Final[dict[int, str]] = {code: kind for kind, code in CODES.items()}

CHECK_FACTOR: Final = 65599
CHECK_MASK: Final = 0xFFFF_FFFF

_pack = msgpack.Packer(use_bin_type=True).pack


class Event(NamedTuple):
    """One fact. ``seq`` and ``check`` are 0 until a store has numbered it."""

    kind: str
    at: int
    """Milliseconds since 1970, in the store's time; never less than the event before."""
    node: str | None = None
    iteration: tuple[int, ...] = ()
    """Outermost first: loop counts, map indexes, a coded task's occurrence."""
    attempt: int = 0
    epoch: int = 0
    """The claim under which it was written; 0 for a door's."""
    body: Mapping[str, Any] = {}
    seq: int = 0
    check: int = 0


class UnknownKind(ValueError):
    """The journal was written by a newer version: readable there, not here. Do not claim the execution."""

    code = "unknown_event_kind"


class Damaged(ValueError):
    """Stored bytes are no event."""

    code = "damaged_event"


def encode(event: Event) -> bytes:
    """Return the canonical bytes of an event: a MessagePack array, seq and check left out.

    >>> decode(encode(Event(STARTED, 5, epoch=7, body={"worker": "w"}))).body["worker"]
    'w'
    """
    return _pack(  # type: ignore[no-any-return]
        (CODES[event.kind], event.at, event.node, event.iteration, event.attempt, event.epoch, event.body)
    )


def decode(data: bytes, seq: int = 0, check: int = 0) -> Event:
    """Return the event of ``data``; ``UnknownKind`` if it is younger than this code, ``Damaged`` if it is none."""
    try:
        code, at, node, iteration, attempt, epoch, body = msgpack.unpackb(
            data, use_list=True, strict_map_key=False
        )
    except Exception as error:
        raise Damaged(f"event {seq} can't be read: {error}") from error
    kind = KINDS.get(code)
    if kind is None:
        raise UnknownKind(f"event {seq} is of kind {code}, which this version does not know")
    return Event(kind, at, node, tuple(iteration), attempt, epoch, body, seq, check)


def crc(execution_id: str, data: bytes) -> int:
    """Return the CRC-32 of an event's bytes, bound to its execution."""
    return zlib.crc32(data, zlib.crc32(execution_id.encode()))


def chain(check: int, crcs: Sequence[int]) -> int:
    """Return the check after events with ``crcs`` follow one whose check is ``check``."""
    for value in crcs:
        check = (check * CHECK_FACTOR + value) & CHECK_MASK
    return check


def pack_value(value: Any) -> bytes:
    """Return the bytes of a value that is stored outside of its event."""
    return _pack(value)  # type: ignore[no-any-return]


def unpack_value(data: bytes) -> Any:
    """Return the value of ``pack_value``'s bytes."""
    return msgpack.unpackb(data, use_list=True, strict_map_key=False)
