"""All measures in their order, each on a fresh bed per store; what can't be measured here is said, not hidden."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from .beds import STORES, Bed, Size, bed, in_memory
from .figures import Figure
from .measures.chain import chain
from .measures.fanout import fanout
from .measures.frames import frames
from .measures.http import http
from .measures.long_chain import long_chain
from .measures.parked import parked
from .measures.scale import scale
from .measures.stored import stored
from .measures.takeover import takeover
from .redis_server import installed

Measure = Callable[[Bed], list[Figure]]


class Entry(NamedTuple):
    measure: Measure
    about: str
    stores: Sequence[str] = STORES


MEASURES: Final[Mapping[str, Entry]] = {
    "chain": Entry(chain, "five nodes in a row, in process"),
    "http": Entry(http, "the same over HTTP, from another process"),
    "fanout": Entry(fanout, "ten nodes side by side and a join"),
    "frames": Entry(frames, "frames of a pipeline over HTTP"),
    "takeover": Entry(takeover, "a worker is killed with a run in flight"),
    "long": Entry(long_chain, "a node early and late in a long chain, and a resume in its middle"),
    "stored": Entry(stored, "what a run takes up in the store"),
    "scale": Entry(scale, "two worker processes instead of one", ("redis",)),
    "parked": Entry(parked, "runs that wait for a day"),
}


class Plan(NamedTuple):
    """One measure on one store."""

    name: str
    store: str

    def __str__(self) -> str:
        return f"{self.name} on {self.store}: {MEASURES[self.name].about}"


def planned(names: Sequence[str], stores: Sequence[str]) -> list[Plan]:
    """Return what is to be measured, in order: ``names`` (all, if empty) on those of ``stores`` that each is for."""
    return [
        Plan(name, store)
        for name in MEASURES
        if not names or name in names
        for store in stores
        if store in MEASURES[name].stores
    ]


def measured(plan: Plan, size: Size) -> list[Figure]:
    """Make a bed, measure on it, and clear it away."""
    with bed(plan.store, size) as made:
        return MEASURES[plan.name].measure(made)


def missing(stores: Sequence[str]) -> dict[str, str]:
    """Return the stores that can't be measured here, and why."""
    if "redis" in stores and not installed():
        return {"redis": "there is no redis-server on the PATH"}
    return {}


def machine() -> dict[str, Any]:
    """Return what the figures were taken on."""
    found: dict[str, Any] = {
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "in_memory": in_memory(Path(tempfile.gettempdir())),
    }
    if installed():
        said = subprocess.run(["redis-server", "--version"], capture_output=True, text=True).stdout
        found["redis"] = next((word[2:] for word in said.split() if word.startswith("v=")), said.strip())
    return found


def warnings(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what makes these figures worth less."""
    if found["in_memory"]:
        yield "temporary files lie in memory here, so nothing is durable: set TMPDIR to a folder on a disk"
    if found["load"][0] > found["cpus"] / 2:
        yield f"the machine is busy (load {found['load'][0]} on {found['cpus']} CPUs): trust ratios, not values"
