"""``concurrency``, of a flow and of a node: how many may go at once. Only reading: ``passes/limits`` checks keys."""

from __future__ import annotations

from typing import Final

from .fields import Fields
from .model import Throttle
from .report import Report
from .source import Scalar, Tree

CONCURRENCY_KEYS: Final = ["key", "limit"]
MOST: Final = 100_000
"""Holders of one limit; more is no limit."""


def parse_concurrency(tree: Tree | None, report: Report) -> Throttle | None:
    """Return what ``concurrency`` says."""
    if tree is None:
        return None
    f = Fields(tree, report, "`concurrency`", CONCURRENCY_KEYS)
    f.require("limit")
    return Throttle(place=f.place, places=f.places, key=_key(f), limit=f.integer("limit", 1, 1, MOST))


def _key(f: Fields) -> Tree | None:
    tree = f.get("key")
    if tree is None or (isinstance(tree, Scalar) and isinstance(tree.value, str)):
        return tree
    f.wrong(tree, "an expression", "`key`")
    return None
