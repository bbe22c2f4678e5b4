"""``concurrency``, ``rate_limit`` and ``circuit_breaker``. Only reading: ``passes/limits`` checks keys."""

from __future__ import annotations

from typing import Final

from .fields import Fields
from .model import Breaker, Throttle
from .report import Report
from .source import Scalar, Tree

CONCURRENCY_KEYS: Final = ["key", "limit"]
RATE_KEYS: Final = ["key", "per_second", "burst"]
BREAKER_KEYS: Final = ["failures", "window_ms", "open_ms", "on_open"]
ON_OPEN: Final = ("WAIT", "FAIL")
MOST: Final = 100_000
"""Holders of one limit, calls at once, or calls a second; more is no limit."""
MOST_FAILURES: Final = 1_000
"""Of one circuit: it remembers the moment of each."""
MOST_MS: Final = 86_400_000
"""A day: a circuit that remembers or waits longer hides what an operator should see."""
WINDOW_MS: Final = 60_000
OPEN_MS: Final = 30_000


def parse_concurrency(tree: Tree | None, report: Report) -> Throttle | None:
    """Return what ``concurrency`` says."""
    if tree is None:
        return None
    f = Fields(tree, report, "`concurrency`", CONCURRENCY_KEYS)
    f.require("limit")
    settings = {"limit": f.integer("limit", 1, 1, MOST)}
    return Throttle(place=f.place, places=f.places, key=_key(f), settings=settings)


def parse_rate(tree: Tree | None, report: Report) -> Throttle | None:
    """Return what ``rate_limit`` says."""
    if tree is None:
        return None
    f = Fields(tree, report, "`rate_limit`", RATE_KEYS)
    f.require("per_second")
    settings = {
        "per_second": float(f.number("per_second", 1, 0, MOST, above=True)),
        "burst": f.integer("burst", 1, 1, MOST),
    }
    return Throttle(place=f.place, places=f.places, key=_key(f), settings=settings)


def parse_breaker(tree: Tree | None, report: Report) -> Breaker | None:
    """Return what ``circuit_breaker`` says."""
    if tree is None:
        return None
    f = Fields(tree, report, "`circuit_breaker`", BREAKER_KEYS)
    f.require("failures")
    return Breaker(
        place=f.place,
        places=f.places,
        failures=f.integer("failures", 1, 1, MOST_FAILURES),
        window_ms=f.integer("window_ms", WINDOW_MS, 1, MOST_MS),
        open_ms=f.integer("open_ms", OPEN_MS, 1, MOST_MS),
        on_open=f.choice("on_open", "WAIT", ON_OPEN),
    )


def _key(f: Fields) -> Tree | None:
    tree = f.get("key")
    if tree is None or (isinstance(tree, Scalar) and isinstance(tree.value, str)):
        return tree
    f.wrong(tree, "an expression", "`key`")
    return None
