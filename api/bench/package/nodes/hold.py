"""Hold: says on which process it runs and hangs there; when it is run again, it is done."""

import asyncio
import os
from pathlib import Path
from typing import Any


async def hold(ctx: Any, input: dict[str, Any]) -> dict[str, Any]:
    if not begun_before(Path(input["marker"])):
        await asyncio.sleep(3600)
    return input


def begun_before(marker: Path) -> bool:
    """Whether another run of this node has left its process id in ``marker``; if not, leave this one's."""
    if marker.exists():
        return True
    begun = marker.with_suffix(".begun")
    begun.write_text(str(os.getpid()))
    begun.rename(marker)
    return False
