"""Comprehensions, and the frame that they live in.

A frame belongs to one evaluation. It holds the steps and the size that the evaluation may still use and, behind them,
the variables. Every item that is visited is a step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from . import values
from .tree import MAX_BUILT, MAX_STEPS, EvaluationError

Run = Callable[[Any, Any, list[Any]], Any]
"""A compiled operation: a function of message, inputs and frame."""

FAULTS: Final = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError)
"""What a closure may raise; ``&&`` and ``||`` absorb it, the outermost closure gives it its name."""
_STEPS: Final = 0
_BUILT: Final = 1
FIRST: Final = 2
"""Where the variables begin in a frame."""


def charge(frame: list[Any], size: int) -> None:
    """Count ``size`` characters or items as built."""
    frame[_BUILT] -= size
    if frame[_BUILT] < 0:
        raise EvaluationError(f"the expression builds more than {MAX_BUILT} characters and items")


def _members(source: Run) -> Callable[[Any, Any, list[Any]], Any]:
    """The items of a list or the keys of a map; each counts as a step."""

    def members(m: Any, i: Any, f: list[Any]) -> Any:
        group = source(m, i, f)
        if not isinstance(group, (list, tuple, Mapping)):
            raise values.mismatch("a comprehension", group)
        f[_STEPS] -= len(group)
        if f[_STEPS] < 0:
            raise EvaluationError(f"the expression takes more than {MAX_STEPS} steps")
        return group

    return members


def quantifier(decisive: bool) -> Callable[..., Run]:
    """``all`` is decided by one false, ``exists`` by one true; a fault counts only if nothing decides."""

    def compile_quantifier(slot: int, source: Run, test: Run) -> Run:
        members, place = _members(source), slot + FIRST

        def quantify(m: Any, i: Any, f: list[Any]) -> bool:
            failed: Exception | None = None
            for item in members(m, i, f):
                f[place] = item
                try:
                    found: bool = test(m, i, f)
                    if found is decisive:
                        return decisive
                except FAULTS as fault:
                    failed = failed or fault
            if failed is not None:
                raise failed
            return not decisive

        return quantify

    return compile_quantifier


def exists_one(slot: int, source: Run, test: Run) -> Run:
    """Whether the condition holds for exactly one item."""
    members, place = _members(source), slot + FIRST

    def one(m: Any, i: Any, f: list[Any]) -> bool:
        count = 0
        for item in members(m, i, f):
            f[place] = item
            count += test(m, i, f)
        return count == 1

    return one


def keep(slot: int, source: Run, test: Run) -> Run:
    """``filter``: the items for which the condition holds."""
    members, place = _members(source), slot + FIRST

    def kept(m: Any, i: Any, f: list[Any]) -> list[Any]:
        out = []
        for item in members(m, i, f):
            f[place] = item
            if test(m, i, f):
                out.append(item)
        return out

    return kept


def map_each(slot: int, source: Run, test: Run | None, make: Run) -> Run:
    """``map``: what is made of each item, or of those for which a condition holds."""
    members, place = _members(source), slot + FIRST

    def each(m: Any, i: Any, f: list[Any]) -> list[Any]:
        out = []
        for item in members(m, i, f):
            f[place] = item
            if test is None or test(m, i, f):
                out.append(make(m, i, f))
        return out

    return each
