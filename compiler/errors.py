"""What the compiler says of a source: stable codes, exact places, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a source: 1-based line and column; 0 where a file as a whole is meant."""

    file: str
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem. ``code`` (``AX1203``) never changes its meaning; ``docs/reference/errors.md`` lists them."""

    code: str
    message: str
    file: str
    line: int = 0
    column: int = 0
    snippet: str = ""
    """The line of source, then a line with a caret under the column."""
    found: str = ""
    expected: str = ""
    suggestion: str = ""
    severity: Literal["error", "warning"] = "error"

    def as_json(self) -> dict[str, Any]:
        """The shape of ``diagnostics`` over HTTP and of ``--json``; empty fields are left out."""
        return {key: value for key, value in asdict(self).items() if value not in ("", 0)}


class CompileFailed(Exception):
    """A source has errors; ``diagnostics`` holds all that were found, warnings too."""

    code = "compile_failed"

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = list(diagnostics)
        errors = [d for d in self.diagnostics if d.severity == "error"]
        first = errors[0] if errors else self.diagnostics[0]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(f"{first.file}:{first.line}:{first.column}: {first.code} {first.message}{more}")


class ArtifactDamaged(ValueError):
    """An artifact's bytes do not hash to its id, or are none."""

    code = "artifact_damaged"
