"""Rules of forgetting: what may be deleted, when, and what goes with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from store_kit import begin, creation, fresh, live, one, owned_run

from axiom.runtime.store.base import Exists, Frame, FrameAppend, Missing, Outgoing, Query, Settle, Store

DAY_MS = 86_400_000


async def expired_names_final_runs_past_their_days(store: Store, other: Store) -> None:
    account = fresh("account")
    now = store.now()
    old = await owned_run(store, account=account, retention_days=1.0)
    await old.write(1, status="COMPLETED", at=now - 2 * DAY_MS)
    kept = await owned_run(store, account=account, retention_days=30.0)
    await kept.write(1, status="COMPLETED", at=now - 2 * DAY_MS)
    half = await owned_run(store, account=account, retention_days=0.5)
    await half.write(1, status="FAILED", at=now - DAY_MS // 4)
    await owned_run(store, account=account, retention_days=0.0)

    async def expired(at: int, **fields: object) -> list[str]:
        return [h.execution_id for h in await other.expired(at, account=account, **fields)]  # type: ignore[arg-type]

    assert await expired(now) == [old.id]
    assert sorted(await expired(now + DAY_MS)) == sorted([old.id, half.id])
    assert len(await expired(now + 100 * DAY_MS)) == 3, "never one that lives"
    assert len(await expired(now + 100 * DAY_MS, limit=2)) == 2
    assert old.id in [h.execution_id for h in await other.expired(now, limit=10_000)]


async def retention_waits_for_undelivered_effects(store: Store, other: Store) -> None:
    account = fresh("account")
    now = store.now()
    run = await owned_run(store, account=account, retention_days=1.0)
    hooks = (Outgoing("webhook", fresh("https://a"), b"", 0), Outgoing("webhook", fresh("https://b"), b"", 1))
    await run.write(1, status="COMPLETED", at=now - 9 * DAY_MS, outbox=hooks)
    assert await other.expired(now, account=account) == []
    session = await live(store)
    first, second = [e for e in await store.claim_outbox(session, 500) if e.execution_id == run.id]
    await store.settle_outbox(session, [Settle(first.name, None)])
    assert await other.expired(now, account=account) == []
    await store.settle_outbox(session, [Settle(second.name, None, dead=True)])
    assert [h.execution_id for h in await other.expired(now, account=account)] == [run.id], (
        "a dead one is not waited for"
    )


async def delete_removes_everything_of_a_final_run(store: Store, other: Store) -> None:
    account, key = fresh("account"), fresh("key")
    run = await owned_run(store, account=account, key=key, mode="pipeline")
    assert run.fence is not None
    await store.put_blob(run.id, "input", b"data")
    await store.append_frames([FrameAppend(run.id, run.fence, 0, (Frame(1, "a", 0, 0, b"f"),))])
    await one(store, run.signal("s"))
    run.seq += 1
    await run.write(1, snapshot=b"s", status="COMPLETED", outbox=(Outgoing("webhook", fresh("d"), b""),))
    session = await live(store)
    for entry in await store.outbox(account):
        await store.claim_outbox(session, 500)
        await store.settle_outbox(session, [Settle(entry.name, None, dead=True)])
    assert await other.delete([run.id]) == 1
    assert await store.heads([run.id]) == [None]
    assert await store.read(run.id) == []
    assert await store.snapshot(run.id) is None
    assert await store.blob(run.id, "input") is None
    assert await store.frame_counts(run.id) == {}
    assert await store.outbox(account) == []
    assert (await store.find(Query(account))).heads == []
    assert (await store.find(Query(account, statuses=("COMPLETED",)))).heads == []
    assert await one(store, run.door(9)) == Missing()
    assert await other.delete([run.id]) == 0
    again = await begin(other, account=account, key=key)
    assert again.id != run.id


async def a_live_run_is_never_deleted(store: Store, other: Store) -> None:
    key = fresh("key")
    queued, owned = await begin(store, key=key), await owned_run(store)
    assert await other.delete([queued.id, owned.id]) == 0
    assert len(await store.read(queued.id)) == 1
    assert await owned.write(1) == 2
    assert isinstance(await one(store, creation(store, key=key)), Exists)


async def delete_counts_what_went(store: Store, other: Store) -> None:
    runs = [await owned_run(store) for _ in range(4)]
    for run in runs[:3]:
        await run.write(1, status="FAILED")
    assert await other.delete([run.id for run in runs]) == 3
    assert await store.delete([]) == 0


RULES: list[Callable[[Store, Store], Awaitable[None]]] = [
    expired_names_final_runs_past_their_days,
    retention_waits_for_undelivered_effects,
    delete_removes_everything_of_a_final_run,
    a_live_run_is_never_deleted,
    delete_counts_what_went,
]
