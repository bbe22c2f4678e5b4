"""Rules of ownership: sessions, claims, parking, wake-ups, mailboxes and hints."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable

from store_kit import (
    SHORT_MS,
    Listener,
    beat,
    begin,
    creation,
    fresh,
    live,
    one,
    owned_run,
    run_of,
    until,
)

from axiom.runtime.limits import PRIORITY_MS
from axiom.runtime.store.base import Ok, Park, Store


def crc_of(execution_id: str) -> int:
    return zlib.crc32(execution_id.encode())


async def a_claim_gives_the_head_and_the_journal(store: Store, other: Store) -> None:
    queue = fresh("queue")
    run = await begin(store, queue=queue, numbers=(1, 2))
    session = await live(other)
    before = other.now()
    (claimed,) = await other.claim(session, [queue], 10)
    assert claimed.former is None
    assert claimed.snapshot is None
    assert [e.body["n"] for e in claimed.events] == [1, 2]
    assert (claimed.head.execution_id, claimed.head.session, claimed.head.seq) == (run.id, session, 2)
    assert claimed.head.epoch >= before - 1
    assert await run_of(other, claimed).write(3) == 3
    assert await store.claim(await live(store), [queue], 10) == []


async def a_claim_brings_the_snapshot_and_what_follows(store: Store, other: Store) -> None:
    queue = fresh("queue")
    run = await owned_run(store, queue=queue)
    await run.write(1, 2, snapshot=b"state")
    await run.write(3, park=Park(queue, 0))
    (claimed,) = await other.claim(await live(other), [queue], 10)
    assert claimed.snapshot == (3, b"state")
    assert [e.seq for e in claimed.events] == [4]


async def a_session_that_never_beat_claims_nothing(store: Store, other: Store) -> None:
    queue = fresh("queue")
    await begin(store, queue=queue)
    assert await store.claim(fresh("stranger"), [queue], 10) == []
    assert len(await store.claim(await live(store), [queue], 10)) == 1


async def two_claimers_are_disjoint_and_covering(store: Store, other: Store) -> None:
    queue = fresh("queue")
    batch = [creation(store, queue=queue) for _ in range(60)]
    await store.append(batch)
    left, right = await live(store), await live(other)
    taken: list[str] = []

    async def take(at: Store, session: str) -> None:
        while claimed := await at.claim(session, [queue], 7):
            taken.extend(c.head.execution_id for c in claimed)

    await asyncio.gather(take(store, left), take(other, right))
    assert sorted(taken) == sorted(item.execution_id for item in batch)
    assert len(set(taken)) == 60


async def only_named_queues_are_claimed_from(store: Store, other: Store) -> None:
    here, there = fresh("queue"), fresh("queue")
    await begin(store, queue=here)
    run = await begin(store, queue=there)
    session = await live(store)
    assert [c.head.execution_id for c in await other.claim(session, [there], 10)] == [run.id]
    assert await other.claim(session, [there], 10) == []
    assert len(await other.claim(session, [here, there], 10)) == 1


async def higher_priority_goes_first_then_the_older(store: Store, other: Store) -> None:
    queue = fresh("queue")
    now = store.now()
    low = await begin(store, queue=queue, priority=0, ready_at=now - 50)
    older = await begin(store, queue=queue, priority=5, ready_at=now - 40)
    younger = await begin(store, queue=queue, priority=5, ready_at=now - 30)
    session = await live(other)
    order = [(await other.claim(session, [queue], 1))[0].head.execution_id for _ in range(3)]
    assert order == [older.id, younger.id, low.id]


async def accounts_go_in_turn_however_much_one_of_them_has_queued(store: Store, other: Store) -> None:
    queue, busy, quiet = fresh("queue"), fresh("busy"), fresh("quiet")
    now = store.now()
    ids = [
        (await begin(store, queue=queue, account=busy, ready_at=now - 10_000 + place)).id
        for place in range(40)
    ]
    session = await live(other)
    first = [item.head.account for item in await other.claim(session, [queue], 4)]
    assert first == [busy] * 4, "nobody else is there"
    for _ in range(3):
        await begin(store, queue=queue, account=quiet, ready_at=now)
    order = []
    for _ in range(6):
        order += [item.head.account for item in await other.claim(session, [queue], 1)]
    assert order[0] == quiet, "who has had nothing goes first"
    assert order.count(quiet) == 3
    assert sorted(order[0:2]) == sorted(order[2:4]) == sorted(order[4:6]) == sorted([busy, quiet])
    rest = await other.claim(session, [queue], 100)
    assert [item.head.execution_id for item in rest] == ids[7:], "within an account the older goes first"


async def accounts_have_shares_as_their_weights_say(store: Store, other: Store) -> None:
    queue, large, small = fresh("queue"), fresh("large"), fresh("small")
    for _ in range(16):
        await begin(store, queue=queue, account=large)
        await begin(store, queue=queue, account=small)
    session = await live(other)
    taken = await other.claim(session, [queue], 12, {large: 3.0})
    accounts = [item.head.account for item in taken]
    assert (accounts.count(large), accounts.count(small)) == (9, 3)


async def who_has_waited_long_goes_before_a_little_more_priority(store: Store, other: Store) -> None:
    """However many of a higher priority keep coming, the oldest goes at last: a step is worth a minute."""
    queue = fresh("queue")
    now = store.now()
    oldest = await begin(store, queue=queue, priority=0, ready_at=now - 6 * PRIORITY_MS)
    urgent = await begin(store, queue=queue, priority=7, ready_at=now)
    for _ in range(3):
        await begin(store, queue=queue, priority=5, ready_at=now)
    session = await live(other)
    order = [(await other.claim(session, [queue], 1))[0].head.execution_id for _ in range(2)]
    assert order == [urgent.id, oldest.id]


async def a_run_is_not_ready_before_its_time(store: Store, other: Store) -> None:
    queue = fresh("queue")
    due = store.now() + 250
    run = await begin(store, queue=queue, ready_at=due)
    session = await live(store)
    assert await store.claim(session, [queue], 10) == []
    (claimed,) = await until(lambda: other.claim(session, [queue], 10))
    assert claimed.head.execution_id == run.id
    assert other.now() >= due
    assert claimed.head.epoch >= due


async def a_parked_run_waits_where_and_until_it_said(store: Store, other: Store) -> None:
    here, there = fresh("queue"), fresh("queue")
    run = await owned_run(store, queue=here)
    due = store.now() + 250
    await run.write(1, status="WAITING", park=Park(there, due))
    head = await run.head()
    assert (head.session, head.queue, head.ready_at, head.status) == (None, there, due, "WAITING")
    session = await live(store)
    assert await store.claim(session, [here, there], 10) == []
    (claimed,) = await until(lambda: other.claim(session, [here, there], 10))
    assert claimed.head.execution_id == run.id
    assert other.now() >= due


async def parked_for_ever_is_never_ready(store: Store, other: Store) -> None:
    queue = fresh("queue")
    run = await owned_run(store, queue=queue)
    await run.write(1, status="PAUSED", park=Park(queue, None))
    assert (await run.head()).ready_at is None
    assert await other.claim(await live(other), [queue], 10) == []


async def parking_for_the_past_is_ready_now(store: Store, other: Store) -> None:
    queue = fresh("queue")
    run = await owned_run(store, queue=queue)
    await run.write(1, park=Park(queue, 5))
    assert len(await other.claim(await live(other), [queue], 10)) == 1


async def a_door_wakes_what_is_parked(store: Store, other: Store) -> None:
    queue = fresh("queue")
    run = await owned_run(store, queue=queue)
    await run.write(1, park=Park(queue, None))
    assert await one(other, run.door(2)) == Ok(3)
    (claimed,) = await store.claim(await live(store), [queue], 10)
    assert claimed.head.seq == 3


async def a_signal_wakes_what_sleeps(store: Store, other: Store) -> None:
    queue = fresh("queue")
    run = await owned_run(store, queue=queue)
    await run.write(1, park=Park(queue, store.now() + 3_600_000))
    assert await one(other, run.signal("s")) == Ok(3)
    assert len(await store.claim(await live(store), [queue], 10)) == 1


async def a_signal_just_before_the_park_is_not_lost(store: Store, other: Store) -> None:
    queue = fresh("queue")
    run = await owned_run(store, queue=queue)
    assert await one(other, run.signal("s")) == Ok(2)
    run.seq = 2
    await run.write(1, park=Park(queue, None))
    assert await other.claim(await live(other), [queue], 10) == [], "the owner had seen it"


async def a_write_to_an_owned_run_reaches_its_owners_mailbox(store: Store, other: Store) -> None:
    run = await owned_run(store)
    assert run.fence is not None
    session = run.fence.session
    assert (await beat(store, session)).mailbox == []
    await one(other, run.signal("a"))
    await one(other, run.signal("b"))
    assert (await beat(store, session)).mailbox == [(run.id, 3)]
    assert (await beat(store, session)).mailbox == [(run.id, 3)], "until acknowledged"
    assert (await beat(store, session, seen={run.id: 2})).mailbox == [(run.id, 3)]
    assert (await beat(store, session, seen={run.id: 3})).mailbox == []
    assert (await beat(store, session)).mailbox == []


async def an_owners_own_writes_bring_no_mail(store: Store, other: Store) -> None:
    run = await owned_run(store)
    await run.write(1)
    assert run.fence is not None
    assert (await beat(store, run.fence.session)).mailbox == []


async def a_beat_tells_what_the_session_owns(store: Store, other: Store) -> None:
    queue = fresh("queue")
    session = await live(store)
    runs = [await owned_run(store, session=session, queue=queue) for _ in range(3)]
    answer = await beat(other, session)
    assert (answer.alive, answer.owned) == (True, 3)
    assert answer.checksum == crc_of(runs[0].id) ^ crc_of(runs[1].id) ^ crc_of(runs[2].id)
    await runs[0].write(1, status="COMPLETED")
    await runs[1].write(1, park=Park(queue, None))
    answer = await beat(store, session)
    assert (answer.owned, answer.checksum) == (1, crc_of(runs[2].id))
    assert sorted(await other.owned(session)) == [runs[2].id]
    assert abs(answer.now - store.now()) < 5_000


async def a_lapsed_session_is_told_so(store: Store, other: Store) -> None:
    session = await live(store, SHORT_MS)

    async def lapsed() -> bool:
        return all(s.session != session or s.expires_at <= other.now() for s in await other.sessions())

    await until(lapsed)
    assert (await beat(store, session)).alive is False
    assert (await beat(store, session)).alive is True


async def a_dead_sessions_runs_are_claimable_and_name_it(store: Store, other: Store) -> None:
    queue = fresh("queue")
    dying = await live(store)
    run = await owned_run(store, session=dying, queue=queue)
    assert run.fence is not None
    heir = await live(other)
    assert await other.claim(heir, [queue], 10) == []
    await beat(store, dying, SHORT_MS)
    (claimed,) = await until(lambda: other.claim(heir, [queue], 10))
    assert (claimed.head.execution_id, claimed.former) == (run.id, dying)
    assert claimed.head.epoch > run.fence.epoch
    assert await store.owned(dying) == []
    assert await store.owned(heir) == [run.id]


async def a_renewed_session_keeps_its_runs(store: Store, other: Store) -> None:
    queue = fresh("queue")
    session = await live(store, SHORT_MS)
    run = await owned_run(store, session=session, queue=queue)
    await beat(store, session)
    await asyncio.sleep(SHORT_MS * 2 / 1000)
    assert await other.claim(await live(other), [queue], 10) == []
    assert await run.write(1) == 2


async def an_owner_past_its_lease_may_write_until_someone_claims(store: Store, other: Store) -> None:
    dying = await live(store, SHORT_MS)
    run = await owned_run(store, session=dying, queue=fresh("queue"))

    async def orphaned() -> bool:
        return (await beat(other, session)).orphans > 0

    session = await live(other)
    await until(orphaned)
    assert await run.write(1) == 2


async def an_ended_sessions_runs_are_claimable_at_once(store: Store, other: Store) -> None:
    queue = fresh("queue")
    session = await live(store)
    run = await owned_run(store, session=session, queue=queue)
    await store.end_session(session)
    (claimed,) = await other.claim(await live(other), [queue], 10)
    assert (claimed.head.execution_id, claimed.former) == (run.id, session)
    assert (await beat(store, session)).alive is False, "an ended session stays so"
    assert await store.claim(session, [queue], 10) == []


async def a_dead_sessions_runs_go_before_new_ones(store: Store, other: Store) -> None:
    queue = fresh("queue")
    await begin(store, queue=queue, priority=9)
    session = await live(store)
    run = await owned_run(store, session=session, queue=queue)
    await store.end_session(session)
    (claimed,) = await other.claim(await live(other), [queue], 1)
    assert claimed.head.execution_id == run.id


async def epochs_grow_with_each_claim(store: Store, other: Store) -> None:
    queue = fresh("queue")
    await begin(store, queue=queue)
    epochs = [0]
    for _ in range(4):
        session = await live(store)
        (claimed,) = await other.claim(session, [queue], 1)
        epochs.append(claimed.head.epoch)
        await store.end_session(session)
    assert epochs == sorted(set(epochs))


async def an_epoch_is_above_a_former_one_that_lay_ahead(store: Store, other: Store) -> None:
    queue = fresh("queue")
    session = await live(store)
    ahead = store.now() + 1_000_000
    await begin(store, session=session, epoch=ahead, queue=queue)
    await store.end_session(session)
    (claimed,) = await other.claim(await live(other), [queue], 1)
    assert claimed.head.epoch == ahead + 1


async def sessions_are_listed_with_what_is_known(store: Store, other: Store) -> None:
    session = await live(store)
    await owned_run(store, session=session)
    (mine,) = [s for s in await other.sessions() if s.session == session]
    assert mine.owned == 1
    assert mine.info["worker"] == session
    assert mine.expires_at > other.now()
    await store.end_session(session)
    assert all(s.session != session or s.expires_at <= other.now() for s in await other.sessions())


async def a_hint_follows_each_write_in_order(store: Store, other: Store) -> None:
    listener = Listener(other)
    run = await owned_run(store)
    for n in range(5):
        await run.write(n, status="WAITING" if n == 4 else None)
        await asyncio.sleep(0)
    last = await listener.wait(lambda h: h.kind == "moved" and h.execution_id == run.id and h.seq == 6)
    assert last.status == "WAITING"
    seqs = [h.seq for h in listener.hints if h.kind == "moved" and h.execution_id == run.id]
    assert seqs == sorted(seqs)
    listener.stop()
    count = len(listener.hints)
    await run.write(9)
    await (await begin(other)).head()
    assert len(listener.hints) == count


async def what_a_hint_speaks_of_can_be_read(store: Store, other: Store) -> None:
    listener = Listener(other)
    run = await owned_run(store)
    for n in range(5):
        writing = asyncio.ensure_future(run.write(n))
        hint = await listener.wait(
            lambda h, n=n: h.kind == "moved" and h.execution_id == run.id and h.seq > n + 1
        )
        assert len(await other.read(run.id)) >= hint.seq
        await writing
    listener.stop()


async def a_ready_run_is_hinted_to_its_queue(store: Store, other: Store) -> None:
    listener = Listener(other)
    queue = fresh("queue")
    await begin(store, queue=queue)
    await listener.wait(lambda h: h.kind == "ready" and h.subject == queue)
    listener.stop()


async def a_watcher_hears_the_kinds_that_it_asked_for(store: Store, other: Store) -> None:
    mail, moved, everything = Listener(other, "mail"), Listener(other, "moved", "frames"), Listener(other)
    run = await owned_run(store)
    assert run.fence is not None
    session = run.fence.session
    await one(store, run.signal("s"))
    await mail.wait(lambda h: h.subject == session)
    await moved.wait(lambda h: h.execution_id == run.id and h.seq == 2)
    await everything.wait(lambda h: h.kind == "mail" and h.subject == session)
    await everything.wait(lambda h: h.kind == "moved" and h.execution_id == run.id and h.seq == 2)
    assert {h.kind for h in mail.hints} == {"mail"}
    assert {h.kind for h in moved.hints} == {"moved"}
    for listener in (mail, moved, everything):
        listener.stop()


async def mail_is_hinted_to_the_owner(store: Store, other: Store) -> None:
    listener = Listener(store)
    run = await owned_run(store)
    assert run.fence is not None
    session = run.fence.session
    await one(other, run.signal("s"))
    hint = await listener.wait(lambda h: h.kind == "mail" and h.subject == session)
    assert hint.execution_id == run.id
    listener.stop()


RULES: list[Callable[[Store, Store], Awaitable[None]]] = [
    a_claim_gives_the_head_and_the_journal,
    a_claim_brings_the_snapshot_and_what_follows,
    a_session_that_never_beat_claims_nothing,
    two_claimers_are_disjoint_and_covering,
    only_named_queues_are_claimed_from,
    higher_priority_goes_first_then_the_older,
    accounts_go_in_turn_however_much_one_of_them_has_queued,
    accounts_have_shares_as_their_weights_say,
    who_has_waited_long_goes_before_a_little_more_priority,
    a_run_is_not_ready_before_its_time,
    a_parked_run_waits_where_and_until_it_said,
    parked_for_ever_is_never_ready,
    parking_for_the_past_is_ready_now,
    a_door_wakes_what_is_parked,
    a_signal_wakes_what_sleeps,
    a_signal_just_before_the_park_is_not_lost,
    a_write_to_an_owned_run_reaches_its_owners_mailbox,
    an_owners_own_writes_bring_no_mail,
    a_beat_tells_what_the_session_owns,
    a_lapsed_session_is_told_so,
    a_dead_sessions_runs_are_claimable_and_name_it,
    a_renewed_session_keeps_its_runs,
    an_owner_past_its_lease_may_write_until_someone_claims,
    an_ended_sessions_runs_are_claimable_at_once,
    a_dead_sessions_runs_go_before_new_ones,
    epochs_grow_with_each_claim,
    an_epoch_is_above_a_former_one_that_lay_ahead,
    sessions_are_listed_with_what_is_known,
    a_hint_follows_each_write_in_order,
    what_a_hint_speaks_of_can_be_read,
    a_ready_run_is_hinted_to_its_queue,
    a_watcher_hears_the_kinds_that_it_asked_for,
    mail_is_hinted_to_the_owner,
]
