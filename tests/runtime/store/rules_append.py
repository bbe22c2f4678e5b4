"""Rules of appending: who may write what, and what a write changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from store_kit import (
    Run,
    beat,
    begin,
    creation,
    encoded,
    fresh,
    live,
    new_id,
    note,
    one,
    owned_run,
    run_of,
    until,
)

from axiom.runtime import events
from axiom.runtime.store.base import (
    Append,
    Conflict,
    Create,
    Exists,
    Fence,
    Fenced,
    Final,
    Missing,
    Ok,
    Park,
    Store,
)


async def a_new_execution_reads_back_as_written(store: Store, other: Store) -> None:
    facts = [note(5, 1), note(6, 2)]
    execution_id = new_id()
    create = Create("acme", "acme/flow", "g" * 32, "unary", "pool-a", 3, retention_days=1.5)
    item = Append(execution_id, **encoded(execution_id, *facts), at=6, after=0, create=create)
    assert await one(store, item) == Ok(2)
    (head,) = await other.heads([execution_id])
    assert head is not None
    assert (head.seq, head.status, head.session, head.epoch) == (2, "QUEUED", None, 0)
    assert (head.account, head.flow, head.graph_id, head.mode) == ("acme", "acme/flow", "g" * 32, "unary")
    assert (head.queue, head.priority, head.retention_days, head.frames) == ("pool-a", 3, 1.5, 0)
    assert (head.created_at, head.updated_at, head.started_at, head.completed_at) == (6, 6, None, None)
    assert head.check == events.chain(0, item.crcs)
    read = await other.read(execution_id)
    assert [(e.seq, e.body) for e in read] == [(1, {"n": 1}), (2, {"n": 2})]
    assert [e._replace(seq=0, check=0) for e in read] == facts


async def checks_chain_over_appends(store: Store, other: Store) -> None:
    run = await owned_run(store)
    for n in range(3):
        await run.write(n, n + 10)
    read = await other.read(run.id)
    check = 0
    for event in read:
        line = events.encode(event._replace(seq=0, check=0))
        check = events.chain(check, [events.crc(run.id, line)])
        assert event.check == check
    assert [event.seq for event in read] == list(range(1, 8))
    assert (await run.head()).check == check


async def an_append_behind_the_tail_conflicts(store: Store, other: Store) -> None:
    run = await owned_run(store)
    await run.write(1)
    assert await one(store, run.step(2, after=1)) == Conflict(2)
    assert await one(store, run.step(2, after=9)) == Conflict(2)
    assert await one(other, run.door(2, after=1)) == Conflict(2)
    assert len(await store.read(run.id)) == 2


async def of_many_doors_at_one_seq_exactly_one_wins(store: Store, other: Store) -> None:
    run = await begin(store)
    tries = [one((store, other)[n % 2], run.door(n)) for n in range(10)]
    outcomes = await asyncio.gather(*tries)
    assert sorted(outcomes, key=str) == [*[Conflict(2)] * 9, Ok(2)]


async def an_unknown_execution_is_missing(store: Store, other: Store) -> None:
    stranger = Run(store, new_id(), None, 0)
    assert await one(store, stranger.door()) == Missing()
    assert await one(store, stranger.signal("s")) == Missing()
    assert await one(store, stranger.step(fence=Fence("s", 1))) == Missing()
    assert await store.read(stranger.id) == []
    assert await store.heads([stranger.id]) == [None]


async def judging_goes_final_then_fence_then_after(store: Store, other: Store) -> None:
    run = await owned_run(store)
    zombie = Fence("zombie", 1)
    assert await one(store, run.step(1, fence=zombie, after=7)) == Fenced(run.fence.epoch if run.fence else 0)
    await run.write(2, status="COMPLETED")
    assert await one(store, run.step(3, fence=zombie, after=7)) == Final("COMPLETED")
    assert await one(other, run.door(3, after=7)) == Final("COMPLETED")
    assert await one(other, run.signal("s")) == Final("COMPLETED")


async def a_zombie_is_fenced(store: Store, other: Store) -> None:
    dying = await live(store, 150)
    zombie = await owned_run(store, session=dying)
    heir = await live(other)
    claimed = await until(lambda: other.claim(heir, ["default"], 1_000))
    mine = next(c for c in claimed if c.head.execution_id == zombie.id)
    assert await one(store, zombie.step(1)) == Fenced(mine.head.epoch)
    assert await one(store, zombie.step(1, status="COMPLETED")) == Fenced(mine.head.epoch)
    assert await one(store, zombie.step(1, fence=Fence(dying, mine.head.epoch))) == Fenced(mine.head.epoch)
    assert await run_of(other, mine).write(2) == zombie.seq + 1


async def a_resent_append_is_harmless(store: Store, other: Store) -> None:
    run = await owned_run(store)
    item = run.step(1, 2)
    assert await one(store, item) == Ok(3)
    assert await one(store, item) == Ok(3)
    assert await one(other, item) == Ok(3)
    run.seq = 3
    await run.write(3)
    assert await one(store, item) == Ok(3), "also when others followed"
    assert await one(store, run.step(9, 9, after=1)) == Conflict(4), "other bytes at that seq"
    last = run.step(4, status="FAILED")
    assert await one(store, last) == Ok(5)
    assert await one(store, last) == Ok(5), "also when it ended the run"
    assert len(await store.read(run.id)) == 5


async def a_resent_create_is_harmless(store: Store, other: Store) -> None:
    item = creation(store, key=fresh("key"), request_hash="h")
    assert await one(store, item) == Ok(1)
    assert await one(other, item) == Ok(1)
    changed = item._replace(**encoded(item.execution_id, note(1, 99)))
    assert await one(store, changed) == Exists(item.execution_id, "h")
    assert len(await store.read(item.execution_id)) == 1


async def items_of_a_batch_are_independent(store: Store, other: Store) -> None:
    session = await live(store)
    good, stale, fenced, ended = [await owned_run(store, session=session) for _ in range(4)]
    await ended.write(1, status="CANCELLED")
    new = creation(store)
    outcomes = await store.append(
        [
            good.step(1),
            stale.step(1, after=5),
            fenced.step(1, fence=Fence(session, 1)),
            ended.step(2),
            Run(store, new_id(), None, 0).door(),
            new,
            good.step(2, after=2),
        ]
    )
    assert [type(o) for o in outcomes] == [Ok, Conflict, Fenced, Final, Missing, Ok, Ok]
    assert outcomes[-1] == Ok(3)
    assert [len(await other.read(r.id)) for r in (good, stale, fenced, ended)] == [3, 1, 1, 2]
    assert len(await other.read(new.execution_id)) == 1


async def a_long_batch_is_answered_item_by_item(store: Store, other: Store) -> None:
    session = await live(store)
    queue = fresh("queue")
    batch = [creation(store, session=session, epoch=1, queue=queue) for _ in range(700)]
    assert await store.append(batch) == [Ok(1)] * 700
    fat = [
        Append(
            item.execution_id,
            **encoded(item.execution_id, note(1, 1)._replace(body={"fat": b"x" * 30_000})),
            at=1,
            after=1,
        )
        for item in batch[:200]
    ]
    assert await other.append(fat) == [Ok(2)] * 200
    assert len(await store.owned(session)) == 700


async def an_append_without_events_still_moves_the_head(store: Store, other: Store) -> None:
    run = await owned_run(store)
    park = run.step(0, events=(), crcs=(), park=Park("elsewhere", None))
    assert await one(store, park) == Ok(run.seq)
    head = await run.head()
    assert (head.session, head.queue, head.ready_at) == (None, "elsewhere", None)


async def a_run_born_claimed_is_owned_at_once(store: Store, other: Store) -> None:
    session = await live(store)
    run = await owned_run(store, session=session)
    head = await run.head()
    assert run.fence == (head.session, head.epoch)
    assert head.status == "RUNNING"
    assert head.started_at is not None
    assert await other.owned(session) == [run.id]
    assert await run.write(1) == 2


async def statuses_set_their_times_once(store: Store, other: Store) -> None:
    run = await owned_run(store, status=None)
    assert (await run.head()).started_at is None
    await run.write(1, status="RUNNING", at=1_000_000_000_000_000)
    await run.write(2, status="WAITING", at=1_000_000_000_000_001)
    await run.write(3, status="RUNNING", at=1_000_000_000_000_002)
    await run.write(4, status="COMPLETED", at=1_000_000_000_000_003)
    head = await run.head()
    assert head.started_at == 1_000_000_000_000_000
    assert head.updated_at == head.completed_at == 1_000_000_000_000_003
    assert head.status == "COMPLETED"


async def of_many_starts_with_one_key_exactly_one_is_made(store: Store, other: Store) -> None:
    key = fresh("key")
    items = [creation(store, key=key, request_hash=f"h{n}") for n in range(16)]
    outcomes = await asyncio.gather(*(one((store, other)[n % 2], item) for n, item in enumerate(items)))
    (winner,) = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, Ok)]
    assert all(
        outcome == Exists(items[winner].execution_id, f"h{winner}")
        for n, outcome in enumerate(outcomes)
        if n != winner
    )


async def many_starts_with_one_key_in_one_batch_make_one(store: Store, other: Store) -> None:
    key = fresh("key")
    items = [creation(store, key=key, request_hash="h") for _ in range(5)]
    outcomes = await store.append(items)
    assert outcomes == [Ok(1), *[Exists(items[0].execution_id, "h")] * 4]


async def an_idempotency_key_outlives_the_final_status(store: Store, other: Store) -> None:
    key = fresh("key")
    run = await owned_run(store, key=key, request_hash="h")
    await run.write(1, status="COMPLETED")
    assert await one(other, creation(store, key=key)) == Exists(run.id, "h")


async def an_idempotency_key_belongs_to_its_account_and_flow(store: Store, other: Store) -> None:
    key = fresh("key")
    await begin(store, key=key)
    await begin(store, key=key, account="another")
    await begin(store, key=key, flow="acme/other")
    first = await begin(store, key=key, flow="", graph_id="h" * 32)
    await begin(store, key=key, flow="", graph_id="i" * 32)
    again = creation(store, key=key, flow="", graph_id="h" * 32)
    assert await one(other, again) == Exists(first.id, "")


async def a_business_key_admits_one_live_run(store: Store, other: Store) -> None:
    key = fresh("order")
    items = [creation(store, business_key=key) for _ in range(8)]
    outcomes = await asyncio.gather(*(one((store, other)[n % 2], item) for n, item in enumerate(items)))
    (winner,) = [items[n].execution_id for n, outcome in enumerate(outcomes) if isinstance(outcome, Ok)]
    assert outcomes.count(Exists(winner, "", True)) == 7
    await begin(store, business_key=key, account="another")
    run = Run(store, winner, None, 1)
    assert await one(store, run.door(1, status="CANCELLED")) == Ok(2)
    second = await begin(other, business_key=key)
    assert await one(store, creation(store, business_key=key)) == Exists(second.id, "", True)


async def of_two_keys_the_idempotency_key_is_looked_at_first(store: Store, other: Store) -> None:
    key, business = fresh("key"), fresh("order")
    run = await begin(store, key=key, business_key=business, request_hash="h")
    again = creation(store, key=key, business_key=business)
    assert await one(other, again) == Exists(run.id, "h", False)


async def a_refused_start_leaves_nothing(store: Store, other: Store) -> None:
    key, business = fresh("key"), fresh("order")
    await begin(store, business_key=business)
    refused = creation(store, key=key, business_key=business)
    assert isinstance(await one(store, refused), Exists)
    assert await other.heads([refused.execution_id]) == [None]
    assert await other.read(refused.execution_id) == []
    await begin(other, key=key)


async def a_signal_is_counted_once(store: Store, other: Store) -> None:
    run = await begin(store)
    assert await one(store, run.signal("a", 1)) == Ok(2)
    assert await one(other, run.signal("b", 2)) == Ok(3)
    assert await one(other, run.signal("a", 3)) == Ok(2)
    both = await store.append([run.signal("c", 4), run.signal("c", 5)])
    assert both == [Ok(4), Ok(4)]
    assert [e.body["n"] for e in await store.read(run.id, after=1)] == [1, 2, 4]


async def a_repeated_signal_is_ok_after_the_end_too(store: Store, other: Store) -> None:
    run = await owned_run(store)
    assert await one(store, run.signal("a", 1)) == Ok(2)
    run.seq = 2
    await run.write(2, status="COMPLETED")
    assert await one(other, run.signal("a", 1)) == Ok(2)
    assert await one(other, run.signal("b", 1)) == Final("COMPLETED")


async def concurrent_signals_all_land(store: Store, other: Store) -> None:
    run = await begin(store)
    outcomes = await asyncio.gather(*(one((store, other)[n % 2], run.signal(f"s{n}", n)) for n in range(20)))
    assert sorted(o.seq for o in outcomes if isinstance(o, Ok)) == list(range(2, 22))


async def a_signal_conflicts_with_a_stale_park(store: Store, other: Store) -> None:
    run = await owned_run(store)
    assert await one(other, run.signal("approved")) == Ok(2)
    assert await one(store, run.step(1, park=Park("default", None))) == Conflict(2)
    assert (await run.head()).session == run.fence.session if run.fence else False


async def a_final_status_clears_everything(store: Store, other: Store) -> None:
    queue = fresh("queue")
    session = await live(store)
    run = await owned_run(store, session=session, queue=queue, business_key=fresh("order"))
    await run.write(1, status="COMPLETED")
    head = await run.head()
    assert (head.session, head.ready_at) == (None, None)
    assert await other.owned(session) == []
    queued = await begin(store, queue=queue)
    assert await one(store, queued.door(1, status="CANCELLED")) == Ok(2)
    assert await other.claim(await live(other), [queue], 10) == []
    answer = await beat(store, session)
    assert (answer.owned, answer.checksum) == (0, 0)


async def the_old_owner_learns_that_a_door_ended_its_run(store: Store, other: Store) -> None:
    run = await owned_run(store)
    assert run.fence is not None
    assert await one(other, run.door(1, status="CANCELLED")) == Ok(2)
    answer = await beat(store, run.fence.session)
    assert answer.mailbox == [(run.id, 2)]
    assert answer.owned == 0


async def a_snapshot_replaces_the_one_before(store: Store, other: Store) -> None:
    run = await owned_run(store)
    assert await store.snapshot(run.id) is None
    await run.write(1, snapshot=b"one")
    assert await other.snapshot(run.id) == (2, b"one")
    await run.write(2, 3, snapshot=b"two")
    await run.write(4)
    assert await other.snapshot(run.id) == (4, b"two")
    assert await one(store, run.step(5, after=1, snapshot=b"never")) == Conflict(5)
    assert await other.snapshot(run.id) == (4, b"two")


RULES: list[Callable[[Store, Store], Awaitable[None]]] = [
    a_new_execution_reads_back_as_written,
    checks_chain_over_appends,
    an_append_behind_the_tail_conflicts,
    of_many_doors_at_one_seq_exactly_one_wins,
    an_unknown_execution_is_missing,
    judging_goes_final_then_fence_then_after,
    a_zombie_is_fenced,
    a_resent_append_is_harmless,
    a_resent_create_is_harmless,
    items_of_a_batch_are_independent,
    a_long_batch_is_answered_item_by_item,
    an_append_without_events_still_moves_the_head,
    a_run_born_claimed_is_owned_at_once,
    statuses_set_their_times_once,
    of_many_starts_with_one_key_exactly_one_is_made,
    many_starts_with_one_key_in_one_batch_make_one,
    an_idempotency_key_outlives_the_final_status,
    an_idempotency_key_belongs_to_its_account_and_flow,
    a_business_key_admits_one_live_run,
    of_two_keys_the_idempotency_key_is_looked_at_first,
    a_refused_start_leaves_nothing,
    a_signal_is_counted_once,
    a_repeated_signal_is_ok_after_the_end_too,
    concurrent_signals_all_land,
    a_signal_conflicts_with_a_stale_park,
    a_final_status_clears_everything,
    the_old_owner_learns_that_a_door_ended_its_run,
    a_snapshot_replaces_the_one_before,
]
