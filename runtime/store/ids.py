"""Names of executions.

An execution id is 32 lower-case hex digits, always new. Its first four digits choose its partition, so an id alone
finds its keys; an execution that is started under a key takes those digits from the key: both lie in one partition.
"""

from __future__ import annotations

from ..clock import Clock
from .base import keyed_digits


def new_execution_id(
    clock: Clock, account: str | None = None, flow: str | None = None, key: str | None = None
) -> str:
    """Return a new id; with ``key``, one whose partition is that of the key. ``flow``: its name, or the graph_id."""
    token = clock.token(16)
    if key is None:
        return token
    return keyed_digits(account or "", flow or "", key) + token[4:]


def partition_of(execution_id: str, partitions: int) -> int:
    """Return the partition of an execution.

    >>> partition_of("00ff" + "0" * 28, 16)
    15
    """
    return int(execution_id[:4], 16) % partitions
