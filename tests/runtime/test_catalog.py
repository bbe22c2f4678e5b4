"""The shelf of packages, artifacts and aliases, and the results read from a journal: on memory and on SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from graphs import graph

from axiom.compiler.artifact import freeze
from axiom.compiler.errors import ArtifactDamaged
from axiom.runtime import catalog
from axiom.runtime import events as e
from axiom.runtime.events import Event
from axiom.runtime.results import NotFinal, ValueGone, result_of
from axiom.runtime.store.base import Append, Create, Ok, Store
from axiom.runtime.store.opening import open_store

CHAIN, OTHER = freeze(graph("a b", "a>b")), freeze(graph("a c", "a>c"))


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/x.db"


def on(url: str, play: Callable[[Store], Awaitable[None]]) -> None:
    async def work() -> None:
        store = open_store(url)
        await store.open()
        try:
            await play(store)
        finally:
            await store.close()

    asyncio.run(work())


def test_an_artifact_comes_back_as_it_was(url: str) -> None:
    async def play(store: Store) -> None:
        told = {"source": "yaml", "positions": {"a": [0, 1]}, "description": "d"}
        assert await catalog.store_artifact(store, "mine", CHAIN, **told) == CHAIN.graph_id
        catalog._CACHES.clear()
        assert await catalog.load_plan(store, CHAIN.graph_id) == CHAIN.plan
        held = await catalog.artifact(store, "mine", CHAIN.graph_id)
        assert (held.source, held.positions, held.description) == ("yaml", {"a": [0, 1]}, "d")
        assert held.content == CHAIN.content

    on(url, play)


def test_storing_it_again_writes_nothing_and_new_positions_are_kept(url: str) -> None:
    async def play(store: Store) -> None:
        await catalog.store_artifact(store, "mine", CHAIN, source="s")
        key = f"mine/{CHAIN.graph_id}"
        first = await store.get("owned", key)
        await catalog.store_artifact(store, "mine", CHAIN, source="s")
        assert await store.get("owned", key) == first
        await catalog.store_artifact(store, "mine", CHAIN, source="s", positions={"a": [5, 5]})
        held = await catalog.artifact(store, "mine", CHAIN.graph_id)
        assert held.positions == {"a": [5, 5]}
        assert (await store.get("artifact", CHAIN.graph_id) or first).version == 1  # type: ignore[union-attr]

    on(url, play)


def test_whose_it_is_matters_to_doors_and_not_to_workers(url: str) -> None:
    async def play(store: Store) -> None:
        await catalog.store_artifact(store, "mine", CHAIN)
        assert await catalog.owned_plan(store, "mine", CHAIN.graph_id) == CHAIN.plan
        assert await catalog.load_plan(store, CHAIN.graph_id) == CHAIN.plan
        for call in (catalog.owned_plan, catalog.artifact):
            with pytest.raises(catalog.UnknownArtifact):
                await call(store, "theirs", CHAIN.graph_id)
        with pytest.raises(catalog.UnknownArtifact):
            await catalog.move_alias(store, "theirs", "a/b", CHAIN.graph_id)

    on(url, play)


def test_damaged_bytes_are_not_run(url: str) -> None:
    async def play(store: Store) -> None:
        await catalog.store_artifact(store, "mine", CHAIN)
        catalog._CACHES.clear()
        await store.put("artifact", CHAIN.graph_id, OTHER.content)
        with pytest.raises(ArtifactDamaged):
            await catalog.load_plan(store, CHAIN.graph_id)

    on(url, play)


def test_plans_are_kept_in_memory_and_no_more_than_a_bound(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "PLANS_KEPT", 3)

    async def play(store: Store) -> None:
        made = [freeze(graph(f"n{n} z", f"n{n}>z")) for n in range(6)]
        for one in made:
            await catalog.store_artifact(store, "mine", one)
        assert await catalog.load_plan(store, made[5].graph_id) is made[5].plan
        assert await catalog.load_plan(store, made[0].graph_id) == made[0].plan, "read again"
        assert len(catalog._cache(store).plans) == 3

    on(url, play)


def test_aliases_of_accounts_are_apart_and_listed_by_name(url: str) -> None:
    async def play(store: Store) -> None:
        for account, name in (("a", "x/two"), ("a", "x/one"), ("ab", "x/three")):
            await catalog.store_artifact(store, account, CHAIN)
            await catalog.move_alias(store, account, name, CHAIN.graph_id)
        assert [alias.name for alias in await catalog.aliases(store, "a")] == ["x/one", "x/two"]
        with pytest.raises(catalog.UnknownAlias):
            await catalog.resolve_alias(store, "a", "x/three")

    on(url, play)


def test_a_history_is_bounded_and_its_versions_go_on(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "HISTORY_KEPT", 4)

    async def play(store: Store) -> None:
        for one in (CHAIN, OTHER):
            await catalog.store_artifact(store, "a", one)
        for n in range(7):
            await catalog.move_alias(store, "a", "x", (CHAIN, OTHER)[n % 2].graph_id, by=str(n))
        alias = await catalog.alias(store, "a", "x")
        assert [move.version for move in alias.history] == [7, 6, 5, 4]
        assert alias.history[0].by == "6"
        with pytest.raises(catalog.UnknownMove):
            await catalog.roll_back_alias(store, "a", "x", to=2)
        assert (await catalog.roll_back_alias(store, "a", "x")).graph_id == OTHER.graph_id

    on(url, play)


# --- results --------------------------------------------------------------------------------------------------------

ID = "1" * 32


async def journal(store: Store, *events: Event, status: str) -> int:
    first = Event(e.ACCEPTED, 1, body={"input": {"value": 0}})
    for after, part, more in (
        (0, (first,), {"create": Create("a", "f", "g", "unary", "default")}),
        (1, events, {"status": status}),
    ):
        data = tuple(e.encode(event) for event in part)
        crcs = tuple(e.crc(ID, one) for one in data)
        extra: dict[str, Any] = dict(more)
        outcome = (await store.append([Append(ID, data, crcs, part[-1].at, after, **extra)]))[0]
        assert isinstance(outcome, Ok)
    return outcome.seq


@pytest.mark.parametrize("between", [0, 1, 5])
def test_the_output_is_found_wherever_it_stands(url: str, between: int) -> None:
    async def play(store: Store) -> None:
        done = Event(e.NODE_COMPLETED, 2, "b", (), 1, body={"output": {"value": {"x": 1}}})
        others = [Event(e.NODE_STARTED, 3, "c", (), n + 1) for n in range(between)]
        final = Event(e.COMPLETED, 4_999, body={"output_seq": 2})
        seq = await journal(store, done, *others, final, status="COMPLETED")
        result = await result_of(store, ID, seq)
        assert result.as_json() == {"output": {"x": 1}, "success": True, "completed_at": 4}

    on(url, play)


@pytest.mark.parametrize(
    ("final", "expected"),
    [
        (Event(e.COMPLETED, 1_000, body={"output": {"value": None}}), {"output": None, "success": True}),
        (Event(e.COMPLETED, 1_000, body={"frames": 3}), {"frames": 3, "success": True}),
        (
            Event(e.FAILED, 1_000, body={"code": "c", "message": "m"}),
            {"error": {"code": "c", "message": "m", "node": None}, "success": False},
        ),
        (
            Event(e.CANCELLED, 1_000, body={"reason": "by hand", "frames": 2}),
            {
                "error": {"code": "cancelled", "message": "by hand", "node": None},
                "frames": 2,
                "success": False,
            },
        ),
    ],
)
def test_every_end_has_its_shape(url: str, final: Event, expected: dict[str, Any]) -> None:
    async def play(store: Store) -> None:
        status = {e.COMPLETED: "COMPLETED", e.FAILED: "FAILED", e.CANCELLED: "CANCELLED"}[final.kind]
        seq = await journal(store, final, status=status)
        assert (await result_of(store, ID, seq)).as_json() == {**expected, "completed_at": 1}

    on(url, play)


def test_a_run_that_goes_on_has_no_result_and_a_lost_value_says_so(url: str) -> None:
    async def play(store: Store) -> None:
        gone = Event(e.COMPLETED, 1, body={"output": {"blob": "b", "size": 9}})
        seq = await journal(store, gone, status="COMPLETED")
        with pytest.raises(ValueGone):
            await result_of(store, ID, seq)
        for wrong in (1, 77):
            with pytest.raises(NotFinal):
                await result_of(store, ID, wrong)

    on(url, play)
