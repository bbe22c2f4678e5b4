"""A real ``redis-server`` on a free loopback port, in a folder of its own: durable, and made to be killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ports import free_port

DURABLE = {
    "appendonly": "yes",
    "appendfsync": "always",
    "save": "",
    "stream-node-max-bytes": "1024",
}


class RedisServer:
    """One server; ``settings`` override ``DURABLE``."""

    def __init__(self, folder: str, settings: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self.settings = DURABLE | (settings or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, wait: bool = True) -> None:
        """Start, or start again with what is on disk; returns when it answers (or at once, without ``wait``)."""
        options = [part for name, value in self.settings.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--dir", self.folder, *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        if wait:
            self.wait_ready()

    def wait_ready(self, seconds: float = 120.0) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if self.command("PING").startswith(b"+PONG"):
                    return
            except OSError:
                pass
            assert self._process is None or self._process.poll() is None, "redis-server ended"
            time.sleep(0.01)
        raise AssertionError("redis-server does not answer")

    def command(self, *words: str) -> bytes:
        """Send one command on a connection of its own; the first bytes of the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as link:
            packed = b"".join(b"$%d\r\n%b\r\n" % (len(w.encode()), w.encode()) for w in words)
            link.sendall(b"*%d\r\n%b" % (len(words), packed))
            return link.recv(65536)

    def kill(self) -> None:
        """As a power cut would: no goodbye."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def running(**settings: str) -> Iterator[RedisServer]:
    """A server for the length of a ``with``; underscores in names stand for dashes."""
    named = {name.replace("_", "-"): value for name, value in settings.items()}
    server = RedisServer(tempfile.mkdtemp(prefix="axiom-redis-"), named)
    try:
        server.start()
        yield server
    finally:
        server.stop()
