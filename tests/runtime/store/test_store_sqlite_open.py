"""What can't be opened is refused with a word on why and what to do."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from store_kit import begin

from axiom.runtime.store import holder_lock
from axiom.runtime.store.base import Unusable
from axiom.runtime.store.opening import open_store
from axiom.runtime.store.sqlite import SqliteStore


async def opened_and_closed(url: str) -> None:
    store = SqliteStore(url)
    await store.open()
    await store.close()


def refused(url: str, because: str) -> None:
    with pytest.raises(Unusable, match=because):
        asyncio.run(opened_and_closed(url))


def test_one_missing_folder_is_made_two_are_not(tmp_path: Path) -> None:
    asyncio.run(opened_and_closed(f"sqlite:///{tmp_path}/.axiom/axiom.db"))
    assert (tmp_path / ".axiom" / "axiom.db").exists()
    refused(f"sqlite:///{tmp_path}/no/such/x.db", "does not exist: create it")


def test_a_relative_url_is_relative_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asyncio.run(opened_and_closed("sqlite:///here.db"))
    assert (tmp_path / "here.db").exists()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:x.db", "sqlite://host/x.db"])
def test_a_url_without_a_file_is_refused(url: str) -> None:
    refused(url, "names no file")


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(Unusable, match="unknown store"):
        open_store("mysql://x")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "x.db").mkdir()
    refused(f"sqlite:///{tmp_path}/x.db", "is a folder")


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    text = b"dear diary, " * 1_000
    (tmp_path / "x.db").write_bytes(text)
    refused(f"sqlite:///{tmp_path}/x.db", "not a database")
    assert (tmp_path / "x.db").read_bytes() == text


def test_anothers_database_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    refused(f"sqlite:///{tmp_path}/x.db", "something else")
    with sqlite3.connect(tmp_path / "x.db") as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("songs",)]


def test_a_younger_format_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    asyncio.run(opened_and_closed(url))
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    refused(url, "upgrade Axiom")


def test_what_failed_to_open_holds_no_lock(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"dear diary, " * 1_000)
    refused(f"sqlite:///{tmp_path}/x.db", "not a database")
    (tmp_path / "x.db").unlink()
    asyncio.run(opened_and_closed(f"sqlite:///{tmp_path}/x.db"))


def test_a_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holder_lock.fcntl, "flock", lambda descriptor, how: None)
    refused(f"sqlite:///{tmp_path}/x.db", "has no locks")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_read_only_place_is_refused(what: str) -> None:
    """Opened by a user who may not write there (root may write everywhere, and so stands aside)."""
    folder = Path(tempfile.mkdtemp())
    try:
        path = folder / "x.db"
        asyncio.run(opened_and_closed(f"sqlite:///{path}"))
        path.chmod(0o444)
        folder.chmod(0o555 if what == "folder" else 0o777)
        (folder / "x.db.lock").chmod(0o666)
        code = (
            "import os, sys, asyncio\n"
            "from axiom.runtime.store.sqlite import SqliteStore\n"
            "if os.getuid() == 0: os.setuid(65534)\n"
            "asyncio.run(SqliteStore(sys.argv[1]).open())\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, f"sqlite:///{path}"], capture_output=True, text=True
        )
        assert "Unusable" in done.stderr
        assert ("read-only" if what == "file" else "can't be written to") in done.stderr
    finally:
        os.chmod(folder, 0o700)
        shutil.rmtree(folder)


def test_opening_and_closing_twice_is_harmless(tmp_path: Path) -> None:
    async def run() -> None:
        store = SqliteStore(f"sqlite:///{tmp_path}/x.db")
        await store.open()
        await store.open()
        run = await begin(store)
        await store.close()
        await store.close()
        await store.open()
        assert len(await store.read(run.id)) == 1
        await store.close()

    asyncio.run(run())
