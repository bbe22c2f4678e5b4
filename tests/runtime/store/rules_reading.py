"""Rules of reading: journals, blobs, documents, lists and scans."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from store_kit import begin, fresh, new_id, one, owned_run

from axiom.runtime.store.base import Query, Store


async def a_journal_is_read_in_parts(store: Store, other: Store) -> None:
    run = await owned_run(store)
    await run.write(*range(1, 150))
    assert [e.seq for e in await other.read(run.id)] == list(range(1, 151))
    assert [e.seq for e in await other.read(run.id, after=40, limit=5)] == [41, 42, 43, 44, 45]
    assert [e.seq for e in await other.read(run.id, after=70)] == list(range(71, 151))
    assert await other.read(run.id, after=150) == []
    assert await other.read(run.id, after=999) == []


async def heads_come_in_the_order_asked(store: Store, other: Store) -> None:
    one_, two = await begin(store), await begin(store)
    heads = await other.heads([two.id, new_id(), one_.id, two.id])
    assert [head and head.execution_id for head in heads] == [two.id, None, one_.id, two.id]
    assert await store.heads([]) == []


async def blobs_are_kept_per_execution(store: Store, other: Store) -> None:
    first, second = new_id(), new_id()
    data = bytes(range(256)) * 1024
    await store.put_blob(first, "input", data)
    await store.put_blob(first, "empty", b"")
    assert await other.blob(first, "input") == data
    assert await other.blob(first, "empty") == b""
    assert await other.blob(second, "input") is None
    await store.put_blob(first, "input", b"again")
    assert await other.blob(first, "input") == b"again"


async def documents_change_only_as_expected(store: Store, other: Store) -> None:
    kind = fresh("kind")
    assert await store.get(kind, "k") is None
    assert await store.put(kind, "k", b"1", expect=1) is None
    assert await store.put(kind, "k", b"1", expect=0) == 1
    assert await other.put(kind, "k", b"2", expect=0) is None
    assert await other.put(kind, "k", b"2", expect=1) == 2
    assert await store.put(kind, "k", b"3") == 3
    document = await other.get(kind, "k")
    assert document is not None
    assert (document.key, document.version, document.value) == ("k", 3, b"3")
    assert abs(document.updated_at - store.now()) < 10_000
    assert await other.remove(kind, "k") is True
    assert await store.remove(kind, "k") is False
    assert await store.get(kind, "k") is None


async def of_many_writers_of_a_document_one_wins(store: Store, other: Store) -> None:
    kind = fresh("kind")
    tries = [(store, other)[n % 2].put(kind, "k", bytes([n]), expect=0) for n in range(12)]
    versions = await asyncio.gather(*tries)
    assert sorted(versions, key=str) == [1, *[None] * 11]


async def documents_are_listed_by_prefix(store: Store, other: Store) -> None:
    kind = fresh("kind")
    for key in ("b/2", "a/1", "b/1", "b/3", "c", "b_%"):
        await store.put(kind, key, key.encode())
    assert [d.key for d in await other.documents(kind)] == ["a/1", "b/1", "b/2", "b/3", "b_%", "c"]
    assert [d.key for d in await other.documents(kind, prefix="b/")] == ["b/1", "b/2", "b/3"]
    assert [d.key for d in await other.documents(kind, prefix="b/", after="b/1", limit=1)] == ["b/2"]
    assert [d.value for d in await other.documents(kind, prefix="b_%")] == [b"b_%"]
    assert await other.documents(fresh("kind")) == []


async def listed(store: Store, query: Query) -> list[str]:
    """All ids of a query, page by page."""
    found: list[str] = []
    for _ in range(100):
        page = await store.find(query)
        assert len(page.heads) <= query.limit
        found += [head.execution_id for head in page.heads]
        if page.cursor is None:
            return found
        query = query._replace(cursor=page.cursor)
    raise AssertionError("the list does not end")


async def a_list_is_newest_first_without_gap_or_repeat(store: Store, other: Store) -> None:
    account = fresh("account")
    runs = [await begin(store, account=account, at=1_000 + n // 3) for n in range(20)]
    by_time = [run.id for run in runs]
    for limit in (1, 3, 7, 50):
        ids = await listed(other, Query(account, limit=limit))
        assert sorted(ids) == sorted(by_time)
        times = {run.id: 1_000 + n // 3 for n, run in enumerate(runs)}
        assert [times[i] for i in ids] == sorted((times[i] for i in ids), reverse=True)


async def a_list_shows_what_is_new_above_and_nothing_twice(store: Store, other: Store) -> None:
    account = fresh("account")
    old = [await begin(store, account=account, at=1_000 + n) for n in range(6)]
    page = await other.find(Query(account, limit=3))
    await begin(store, account=account, at=5_000)
    rest = await other.find(Query(account, limit=50, cursor=page.cursor))
    assert [h.execution_id for h in page.heads + rest.heads] == [run.id for run in reversed(old)]


async def every_filter_narrows_the_list(store: Store, other: Store) -> None:
    account = fresh("account")
    plain = await owned_run(store, account=account, at=1_000)
    done = await owned_run(store, account=account, at=2_000)
    await done.write(1, status="COMPLETED")
    waiting = await owned_run(store, account=account, at=3_000, flow="acme/other")
    await waiting.write(1, status="WAITING")
    graph = await begin(store, account=account, at=4_000, graph_id="z" * 32)
    foreign = await owned_run(store, account=fresh("account"), at=2_500)

    async def ids(**fields: object) -> list[str]:
        return await listed(other, Query(account, **fields))  # type: ignore[arg-type]

    assert await ids() == [graph.id, waiting.id, done.id, plain.id]
    assert await ids(statuses=("RUNNING",)) == [plain.id]
    assert await ids(statuses=("COMPLETED", "WAITING")) == [waiting.id, done.id]
    assert await ids(statuses=("FAILED",)) == []
    assert await ids(flow="acme/other") == [waiting.id]
    assert await ids(flow="acme/flow", statuses=("COMPLETED",)) == [done.id]
    assert await ids(graph_id="z" * 32) == [graph.id]
    assert await ids(graph_id="z" * 32, statuses=("RUNNING",)) == []
    assert await ids(created_from=2_000, created_to=3_000) in ([waiting.id, done.id], [done.id])
    assert await ids(created_from=2_001) == [graph.id, waiting.id]
    assert await ids(created_to=1_500, statuses=("RUNNING", "QUEUED"), limit=1) == [plain.id]
    assert foreign.id not in await ids(limit=500)


async def a_search_finds_ids_flows_and_keys(store: Store, other: Store) -> None:
    account, key, business = fresh("account"), fresh("key"), fresh("order")
    one_ = await begin(store, account=account, key=key, at=1_000)
    two = await begin(store, account=account, business_key=business, flow="acme/deep", at=2_000)
    assert await listed(other, Query(account, q=one_.id[:10])) == [one_.id]
    assert await listed(other, Query(account, q=two.id)) == [two.id]
    assert await listed(other, Query(account, q="acme/deep")) == [two.id]
    assert await listed(other, Query(account, q=key)) == [one_.id]
    assert await listed(other, Query(account, q=business)) == [two.id]
    assert await listed(other, Query(account, q=key, statuses=("FAILED",))) == []
    assert await listed(other, Query(account, q=fresh("none"))) == []
    assert await listed(other, Query(fresh("account"), q=one_.id)) == []


async def a_status_list_follows_the_status(store: Store, other: Store) -> None:
    account = fresh("account")
    run = await owned_run(store, account=account)
    for status in ("WAITING", "RUNNING", "FAILED"):
        await run.write(1, status=status)
        assert await listed(other, Query(account, statuses=(status,))) == [run.id]
        assert (await other.find(Query(account))).heads[0].status == status
    assert await listed(other, Query(account, statuses=("RUNNING", "WAITING"))) == []


async def a_listed_head_is_the_head(store: Store, other: Store) -> None:
    account = fresh("account")
    run = await owned_run(store, account=account, key=fresh("key"))
    await run.write(1, 2)
    (head,) = (await other.find(Query(account))).heads
    assert head == await run.head()
    assert head.seq == 3


async def a_scan_meets_every_execution_once_in_id_order(store: Store, other: Store) -> None:
    mine = {(await begin(store, account=fresh("account"))).id for _ in range(12)}
    found: list[str] = []
    after = ""
    while heads := await other.scan(after, limit=5):
        found += [head.execution_id for head in heads]
        after = found[-1]
    assert found == sorted(set(found))
    assert mine <= set(found)


async def a_door_moves_updated_at(store: Store, other: Store) -> None:
    run = await begin(store, at=1_000)
    await one(other, run.door(1, at=2_000))
    head = await run.head()
    assert (head.created_at, head.updated_at) == (1_000, 2_000)


RULES: list[Callable[[Store, Store], Awaitable[None]]] = [
    a_journal_is_read_in_parts,
    heads_come_in_the_order_asked,
    blobs_are_kept_per_execution,
    documents_change_only_as_expected,
    of_many_writers_of_a_document_one_wins,
    documents_are_listed_by_prefix,
    a_list_is_newest_first_without_gap_or_repeat,
    a_list_shows_what_is_new_above_and_nothing_twice,
    every_filter_narrows_the_list,
    a_search_finds_ids_flows_and_keys,
    a_status_list_follows_the_status,
    a_listed_head_is_the_head,
    a_scan_meets_every_execution_once_in_id_order,
    a_door_moves_updated_at,
]
