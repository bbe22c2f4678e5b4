"""How a missing proof is told: what was to be shown, where it fails, and the ways out."""

from __future__ import annotations

from typing import Final

from ..containment import Refusal
from ..errors import Place
from ..report import Report

WAYS_OUT: Final = {
    "AX1301": "shape it with an `adapter`, or say `check: runtime`",
    "AX1302": "shape it with an `adapter` on an edge from `@flow_input`",
    "AX1303": "shape it with an `adapter` on each arm, or with `compose`",
    "AX1304": "shape it with an `adapter` on an edge to `@flow_output`",
    "AX1308": "let the node take the message that resumes it",
    "AX1309": "let the node that compensates take what the other gives",
    "AX1310": "shape them: `items.map(item, {…})`",
}


def refuse(code: str, place: Place, message: str, refusal: Refusal, report: Report) -> None:
    """Complain that ``message`` holds, because of ``refusal``."""
    where = ".".join(str(step) for step in refusal.path)
    text = f"{message}: {f'at `{where}`, ' if where else ''}{refusal.reason}"
    found, expected = str(refusal.found)[:200], str(refusal.expected)[:200]
    report.error(code, place, text, found=found, expected=expected, suggestion=WAYS_OUT[code])
