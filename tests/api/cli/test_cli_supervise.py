"""A crew: the dead are replaced, what they owned is freed first, and nothing is left when it stops."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from axiom.api.cli import supervise
from axiom.api.cli.supervise import Crew

SLEEPER = ["sleep", "600"]


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not condition():
            await asyncio.sleep(0.01)


class Deaths:
    """Notes who died, and which processes lived then."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    async def __call__(self, pid: int, code: int) -> None:
        self.seen.append((pid, code))


def with_crew(
    command: list[str], count: int, story: Callable[[Crew, Deaths], Coroutine[Any, Any, None]]
) -> None:
    async def told() -> None:
        deaths = Deaths()
        crew = Crew(command, count, deaths)
        await crew.start()
        try:
            await story(crew, deaths)
        finally:
            await crew.stop(1)

    asyncio.run(told())


def test_a_crew_has_as_many_processes_as_it_was_given() -> None:
    async def story(crew: Crew, deaths: Deaths) -> None:
        assert len(set(crew.pids)) == 3
        assert all(map(lives, crew.pids))

    with_crew(SLEEPER, 3, story)


def test_a_killed_process_is_reported_and_replaced() -> None:
    async def story(crew: Crew, deaths: Deaths) -> None:
        (first,) = crew.pids
        os.kill(first, signal.SIGKILL)
        await until(lambda: bool(crew.pids) and crew.pids != [first])
        assert deaths.seen == [(first, -signal.SIGKILL)]

    with_crew(SLEEPER, 1, story)


def test_what_a_dead_one_owned_is_freed_before_its_replacement_starts() -> None:
    async def story() -> None:
        held = asyncio.Event()
        pids_at_death: list[list[int]] = []

        async def on_death(pid: int, code: int) -> None:
            pids_at_death.append(crew.pids)
            await held.wait()

        crew = Crew(SLEEPER, 1, on_death)
        await crew.start()
        os.kill(crew.pids[0], signal.SIGKILL)
        await until(lambda: bool(pids_at_death))
        await asyncio.sleep(0.05)
        assert pids_at_death == [[]]
        assert crew.pids == []
        held.set()
        await until(lambda: bool(crew.pids))
        await crew.stop(1)

    asyncio.run(story())


def test_one_that_dies_young_again_and_again_is_started_ever_more_slowly() -> None:
    async def story(crew: Crew, deaths: Deaths) -> None:
        began = time.monotonic()
        await until(lambda: len(deaths.seen) == 5)
        assert time.monotonic() - began >= 0.2 + 0.4 + 0.8, "one more at once, and each further one later"

    with_crew(["false"], 1, story)


def test_renewing_starts_the_new_before_the_old_are_gone() -> None:
    async def story(crew: Crew, deaths: Deaths) -> None:
        before = crew.pids
        await crew.renew()
        assert not set(before) & set(crew.pids)
        assert len(crew.pids) == 2
        await until(lambda: not any(map(lives, before)))
        assert deaths.seen == []

    with_crew(SLEEPER, 2, story)


def test_stopping_leaves_nothing_behind() -> None:
    pids: list[int] = []

    async def story(crew: Crew, deaths: Deaths) -> None:
        pids.extend(crew.pids)
        await crew.renew()
        pids.extend(crew.pids)

    with_crew(SLEEPER, 2, story)
    assert len(pids) == 4
    assert not any(map(lives, pids))


def test_one_that_is_deaf_to_sigterm_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "deaf.sh"
    script.write_text(f"trap '' TERM\ntouch {tmp_path}/deaf\nwhile :; do sleep 0.1; done\n")

    async def story() -> None:
        crew = Crew(["sh", str(script)], 1, Deaths())
        await crew.start()
        await until((tmp_path / "deaf").exists)
        (pid,) = crew.pids
        await crew.stop(0.2)
        assert not lives(pid)

    asyncio.run(story())


def test_the_lifeline_closes_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    """The child reads its stdin to the end, which comes when nobody holds the other end any more."""
    code = (
        "import asyncio, sys\n"
        "from axiom.api.cli.supervise import Crew\n"
        "async def on_death(pid, code): pass\n"
        "async def main():\n"
        f"    crew = Crew(['sh', '-c', 'cat; touch {tmp_path}/ended'], 1, on_death)\n"
        "    await crew.start()\n"
        "    print('up', flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )

    async def story() -> None:
        supervisor = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
        )
        assert supervisor.stdout is not None
        assert await supervisor.stdout.readline() == b"up\n"
        supervisor.kill()
        await supervisor.wait()
        await until((tmp_path / "ended").exists)

    asyncio.run(story())


def test_a_crew_that_is_stopped_between_two_processes_starts_no_more(monkeypatch: Any) -> None:
    monkeypatch.setattr(supervise, "FIRST_PAUSE_SECONDS", 30.0)

    async def story() -> None:
        deaths = Deaths()
        crew = Crew(["false"], 1, deaths)
        await crew.start()
        await until(lambda: len(deaths.seen) == 2)
        async with asyncio.timeout(25):
            await crew.stop()
        assert crew.pids == []

    asyncio.run(story())
