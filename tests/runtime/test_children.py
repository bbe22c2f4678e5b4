"""Children do their work, are used again, and are fair: the well-behaved part."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
import uvloop
from handler_kit import Nursery, alive, dead, folder, nursery, open_descriptors

from axiom.runtime import children as children_module
from axiom.runtime.children import Children, ChildrenStopped
from axiom.runtime.context import Context
from axiom.runtime.failures import Failure
from axiom.runtime.loading import Reference
from axiom.runtime.values import pack

pytestmark = pytest.mark.slow

GOOD = """
import asyncio, dataclasses, os, sys, time

from axiom.sdk import NodeFailure

CALLS = 0


def echo(ctx, input):
    return {"got": input}


def pid(ctx, input):
    global CALLS
    CALLS += 1
    return {"pid": os.getpid(), "calls": CALLS}


def context(ctx, input):
    return [ctx.execution_id, ctx.node, list(ctx.iteration), ctx.attempt, ctx.fencing_token, ctx.idempotency_key,
            dict(ctx.config), ctx.secrets.get("KEY"), ctx.cancelled]


async def asynchronous(ctx, input):
    await asyncio.sleep(0)
    return {"twice": input * 2}


@dataclasses.dataclass
class Order:
    total: float
    tags: list[str]


def typed(ctx, order: Order) -> Order:
    return Order(order.total * 2, [*order.tags, "seen"])


def declined(ctx, input):
    raise NodeFailure("card declined", code="declined", retryable=False, retry_after_seconds=1.5, details={"a": 1})


def held(ctx, gate):
    print("began", os.getpid())
    while os.path.exists(gate):
        time.sleep(0.005)


def slow(ctx, input):
    print("began", os.getpid())
    time.sleep(input)
    return input


def talks(ctx, input):
    ctx.log.info("charging %s", "now", amount=12.5)
    ctx.progress(0.5, "half")
    ctx.heartbeat(step=3)
    print("printed")
    print("to stderr", file=sys.stderr)
    sys.stdout.write("no end of line")
    return None


def secret(ctx, input):
    print("the key is", ctx.secrets["KEY"])
    ctx.log.info("key " + ctx.secrets["KEY"], key=ctx.secrets["KEY"])
    raise ValueError("bad key " + ctx.secrets["KEY"])


def size(ctx, input):
    return "x" * input
"""


@pytest.fixture
def where(tmp_path: Path) -> Path:
    return folder(tmp_path / "acme", nodes__bad=GOOD)


def test_an_argument_goes_in_and_the_result_comes_out(where: Path) -> None:
    async def check(n: Nursery) -> None:
        for value in (None, 1, "é", [1, [2]], {"a": {"b": 1.5}}):
            assert await n.run("echo", value) == {"got": value}
        assert await n.run("asynchronous", 21) == {"twice": 42}
        assert await n.run("typed", {"total": 2.5, "tags": ["a"]}) == {"total": 5.0, "tags": ["a", "seen"]}

    nursery(where, check)


def test_the_context_is_the_same_on_the_other_side(where: Path) -> None:
    async def check(n: Nursery) -> None:
        here = n.log.context(config={"region": "eu"}, secrets={"KEY": "s3cret"})
        execution, *rest = await n.run("context", None, config={"region": "eu"}, secrets={"KEY": "s3cret"})
        assert execution == here.execution_id
        assert rest == ["charge", [], 1, 7, here.idempotency_key, {"region": "eu"}, "s3cret", False]

    nursery(where, check)


def test_messages_of_any_size_pass(where: Path) -> None:
    async def check(n: Nursery) -> None:
        text = "x" * (8 << 20)
        assert await n.run("echo", text) == {"got": text}
        assert len(await n.run("size", 15 << 20)) == 15 << 20
        failure = await n.run("size", 17 << 20)
        assert (failure.code, failure.retryable) == ("payload_too_large", False)
        assert await n.run("echo", 1) == {"got": 1}

    nursery(where, check, slots=1)


def test_a_failure_crosses_as_data(where: Path) -> None:
    async def check(n: Nursery) -> None:
        failure = await n.run("declined")
        assert failure[:2] == ("declined", "card declined")
        assert failure.types == ("NodeFailure", "Exception")
        assert (failure.retryable, failure.retry_after_ms, failure.details) == (False, 1500, {"a": 1})

    nursery(where, check)


def test_it_works_the_same_on_uvloop(where: Path) -> None:
    async def check(n: Nursery) -> None:
        text = "x" * (8 << 20)
        assert await n.run("echo", text) == {"got": text}
        await n.run("talks")
        assert "printed" in n.log.messages
        call = n.begin("slow", 600)
        pid = int(await n.line("began"))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert not alive(pid)
        assert len(await asyncio.gather(*(n.run("echo", i) for i in range(100)))) == 100

    nursery(where, check, loop=uvloop.new_event_loop)


def test_a_worker_whose_directory_was_deleted_still_has_children(
    where: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")

    async def check(n: Nursery) -> None:
        (tmp_path / "gone").rmdir()
        assert await n.run("echo", 1) == {"got": 1}
        assert await n.run("echo", 2) == {"got": 2}

    nursery(where, check)


def test_a_child_is_used_again(where: Path) -> None:
    async def check(n: Nursery) -> None:
        found = [await n.run("pid") for _ in range(20)]
        assert len({item["pid"] for item in found}) == 1
        assert found[-1]["calls"] == 20

    nursery(where, check)


def test_a_child_is_replaced_after_so_many_calls(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axiom.runtime.child_link.CHILD_CALLS", 5)

    async def check(n: Nursery) -> None:
        pids = [(await n.run("pid"))["pid"] for _ in range(20)]
        assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [5, 5, 5, 5]
        await dead(*set(pids[:-5]))

    nursery(where, check, slots=1)


def test_callers_wait_for_a_slot_in_their_order(where: Path) -> None:
    async def check(n: Nursery) -> None:
        order: list[int] = []

        async def call(number: int) -> None:
            await n.run("echo", number)
            order.append(number)

        gate = where / "gate"
        gate.touch()
        blocker = n.begin("held", str(gate))
        await n.line("began")
        tasks = [asyncio.create_task(call(number)) for number in range(5)]
        await asyncio.sleep(0)
        assert (n.children.waiting, n.children.busy) == (5, 1)
        assert len(n.children.wanted_by) == 5, "`why` tells who waits"
        tasks[2].cancel()
        gate.unlink()
        await asyncio.gather(blocker, *tasks, return_exceptions=True)
        assert order == [0, 1, 3, 4]
        assert (n.children.waiting, n.children.busy) == (0, 0)
        assert n.children.wanted_by == []

    nursery(where, check, slots=1)


def test_a_caller_that_is_cancelled_with_its_turn_in_hand_passes_it_on(where: Path) -> None:
    async def check(n: Nursery) -> None:
        await n.run("echo", 0)
        blocker = n.begin("slow", 0.05)
        await n.line("began")
        first, second = n.begin("echo", 1), n.begin("echo", 2)
        await blocker
        first.cancel()
        assert await second == {"got": 2}
        assert n.children.busy == 0

    nursery(where, check, slots=1)


def test_no_more_children_than_slots(where: Path) -> None:
    async def check(n: Nursery) -> None:
        found = await asyncio.gather(*(n.run("pid") for _ in range(50)))
        assert len({item["pid"] for item in found}) <= 3

    nursery(where, check, slots=3)


def test_what_a_handler_says_reaches_the_log_with_its_node(where: Path) -> None:
    async def check(n: Nursery) -> None:
        await n.run("talks")
        assert n.log.messages == ["charging now", "printed", "to stderr", "no end of line"]
        for _, _, fields in n.log.lines:
            assert (fields["node"], fields["attempt"], fields["worker"]) == ("charge", 1, "w1")
        assert n.log.lines[0][2]["amount"] == 12.5
        assert n.log.reports == [
            ("progress", {"fraction": 0.5, "message": "half"}),
            ("heartbeat", {"step": 3}),
        ]

    nursery(where, check)


def test_the_value_of_a_secret_is_in_no_log_and_no_failure(where: Path) -> None:
    async def check(n: Nursery) -> None:
        failure = await n.run("secret", None, secrets={"KEY": "canary-4711"})
        assert failure.message == "ValueError: bad key [redacted]"
        assert "canary" not in repr(n.log.lines) + repr(failure)
        assert "the key is [redacted]" in n.log.messages

    nursery(where, check)


def test_new_code_is_loaded_under_its_own_digest(where: Path) -> None:
    async def check(n: Nursery) -> None:
        context = n.log.context()
        for digest, text in (("d1", "one"), ("d2", "two"), ("d3", "six")):
            folder(where, nodes__turn=f"def turn(ctx, input): return {text!r}")
            result = await n.children.run(n.reference("nodes/turn.py:turn", digest), pack(None), context)
            assert result == pack(text)

    nursery(where, check, slots=1)


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("def other(ctx, input): ...", "handler_function_missing", "defines no `f`"),
        ("def f(ctx): ...", "handler_signature", "too many positional"),
        ("import nowhere_to_be_found\ndef f(ctx, input): ...", "handler_import", "nowhere_to_be_found"),
        ("def f(ctx, input) return", "handler_syntax", "not valid Python"),
        ("raise SystemExit(3)", "handler_import", "SystemExit: 3"),
    ],
)
def test_broken_code_is_a_failure_with_a_place(where: Path, source: str, code: str, words: str) -> None:
    folder(where, nodes__broken=source)

    async def check(n: Nursery) -> None:
        reference = n.reference("nodes/broken.py:f")
        failure = await n.children.run(reference, pack(None), n.log.context())
        assert isinstance(failure, Failure)
        assert (failure.code, failure.retryable) == (code, False)
        assert words in failure.message
        assert failure.details["place"]["file"].endswith("broken.py")
        assert await n.run("echo", 1) == {"got": 1}

    nursery(where, check)


def test_ten_thousand_calls_leave_no_descriptor_behind(where: Path) -> None:
    async def check(n: Nursery) -> None:
        await asyncio.gather(*(n.run("echo", 1) for _ in range(8)))
        before = open_descriptors()
        for _ in range(10):
            await asyncio.gather(*(n.run("echo", 1) for _ in range(1000)))
        assert open_descriptors() == before

    nursery(where, check)


def test_the_environment_of_the_worker_is_not_the_handlers(
    where: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AXIOM_STORE", "redis://:password@host")
    monkeypatch.setenv("COLOUR", "blue")
    source = (
        "import os\ndef env(ctx, input): return [os.environ.get('AXIOM_STORE'), os.environ.get('COLOUR')]"
    )
    folder(where, nodes__env=source)

    async def check(n: Nursery) -> None:
        result = await n.children.run(n.reference("nodes/env.py:env"), pack(None), n.log.context())
        assert result == pack([None, "blue"])

    nursery(where, check)


def test_stop_ends_what_runs_and_what_waits(where: Path) -> None:
    async def check(n: Nursery) -> None:
        running, waiting = n.begin("slow", 600), n.begin("echo", 1)
        pid = int(await n.line("began"))
        await n.children.stop()
        for task in (running, waiting):
            with pytest.raises(ChildrenStopped):
                await task
        assert not alive(pid)
        with pytest.raises(ChildrenStopped):
            await n.run("echo", 1)

    nursery(where, check, slots=1)


def test_a_dead_fork_server_takes_its_children_along_and_is_replaced(where: Path) -> None:
    async def check(n: Nursery) -> None:
        running = n.begin("slow", 600)
        pid = int(await n.line("began"))
        server = n.children.server_pid
        assert server is not None
        os.kill(server, 9)
        failure = await running
        assert failure.code == "child_exited"
        await dead(pid)
        assert await n.run("echo", 1) == {"got": 1}
        assert n.children.server_pid != server

    nursery(where, check)


def test_a_fork_server_that_cannot_start_is_an_error_and_not_a_hang(where: Path) -> None:
    async def check() -> None:
        children = Children(preload=["no_such_module_at_all"])
        children.start()
        call = children.run(Reference("a@1", str(where), "d", "nodes/bad.py:echo"), pack(1), Context())
        async with asyncio.timeout(120):
            outcome = await call
            assert isinstance(outcome, Failure)
            assert outcome.code == "child_exited"
            with pytest.raises(ChildrenStopped):
                await children.run(Reference("a@1", str(where), "d", "nodes/bad.py:echo"), pack(1), Context())
        await children.stop()

    asyncio.run(check())


def test_a_pool_that_was_never_used_stops(where: Path) -> None:
    children = Children()
    children.start()
    pid = children.server_pid
    assert pid is not None
    asyncio.run(children.stop())
    assert not alive(pid)
    assert children_module.ChildrenStopped.code == "children_stopped"
