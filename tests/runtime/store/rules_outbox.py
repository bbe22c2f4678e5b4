"""Rules of the outbox: effects that leave the store, at least once and in order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from store_kit import SHORT_MS, Listener, beat, fresh, live, one, owned_run, until

from axiom.runtime.store.base import Conflict, OutboxEntry, Outgoing, Settle, Store
from axiom.runtime.store.lanes import INSIDE, OUTSIDE


def hook(destination: str, payload: bytes = b"{}", n: int = 0) -> Outgoing:
    return Outgoing("webhook", destination, payload, n)


async def take(store: Store, session: str, destination: str, limit: int = 500) -> list[OutboxEntry]:
    """Claim, and keep what this rule made (others share the store)."""
    return [e for e in await store.claim_outbox(session, limit) if e.destination.startswith(destination)]


async def an_effect_is_written_with_its_event_or_not_at_all(store: Store, other: Store) -> None:
    where, account = fresh("https://a"), fresh("account")
    run = await owned_run(store, account=account)
    assert await one(store, run.step(1, after=9, outbox=(hook(where),))) == Conflict(1)
    assert await other.outbox(account) == []
    await run.write(1, 2, outbox=(hook(where, b"p", 0), hook(where, b"q", 1)))
    first, second = await other.outbox(account)
    assert (first.name, second.name) == (f"{run.id}/3/0", f"{run.id}/3/1")
    assert (first.execution_id, first.kind, first.destination, first.payload) == (
        run.id,
        "webhook",
        where,
        b"p",
    )
    assert (first.attempts, first.dead) == (0, False)


async def entries_go_in_order_per_execution_and_destination(store: Store, other: Store) -> None:
    where, elsewhere = fresh("https://a"), fresh("https://b")
    run, second = await owned_run(store), await owned_run(store)
    await run.write(1, outbox=(hook(where, b"1"), hook(where, b"2", 1), hook(elsewhere, b"x", 2)))
    await second.write(1, outbox=(hook(where, b"z"),))
    session = await live(store)
    claimed = await store.claim_outbox(session, 500)
    mine = [e for e in claimed if e.destination in (where, elsewhere)]
    assert sorted(e.payload for e in mine) == [b"1", b"x", b"z"]
    assert await take(other, session, where) == [], "held"
    await store.settle_outbox(session, [Settle(e.name, None) for e in mine])
    (rest,) = await take(other, session, where)
    assert rest.payload == b"2"
    await other.settle_outbox(session, [Settle(rest.name, None)])
    assert await take(store, session, where) == []


async def two_claimers_never_hold_the_same_entry(store: Store, other: Store) -> None:
    where = fresh("https://a")
    for _ in range(6):
        await (await owned_run(store)).write(1, outbox=(hook(where),))
    left = await take(store, await live(store), where, 500)
    right = await take(other, await live(other), where, 500)
    assert (len(left), right) == (6, [])


async def a_failed_entry_backs_off_and_holds_back_those_behind_it(store: Store, other: Store) -> None:
    where, account = fresh("https://a"), fresh("account")
    run = await owned_run(store, account=account)
    await run.write(1, outbox=(hook(where, b"1"), hook(where, b"2", 1)))
    session = await live(store)
    (entry,) = await take(store, session, where)
    due = store.now() + 250
    await store.settle_outbox(session, [Settle(entry.name, due, error="HTTP 503")])
    assert await take(other, session, where) == []
    listed = {e.name: e for e in await other.outbox(account)}
    assert (listed[entry.name].attempts, listed[entry.name].error, listed[entry.name].due_at) == (
        1,
        "HTTP 503",
        due,
    )
    (again,) = await until(lambda: take(other, session, where))
    assert (again.name, again.attempts) == (entry.name, 1)
    assert other.now() >= due


async def a_dead_entry_stands_aside_until_redelivered(store: Store, other: Store) -> None:
    where, account = fresh("https://a"), fresh("account")
    run = await owned_run(store, account=account)
    await run.write(1, outbox=(hook(where, b"1"), hook(where, b"2", 1)))
    session = await live(store)
    (entry,) = await take(store, session, where)
    await store.settle_outbox(session, [Settle(entry.name, None, dead=True, error="gone")])
    (second,) = await take(store, session, where)
    assert second.payload == b"2"
    (dead,) = await other.outbox(account, dead=True)
    assert (dead.name, dead.dead, dead.error) == (entry.name, True, "gone")
    assert [e.name for e in await other.outbox(account, dead=False)] == [second.name]
    await store.settle_outbox(session, [Settle(second.name, None)])
    assert await other.redeliver(entry.name) is True
    assert await other.redeliver(entry.name) is False
    assert await other.redeliver(f"{run.id}/99/0") is False
    (again,) = await take(store, session, where)
    assert (again.name, again.dead) == (entry.name, False)


async def what_a_dead_session_held_is_claimable_again(store: Store, other: Store) -> None:
    where = fresh("https://a")
    await (await owned_run(store)).write(1, outbox=(hook(where),))
    dying, heir = await live(store), await live(other)
    (entry,) = await take(store, dying, where)
    assert await take(other, heir, where) == []
    await beat(store, dying, SHORT_MS)
    (again,) = await until(lambda: take(other, heir, where))
    assert again.name == entry.name
    await store.settle_outbox(dying, [Settle(entry.name, None)])
    third = await live(store)
    await other.end_session(heir)
    assert [e.name for e in await take(store, third, where)] == [entry.name], "a zombie settles nothing"


async def outbox_lists_one_account(store: Store, other: Store) -> None:
    mine, theirs = fresh("account"), fresh("account")
    for account in (mine, theirs):
        run = await owned_run(store, account=account)
        await run.write(1, outbox=(hook("https://x", b"1"), hook("https://y", b"2", 1)))
    assert len(await other.outbox(mine)) == 2
    assert len(await other.outbox(mine, limit=1)) == 1
    assert await other.outbox(mine, dead=True) == []


async def effects_of_a_start_and_of_an_end_are_kept(store: Store, other: Store) -> None:
    where = fresh("https://a")
    run = await owned_run(store, outbox=(hook(where, b"start"),))
    await run.write(1, status="COMPLETED", outbox=(hook(where + "/end", b"end"),))
    claimed = await take(other, await live(other), where)
    assert sorted(e.payload for e in claimed) == [b"end", b"start"]


async def lanes_are_claimed_apart(store: Store, other: Store) -> None:
    run, where = await owned_run(store), fresh("https://a")
    child = fresh("child")
    await run.write(1, outbox=(hook(where, b"w"), Outgoing("start", child, b"s", 1)))
    await run.write(1, outbox=(Outgoing("cancel", child, b"c", 0),))
    session = await live(store)
    inside = [e for e in await store.claim_outbox(session, 500, INSIDE) if e.destination == child]
    assert [e.kind for e in inside] == ["start"], "in order, and nothing from outside"
    assert [e.payload for e in await take(other, await live(other), where)] == [b"w"]
    await store.settle_outbox(session, [Settle(inside[0].name, None)])
    (behind,) = [e for e in await other.claim_outbox(session, 500, INSIDE) if e.destination == child]
    await store.settle_outbox(session, [Settle(behind.name, store.now() + 1, error="later")])
    (again,) = await until(lambda: take_inside(other, session, child))
    assert (again.kind, again.attempts) == ("cancel", 1)
    await store.settle_outbox(session, [Settle(again.name, None, dead=True)])
    assert await other.redeliver(again.name)
    (redelivered,) = await take_inside(store, session, child)
    assert redelivered.name == again.name


async def take_inside(store: Store, session: str, destination: str) -> list[OutboxEntry]:
    return [e for e in await store.claim_outbox(session, 500, INSIDE) if e.destination == destination]


async def a_session_lets_go_of_what_it_does_not_know_to_hold(store: Store, other: Store) -> None:
    """A claim's answer was lost, or a settlement: nobody works on what was taken, and the session lives on."""
    run, where = await owned_run(store), fresh("https://a")
    child = fresh("child")
    await run.write(
        1, outbox=(hook(f"{where}/1"), hook(f"{where}/2", n=1), Outgoing("start", child, b"s", 2))
    )
    session = await live(store)
    first, lost = await take(store, session, where)
    (inside,) = await take_inside(store, session, child)
    assert await take(other, session, where) == []
    found = await store.claim_outbox(session, 500, OUTSIDE, [first.name])
    assert [e.name for e in found if e.destination.startswith(where)] == [lost.name]
    assert await take_inside(other, session, child) == [], "the other lane is not spoken of"
    await store.settle_outbox(session, [Settle(first.name, None), Settle(lost.name, None)])
    found = await other.claim_outbox(session, 500, INSIDE, [])
    assert [e.name for e in found if e.destination == child] == [inside.name]


async def an_effect_is_hinted(store: Store, other: Store) -> None:
    listener = Listener(other)
    await (await owned_run(store)).write(1, outbox=(hook(fresh("https://a")),))
    await listener.wait(lambda h: h.kind == "outbox" and h.subject == OUTSIDE)
    await (await owned_run(store)).write(1, outbox=(Outgoing("start", fresh("child"), b""),))
    await listener.wait(lambda h: h.kind == "outbox" and h.subject == INSIDE)
    listener.stop()


RULES: list[Callable[[Store, Store], Awaitable[None]]] = [
    an_effect_is_written_with_its_event_or_not_at_all,
    entries_go_in_order_per_execution_and_destination,
    two_claimers_never_hold_the_same_entry,
    a_failed_entry_backs_off_and_holds_back_those_behind_it,
    a_dead_entry_stands_aside_until_redelivered,
    what_a_dead_session_held_is_claimable_again,
    outbox_lists_one_account,
    effects_of_a_start_and_of_an_end_are_kept,
    lanes_are_claimed_apart,
    a_session_lets_go_of_what_it_does_not_know_to_hold,
    an_effect_is_hinted,
]
