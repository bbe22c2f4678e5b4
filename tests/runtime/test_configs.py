"""Profiles: which apply, in which order, what is frozen, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from graphs import graph

from axiom.compiler.artifact import Plan
from axiom.runtime import configs
from axiom.runtime.configs import ConfigMoved, ConfigUnfit, Profile, UnknownConfig, resolve
from axiom.runtime.store.base import Store
from axiom.runtime.store.memory import MemoryStore


def profile(
    timeouts: dict[str, float] | None = None, secrets: dict[str, str] | None = None, **values: Any
) -> Profile:
    return Profile(values, secrets or {}, timeouts or {})


def with_store(work: Callable[[Store, Plan], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        store = MemoryStore()
        await store.open()
        await work(store, graph("a b", "a>b"))
        await store.close()

    asyncio.run(run())


def test_the_accounts_the_flows_and_the_chosen_one_apply_in_this_order() -> None:
    async def work(store: Store, plan: Plan) -> None:
        flow = plan.name
        assert await resolve(store, "x", plan) is None
        await configs.put_profile(store, "x", "default", profile(a=1, b=1, c=1, secrets={"K": "ONE"}))
        await configs.put_profile(store, "x", f"{flow}/default", profile({"a": 5.0, "b": 5.0}, b=2, c=2))
        await configs.put_profile(store, "x", f"{flow}/blue", profile({"b": 7.0}, {"K": "TWO"}, c=3))
        await configs.put_profile(store, "other", "default", profile(a="other"))
        frozen = await resolve(store, "x", plan, f"{flow}/blue")
        assert frozen == {
            "profiles": [["default", 1], [f"{flow}/default", 1], [f"{flow}/blue", 1]],
            "values": {"a": 1, "b": 2, "c": 3},
            "secrets": {"K": "TWO"},
            "timeouts": {"a": 5.0, "b": 7.0},
        }
        assert (await resolve(store, "x", plan) or {})["values"] == {"a": 1, "b": 2, "c": 2}
        again = await resolve(store, "x", plan, "default")
        assert (again or {})["profiles"] == [["default", 1], [f"{flow}/default", 1]], "each applies once"

    with_store(work)


def test_a_chosen_one_must_be_there_be_for_the_flow_and_name_its_nodes() -> None:
    async def work(store: Store, plan: Plan) -> None:
        with pytest.raises(UnknownConfig):
            await resolve(store, "x", plan, "none")
        await configs.put_profile(store, "x", "other/flow/blue", profile())
        with pytest.raises(ConfigUnfit, match="other/flow"):
            await resolve(store, "x", plan, "other/flow/blue")
        await configs.put_profile(store, "x", f"{plan.name}/blue", profile({"gone": 1.0}))
        with pytest.raises(ConfigUnfit, match="gone") as told:
            await resolve(store, "x", plan, f"{plan.name}/blue")
        assert told.value.path == "/nodes/gone"

    with_store(work)


def test_a_flows_default_leaves_out_the_nodes_that_an_artifact_does_not_have() -> None:
    async def work(store: Store, plan: Plan) -> None:
        await configs.put_profile(store, "x", f"{plan.name}/default", profile({"gone": 1.0, "a": 2.0}))
        assert (await resolve(store, "x", plan) or {})["timeouts"] == {"a": 2.0}

    with_store(work)


def test_a_child_takes_its_parents_values_and_secrets_over_its_own_flows_default() -> None:
    async def work(store: Store, plan: Plan) -> None:
        parent = {"config": {"values": {"a": "parent"}, "secrets": {"K": "STAGING"}, "timeouts": {"a": 1.0}}}
        await configs.put_profile(
            store, "x", f"{plan.name}/default", profile({"a": 9.0}, {"K": "LIVE"}, a=1, b=1)
        )
        inherited = configs.inheritance(parent)["config"]
        frozen = await resolve(store, "x", plan, inherited=inherited) or {}
        assert frozen["values"] == {"a": "parent", "b": 1}
        assert frozen["secrets"] == {"K": "STAGING"}
        assert frozen["timeouts"] == {"a": 9.0}, "nodes are a flow's own"
        assert configs.inheritance({}) == {}

    with_store(work)


def test_versions_grow_are_kept_and_are_never_used_again() -> None:
    async def work(store: Store, plan: Plan) -> None:
        for n in (1, 2):
            assert (await configs.put_profile(store, "x", "default", profile(n=n)))[0] == n
        assert (await configs.profile(store, "x", "default", 1))[1].values == {"n": 1}
        with pytest.raises(ConfigMoved):
            await configs.put_profile(store, "x", "default", profile(), expect=1)
        with pytest.raises(ConfigMoved):
            await configs.put_profile(store, "x", "default", profile(), expect=0)
        assert (await configs.put_profile(store, "x", "default", profile(n=3), expect=2))[0] == 3
        await configs.remove_profile(store, "x", "default")
        assert await configs.profiles(store, "x") == []
        assert await resolve(store, "x", plan) is None
        with pytest.raises(UnknownConfig):
            await configs.remove_profile(store, "x", "default")
        assert (await configs.put_profile(store, "x", "default", profile(n=4)))[0] == 4
        with pytest.raises(UnknownConfig):
            await configs.profile(store, "x", "default", 2)

    with_store(work)


def test_writers_at_the_same_time_all_get_a_version_of_their_own() -> None:
    async def work(store: Store, plan: Plan) -> None:
        written = await asyncio.gather(
            *(configs.put_profile(store, "x", f"n{n % 2}", profile(n=n)) for n in range(6))
        )
        for n, (version, _) in enumerate(written):
            assert (await configs.profile(store, "x", f"n{n % 2}", version))[1].values == {"n": n}
        assert len(await configs.profiles(store, "x")) == 2

    with_store(work)
