"""A port for a server that a test starts, stops and starts again: nobody else is given it meanwhile."""

from __future__ import annotations

import random
import socket

PORTS = range(12_000, 30_000)
"""Below what systems hand out by themselves: a port of theirs may be another connection's before it is bound here."""


def free_port() -> int:
    """Return a port of the loopback that nobody listens on; drawn at random, as tests run side by side."""
    draw = random.SystemRandom()
    while True:
        port = draw.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
