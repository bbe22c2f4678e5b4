"""What passes know beside the flow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ..containment import Refusal
from ..messages import Library
from ..model import FlowRef, MessageId, Package
from ..report import Report


class FlowCycle(Exception):
    """A flow was asked for while it is being compiled: it contains itself. ``way`` is the way round."""

    def __init__(self, *way: str) -> None:
        self.way = way
        super().__init__(" → ".join(way))


class FlowRefused(Exception):
    """A flow is there and can't be contained; the text says why."""


Flows: TypeAlias = Callable[[str], FlowRef | None]
"""Resolves an alias or a ``graph_id``. ``None`` if there is no such flow; raises ``FlowCycle`` or ``FlowRefused``."""


@dataclass(frozen=True)
class Context:
    """The packages at hand, and where problems go."""

    packages: Mapping[tuple[str, str], Package]
    """By name and version."""
    home: Package | None
    """The package whose nodes and messages a flow names without saying where from."""
    library: Library
    report: Report
    flows: Flows
    """Where subflows are found."""
    unsupported: frozenset[str]
    """Features that are refused."""
    pipeline_mode: bool | None = None
    """What the caller wants instead of what the source says."""
    proofs: dict[tuple[MessageId, MessageId], Refusal | None] = field(default_factory=dict)
    """What ``types`` found out about pairs of messages."""
