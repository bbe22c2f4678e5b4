"""Diagnostics as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from .errors import Diagnostic


def render(diagnostic: Diagnostic) -> str:
    """Return a diagnostic as a few lines, the source with its caret among them."""
    d = diagnostic
    where = ":".join([d.file, *(str(n) for n in (d.line, d.column) if n)])
    lines = [f"{d.severity}[{d.code}]: {d.message}", f"  --> {where}"]
    if d.snippet:
        gutter = str(d.line)
        source, *carets = d.snippet.split("\n")
        lines.append(f"{gutter} | {source}")
        lines += [f"{' ' * len(gutter)} | {caret}" for caret in carets]
    for name, value in (("found", d.found), ("expected", d.expected), ("help", d.suggestion)):
        if value:
            lines.append(f"  = {name}: {value}")
    return "\n".join(lines)


def render_all(diagnostics: Iterable[Diagnostic]) -> str:
    """Return all of them, and a last line that counts."""
    every = list(diagnostics)
    errors = sum(d.severity == "error" for d in every)
    warnings = len(every) - errors
    counts = [_count(n, word) for n, word in ((errors, "error"), (warnings, "warning")) if n]
    return "\n\n".join([*map(render, every), " and ".join(counts) or "no problems"]) + "\n"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
