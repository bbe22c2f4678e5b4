"""Where the Redis store puts things: one slot per step, nothing left after a deletion, formats that read back."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.crc import key_slot
from redis_server import RedisServer, running
from store_kit import Run, begin, creation, fresh, live, one, owned_run, run_of

from axiom.runtime.clock import SystemClock
from axiom.runtime.events import Damaged
from axiom.runtime.store.base import (
    Append,
    Frame,
    FrameAppend,
    Ok,
    Outgoing,
    Park,
    Query,
    Settle,
    Unusable,
    keyed_digits,
)
from axiom.runtime.store.ids import new_execution_id, partition_of
from axiom.runtime.store.redis import RedisStore
from axiom.runtime.store.redis_layout import Keys, events_of
from axiom.runtime.store.redis_wire import read_address


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running() as server:
        yield server


@asynccontextmanager
async def opened(server: RedisServer, query: str = "") -> AsyncIterator[RedisStore]:
    server.command("FLUSHALL")
    store = RedisStore(server.url + query)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


class Spy:
    """What the server's scripts do, command by command."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.sendall(b"MONITOR\r\n")
        self._socket.recv(5)
        self._seen = bytearray()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while data := self._socket.recv(65536):
            self._seen += data

    def stop(self) -> list[list[str]]:
        """The commands of each script call, their first two words."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
        calls: list[list[str]] = []
        for line in self._seen.decode("latin1").splitlines():
            words = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
            if " lua] " in line:
                if words[0] == "TIME":
                    calls.append([])
                elif words[0] != "PUBLISH":
                    calls[-1].append(words[1])
        return calls


@contextmanager
def spying(server: RedisServer) -> Iterator[list[list[str]]]:
    calls: list[list[str]] = []
    spy = Spy(server.port)
    try:
        yield calls
    finally:
        server.command("PING")
        calls += spy.stop()


async def a_full_life(store: RedisStore) -> Run:
    """A run that leaves a trace of every kind: keys, blob, frames, signal, snapshot, outbox, park, takeover, end."""
    queue, key = fresh("queue"), fresh("key")
    item = creation(store, queue=queue, key=key, business_key=key, request_hash="h")
    await store.put_blob(item.execution_id, "input", b"data")
    assert await one(store, item) == Ok(1)
    run = run_of(store, (await store.claim(await live(store), [queue], 1))[0])
    assert run.fence is not None
    await run.write(1, 2, status="RUNNING", snapshot=b"state")
    frames = (Frame(1, "a", 0, 0, b"f"), Frame(2, "b:c", 0, 0, b"g"))
    assert await store.append_frames([FrameAppend(run.id, run.fence, 0, frames)]) == [Ok(2)]
    assert await one(store, run.signal("s")) == Ok(4)
    run.seq = 4
    hooks = tuple(Outgoing("webhook", fresh("https://a"), b"p", n) for n in range(3))
    await run.write(3, outbox=hooks, park=Park(queue, None))
    assert await one(store, run.door(4)) == Ok(6)
    run = run_of(store, (await store.claim(await live(store), [queue], 1))[0])
    await run.write(5, status="COMPLETED")
    session = await live(store)
    first, second, _ = await store.claim_outbox(session, 10)
    await store.settle_outbox(session, [Settle(first.name, None), Settle(second.name, None, dead=True)])
    return run


def test_every_step_of_a_run_is_a_script_on_one_slot(server: RedisServer) -> None:
    async def keep() -> None:
        async with opened(server) as store:
            with spying(server) as calls:
                key = fresh("key")
                item = creation(store, key=key, request_hash="h", outbox=(Outgoing("webhook", "d", b""),))
                assert await one(store, item) == Ok(1)
                run = await owned_run(store, session=await live(store))
                assert run.fence is not None
                await run.write(1, status="WAITING", snapshot=b"s")
                await store.append_frames([FrameAppend(run.id, run.fence, 0, (Frame(1, "a", 0, 0, b"f"),))])
                await one(store, run.signal("s"))
                run.seq += 1
                await run.write(2, park=Park("q", 0))
                await one(store, run.door(3, status="CANCELLED"))
                await store.put_blob(run.id, "b", b"")
                await store.delete([run.id])
            for keys in calls:
                partitions = {name.split("}")[0] for name in keys}
                if len(partitions) < store.partitions:  # else a beat or a claim: cut by slot on a cluster
                    assert len({key_slot(name.encode()) for name in keys}) == 1, keys
            assert len([keys for keys in calls if len({k.split("}")[0] for k in keys}) == 1]) >= 9

    asyncio.run(keep())


def test_all_keys_of_a_run_lie_in_its_partitions_slot(server: RedisServer) -> None:
    async def keep() -> None:
        async with opened(server) as store:
            run = await a_full_life(store)
            (names,) = await store._wire.ask(("KEYS", "*"))
            own = [name for name in names if run.id.encode() in name]
            letters = {name.split(b":")[2] for name in own}
            assert letters >= {b"j", b"h", b"s", b"b", b"d", b"f", b"n", b"o", b"l"}
            slot = key_slot(f"ax:{{p{partition_of(run.id, 16)}}}:".encode())
            assert {key_slot(name) for name in own} == {slot}
            allowed = {key_slot(prefix.encode()) for prefix in store._keys.prefixes} | {key_slot(b"{meta}")}
            assert {key_slot(name) for name in names} <= allowed
            lives = await store._wire.ask(*[("TTL", name) for name in names])
            assert set(lives) == {-1}, "nothing live may vanish by itself"

    asyncio.run(keep())


def test_deletion_leaves_no_trace_of_a_run(server: RedisServer) -> None:
    async def keep() -> None:
        async with opened(server) as store:
            (before,) = await store._wire.ask(("KEYS", "*"))
            run = await a_full_life(store)
            for session in await store.sessions():
                await store.end_session(session.session)
            assert await store.delete([run.id]) == 1
            (after,) = await store._wire.ask(("KEYS", "*"))
            new = set(after) - set(before)
            left = {name for name in new if not (name.endswith(b"sz") or b"}:qt:" in name)}
            assert left == set()

    asyncio.run(keep())


def test_a_blob_whose_execution_never_came_is_dropped_in_the_end(server: RedisServer) -> None:
    async def keep() -> None:
        async with opened(server) as store:
            clock = SystemClock()
            stray, kept = new_execution_id(clock), new_execution_id(clock)
            kept = stray[:4] + kept[4:]
            await store.put_blob(stray, "input", b"x")
            unborn = store._keys.prefixes[partition_of(stray, 16)] + "u"
            await store._wire.ask(("ZADD", unborn, 1, stray))
            await store.put_blob(kept, "input", b"y")
            assert await store.blob(stray, "input") is None
            assert await store.blob(kept, "input") == b"y"

    asyncio.run(keep())


def test_a_keyed_id_lies_in_its_keys_partition() -> None:
    clock = SystemClock(seed=1)
    for n in range(50):
        execution_id = new_execution_id(clock, "acme", "orders/fulfil", f"order-{n}")
        assert execution_id[:4] == keyed_digits("acme", "orders/fulfil", f"order-{n}")
        name = Keys(16).held("k", "acme", "orders/fulfil", f"order-{n}")
        assert name.startswith(f"ax:{{p{partition_of(execution_id, 16)}}}:")
    ids = {new_execution_id(clock) for _ in range(1_000)}
    assert len(ids) == 1_000
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in ids)


def test_names_of_keys_never_meet() -> None:
    keys = Keys(16)
    names = {keys.held("k", a, f, k) for a, f, k in [("a", "b:c", "d"), ("a:b", "c", "d"), ("a", "b", "c:d")]}
    assert len(names) == 3


def test_a_store_opens_only_with_the_partitions_it_was_made_with(server: RedisServer) -> None:
    async def keep() -> None:
        async with opened(server, "?partitions=4") as store:
            assert store.partitions == 4
            run = await owned_run(store)
            other = RedisStore(server.url)
            with pytest.raises(Unusable, match=r"4 partitions.*\?partitions=4"):
                await other.open()
            async with asyncio.timeout(60):
                again = RedisStore(server.url, partitions=4)
                await again.open()
                assert [e.seq for e in await again.read(run.id)] == [1]
                await again.close()
            await store._wire.ask(("HSET", "ax:{meta}:store", "format", 99))
            with pytest.raises(Unusable, match="format 99"):
                await RedisStore(server.url, partitions=4).open()

    asyncio.run(keep())


def test_two_databases_of_a_server_are_two_stores(server: RedisServer) -> None:
    async def keep() -> None:
        async with opened(server) as store:
            other = RedisStore(server.url[:-1] + "5")
            await other.open()
            heard: list[object] = []
            other.watch(heard.extend)
            run = await begin(store)
            mine = await begin(other)
            assert await other.heads([run.id]) == [None]
            while not any(getattr(hint, "execution_id", "") == mine.id for hint in heard):
                await asyncio.sleep(0.01)
            assert all(getattr(hint, "execution_id", "") != run.id for hint in heard)
            await other.close()

    asyncio.run(keep())


@pytest.mark.parametrize(
    ("url", "shown", "partitions", "replicas", "database"),
    [
        ("redis://localhost", "redis://localhost", 16, None, "0"),
        ("redis://u:p@h:1/3?partitions=8&replicas=2", "redis://h:1/3", 8, 2, "3"),
        ("rediss://:p@h/0?replicas=0&ssl_cert_reqs=none", "rediss://h/0", 16, 0, "0"),
        ("redis://h?db=7", "redis://h", 16, None, "7"),
    ],
)
def test_a_url_is_taken_apart(
    url: str, shown: str, partitions: int, replicas: int | None, database: str
) -> None:
    address = read_address(url)
    assert (address.shown, address.partitions, address.replicas, address.database) == (
        shown,
        partitions,
        replicas,
        database,
    )
    assert "partitions" not in address.url
    assert "replicas" not in address.url


@pytest.mark.parametrize("query", ["partitions=x", "partitions=0", "replicas=-1", "nonsense=1"])
def test_a_url_that_says_nonsense_is_refused(query: str) -> None:
    with pytest.raises(Unusable):
        RedisStore(f"redis://localhost/0?{query}")


def test_a_damaged_journal_entry_is_told() -> None:
    with pytest.raises(Damaged):
        events_of([(b"0-1", [b"e", b"\0\0\0"])])
    with pytest.raises(Damaged):
        events_of([(b"0-1", [b"e", b"\0\0\0\0\0\0\0\x04junk"])])


def test_a_claim_leaves_a_journal_that_it_cannot_read_to_its_reader(server: RedisServer) -> None:
    async def keep() -> None:
        async with opened(server) as store:
            queue = fresh("queue")
            item = creation(store, queue=queue)
            unknown = msgpack.packb((999, 1, None, (), 0, 0, {}))
            assert await one(store, item._replace(events=(unknown,))) == Ok(1)
            (claimed,) = await store.claim(await live(store), [queue], 1)
            assert (claimed.head.seq, claimed.events) == (1, [])

    asyncio.run(keep())


def test_a_queue_entry_without_an_execution_is_swept_and_blocks_nobody(server: RedisServer) -> None:
    async def keep() -> None:
        async with opened(server) as store:
            queue = fresh("queue")
            ghost = new_execution_id(SystemClock())
            prefix = store._keys.prefixes[partition_of(ghost, 16)]
            where = f"{prefix}q:4:acme:{queue}"
            await store._wire.ask(("ZADD", where, 1, ghost), ("SADD", f"{prefix}qa:{queue}", "acme"))
            run = await begin(store, queue=queue)
            (claimed,) = await store.claim(await live(store), [queue], 10)
            assert claimed.head.execution_id == run.id
            assert await store._wire.ask(("EXISTS", where)) == [0]

    asyncio.run(keep())


def test_what_is_born_under_a_session_that_nobody_opened_is_not_forgotten(server: RedisServer) -> None:
    async def keep() -> None:
        async with opened(server) as store:
            queue = fresh("queue")
            run = await begin(store, queue=queue, session="never-beaten", epoch=1)
            heir = await live(store)
            (claimed,) = await store.claim(heir, [queue], 10)
            assert (claimed.head.execution_id, claimed.former) == (run.id, "never-beaten")

    asyncio.run(keep())


def test_pages_hold_when_hundreds_share_a_moment(server: RedisServer) -> None:
    async def keep() -> None:
        async with opened(server) as store:
            account = fresh("account")
            batch = [creation(store, account=account, at=5) for _ in range(400)]
            outcomes = await store.append(batch)
            assert outcomes == [Ok(1)] * 400
            seen: list[str] = []
            query = Query(account, limit=7)
            while True:
                page = await store.find(query)
                seen += [head.execution_id for head in page.heads]
                if page.cursor is None:
                    break
                query = query._replace(cursor=page.cursor)
            assert seen == sorted((item.execution_id for item in batch), reverse=True)

    asyncio.run(keep())


def test_a_page_looks_at_a_bounded_number_of_heads(server: RedisServer) -> None:
    async def keep() -> None:
        async with opened(server) as store:
            account = fresh("account")
            await store.append([creation(store, account=account, at=n) for n in range(1_100)])
            page = await store.find(Query(account, q="acme/none"))
            assert page.heads == []
            assert page.cursor is not None
            rest = await store.find(Query(account, q="acme/none", cursor=page.cursor))
            assert (rest.heads, rest.cursor) == ([], None)

    asyncio.run(keep())


@settings(max_examples=20, deadline=None)
@given(
    texts=st.lists(st.text(max_size=40), min_size=5, max_size=5),
    numbers=st.tuples(st.integers(-2000, 2000), st.floats(0, 10_000, allow_nan=False)),
    at=st.integers(1, 1 << 50),
)
def test_a_head_reads_back_as_it_was_written(
    server: RedisServer, texts: list[str], numbers: tuple[int, float], at: int
) -> None:
    async def keep() -> None:
        async with opened(server) as store:
            account, flow, graph_id, mode, queue = texts
            item: Append = creation(
                store, account=account, flow=flow, graph_id=graph_id, mode=mode, queue=queue,
                priority=numbers[0], retention_days=numbers[1], at=at, ready_at=at,
            )  # fmt: skip
            assert await one(store, item) == Ok(1)
            (head,) = await store.heads([item.execution_id])
            assert head is not None
            assert (head.account, head.flow, head.graph_id, head.mode, head.queue) == tuple(texts)
            assert (head.priority, head.retention_days) == numbers
            assert (head.created_at, head.updated_at, head.ready_at) == (at, at, at)

    asyncio.run(keep())
