"""The shell around the judge: commits are shared, answers follow them, and a failed one is undone and told."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from store_kit import Listener, beat, begin, creation, live, one, owned_run

from axiom.runtime.store import sqlite_backing
from axiom.runtime.store.base import Conflict, Full, Hint, Ok, Unavailable, Unclear
from axiom.runtime.store.embedded import Embedded
from axiom.runtime.store.sqlite import SqliteStore
from axiom.runtime.store.sqlite_backing import SqliteBacking


class Opened:
    """A store of its own for one test, with its inner parts at hand."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore(f"sqlite:///{folder}/x.db", role="holder")

    async def __aenter__(self) -> Opened:
        await self.store.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.store.close()

    @property
    def embedded(self) -> Embedded:
        assert self.store._embedded is not None
        return self.store._embedded

    @property
    def backing(self) -> SqliteBacking:
        assert isinstance(self.embedded.backing, SqliteBacking)
        return self.embedded.backing


@pytest.fixture(params=["loop", "thread"])
def writer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Who commits: the loop's thread (a quick disk), or the writer's (a slow one)."""
    if request.param == "thread":
        monkeypatch.setattr(sqlite_backing, "INLINE_SECONDS", 0.0)
    return str(request.param)


def test_concurrent_appends_share_commits(tmp_path: Path, writer: str) -> None:
    async def run() -> None:
        async with Opened(tmp_path) as opened:
            store = opened.store
            session = await live(store)
            runs = [await owned_run(store, session=session) for _ in range(64)]
            before = opened.backing.commits
            for n in range(10):
                await asyncio.gather(*(run.write(n) for run in runs))
            assert opened.backing.commits - before <= 25, "640 appends"

    asyncio.run(run())


def test_a_lone_append_waits_for_no_company(tmp_path: Path) -> None:
    async def run() -> None:
        async with Opened(tmp_path) as opened:
            run = await owned_run(opened.store)
            before = opened.backing.commits
            for n in range(20):
                await run.write(n)
            assert opened.backing.commits - before == 20

    asyncio.run(run())


def test_refusals_cost_no_commit(tmp_path: Path) -> None:
    async def run() -> None:
        async with Opened(tmp_path) as opened:
            run = await owned_run(opened.store)
            before = opened.backing.commits
            assert await one(opened.store, run.step(1, after=5)) == Conflict(1)
            assert opened.backing.commits == before

    asyncio.run(run())


def failing(backing: SqliteBacking, monkeypatch: pytest.MonkeyPatch, landed: bool) -> None:
    """The next write fails, after or before its commit."""
    write = backing.write

    def once(group: object) -> None:
        monkeypatch.setattr(backing, "write", write)
        if landed:
            write(group)  # type: ignore[arg-type]
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(backing, "write", once)


@pytest.mark.parametrize("landed", [False, True])
def test_after_a_failed_commit_the_writer_reads_back(
    landed: bool, tmp_path: Path, writer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Crash window B 1: the write may have landed though its answer was lost; sent again it counts once."""

    async def run() -> None:
        async with Opened(tmp_path) as opened:
            store = opened.store
            runs = [await owned_run(store, queue="q") for _ in range(3)]
            parked = await begin(store, queue="q")
            listener = Listener(store)
            failing(opened.backing, monkeypatch, landed)
            items = [run.step(7) for run in runs]
            outcomes = await asyncio.gather(*(one(store, item) for item in items), return_exceptions=True)
            assert all(isinstance(outcome, Unclear) for outcome in outcomes)
            assert not [hint for hint in listener.hints if hint.kind == "moved" and hint.seq > 1]
            for run, item in zip(runs, items, strict=True):
                assert len(await store.read(run.id)) == 1 + landed
                assert (await run.head()).seq == 1 + landed
                assert await one(store, item) == Ok(2)
                assert [event.body["n"] for event in await store.read(run.id)] == [0, 7]
            (claimed,) = await store.claim(await live(store), ["q"], 10)
            assert claimed.head.execution_id == parked.id, (
                "queues are read again, and live sessions keep their runs"
            )
            assert runs[0].fence is not None
            answer = await beat(store, runs[0].fence.session)
            assert (answer.alive, answer.owned) == (True, 1)

    asyncio.run(run())


def test_nothing_is_read_before_it_is_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Crash window B 20: neither journal, head, list, claim nor hint shows what a crash could take back."""
    monkeypatch.setattr(sqlite_backing, "INLINE_SECONDS", 0.0)

    async def run() -> None:
        async with Opened(tmp_path) as opened:
            store = opened.store
            run = await begin(store, queue="q")
            new = creation(store, queue="q")
            hints: list[Hint] = []
            store.watch(hints.extend)
            await asyncio.sleep(0)
            hints.clear()
            opened.embedded._writing = True  # no group is cut until this is over
            appending = asyncio.ensure_future(store.append([run.door(1, status="PAUSED"), new]))
            await asyncio.sleep(0.02)
            assert not appending.done()
            assert len(await store.read(run.id)) == 1
            assert (await run.head()).status == "QUEUED"
            assert await store.heads([new.execution_id]) == [None]
            session = await live(store)
            assert await store.claim(session, ["q"], 10) == []
            assert hints == []
            opened.embedded._writing = False
            opened.embedded._gather()
            assert await appending == [Ok(2), Ok(1)]
            assert len(await store.claim(session, ["q"], 10)) == 2

    asyncio.run(run())


def test_a_full_disk_refuses_new_executions_and_serves_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with Opened(tmp_path) as opened:
            store = opened.store
            run = await owned_run(store)
            monkeypatch.setattr(sqlite_backing, "FREE_BYTES", 1 << 60)
            opened.backing._looked = -10.0
            refused = creation(store)
            with pytest.raises(Full, match="no new execution"):
                await store.append([refused])
            assert await run.write(1) == 2
            assert [finding.code for finding in await store.findings() if finding.level == "danger"] == [
                "sqlite_full"
            ]
            monkeypatch.setattr(sqlite_backing, "FREE_BYTES", 0)
            opened.backing._looked = -10.0
            assert await one(store, refused) == Ok(1)

    asyncio.run(run())


def test_a_write_that_finds_no_room_leaves_nothing_and_the_store_goes_on(tmp_path: Path) -> None:
    async def run() -> None:
        async with Opened(tmp_path) as opened:
            store = opened.store
            run = await owned_run(store)
            backing = opened.backing
            pages = backing._write.execute("PRAGMA page_count").fetchone()[0]
            backing._write.execute(f"PRAGMA max_page_count = {pages}")
            fat = run.step(1, snapshot=b"x" * 200_000)
            with pytest.raises(Full):
                await store.append([fat])
            assert len(await store.read(run.id)) == 1
            assert await store.snapshot(run.id) is None
            assert await one(store, fat) == Ok(2), "there is room again: the file was opened anew"

    asyncio.run(run())


def test_a_file_that_cannot_be_opened_again_refuses_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with Opened(tmp_path) as opened:
            store = opened.store
            run = await owned_run(store)
            failing(opened.backing, monkeypatch, landed=False)
            reopen = opened.backing.open
            came_back = asyncio.Event()

            def refuse() -> None:
                monkeypatch.setattr(opened.backing, "open", later)
                raise OSError("gone")

            def later() -> None:
                reopen()
                came_back.set()

            monkeypatch.setattr(opened.backing, "open", refuse)
            with pytest.raises(Unclear):
                await store.append([run.step(1)])
            with pytest.raises(Unavailable):
                await store.append([run.step(1)])
            await asyncio.wait_for(came_back.wait(), 10)
            assert await run.write(1) == 2

    asyncio.run(run())


def test_heads_are_let_go_of_and_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with Opened(tmp_path) as opened:
            opened.backing.resident = 5
            store = opened.store
            runs = [await begin(store, queue="q", key=f"k{n}", business_key=f"b{n}") for n in range(40)]
            books = opened.embedded._books
            assert books is not None
            for run in runs:
                assert await one(store, run.signal("s", 1)) == Ok(2)
            assert len(books._entries) <= 6
            for run in runs:
                assert await one(store, run.signal("s", 1)) == Ok(2)
                assert await one(store, run.door(2, after=1)) == Conflict(2)
                assert (await run.head()).seq == 2
            assert len(await store.claim(await live(store), ["q"], 100)) == 40

    asyncio.run(run())


def test_room_of_deleted_runs_is_given_back(tmp_path: Path) -> None:
    async def run() -> None:
        async with Opened(tmp_path) as opened:
            store = opened.store
            run = await owned_run(store)
            for n in range(6):
                await store.put_blob(run.id, f"b{n}", bytes(500_000))
            await run.write(1, status="COMPLETED")
            pages = opened.backing._read.execute("PRAGMA page_count").fetchone()[0]
            assert await store.delete([run.id]) == 1
            left = opened.backing._read.execute("PRAGMA page_count").fetchone()[0]
            assert left < pages / 5

    asyncio.run(run())


def test_stored_bytes_stay_within_the_promise(tmp_path: Path) -> None:
    """1.25 × the outputs, 200 bytes per event, 400 per run."""
    count, steps, output = 2_000, 6, 200

    async def run() -> None:
        async with Opened(tmp_path) as opened:
            store = opened.store
            session = await live(store)
            for _ in range(count // 100):
                runs = [await owned_run(store, session=session, key=None) for _ in range(100)]
                for n in range(1, steps):
                    status = "COMPLETED" if n == steps - 1 else None
                    facts = [run.step(n, status=status) for run in runs]
                    padded = [item._replace(events=(item.events[0] + bytes(output),)) for item in facts]
                    outcomes = await store.append(padded)
                    assert outcomes == [Ok(n + 1)] * 100
                    for run in runs:
                        run.seq = n + 1

    asyncio.run(run())
    stored = (tmp_path / "x.db").stat().st_size
    assert stored / count <= 1.25 * output * (steps - 1) + 200 * steps + 400
