"""Short blocking code in threads: bounded, in order, and left alone when it never ends."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from axiom.runtime.context import Context
from axiom.runtime.failures import failure_of
from axiom.runtime.threads import HandlerExited, Threads


def with_threads(slots: int, test: Callable[[Threads], Awaitable[None]]) -> None:
    async def whole() -> None:
        threads = Threads(slots)
        try:
            async with asyncio.timeout(120):
                await test(threads)
        finally:
            threads.stop()

    asyncio.run(whole())


def test_it_returns_what_the_handler_returns_and_raises_what_it_raises() -> None:
    def double(ctx: Context, value: Any) -> Any:
        assert threading.current_thread().name.startswith("axiom-node")
        return value * 2

    async def later(ctx: Context, value: Any) -> Any:
        await asyncio.sleep(0)
        return value + 1

    def fails(ctx: Context, value: Any) -> Any:
        raise value

    async def check(threads: Threads) -> None:
        assert await threads.run(double, Context(), 21) == 42
        assert await threads.run(later, Context(), 1) == 2
        with pytest.raises(KeyError):
            await threads.run(fails, Context(), KeyError("x"))
        with pytest.raises(RuntimeError, match="StopIteration"):
            await threads.run(fails, Context(), StopIteration())
        with pytest.raises(HandlerExited) as exited:
            await threads.run(fails, Context(), SystemExit(3))
        assert failure_of(exited.value)[:2] == ("child_exited", "the handler called sys.exit(3)")

    with_threads(2, check)


@pytest.mark.parametrize("slots", [1, 3])
def test_so_many_at_a_time_and_the_rest_in_order(slots: int) -> None:
    gate, running = threading.Event(), threading.Semaphore(0)
    order: list[int] = []

    def waits(ctx: Context, value: Any) -> None:
        running.release()
        gate.wait(120)
        order.append(value)

    async def check(threads: Threads) -> None:
        first = [asyncio.create_task(threads.run(waits, Context(), n)) for n in range(slots)]
        await asyncio.to_thread(lambda: [running.acquire(timeout=120) for _ in first])
        rest = [asyncio.create_task(threads.run(waits, Context(), n)) for n in range(slots, 6)]
        await asyncio.sleep(0)
        assert threads.waiting == 6 - slots
        assert not running.acquire(blocking=False)
        gate.set()
        await asyncio.gather(*first, *rest)
        assert sorted(order) == list(range(6))
        assert slots > 1 or order == sorted(order)

    with_threads(slots, check)


def test_a_cancelled_handler_is_told_and_left_alone() -> None:
    began, ended = threading.Event(), threading.Event()

    def watches(ctx: Context, value: Any) -> str:
        began.set()
        while not ctx.cancelled:
            threading.Event().wait(0.005)
        ended.set()
        return "too late"

    async def check(threads: Threads) -> None:
        task = asyncio.create_task(threads.run(watches, Context(), None))
        await asyncio.to_thread(began.wait, 120)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(ended.wait, 120)
        assert await threads.run(lambda ctx, value: value, Context(), "free again") == "free again"

    with_threads(1, check)


def test_a_call_that_was_cancelled_while_it_waited_never_runs() -> None:
    gate, ran = threading.Event(), []

    async def check(threads: Threads) -> None:
        blocker = asyncio.create_task(threads.run(lambda ctx, value: gate.wait(120), Context(), None))
        waiting = asyncio.create_task(threads.run(lambda ctx, value: ran.append(value), Context(), 1))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0)
        gate.set()
        await blocker
        await threads.run(lambda ctx, value: None, Context(), None)
        assert ran == []

    with_threads(1, check)


def test_a_thread_that_never_ends_does_not_keep_its_worker() -> None:
    source = """
import asyncio, threading
from axiom.runtime.context import Context
from axiom.runtime.threads import Threads

async def main():
    threads = Threads()
    task = asyncio.create_task(threads.run(lambda ctx, value: threading.Event().wait(), Context(), None))
    await asyncio.sleep(0.05)
    task.cancel()
    threads.stop()

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", source], timeout=120, env=dict(os.environ), check=True)
    assert done.returncode == 0


def test_stopped_threads_take_no_work_and_end() -> None:
    async def check() -> None:
        threads = Threads()
        await threads.run(lambda ctx, value: None, Context(), None)
        names = {t.name for t in threading.enumerate() if t.name.startswith("axiom-node")}
        assert names
        threads.stop()
        with pytest.raises(RuntimeError):
            await threads.run(lambda ctx, value: None, Context(), None)

    asyncio.run(check())
    for thread in threading.enumerate():
        if thread.name.startswith("axiom-node-1"):
            thread.join(60)
            assert not thread.is_alive()
