"""``/console/v1/limits``: the limits in use and the circuits, of the caller's account alone."""

from __future__ import annotations

import asyncio
import json

from click.testing import CliRunner
from http_kit import house

from axiom.api.cli.limits import limits
from axiom.runtime.circuits import KIND
from axiom.runtime.store.permits import Ask

ONE, TWO, THREE = "1" * 32, "2" * 32, "3" * 32


def test_limits_tell_who_is_in_and_who_waits_and_nothing_of_other_accounts() -> None:
    async def case() -> None:
        async with house() as at:
            hand = at.hand()
            for name, holder in (
                ("default|acme/ring|dial|ada", f"{ONE}/dial/"),
                ("default|acme/ring|dial|ada", f"{TWO}/dial/"),
                ("default|acme/ring||", THREE),
                ("other|acme/ring||", ONE),
            ):
                await at.store.acquire([Ask(name, 1, holder, hand.session, 1, 1)])
            circuit = b"\x93\xa4open\xcd\x03\xe8\x90"
            await at.store.put(KIND, "default|acme/calls|Dial", circuit, 0)
            await at.store.put(KIND, "other|acme/calls|Dial", circuit, 0)
            told = (await at.client.get("/console/v1/limits")).json()
            node, whole = told["limits"]
            assert (whole["flow"], whole["node"], whole["key"]) == ("acme/ring", None, None)
            assert whole["holders"] == [THREE]
            assert (node["node"], node["key"], node["limit"]) == ("dial", "ada", 1)
            assert (node["holders"], node["waiting"], node["waiting_count"]) == ([ONE], [TWO], 1)
            assert told["next_after"] is None
            (shown,) = told["circuits"]
            assert (shown["package"], shown["node"], shown["state"]) == ("acme/calls", "Dial", "open")

    asyncio.run(case())


def test_limits_come_page_by_page() -> None:
    async def case() -> None:
        async with house() as at:
            hand = at.hand()
            names = [f"acme/ring||{n}" for n in range(5)]
            asks = [Ask(f"default|{name}", 1, ONE, hand.session, 1, 1) for name in names]
            await at.store.acquire(asks)
            found, after = [], ""
            while after is not None:
                page = await at.client.get("/console/v1/limits", params={"limit": 2, "after": after})
                told = page.json()
                found += [limit["name"] for limit in told["limits"]]
                after = told["next_after"]
            assert found == names

    asyncio.run(case())


def test_the_command_shows_an_empty_house() -> None:
    done = CliRunner().invoke(limits, ["list", "--store", "memory:", "--json"])
    assert json.loads(done.stdout) == {"limits": [], "next_after": None, "circuits": []}
