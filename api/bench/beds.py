"""A bed: a fresh store in a folder of its own, for one measure; and how much a measure does there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .redis_server import redis_server

STORES: Final = ("sqlite", "redis")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    round_seconds: float = 1.5
    rounds: int = 7
    nodes: int = 10_050
    """Of the long chain."""
    frames: int = 5_000
    """Of one stream."""
    first_frames: int = 25
    """Streams of a round whose first frame is timed."""
    kills: int = 5
    runs_kept: int = 500
    """Runs whose stored bytes are counted."""
    queued: int = 3_000
    """Runs of a round that workers take from the queue."""
    parked: int = 10_000
    idle_seconds: float = 5.0


FULL: Final = Size(parked=100_000)
QUICK: Final = Size(0.4, 3, 3_000, 1_000, 10, 1, 100, 600, 1_000, 2.0)
TINY: Final = Size(0.1, 1, 300, 50, 2, 1, 10, 40, 50, 0.3)
"""For tests of the bench itself: the figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Bed:
    """Where one measure runs."""

    store: str
    """``sqlite`` or ``redis``."""
    url: str
    folder: Path
    size: Size
    server_pid: int | None = None
    """Of the Redis server."""


@contextmanager
def bed(store: str, size: Size) -> Iterator[Bed]:
    """Make a bed; with the block's end everything of it is gone.

    It lies in the folder for temporary files (``TMPDIR``): on a file system in memory nothing would be durable.
    """
    with tempfile.TemporaryDirectory(prefix="axiom-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if store == "sqlite":
            yield Bed(store, f"sqlite:///{folder}/axiom.db", folder, size)
            return
        with redis_server(folder) as (url, pid):
            yield Bed(store, url, folder, size, pid)


def in_memory(folder: Path) -> bool:
    """Whether a folder lies on a file system that a power cut empties (Linux)."""
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return False
    real = os.path.realpath(folder)
    at = [line.split()[1:3] for line in mounts]
    above = [(where, kind) for where, kind in at if (real + "/").startswith(where.rstrip("/") + "/")]
    return max(above, key=lambda mount: len(mount[0]), default=("", ""))[1] in ("tmpfs", "ramfs")
