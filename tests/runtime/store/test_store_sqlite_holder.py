"""Several processes on one file: one holds it, the others speak to it, and it may die."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from pathlib import Path

import pytest
from child_process import Child
from store_kit import Listener, Run, beat, begin, live, one, owned_run, until

from axiom.runtime.store.base import Ok, StoreError, Unavailable, Unclear
from axiom.runtime.store.holder_lock import HolderLock
from axiom.runtime.store.sqlite import SqliteStore
from axiom.runtime.store.wire import VERSION, framed

pytestmark = pytest.mark.slow


def url_of(folder: Path) -> str:
    return f"sqlite:///{folder}/x.db"


def test_the_second_opener_is_a_client_of_the_first(tmp_path: Path) -> None:
    async def run() -> None:
        async with Child("hold", url_of(tmp_path)) as holder:
            await holder.until("ready")
            store = SqliteStore(url_of(tmp_path))
            await store.open()
            assert not store.holds
            run = await owned_run(store)
            assert await run.write(1) == 2
            with pytest.raises(Unavailable, match="another process holds"):
                await SqliteStore(url_of(tmp_path), role="holder").open()
            await store.close()
            await holder.stop()

    asyncio.run(run())


def test_the_socket_is_the_users_alone(tmp_path: Path) -> None:
    async def run() -> None:
        store = SqliteStore(url_of(tmp_path))
        await store.open()
        place = HolderLock(tmp_path / "x.db").socket()
        assert place is not None
        mode = os.stat(place).st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
        await store.close()
        assert not os.path.exists(place)  # noqa: ASYNC240

    asyncio.run(run())


def test_a_killed_workers_runs_are_claimable_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        store = SqliteStore(url_of(tmp_path))
        await store.open()
        heir = await live(store)
        async with Child("own", url_of(tmp_path)) as worker:
            await worker.until("ready")
            assert await store.claim(heir, ["child"], 10) == []
            listener = Listener(store)
            await worker.kill()
            await listener.wait(lambda hint: hint.kind == "ready" and hint.subject == "child")
            claimed = await store.claim(heir, ["child"], 10)
            assert sorted(c.head.execution_id for c in claimed) == sorted(worker.ids())
            assert {c.former for c in claimed} == set(worker.ids("session"))
        await store.close()

    asyncio.run(run())


def test_a_stopped_worker_loses_its_lease_and_nobody_waits_for_it(tmp_path: Path) -> None:
    async def run() -> None:
        store = SqliteStore(url_of(tmp_path))
        await store.open()
        heir = await live(store)
        async with Child("lapse", url_of(tmp_path)) as worker:
            await worker.until("ready")
            worker.process.send_signal(signal.SIGSTOP)
            for n in range(50):
                assert await one(store, (await begin(store)).door(n)) == Ok(2)
            claimed = await until(lambda: store.claim(heir, ["child"], 10))
            assert len(claimed) == 3
            worker.process.send_signal(signal.SIGCONT)
            await worker.until("lost")
        await store.close()

    asyncio.run(run())


def test_a_new_holder_keeps_live_workers_sessions(tmp_path: Path) -> None:
    async def run() -> None:
        async with Child("hold", url_of(tmp_path)) as holder:
            await holder.until("ready")
            async with Child("lapse", url_of(tmp_path)) as worker:
                await worker.until("ready")
                client = SqliteStore(url_of(tmp_path))
                await client.open()
                await holder.kill()
                await until(lambda: held(client))
                (session,) = worker.ids("session")
                heir = await live(client)
                for _ in range(20):
                    assert await client.claim(heir, ["child"], 10) == []
                    await asyncio.sleep(0.1)
                assert sorted(await client.owned(session)) == sorted(worker.ids())
                await worker.kill()
                claimed = await until(lambda: client.claim(heir, ["child"], 10))
                assert len(claimed) == 3
                await client.close()

    async def held(store: SqliteStore) -> bool:
        return store.holds

    asyncio.run(run())


def test_a_dead_holders_own_sessions_are_dead(tmp_path: Path) -> None:
    async def run() -> None:
        async with Child("load", url_of(tmp_path)) as holder:
            lines = await holder.until("owns")
            await holder.kill()
            (session,) = holder.ids("session")
            assert lines
        store = SqliteStore(url_of(tmp_path))
        await store.open()
        heir = await live(store)
        claimed = await store.claim(heir, ["child"], 100)
        assert len(claimed) == 24, "without any wait"
        assert {c.former for c in claimed} == {session}
        await store.close()

    asyncio.run(run())


def test_clients_go_on_when_the_holder_is_killed(tmp_path: Path) -> None:
    """Writers read back after an unclear answer: nothing acknowledged is missing, nothing is doubled."""

    async def writer(store: SqliteStore, run: Run, count: int) -> None:
        while run.seq < count:
            item = run.door(run.seq)
            try:
                (outcome,) = await store.append([item])
            except Unclear:
                (outcome,) = await store.append([item])
            assert outcome == Ok(run.seq + 1)
            run.seq += 1

    async def run() -> None:
        async with Child("hold", url_of(tmp_path)) as holder:
            await holder.until("ready")
            clients = [SqliteStore(url_of(tmp_path)) for _ in range(3)]
            for client in clients:
                await client.open()
            runs = [(client, await begin(client)) for client in clients for _ in range(4)]
            writing = [asyncio.ensure_future(writer(store, run, 400)) for store, run in runs]
            listener = Listener(clients[2])
            await listener.wait(lambda hint: hint.kind == "moved" and hint.seq >= 20)
            await holder.kill()
            await asyncio.gather(*writing)
            assert sum(client.holds for client in clients) == 1
            for _, each in runs:
                read = await clients[0].read(each.id)
                assert [event.body["n"] for event in read[1:]] == list(range(1, 400))
            for client in clients:
                await client.close()

    asyncio.run(run())


def test_reads_under_way_are_made_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with Child("hold", url_of(tmp_path)) as holder:
            await holder.until("ready")
            client = SqliteStore(url_of(tmp_path))
            await client.open()
            run = await begin(client)
            holder.process.send_signal(signal.SIGSTOP)
            reading = asyncio.ensure_future(client.read(run.id))
            writing = asyncio.ensure_future(client.append([run.door(1)]))
            await asyncio.sleep(0.05)
            await holder.kill()
            assert len(await reading) == 1
            with pytest.raises(Unclear):
                await writing
            await client.close()

    asyncio.run(run())


def test_a_client_that_finds_nobody_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        store = SqliteStore(url_of(tmp_path), role="client", timeout_seconds=0.2)
        with pytest.raises(Unavailable, match="nobody holds"):
            await store.open()
        with pytest.raises(StoreError):
            await store.read("0" * 32)

    asyncio.run(run())


def test_a_client_that_does_not_read_stops_nobody(tmp_path: Path) -> None:
    """Its answers stay in a bounded buffer, its calls unread; the others go on."""

    async def run() -> None:
        holder = SqliteStore(url_of(tmp_path))
        await holder.open()
        run = await begin(holder, numbers=tuple(range(500)))
        place = HolderLock(tmp_path / "x.db").socket()
        assert place is not None
        _, writer = await asyncio.open_unix_connection(place, limit=1)
        writer.write(framed((1, "hello", (VERSION,))) + framed((2, "watch", ())))
        for number in range(3, 4_000):
            writer.write(framed((number, "lines", (run.id, 0, 500))))
        for n in range(300):
            run.seq = n + 500
            assert await one(holder, run.door(n)) == Ok(n + 501)
        server = holder._server
        assert server is not None
        for connection in server.connections:
            assert connection.transport is not None
            assert connection.transport.get_write_buffer_size() < 64 << 20
        writer.close()
        await holder.close()

    asyncio.run(run())


def test_rubbish_on_the_socket_closes_that_connection_only(tmp_path: Path) -> None:
    async def run() -> None:
        holder = SqliteStore(url_of(tmp_path))
        await holder.open()
        place = HolderLock(tmp_path / "x.db").socket()
        assert place is not None
        for rubbish in (b"\xff" * 64, b"\x00\x00\x00\x01\xc1"):
            reader, writer = await asyncio.open_unix_connection(place)
            writer.write(rubbish)
            assert await reader.read() == b""
            writer.close()
        await beat(holder, "s")
        await holder.close()

    asyncio.run(run())
