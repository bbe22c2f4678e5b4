"""What is done to a flow between its text and its plan: a tuple of functions, one file each.

A pass takes a flow and returns one that knows more; what it finds wrong goes into the context's report and is left
out of the flow, so that later passes speak of what is left and not of the same mistake again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from ..model import Flow
from .compensation import compensation
from .context import Context, FlowCycle, FlowRefused, Flows
from .coverage import coverage
from .expressions import expressions
from .gates import gates
from .limits import limits
from .loops import loops
from .mode import mode
from .resolve import resolve
from .shape import shape
from .subflows import subflows
from .supported import UNSUPPORTED, supported
from .types import types
from .waits import waits

Pass: TypeAlias = Callable[[Flow, Context], Flow]

PASSES: Final[tuple[Pass, ...]] = (
    resolve,
    subflows,
    shape,
    loops,
    mode,
    gates,
    supported,
    expressions,
    waits,
    limits,
    compensation,
    types,
    coverage,
)

__all__ = ["PASSES", "UNSUPPORTED", "Context", "FlowCycle", "FlowRefused", "Flows", "Pass"]
