"""A ``redis-server`` of the bench's own: on a free port of this machine, in a folder of its own, durable.

Every write is on disk before it is answered (``appendfsync always``), and streams are kept in small nodes, as Axiom
recommends. Rewriting of the log is off: it would fall into one round and not into the next.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SETTINGS: Final = {
    "appendonly": "yes",
    "appendfsync": "always",
    "save": "",
    "stream-node-max-bytes": "1024",
    "auto-aof-rewrite-percentage": "0",
}
START_SECONDS: Final = 120.0
PAUSE_SECONDS: Final = 0.01


def installed() -> bool:
    """Whether there is a ``redis-server`` to start."""
    return shutil.which("redis-server") is not None


@contextmanager
def redis_server(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield the URL and the process id of a server whose data lies in ``folder``."""
    port = free_port()
    options = [part for name, value in SETTINGS.items() for part in (f"--{name}", value)]
    process = subprocess.Popen(
        ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_it_answers(process, port)
        yield f"redis://127.0.0.1:{port}/0", process.pid
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as link:
                link.sendall(b"PING\r\n")
                if link.recv(16).startswith(b"+PONG"):
                    return
        except OSError:
            pass
        time.sleep(PAUSE_SECONDS)
    raise RuntimeError("redis-server was started and does not answer")
