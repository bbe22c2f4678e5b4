"""How things lie in Redis, as Python reads them: names of keys, the packed head, journal entries, frames.

The scripts write all of it (``lua/prelude.lua`` lists the keys); this file is the reading side of the same formats and
the writing side of an execution's unchanging facts, which the scripts only carry along.

A head is fixed fields, then session and queue with their lengths, then the facts as a MessagePack array. The first
sixteen bytes (seq, check, time) are all that most appends change.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgpack

from ..events import Damaged, Event, decode
from .base import Append, Create, Frame, Head, OutboxEntry, Status, Unusable, keyed_digits
from .ids import partition_of

FORMAT: Final = 1
"""Of the layout; a store with a greater one is refused."""

STATUSES: Final = (
    "",
    Status.QUEUED.value,
    Status.RUNNING.value,
    Status.PAUSED.value,
    Status.WAITING_ON_GATE.value,
    Status.DEBUG_PAUSED.value,
    Status.WAITING.value,
    Status.COMPENSATING.value,
    Status.COMPLETED.value,
    Status.FAILED.value,
    Status.CANCELLED.value,
)
NEVER: Final = -1

_HEAD: Final = struct.Struct(">IIdBddddiII")
_LENGTH: Final = struct.Struct(">I")
_FRAME: Final = struct.Struct(">II")
_PART: Final = struct.Struct(">II")
_DOCUMENT: Final = struct.Struct(">dd8s")
_pack = msgpack.Packer(use_bin_type=False).pack
_unpack = msgpack.unpackb


class Keys:
    """The names of keys in a store of so many partitions."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.prefixes = [f"ax:{{p{number}}}:" for number in range(partitions)]

    def of(self, execution_id: str, kind: str) -> str:
        """Return the name of one of an execution's keys; ``kind`` is its letter."""
        return f"{self.prefixes[partition_of(execution_id, self.partitions)]}{kind}:{execution_id}"

    def frames(self, execution_id: str, node: str) -> str:
        return f"{self.of(execution_id, 'f')}:{node}"

    def held(self, kind: str, account: str, subject: str, key: str) -> str:
        """Return the name of an idempotency (``k``) or business (``y``) key: it lies where the key's digits say."""
        prefix = self.prefixes[partition_of(keyed_digits(account, subject, key), self.partitions)]
        return f"{prefix}{kind}:{len(account)}:{account}:{len(subject)}:{subject}:{key}"

    @staticmethod
    def document(kind: str, key: str) -> str:
        return f"ax:{{meta}}:d:{kind}:{key}"

    @staticmethod
    def documents(kind: str) -> str:
        return f"ax:{{meta}}:k:{kind}"


def index_name(prefix: str, kind: str, account: str, value: str) -> str:
    """Return the name of a sorted index: ``i`` all (value empty) or a status, ``if`` a flow, ``ig`` a graph."""
    return f"{prefix}{kind}{len(account.encode())}:{account}:{value}"


def writable(item: Append, keys: Keys) -> Sequence[object]:
    """Return what ``append.lua`` reads: the item as it is, or with a create's names and facts behind it."""
    if item.create is None:
        return item
    return (*item, creation(item, item.create, keys))


def creation(item: Append, create: Create, keys: Keys) -> tuple[int, str, str, bytes]:
    """Return (crc of the id, name of the idempotency key, name of the business key, facts)."""
    key_name = business_name = ""
    if create.key is not None:
        key_name = keys.held("k", create.account, create.flow or create.graph_id, create.key)
    if create.business_key is not None:
        business_name = keys.held("y", create.account, create.flow, create.business_key)
    facts = _pack(
        (
            item.at,
            create.account,
            create.flow,
            create.graph_id,
            create.mode,
            create.retention_days,
            create.key or "",
            create.request_hash,
            create.business_key or "",
            key_name,
            business_name,
        )
    )
    return zlib.crc32(item.execution_id.encode()), key_name, business_name, facts


def head_of(execution_id: str, raw: bytes) -> Head:
    """Return the head that ``raw`` holds."""
    seq, check, updated, status, epoch, ready, started, completed, priority, frames, _ = _HEAD.unpack_from(
        raw
    )
    at = _HEAD.size
    session, at = _text(raw, at)
    queue, at = _text(raw, at)
    created, account, flow, graph_id, mode, retention, key, _, business, _, _ = _unpack(raw[at:])
    return Head(
        execution_id,
        seq,
        check,
        STATUSES[status],
        int(epoch),
        session or None,
        account,
        flow,
        graph_id,
        mode,
        queue,
        None if ready == NEVER else int(ready),
        priority,
        created,
        int(started) or None,
        int(updated),
        int(completed) or None,
        float(retention),
        key or None,
        business or None,
        frames,
    )


def _text(raw: bytes, at: int) -> tuple[str, int]:
    size = raw[at] << 8 | raw[at + 1]
    end = at + 2 + size
    return raw[at + 2 : end].decode(), end


def events_of(entries: Sequence[Any], after: int = 0) -> list[Event]:
    """Return the events above ``after`` of journal entries as ``XRANGE`` answers them.

    An entry is one append, named by its last seq: for each event its check, its length, its bytes.
    """
    found: list[Event] = []
    for name, (_, value) in entries:
        parts = list(_parts(value))
        seq = int(name[2:]) - len(parts)
        for check, data in parts:
            seq += 1
            if seq > after:
                found.append(decode(data, seq, check))
    return found


def _parts(value: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(value):
        try:
            check, size = _PART.unpack_from(value, at)
        except struct.error:
            raise Damaged("a journal entry is cut off") from None
        at += _PART.size + size
        yield check, value[at - size : at]


def snapshot_of(raw: bytes | None) -> tuple[int, bytes] | None:
    if raw is None:
        return None
    return _LENGTH.unpack_from(raw)[0], raw[4:]


def frame_of(node: str, name: bytes, value: bytes) -> Frame:
    position, taken = _FRAME.unpack_from(value)
    return Frame(position, node, int(name[2:]) - 1, taken, value[_FRAME.size :])


def outbox_entry_of(name: str, raw: bytes) -> OutboxEntry:
    kind, destination, payload, attempts, created, due, dead, error, _ = _unpack(raw, raw=True)
    return OutboxEntry(
        name,
        name[:32],
        kind.decode(),
        destination.decode(),
        payload,
        attempts,
        int(created),
        int(due),
        bool(dead),
        error.decode() or None,
    )


def document_of(raw: bytes) -> tuple[int, int, bytes]:
    """Return (version, time of the write, value)."""
    version, updated, _ = _DOCUMENT.unpack_from(raw)
    return int(version), int(updated), raw[_DOCUMENT.size :]


def check_record(found: int, written_format: int, partitions: int) -> None:
    """``Unusable`` if the store was created otherwise than it is opened now."""
    if written_format > FORMAT:
        raise Unusable(f"the store has format {written_format}; this version of Axiom reads up to {FORMAT}")
    if found != partitions:
        raise Unusable(
            f"the store was created with {found} partitions and can't be opened with {partitions}: "
            f"write ?partitions={found} in its URL"
        )
