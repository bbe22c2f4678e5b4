"""CEL expressions: the conditions of edges, the adapters between messages, the texts of pauses.

``parse`` makes a tree of a text, ``check`` types it against the schemas of the messages that it reads and returns plain
data for the artifact, ``closure`` makes a Python function of that. The subset is listed in
``docs/reference/expressions.md``; what is behind these names is in ``cel/``.

Invariants: what passes ``check`` names only fields that the schemas know, and fails at run time only where no schema
could tell; a closure raises ``EvaluationError`` and nothing else, never waits, and takes bounded time and memory.
"""

from __future__ import annotations

from .cel.check import check
from .cel.closure import closure
from .cel.comparison import comparison
from .cel.parse import parse
from .cel.tree import EvaluationError, ExpressionError, Tree

__all__ = ["EvaluationError", "ExpressionError", "Tree", "check", "closure", "comparison", "parse"]
