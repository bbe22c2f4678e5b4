"""The pages are tested with the rigs of the other rooms."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parent.parent
for folder in (TESTS / "runtime", TESTS / "api", TESTS / "simulation"):
    sys.path.insert(0, str(folder))
