"""Opening a store file: what is refused, what is created, and whether the write-ahead log lost what it had promised.

SQLite drops everything behind the first bad frame of its log without a word, because a crash in the middle of a commit
looks like that. But only the last commit can be so cut off: each is on disk before the next begins. Frames of a later
commit behind the point where SQLite stopped mean that acknowledged writes are damaged, and the file is refused.
(Format of the log: https://www.sqlite.org/fileformat2.html#the_write_ahead_log)
"""

from __future__ import annotations

import os
import sqlite3
import struct
from importlib import resources
from pathlib import Path
from typing import Final

from ..events import CODES
from .base import Status, Unusable

APPLICATION_ID: Final = 0x4178696F
"""``Axio``, in the file's header."""
FORMAT: Final = 1
"""The tables' version. A younger file is refused, an older one is upgraded."""
STATUS_CODES: Final[dict[str, int]] = {status.value: code for code, status in enumerate(Status, 1)}
STATUS_TEXTS: Final[dict[int, str]] = {code: text for text, code in STATUS_CODES.items()}

_WAL_HEADER: Final = struct.Struct(">8I")
_FRAME_HEADER: Final = struct.Struct(">6I")


def path_of(url: str) -> Path:
    """Return the file that ``sqlite:///relative`` or ``sqlite:////absolute`` names."""
    rest = url.removeprefix("sqlite://")
    if not url.startswith("sqlite:///") or len(rest) < 2:
        raise Unusable(
            f"{url!r} names no file: write sqlite:///relative/path.db or sqlite:////absolute/path.db"
        )
    return Path(rest[1:]).absolute()


def check_place(path: Path) -> None:
    """Refuse what can't be written to; create the folder that the file is to lie in, but not its parents."""
    folder = path.parent
    if not folder.is_dir():
        try:
            folder.mkdir()
        except FileNotFoundError:
            raise Unusable(f"{folder.parent} does not exist: create it, or name another place") from None
        except OSError as error:
            raise Unusable(f"{folder} can't be created: {error.strerror}") from None
    if path.is_dir():
        raise Unusable(f"{path} is a folder: name a file in it")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Unusable(f"{folder} can't be written to: the store needs to create files beside {path.name}")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise Unusable(f"{path} is read-only: the store must be able to write it")


def connect(path: Path, read_only: bool = False) -> sqlite3.Connection:
    """Return a connection in autocommit mode that any thread may use, one at a time."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("PRAGMA cache_size = -32000")
    if read_only:
        connection.execute("PRAGMA query_only = 1")
    return connection


def open_file(path: Path) -> sqlite3.Connection:
    """Return the writing connection, the file being created or found to be sound. ``Unusable`` says why not."""
    check_place(path)
    log = path.with_name(path.name + "-wal")
    before = log.read_bytes() if log.exists() else b""
    try:
        connection = connect(path)
        try:
            _prepare(path, connection, before)
        except BaseException:
            connection.close()
            if before:
                log.write_bytes(before)  # closing removes the log, but it must be refused next time, too
            raise
    except sqlite3.Error as error:
        raise Unusable(f"{path} can't be used: {error}") from error
    return connection


def _prepare(path: Path, connection: sqlite3.Connection, log: bytes) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and application != APPLICATION_ID:
        raise Unusable(f"{path} is a database of something else: name another file")
    if version > FORMAT:
        raise Unusable(f"{path} has format {version}, this version knows {FORMAT}: upgrade Axiom")
    if log:
        _check_log(path, connection, log)
    if not tables:
        _create(connection)
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise Unusable(f"the file system under {path} can't share memory between processes: use a local disk")
    with_names(connection)


def _check_log(path: Path, connection: sqlite3.Connection, log: bytes) -> None:
    """Refuse a log that lost acknowledged commits, and a file that is damaged; both after an abrupt end only."""
    recovered = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
    page_size = connection.execute("PRAGMA page_size").fetchone()[0]
    if lost_commits(log, max(recovered, 0), page_size):
        raise Unusable(
            f"{path.name}-wal is damaged: it holds acknowledged writes that can't be read. Restore it from a backup; "
            "to go on without them, move it away"
        )
    damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if damage != "ok":
        raise Unusable(f"{path} is damaged: {damage}. Restore it from a backup")


def _create(connection: sqlite3.Connection) -> None:
    schema = resources.files(__package__).joinpath("schema.sql").read_text()
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(
        f"BEGIN; {schema} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; COMMIT;"
    )


def with_names(connection: sqlite3.Connection) -> None:
    """The tables that only people read: what the numbers of statuses and kinds mean."""
    known = connection.execute(
        "SELECT (SELECT count(*) FROM statuses), (SELECT count(*) FROM kinds)"
    ).fetchone()
    if known != (len(STATUS_CODES), len(CODES)):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT OR REPLACE INTO statuses VALUES (?, ?)", STATUS_TEXTS.items())
        connection.executemany(
            "INSERT OR REPLACE INTO kinds VALUES (?, ?)", [(c, k) for k, c in CODES.items()]
        )
        connection.execute("COMMIT")


def lost_commits(log: bytes, recovered: int, page_size: int) -> bool:
    """Whether behind its first ``recovered`` frames the log holds more than the one commit that a crash may cut off."""
    if len(log) < _WAL_HEADER.size + _FRAME_HEADER.size:
        return False
    salt, chance = _WAL_HEADER.unpack_from(log)[4:6]
    frames = _frames(log, page_size)
    if not recovered and frames:
        first = frames[0][1:]
        if (first[0] == salt) != (first[1] == chance):
            return True  # a bad header: an older log's frames differ in both
    ends = [commit for commit, *_ in frames]
    ours = [at for at, (_, *salts) in enumerate(frames) if at >= recovered and salts == [salt, chance]]
    return bool(ours) and any(ends[recovered : ours[-1]])


def _frames(log: bytes, page_size: int) -> list[tuple[int, int, int]]:
    """Of each whole frame: the database's size if it ends a commit (else 0), and its two salts."""
    step = _FRAME_HEADER.size + page_size
    places = range(_WAL_HEADER.size, len(log) - step + 1, step)
    return [_FRAME_HEADER.unpack_from(log, place)[1:4] for place in places]
