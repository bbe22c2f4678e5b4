"""Rules of permits: who may go under a limit, who waits, and that nothing is lost with a worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from store_kit import LONG_MS, SHORT_MS, beat, fresh, live, new_id, until

from axiom.runtime.store.base import Store
from axiom.runtime.store.permits import CALL_MS, Ask, Given, Limit, Rate, Turn


async def ask(
    store: Store, limit: str, holder: str, session: str, most: int = 1, epoch: int = 1, number: int = 1
) -> bool:
    (granted,) = await store.acquire([Ask(limit, most, holder, session, epoch, number)])
    return granted


async def give(store: Store, limit: str, holder: str, epoch: int = 1) -> list[Turn]:
    return await store.release([Given(limit, holder, epoch)])


async def shown(store: Store, limit: str) -> Limit | None:
    found = await store.limits(limit)
    return next((one for one in found if one.name == limit), None)


async def my_turns(store: Store, limit: str) -> list[str]:
    """The sweep's turns of this limit (others share the store)."""
    return [turn.holder for turn in await store.turns() if turn.limit == limit]


async def no_more_go_than_the_limit_says(store: Store, other: Store) -> None:
    limit, session = fresh("limit"), await live(store)
    one, two, three = new_id(), new_id(), new_id()
    asks = [Ask(limit, 2, holder, session, 1, 1) for holder in (one, two, three)]
    assert await store.acquire(asks) == [True, True, False]
    assert await shown(other, limit) == Limit(limit, 2, (one, two), (three,), 1)


async def limits_of_other_names_do_not_meet(store: Store, other: Store) -> None:
    session = await live(store)
    left, right = fresh("limit"), fresh("limit")
    assert await ask(store, left, new_id(), session)
    assert await ask(other, right, new_id(), session)


async def asking_again_is_harmless_and_keeps_ones_place(store: Store, other: Store) -> None:
    limit, session = fresh("limit"), await live(store)
    first, second, third = new_id(), new_id(), new_id()
    assert await ask(store, limit, first, session)
    assert await ask(other, limit, first, session, number=7)
    assert not await ask(store, limit, second, session)
    assert not await ask(store, limit, third, session)
    assert not await ask(store, limit, second, session, number=8)
    found = await shown(store, limit)
    assert found is not None
    assert (found.holders, found.waiting) == ((first,), (second, third))


async def who_gives_back_hears_whose_turn_it_is_in_the_order_of_asking(store: Store, other: Store) -> None:
    limit, session = fresh("limit"), await live(store)
    first, second, third = new_id(), new_id(), new_id()
    for holder in (first, second, third):
        await ask(store, limit, holder, session, number=5)
    assert await give(other, limit, first) == [Turn(limit, second, "1.5")]
    assert not await ask(store, limit, third, session), "the room is kept for who was called"
    assert not await ask(store, limit, new_id(), session), "and nobody new goes before those in line"
    assert await ask(store, limit, second, session)
    assert [turn.holder for turn in await give(store, limit, second)] == [third]


async def a_limit_that_nobody_uses_is_gone(store: Store, other: Store) -> None:
    limit, session, holder = fresh("limit"), await live(store), new_id()
    await ask(store, limit, holder, session)
    assert await give(store, limit, holder) == []
    assert await shown(other, limit) is None


async def one_that_waits_can_leave_the_line(store: Store, other: Store) -> None:
    limit, session = fresh("limit"), await live(store)
    first, second, third = new_id(), new_id(), new_id()
    for holder in (first, second, third):
        await ask(store, limit, holder, session)
    assert await give(store, limit, second) == []
    assert [turn.holder for turn in await give(store, limit, first)] == [third]


async def a_permit_is_not_given_back_under_an_older_epoch(store: Store, other: Store) -> None:
    limit, session = fresh("limit"), await live(store)
    holder, waits = new_id(), new_id()
    await ask(store, limit, holder, session, epoch=4)
    assert await ask(store, limit, holder, session, epoch=5), "taken over"
    assert not await ask(store, limit, holder, session, epoch=4), "and the old owner is told no"
    await ask(store, limit, waits, session)
    assert await give(store, limit, holder, epoch=4) == []
    assert [turn.holder for turn in await give(store, limit, holder, epoch=5)] == [waits]


async def permits_of_a_dead_session_do_not_count_and_their_holders_are_next(
    store: Store, other: Store
) -> None:
    limit, dying, session = fresh("limit"), await live(store), await live(other)
    held, waits = new_id(), new_id()
    assert await ask(store, limit, held, dying)
    assert not await ask(other, limit, waits, session)
    assert await my_turns(store, limit) == []
    await store.end_session(dying)
    found = await shown(other, limit)
    assert found is not None
    assert found.holders == ()
    assert await my_turns(other, limit) == [held], "it stood there before the other"
    assert await ask(store, limit, held, session, epoch=2), "another worker goes on with it"
    assert not await ask(other, limit, waits, session)


async def a_lapsed_lease_frees_what_it_held_also_when_nobody_tells(store: Store, other: Store) -> None:
    limit, session = fresh("limit"), await live(store)
    lapsing = await live(other, SHORT_MS)
    held, waits = new_id(), new_id()
    await ask(other, limit, held, lapsing)
    if await ask(store, limit, waits, session):
        return  # a slow machine: it had lapsed already
    await until(lambda: _freed(store, limit))
    assert await my_turns(store, limit) == [held]


async def _freed(store: Store, limit: str) -> bool:
    found = await shown(store, limit)
    return found is not None and not found.holders


async def who_was_called_and_does_not_come_is_passed_over(store: Store, other: Store) -> None:
    limit, session = fresh("limit"), await live(store)
    first, missing, third = new_id(), new_id(), new_id()
    for holder in (first, missing, third):
        await ask(store, limit, holder, session, number=3)
    (told,) = await give(store, limit, first)
    assert told.holder == missing
    again = await until(lambda: _turns(other, limit), CALL_MS / 1000 + 30)
    assert again[0] == told, "the same token: a second telling of the same wait"
    await until(lambda: ask(store, limit, third, session, number=3), CALL_MS / 1000 + 30)
    assert not await ask(store, limit, missing, session, number=4)
    assert [turn.holder for turn in await give(store, limit, third)] == [missing]


async def _turns(store: Store, limit: str) -> list[Turn]:
    return [turn for turn in await store.turns() if turn.limit == limit]


async def a_new_wait_has_a_new_token(store: Store, other: Store) -> None:
    limit, session = fresh("limit"), await live(store)
    first, second = new_id(), new_id()
    await ask(store, limit, first, session)
    await ask(store, limit, second, session, number=3)
    (one,) = await give(store, limit, first)
    await ask(store, limit, second, session, number=4)
    await ask(store, limit, first, session, number=9)
    (two,) = await give(store, limit, second)
    assert (one.token, two.token) == ("1.3", "1.9")


async def a_session_that_never_beat_gets_nothing(store: Store, other: Store) -> None:
    limit = fresh("limit")
    assert not await ask(store, limit, new_id(), fresh("session"))
    session = await live(store)
    assert await beat(store, session, LONG_MS)
    assert await until(lambda: ask(store, limit, new_id(), session, most=3))


async def limits_are_listed_by_name_page_by_page(store: Store, other: Store) -> None:
    start, session = fresh("limit"), await live(store)
    names = [f"{start}|{n}" for n in range(7)]
    for name in names:
        await ask(store, name, new_id(), session)
    first = await other.limits(start, "", 4)
    rest = await other.limits(start, first[-1].name, 4)
    assert [limit.name for limit in first + rest] == names


async def a_changed_limit_holds_from_the_next_who_asks(store: Store, other: Store) -> None:
    limit, session = fresh("limit"), await live(store)
    assert await ask(store, limit, new_id(), session, most=1)
    assert await ask(store, limit, new_id(), session, most=2)
    assert not await ask(store, limit, new_id(), session, most=1)


async def a_rate_gives_each_a_moment_of_its_own(store: Store, other: Store) -> None:
    limit = fresh("rate")
    first = await store.take([Rate(limit, 0.01, 2), Rate(limit, 0.01, 2)])
    (third,) = await other.take([Rate(limit, 0.01, 2)])
    (fourth,) = await store.take([Rate(limit, 0.01, 2)])
    assert first[0] == first[1], "two at once"
    assert first[0] < third <= first[0] + 100_000
    assert fourth - third == 100_000
    assert await store.take([Rate(fresh("rate"), 0.01, 1)]) < [third]


RULES: list[Callable[[Store, Store], Awaitable[None]]] = [
    no_more_go_than_the_limit_says,
    limits_of_other_names_do_not_meet,
    asking_again_is_harmless_and_keeps_ones_place,
    who_gives_back_hears_whose_turn_it_is_in_the_order_of_asking,
    a_limit_that_nobody_uses_is_gone,
    one_that_waits_can_leave_the_line,
    a_permit_is_not_given_back_under_an_older_epoch,
    permits_of_a_dead_session_do_not_count_and_their_holders_are_next,
    a_lapsed_lease_frees_what_it_held_also_when_nobody_tells,
    who_was_called_and_does_not_come_is_passed_over,
    a_new_wait_has_a_new_token,
    a_session_that_never_beat_gets_nothing,
    limits_are_listed_by_name_page_by_page,
    a_changed_limit_holds_from_the_next_who_asks,
    a_rate_gives_each_a_moment_of_its_own,
]
