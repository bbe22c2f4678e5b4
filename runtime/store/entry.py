"""An execution's head in the memory of the process that judges writes.

It runs ahead of the file by what is in flight: ``touched`` is the number of the last group of writes that changed it,
and while that group is not committed nothing but the judge may look at the entry (see ``judge.py``).
"""

from __future__ import annotations

import zlib

from .base import FINAL, Frame, Head

RECENT_CRCS = 64
"""CRCs of so many last events are kept to recognise a re-sent append without a read."""


class Entry:
    """A head that changes in place. ``rid`` is the small number that stands for the id in every table."""

    __slots__ = (
        "account",
        "business_key",
        "check",
        "completed_at",
        "crc",
        "crcs",
        "created_at",
        "dedups",
        "epoch",
        "execution_id",
        "final",
        "flow",
        "frames",
        "graph_id",
        "key",
        "last_frame",
        "mode",
        "priority",
        "queue",
        "ready_at",
        "request_hash",
        "retention_days",
        "rid",
        "seq",
        "session",
        "started_at",
        "status",
        "touched",
        "updated_at",
    )

    def __init__(self, rid: int, head: Head, request_hash: str) -> None:
        self.rid = rid
        self.execution_id = head.execution_id
        self.seq = head.seq
        self.check = head.check
        self.status = head.status
        self.final = head.status in FINAL
        self.epoch = head.epoch
        self.session = head.session
        self.account = head.account
        self.flow = head.flow
        self.graph_id = head.graph_id
        self.mode = head.mode
        self.queue = head.queue
        self.ready_at = head.ready_at
        self.priority = head.priority
        self.created_at = head.created_at
        self.started_at = head.started_at
        self.updated_at = head.updated_at
        self.completed_at = head.completed_at
        self.retention_days = head.retention_days
        self.key = head.key
        self.business_key = head.business_key
        self.frames = head.frames
        self.request_hash = request_hash
        self.touched = 0
        self.crc = zlib.crc32(head.execution_id.encode())
        self.crcs: list[int] = []
        """Of the last events, up to ``seq``; empty when just loaded."""
        self.dedups: dict[str, int] | None = None
        """De-duplication ids seen while in memory."""
        self.last_frame: Frame | None = None

    def head(self) -> Head:
        """The head as readers get it."""
        return Head(
            self.execution_id,
            self.seq,
            self.check,
            self.status,
            self.epoch,
            self.session,
            self.account,
            self.flow,
            self.graph_id,
            self.mode,
            self.queue,
            self.ready_at,
            self.priority,
            self.created_at,
            self.started_at,
            self.updated_at,
            self.completed_at,
            self.retention_days,
            self.key,
            self.business_key,
            self.frames,
        )

    def expires_at(self) -> int | None:
        """When retention lets go of it; ``None`` while it lives."""
        if self.completed_at is None:
            return None
        return self.completed_at + int(self.retention_days * 86_400_000)
