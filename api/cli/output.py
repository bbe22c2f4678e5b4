"""What commands print: data on stdout, everything else on stderr; tables for people, JSON for programs.

Colour and rich tables only where stdout is a terminal; in a pipe a table is tab-separated text with no decoration, so
that ``cut`` and ``awk`` work on it. Control characters in data never reach a terminal raw.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

STATUS_COLOURS = {
    "COMPLETED": "green",
    "FAILED": "red",
    "CANCELLED": "yellow",
    "RUNNING": "blue",
    "COMPENSATING": "magenta",
}


def program() -> str:
    """What the reader types to call this: ``axiom``, or the launcher by the path that it was called by."""
    return os.environ.get("AXIOM_PROGRAM", "axiom")


def data(text: str) -> None:
    """A line of data."""
    click.echo(text)


def note(text: str) -> None:
    """A line for the reader, on stderr."""
    click.echo(text, err=True)


def as_json(value: Any, *, indent: int | None = 2) -> None:
    """``value`` as JSON: one document, or with ``indent=None`` one line of a stream."""
    click.echo(json.dumps(value, indent=indent, ensure_ascii=False, default=str))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Rows under headings on a terminal, tab-separated with no heading elsewhere."""
    cells = [[clean(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in cells:
            click.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in cells:
        shown.add_row(*(Text(cell, style=STATUS_COLOURS.get(cell, "")) for cell in row))
    Console().print(shown)


def fields(pairs: Mapping[str, Any]) -> None:
    """``name  value`` lines of one object; empty values are left out."""
    shown = {name: clean(value) for name, value in pairs.items() if value not in (None, "", [], {})}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        label = f"{name:<{width}}"
        click.echo(f"{click.style(label, bold=True)}  {click.style(value, fg=STATUS_COLOURS.get(value))}")


def clean(value: Any) -> str:
    """``value`` as text on one line, its control characters escaped."""
    if value is None:
        return "-"
    text = value if isinstance(value, str) else compact(value)
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def when(ms: int | None) -> str:
    """A time of the store as ISO 8601 in UTC, seconds; '-' if there is none."""
    if ms is None:
        return "-"
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration(ms: int | float | None) -> str:
    """A span for people: ``12 ms``, ``3.4 s``, ``2 min 5 s``, ``3 h 2 min``."""
    if ms is None:
        return "-"
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"
