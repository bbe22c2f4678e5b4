"""Who holds a store file: an exclusive lock on ``x.db.lock``, whose text says where the holder can be spoken to.

The lock goes with its process, however that ends; the file stays. Its socket lies in a short folder of the user's own,
because the path of a Unix socket may have about a hundred bytes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Final

from .base import Unusable

SOCKET_PATH_BYTES: Final = 100


class HolderLock:
    """The lock of one store file."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Try to become the holder. ``Unusable`` if the file system has no locks."""
        if self._descriptor is not None:
            return True
        descriptor = self._open()
        if not _lock(descriptor):
            os.close(descriptor)
            return False
        second = self._open()
        try:
            if _lock(second):
                os.close(descriptor)
                raise Unusable(f"the file system under {self._path.parent} has no locks: use a local disk")
        finally:
            os.close(second)
        self._descriptor = descriptor
        return True

    def publish(self, socket: str) -> None:
        """Say where the holder listens."""
        assert self._descriptor is not None
        text = json.dumps({"pid": os.getpid(), "socket": socket}).encode()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text, 0)

    def release(self) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def socket(self) -> str | None:
        """Where the present holder listens, if it has said so."""
        try:
            return str(json.loads(self._path.read_bytes())["socket"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unusable(f"{self._path} can't be written: {error.strerror}") from None


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise Unusable(f"the store's lock file can't be locked: {error.strerror}") from None
    return True


def socket_path(path: Path) -> str:
    """Where the holder of ``path`` listens; the folder is made, and is the user's alone."""
    name = f"{hashlib.sha256(str(path).encode()).hexdigest()[:12]}-{os.getpid()}.sock"
    given = os.environ.get("XDG_RUNTIME_DIR")
    if given and os.access(given, os.W_OK | os.X_OK) and len(given) + len(name) + 8 < SOCKET_PATH_BYTES:
        folder = Path(given, "axiom")
    else:
        folder = Path("/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir(), f"axiom-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or not folder.is_dir() or folder.is_symlink():
        raise Unusable(f"{folder} must be a folder of yours that nobody else may enter: remove it")
    return str(folder / name)
