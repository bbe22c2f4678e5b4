"""A figure: what was measured, the limit that the machine sets, and how the two compare.

A number of runs per second says as much of the machine as of the engine. So each figure stands beside its **limit**:
the same work done by a bare loop over the same disk, server or socket, measured in the same minutes. What is judged is
the **ratio** of the two where there is a limit, else the value itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Of = Literal["ratio", "value", "excess"]


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure should reach. ``of``: its ratio, its value, or by how much its value exceeds the limit."""

    sign: Literal["≥", "≤"]
    bound: float
    of: Of = "ratio"
    unit: str = ""

    def met(self, figure: Figure) -> bool:
        """Whether ``figure`` reaches it."""
        number = self._number(figure)
        return number >= self.bound if self.sign == "≥" else number <= self.bound

    def _number(self, figure: Figure) -> float:
        if self.of == "value":
            return figure.value
        assert figure.limit is not None, f"{figure.name} has no limit"
        if self.of == "excess":
            return figure.value - figure.limit
        assert figure.ratio is not None, f"{figure.name} has no ratio"
        return figure.ratio

    def __str__(self) -> str:
        """As people read it: ``≥ 0.35``, ``≤ 2 s``, ``≤ limit + 5 ms``."""
        number = f"{self.bound:g}" + (f" {self.unit}" if self.unit else "")
        return f"{self.sign} {'limit + ' if self.of == 'excess' else ''}{number}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report."""

    name: str
    """``chain5.throughput``: the measure, then what of it."""
    store: str
    value: float
    unit: str
    limit: float | None = None
    ratio: float | None = None
    """Value to limit: the median over pairs of rounds, so not exactly the quotient of the two medians. ``None`` if
    there is no limit, or if it is nothing (an idle process that used no CPU time)."""
    target: Target | None = None
    note: str = ""

    @property
    def ok(self) -> bool | None:
        """Whether the target is reached; ``None`` if there is none."""
        return None if self.target is None else self.target.met(self)

    def as_json(self) -> Mapping[str, Any]:
        """As ``--json`` prints it."""
        return {
            "name": self.name,
            "store": self.store,
            "value": significant(self.value),
            "unit": self.unit,
            "limit": None if self.limit is None else significant(self.limit),
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "target": None if self.target is None else str(self.target),
            "ok": self.ok,
            "note": self.note,
        }


def compared(
    name: str, store: str, value: float, unit: str, limit: float, target: Target | None = None, note: str = ""
) -> Figure:
    """Return the figure of one value and one limit."""
    return Figure(name, store, value, unit, limit, value / limit, target, note)


def significant(number: float, digits: int = 4) -> float:
    """Return ``number`` with so many significant digits: more would be noise.

    >>> significant(1234.567), significant(0.00123456)
    (1235.0, 0.001235)
    """
    return float(f"{number:.{digits}g}")
