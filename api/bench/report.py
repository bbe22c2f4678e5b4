"""The figures as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from .figures import Figure, significant

COLUMNS = ("FIGURE", "STORE", "MEASURED", "LIMIT", "RATIO", "TARGET", "", "NOTE")
VERDICTS = {True: "ok", False: "missed", None: ""}


def row(figure: Figure) -> tuple[str, ...]:
    """Return a figure as cells."""
    return (
        figure.name,
        figure.store,
        f"{amount(figure.value)} {figure.unit}",
        "" if figure.limit is None else f"{amount(figure.limit)} {figure.unit}",
        "" if figure.ratio is None else f"{significant(figure.ratio, 3):g}",
        "" if figure.target is None else str(figure.target),
        VERDICTS[figure.ok],
        figure.note,
    )


def amount(number: float) -> str:
    """Return a number for people.

    >>> amount(12345.6), amount(1.2345), amount(0)
    ('12,350', '1.234', '0')
    """
    short = significant(number)
    return f"{short:,.0f}" if abs(short) >= 1000 else f"{short:g}"


def summary(figures: Sequence[Figure]) -> str:
    """Return one line: how many targets are reached, and which are missed."""
    judged = [figure for figure in figures if figure.ok is not None]
    missed = [f"{figure.name} ({figure.store})" for figure in judged if not figure.ok]
    line = f"{len(judged) - len(missed)} of {len(judged)} targets reached"
    return line + (f"; missed: {', '.join(missed)}" if missed else "")
