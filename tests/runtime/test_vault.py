"""Secrets in the store: sealed for their place, opened by the right key, sealed anew when that changes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from axiom.runtime import vault
from axiom.runtime.clock import SystemClock
from axiom.runtime.events import pack_value, unpack_value
from axiom.runtime.store.base import Store
from axiom.runtime.store.memory import MemoryStore
from axiom.runtime.vault import BadKey, Keys, NoKey, SecretExists, UnknownSecret

CLOCK = SystemClock()
NOWHERE: Callable[[str], str | None] = {}.get


def with_store(work: Callable[[Store, Keys], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        store = MemoryStore()
        await store.open()
        keys = Keys(vault.new_key(CLOCK))
        await vault.publish_key(store, keys)
        await work(store, keys)
        await store.close()

    asyncio.run(run())


async def opened(store: Store, keys: Keys, *names: str, account: str = "a") -> vault.Opened:
    return await vault.open_secrets(store, keys, NOWHERE, account, {name: name for name in names})


def test_a_secret_is_opened_by_its_account_and_is_nowhere_in_the_store() -> None:
    async def work(store: Store, keys: Keys) -> None:
        told = await vault.put_secret(store, "a", "KEY", "canary-canary", by="me")
        assert (told.version, told.by) == (1, "me")
        assert (await opened(store, keys, "KEY")).values == {"KEY": "canary-canary"}
        other = await opened(store, keys, "KEY", account="b")
        assert other.values == {}
        assert other.missing["KEY"][0] == "secret_missing"
        document = await store.get(vault.KIND, "a/KEY")
        assert document is not None
        assert b"canary" not in document.value
        assert [secret.name for secret in await vault.secrets(store, "a")] == ["KEY"]
        assert await vault.secrets(store, "b") == []

    with_store(work)


@pytest.mark.parametrize("where", ["b/KEY", "a/OTHER"])
def test_a_sealed_value_in_another_place_is_refused(where: str) -> None:
    async def work(store: Store, keys: Keys) -> None:
        await vault.put_secret(store, "a", "KEY", "canary-canary")
        document = await store.get(vault.KIND, "a/KEY")
        assert document is not None
        await store.put(vault.KIND, where, document.value)
        account, _, name = where.partition("/")
        found = await opened(store, keys, name, account=account)
        assert found.values == {}
        assert found.missing[name][0] == "secret_unreadable"

    with_store(work)


def test_an_older_sealed_value_under_a_newer_version_is_refused() -> None:
    async def work(store: Store, keys: Keys) -> None:
        await vault.put_secret(store, "a", "KEY", "canary-one")
        old = await store.get(vault.KIND, "a/KEY")
        await vault.put_secret(store, "a", "KEY", "canary-two")
        new = await store.get(vault.KIND, "a/KEY")
        assert old is not None
        assert new is not None
        await store.put(
            vault.KIND, "a/KEY", pack_value([*unpack_value(new.value)[:5], unpack_value(old.value)[5]])
        )
        assert (await opened(store, keys, "KEY")).missing["KEY"][0] == "secret_unreadable"

    with_store(work)


def test_another_key_opens_nothing_and_is_named() -> None:
    async def work(store: Store, keys: Keys) -> None:
        told = await vault.put_secret(store, "a", "KEY", "canary-canary")
        code, message = (await opened(store, Keys(vault.new_key(CLOCK)), "KEY")).missing["KEY"]
        assert code == "secret_unreadable"
        assert told.key_id in message

    with_store(work)


def test_setting_and_rotating_are_two_things() -> None:
    async def work(store: Store, keys: Keys) -> None:
        with pytest.raises(UnknownSecret):
            await vault.put_secret(store, "a", "KEY", "canary-one", known=True)
        await vault.put_secret(store, "a", "KEY", "canary-one", fresh=True)
        with pytest.raises(SecretExists):
            await vault.put_secret(store, "a", "KEY", "canary-two", fresh=True)
        assert (await vault.put_secret(store, "a", "KEY", "canary-two", known=True)).version == 2
        assert (await opened(store, keys, "KEY")).values == {"KEY": "canary-two"}
        await vault.remove_secret(store, "a", "KEY")
        with pytest.raises(UnknownSecret):
            await vault.remove_secret(store, "a", "KEY")

    with_store(work)


def test_without_a_published_key_nothing_is_sealed() -> None:
    async def run() -> None:
        store = MemoryStore()
        await store.open()
        with pytest.raises(NoKey):
            await vault.put_secret(store, "a", "KEY", "canary-canary")

    asyncio.run(run())


def test_the_store_comes_before_the_fallback_and_a_config_chooses_the_name() -> None:
    async def work(store: Store, keys: Keys) -> None:
        await vault.put_secret(store, "a", "ONE", "from the store")
        given = {"ONE": "elsewhere 1", "TWO": "elsewhere 2"}.get
        names = vault.names_of(("ONE", "TWO", "THREE"), {"THREE": "TWO"})
        found = await vault.open_secrets(store, keys, given, "a", names)
        assert found.values == {"ONE": "from the store", "TWO": "elsewhere 2", "THREE": "elsewhere 2"}

    with_store(work)


def test_sealing_anew_needs_every_key_and_can_be_repeated(tmp_path: Path) -> None:
    async def work(store: Store, keys: Keys) -> None:
        file = tmp_path / "keys"
        first = vault.new_key(CLOCK)
        vault.write_key_file(file, first)
        await store.put(vault.KEY_KIND, vault.PUBLIC, Keys(first).public or b"")
        for account in ("a", "b"):
            await vault.put_secret(store, account, "KEY", f"canary-{account}")
        worker = Keys(file=file)
        assert (await opened(store, worker, "KEY")).values == {"KEY": "canary-a"}
        with pytest.raises(BadKey, match="give that too"):
            await vault.reseal(store, Keys(vault.new_key(CLOCK)))
        assert await vault.published_key(store) == Keys(first).public, "nothing was changed"
        vault.write_key_file(file, f"{vault.new_key(CLOCK)}\n{first}\n")
        assert await vault.reseal(store, Keys(file=file)) == (2, 2)
        assert await vault.reseal(store, Keys(file=file)) == (0, 2)
        assert (await opened(store, worker, "KEY")).values == {"KEY": "canary-a"}, "it read the file again"
        assert (await opened(store, Keys(first), "KEY")).missing["KEY"][0] == "secret_unreadable"
        assert (await vault.secret(store, "a", "KEY")).version == 1

    with_store(work)


@pytest.mark.parametrize("text", ["nonsense", "axsk1-", "axsk1-AAAA", "axsk1-" + "A" * 44, "axsk1-$$$$"])
def test_a_bad_key_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(BadKey) as told:
        Keys(f"{vault.new_key(CLOCK)},{text}").read()
    assert "key 2" in str(told.value)
    assert text not in str(told.value).replace("axsk1- and", "")


def test_a_key_file_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "keys"
    vault.create_key_file(file, vault.new_key(CLOCK))
    assert file.stat().st_mode & 0o777 == 0o600
    held = file.read_text()
    vault.create_key_file(file, vault.new_key(CLOCK))
    assert file.read_text() == held, "one that is there stays"
    assert os.listdir(file.parent) == ["keys"]
    file.chmod(0o640)
    with pytest.raises(BadKey, match="chmod 600"):
        Keys(file=file).read()
    assert Keys(file=tmp_path / "none").public is None
