"""The tree of an expression as written, and what is said when something is wrong with it.

A tree holds the meaning and, beside it, the place of each node in the text. Two trees are equal when they mean the
same, wherever their parts stood: white space, comments and redundant parentheses leave no trace.

The operations and their arguments::

    const VALUE            name NAME              list TREE…            map TREE TREE …  (key, value, key, value)
    field TREE NAME BOOL   (True: ``.?NAME``)     index TREE TREE       has TREE  (a field)
    not TREE               neg TREE               add|sub|mul|div|mod TREE TREE
    eq|ne|lt|le|gt|ge|in TREE TREE                and|or TREE…          if TREE TREE TREE
    call NAME TREE…        method NAME TREE…      (the receiver is the first argument)
    all|exists|exists_one|filter TREE NAME TREE   map_each TREE NAME TREE|None TREE   or_value TREE TREE
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

MAX_TEXT: Final = 4096
"""Characters. What needs more belongs into a node."""
MAX_DEPTH: Final = 32
"""Nested operations. Chains of one operator (``a && b && c``) count once."""
MAX_NODES: Final = 512
MAX_COST: Final = 100_000_000
"""Steps that an expression may take by the estimate of ``parse.cost``: two nested comprehensions, not three."""
MAX_STEPS: Final = 1_000_000
"""Items that the comprehensions of one evaluation may visit."""
MAX_BUILT: Final = 16 * 1024 * 1024
"""Characters and items that one evaluation may write into new strings and lists."""

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1

COMPREHENSIONS: Final = frozenset({"all", "exists", "exists_one", "filter", "map_each"})


class ExpressionError(ValueError):
    """An expression that can't be accepted. ``offset`` and ``length`` say which characters of it are meant."""

    code = "expression"

    def __init__(self, message: str, offset: int = 0, length: int = 1, suggestion: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.length = length
        self.suggestion = suggestion


class EvaluationError(ArithmeticError):
    """An expression that failed on the data it was given."""

    code = "expression_failed"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Tree:
    """One node of an expression. Its place takes no part in equality."""

    op: str
    args: tuple[Any, ...]
    offset: int = field(default=0, compare=False)
    length: int = field(default=1, compare=False)

    @property
    def children(self) -> Iterator[Tree]:
        """The trees among the arguments."""
        return (arg for arg in self.args if isinstance(arg, Tree))

    def error(self, message: str, suggestion: str = "") -> ExpressionError:
        """An error at this place."""
        return ExpressionError(message, self.offset, self.length, suggestion)
