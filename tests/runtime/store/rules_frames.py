"""Rules of the frame log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from store_kit import Listener, Run, new_id, owned_run

from axiom.runtime.store.base import (
    Conflict,
    Fence,
    Fenced,
    Final,
    Frame,
    FrameAppend,
    Missing,
    Ok,
    Outcome,
    Store,
)


def frames_of(node: str, position: int, index: int, count: int = 1, word: str = "") -> tuple[Frame, ...]:
    return tuple(
        Frame(position + n, node, index + n, n, f"{word}{node}{index + n}".encode()) for n in range(count)
    )


async def write(
    store: Store, run: Run, after: int, frames: tuple[Frame, ...], fence: Fence | None = None
) -> Outcome:
    assert run.fence is not None
    (outcome,) = await store.append_frames([FrameAppend(run.id, fence or run.fence, after, frames)])
    return outcome


async def frames_are_compare_and_append(store: Store, other: Store) -> None:
    run = await owned_run(store, mode="pipeline")
    assert await write(store, run, 0, frames_of("a", 1, 0, 3)) == Ok(3)
    assert await write(store, run, 0, frames_of("a", 1, 0, 3)) == Ok(3), "re-sent"
    assert await write(store, run, 1, frames_of("a", 2, 1, 1, "other")) == Conflict(3)
    assert await write(store, run, 9, frames_of("a", 10, 9)) == Conflict(3)
    assert await write(other, run, 3, frames_of("b", 4, 0, 2)) == Ok(5)
    assert await write(store, run, 0, frames_of("a", 1, 0, 3)) == Ok(3), "re-sent when others followed"
    assert (await run.head()).frames == 5


async def frames_are_fenced(store: Store, other: Store) -> None:
    run = await owned_run(store, mode="pipeline")
    assert run.fence is not None
    zombie = Fence(run.fence.session, run.fence.epoch - 1)
    assert await write(store, run, 0, frames_of("a", 1, 0), zombie) == Fenced(run.fence.epoch)
    assert await write(store, run, 5, frames_of("a", 6, 0), Fence("x", 1)) == Fenced(run.fence.epoch)
    await run.write(1, status="COMPLETED")
    assert await write(store, run, 0, frames_of("a", 1, 0)) == Final("COMPLETED")
    stranger = Run(store, new_id(), run.fence, 0)
    assert await write(store, stranger, 0, frames_of("a", 1, 0)) == Missing()
    assert await store.frame_counts(run.id) == {}


async def frames_are_read_and_counted_per_node(store: Store, other: Store) -> None:
    run = await owned_run(store, mode="pipeline")
    mixed = (*frames_of("a", 1, 0, 2), *frames_of("b", 3, 0), *frames_of("a", 4, 2, 3))
    assert await write(store, run, 0, mixed) == Ok(6)
    assert await other.frames(run.id, "a") == [frame for frame in mixed if frame.node == "a"]
    assert await other.frames(run.id, "b") == [mixed[2]]
    assert [f.index for f in await other.frames(run.id, "a", after=1)] == [2, 3, 4]
    assert [f.index for f in await other.frames(run.id, "a", after=-1, limit=2)] == [0, 1]
    assert await other.frames(run.id, "nobody") == []
    assert await other.frame_counts(run.id) == {"a": 5, "b": 1}


async def frame_items_of_a_batch_are_independent(store: Store, other: Store) -> None:
    good, stale = await owned_run(store, mode="pipeline"), await owned_run(store, mode="pipeline")
    assert good.fence is not None
    assert stale.fence is not None
    outcomes = await store.append_frames(
        [
            FrameAppend(good.id, good.fence, 0, frames_of("a", 1, 0)),
            FrameAppend(stale.id, stale.fence, 4, frames_of("a", 5, 0)),
            FrameAppend(good.id, good.fence, 1, frames_of("a", 2, 1)),
        ]
    )
    assert outcomes == [Ok(1), Conflict(0), Ok(2)]
    assert await other.frame_counts(good.id) == {"a": 2}


async def frames_and_journal_do_not_conflict(store: Store, other: Store) -> None:
    run = await owned_run(store, mode="pipeline")
    assert await write(store, run, 0, frames_of("a", 1, 0)) == Ok(1)
    assert await run.write(1) == 2
    assert await write(store, run, 1, frames_of("a", 2, 1)) == Ok(2)


async def written_frames_are_hinted(store: Store, other: Store) -> None:
    listener = Listener(other)
    run = await owned_run(store, mode="pipeline")
    await write(store, run, 0, frames_of("a", 1, 0, 4))
    await listener.wait(lambda h: h.kind == "frames" and h.execution_id == run.id and h.seq == 4)
    listener.stop()


RULES: list[Callable[[Store, Store], Awaitable[None]]] = [
    frames_are_compare_and_append,
    frames_are_fenced,
    frames_are_read_and_counted_per_node,
    frame_items_of_a_batch_are_independent,
    frames_and_journal_do_not_conflict,
    written_frames_are_hinted,
]
