"""What a run is configured with, in the engine: time-outs by alias, and secrets that are opened or missing."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
from graphs import graph
from rigs import Hands, Rig
from test_streaming import dies, pipeline, rigged

from axiom.compiler.artifact import Plan
from axiom.runtime import events as e
from axiom.runtime.context import Surroundings
from axiom.runtime.engine import Execution
from axiom.runtime.failures import Failure
from axiom.runtime.perform import Attempt
from axiom.runtime.performer import LocalPerformer
from axiom.runtime.store.base import Unavailable
from axiom.runtime.vault import Opened

CANARY = "canary-canary"
MISSING = Failure("secret_missing", "the secret 'KEY' is not set")


class Vaulted(Hands):
    """Hands with secrets: what is in ``values`` can be opened."""

    def __init__(self, **values: str) -> None:
        super().__init__()
        self.values = values
        self.asked = 0

    async def unlock(self, execution: Execution, names: Collection[str]) -> Failure | None:
        self.asked += 1
        if set(names) - set(self.values):
            return MISSING
        execution.unlocked({name: self.values[name] for name in names})
        return None

    def context(self, attempt: Attempt, resume_after: Any = None) -> Any:
        context = super().context(attempt, resume_after)
        context.secrets = dict(attempt.execution.secrets)
        return context


def needing(plan: Plan, alias: str) -> Plan:
    nodes = [replace(node, required_secrets=("KEY",)) if node.alias == alias else node for node in plan.nodes]
    return replace(plan, nodes=tuple(nodes))


def timeouts(**seconds: float) -> dict[str, Any]:
    return {"profiles": [["x", 1]], "values": {}, "secrets": {}, "timeouts": seconds}


async def echo(ctx: Any, value: Any) -> Any:
    return value


async def slow(ctx: Any, value: Any) -> Any:
    await asyncio.sleep(20)
    return value


async def silent(ctx: Any, frames: Any) -> Any:
    async for frame in frames:
        await asyncio.sleep(1_000)
        yield frame


@pytest.mark.parametrize(("seconds", "status"), [(5.0, "FAILED"), (60.0, "COMPLETED")])
def test_a_node_has_the_time_that_its_runs_config_gives_it(seconds: float, status: str) -> None:
    async def scenario(rig: Rig) -> None:
        plan = graph("a b", "a>b")
        plan = replace(plan, nodes=(plan.nodes[0], replace(plan.nodes[1], timeout_seconds=10.0)))
        await rig.worker()
        graph_id = rig.add(plan, {"a": slow, "b": slow})
        run = await rig.start(graph_id, config=timeouts(b=seconds))
        assert (await rig.ended(run)).status == status
        if status == "FAILED":
            final = (await rig.history(run))[-1]
            assert (final.body["code"], final.body["message"]) == ("timeout", "b took longer than 5 s")
        other = await rig.start(graph_id)
        assert (await rig.ended(other)).status == "FAILED", "without a config the node's own holds"

    rigged(scenario)


def test_a_stream_that_is_silent_longer_than_its_config_allows_ends() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.worker()
        run = await rig.start(rig.add(pipeline(), {"a": silent}), config=timeouts(a=8.0))
        assert (await rig.ended(run)).status == "FAILED"
        assert "for 8 s" in (await rig.history(run))[-1].body["message"]

    rigged(scenario)


@pytest.mark.parametrize("made", ["unary", "pipeline"])
def test_a_run_that_lacks_a_secret_ends_before_its_first_node(made: str) -> None:
    async def scenario(rig: Rig) -> None:
        rig.hands = Vaulted()
        await rig.worker()
        plan = graph("a b", "a>b") if made == "unary" else pipeline()
        run = await rig.start(rig.add(needing(plan, plan.nodes[-1].alias), {"a": echo, "b": echo}))
        assert (await rig.ended(run)).status == "FAILED"
        assert await rig.kinds(run) == [e.ACCEPTED, e.STARTED, e.FAILED]
        assert (await rig.history(run))[-1].body["code"] == "secret_missing"
        assert rig.hands.calls == []

    rigged(scenario)


def test_a_secret_that_goes_away_in_mid_run_fails_the_node_that_needs_it() -> None:
    async def scenario(rig: Rig) -> None:
        hands = rig.hands = Vaulted(KEY="canary-canary")

        async def lose(ctx: Any, value: Any) -> Any:
            hands.values.clear()
            return value

        await rig.worker()
        run = await rig.start(rig.add(needing(graph("a b", "a>b"), "b"), {"a": lose, "b": echo}))
        assert (await rig.ended(run)).status == "FAILED"
        final = (await rig.history(run))[-1]
        assert (final.body["code"], final.body["node"]) == ("secret_missing", "b")

    rigged(scenario)


def test_what_was_opened_stands_in_no_output_and_no_failure_also_not_of_another_node() -> None:
    async def scenario(rig: Rig) -> None:
        hands = rig.hands = Vaulted(KEY="canary-canary")

        async def tell(ctx: Any, value: Any) -> Any:
            if value.get("raise"):
                raise ValueError("it was canary-canary")
            return {"told": "canary-canary"}

        await rig.worker()
        graph_id = rig.add(needing(graph("a b", "a>b"), "a"), {"a": echo, "b": tell})
        run = await rig.start(graph_id, {"x": 1})
        assert (await rig.ended(run)).status == "FAILED"
        assert (await rig.history(run))[-1].body["code"] == "secret_in_output"
        run = await rig.start(graph_id, {"raise": True})
        assert (await rig.ended(run)).status == "FAILED"
        assert "it was [redacted]" in (await rig.history(run))[-1].body["message"]
        assert hands.asked >= 4, "at the start, and for the attempt"

    rigged(scenario)


def test_a_stream_that_is_taken_over_has_its_secrets_again() -> None:
    async def scenario(rig: Rig) -> None:
        hands = rig.hands = Vaulted(KEY=CANARY)
        began = asyncio.Event()

        async def stream(ctx: Any, frames: Any) -> Any:
            async for _ in frames:
                yield {"length": len(ctx.secrets["KEY"])}
                if not began.is_set():
                    began.set()
                    await asyncio.Event().wait()

        graph_id = rig.add(needing(pipeline(), "a"), {"a": stream})
        first = await rig.worker()
        run = await rig.start(graph_id)
        await began.wait()
        dies(rig, first)
        await rig.worker()
        assert (await rig.ended(run)).status == "COMPLETED"
        assert hands.asked == 2

    rigged(scenario)


class Vault:
    """Opens ``KEY``; what it is told to raise it raises, once."""

    def __init__(self) -> None:
        self.trouble: list[Exception] = []
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def __call__(self, account: str, names: Mapping[str, str]) -> Opened:
        self.asked.append((account, dict(names)))
        if self.trouble:
            raise self.trouble.pop()
        return Opened(dict.fromkeys(names, CANARY), {})


def performed(rig: Rig) -> Vault:
    """Let the worker's own performer call the handlers."""
    vault = Vault()
    rig.hands = LocalPerformer(cast(Any, None), Surroundings(), vault, lambda reason: None)  # type: ignore[assignment]
    return vault


def test_a_store_that_is_away_while_a_secret_is_opened_is_no_failure_of_the_node() -> None:
    async def scenario(rig: Rig) -> None:
        vault = performed(rig)

        async def first(ctx: Any, value: Any) -> Any:
            vault.trouble = [Unavailable("it restarts"), Unavailable("it restarts")]
            return value

        async def second(ctx: Any, value: Any) -> Any:
            return {"length": len(ctx.secrets["KEY"])}

        await rig.worker()
        graph_id = rig.add(needing(graph("a b", "a>b"), "b"), {"a": first, "b": second})
        run = await rig.start(graph_id, config={**timeouts(), "secrets": {"KEY": "STAGING"}})
        assert (await rig.ended(run)).status == "COMPLETED"
        assert await rig.output(run) == {"length": len(CANARY)}
        assert not [kind for kind in await rig.kinds(run) if kind.startswith(e.NODE_FAILED)]
        assert set(map(str, vault.asked)) == {str(("default", {"KEY": "STAGING"}))}

    rigged(scenario)


def test_what_a_handler_does_to_its_config_is_nobody_elses_business() -> None:
    async def scenario(rig: Rig) -> None:
        performed(rig)

        async def spoil(ctx: Any, value: Any) -> Any:
            found = dict(ctx.config["limits"])
            ctx.config["limits"]["most"] = 0
            return found

        await rig.worker()
        run = await rig.start(
            rig.add(graph("a b", "a>b"), {"a": spoil, "b": spoil}),
            config={**timeouts(), "values": {"limits": {"most": 5}}},
        )
        assert (await rig.ended(run)).status == "COMPLETED"
        assert await rig.output(run) == {"most": 5}

    rigged(scenario)
