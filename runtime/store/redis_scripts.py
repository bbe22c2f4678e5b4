"""The Lua scripts: loaded once from ``lua/``, known to the server by their SHA-1.

Each is the shared prelude and its own file, under a line that lets it run while memory is over ``maxmemory``: an
execution that has begun is never refused for lack of room (new ones are, before it comes to that).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, NamedTuple

_FOLDER: Final = Path(__file__).parent / "lua"
_FIRST_LINE: Final = "#!lua flags=allow-oom\n"


class Script(NamedTuple):
    name: str
    source: bytes
    sha: str


def _load(name: str) -> Script:
    source = _FIRST_LINE + (_FOLDER / "prelude.lua").read_text() + (_FOLDER / f"{name}.lua").read_text()
    data = source.encode()
    return Script(name, data, hashlib.sha1(data, usedforsecurity=False).hexdigest())


OPEN: Final = _load("open")
APPEND: Final = _load("append")
FRAMES: Final = _load("frames")
CLAIM: Final = _load("claim")
BEAT: Final = _load("beat")
END_SESSION: Final = _load("end_session")
OUTBOX_CLAIM: Final = _load("outbox_claim")
OUTBOX_SETTLE: Final = _load("outbox_settle")
OUTBOX_AGAIN: Final = _load("outbox_again")
EXPIRED: Final = _load("expired")
DELETE: Final = _load("delete")
PERMITS: Final = _load("permits")
BLOB: Final = _load("blob")
PUT: Final = _load("put")
REMOVE: Final = _load("remove")
ALL: Final = (
    OPEN,
    APPEND,
    FRAMES,
    CLAIM,
    BEAT,
    END_SESSION,
    OUTBOX_CLAIM,
    OUTBOX_SETTLE,
    OUTBOX_AGAIN,
    EXPIRED,
    DELETE,
    PERMITS,
    BLOB,
    PUT,
    REMOVE,
)
