"""What a handler may do to its process, and that nobody else notices. Real processes; none is left afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from handler_kit import Nursery, alive, dead, folder, nursery, soon

from axiom.runtime.limits import CHILD_LINE_BYTES, CHILD_OUTPUT_BYTES, CHILD_TAIL_BYTES

pytestmark = pytest.mark.slow

BAD = """
import ctypes, os, re, signal, socket, subprocess, sys, threading, time


KEPT = []


def ready():
    print("began", os.getpid(), flush=True)


def pid(ctx, input):
    return os.getpid()


def sleeps(ctx, input):
    ready()
    time.sleep(600)


def spins(ctx, input):
    ready()
    while True:
        pass


def in_c(ctx, input):
    ready()
    re.match(r"(a*)*b", "a" * 60)


def in_libc(ctx, input):
    ready()
    ctypes.PyDLL(None).sleep(600)  # keeps the interpreter's lock


def deaf(ctx, input):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    ready()
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass


def family(ctx, input):
    # a child, its child, and one that went into a session of its own and was orphaned
    pids = [subprocess.Popen(["sleep", "600"]).pid, subprocess.Popen(["sh", "-c", "sleep 600 & wait"]).pid]
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        orphan = os.fork()
        if orphan == 0:
            time.sleep(600)
            os._exit(0)
        os.write(write, str(orphan).encode())
        os._exit(0)
    os.wait()
    pids.append(int(os.read(read, 20)))
    print("family", os.getpid(), *pids, flush=True)
    if input:
        time.sleep(600)
    return pids


def forks(ctx, input):
    return {"pid": os.getpid(), "forked": os.fork()}


def forks_and_fails(ctx, input):
    if os.fork() == 0:
        raise ValueError("only in the copy")
    os.wait()
    return "ok"


def forks_and_logs(ctx, input):
    if os.fork() == 0:
        ctx.log.info("from the copy")
        sys.exit(3)
    os.wait()
    return "ok"


def forks_and_looks(ctx, input):
    if os.fork() == 0:
        found = [os.path.realpath(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if int(n) > 2]
        print("found", sum("socket:" in name for name in found), flush=True)
        os._exit(0)
    os.wait()


def exits(ctx, input):
    print("last words")
    sys.stdout.flush()
    os._exit(input)


def sys_exits(ctx, input):
    sys.exit(input)


def dies(ctx, input):
    os.kill(os.getpid(), input)
    time.sleep(600)


def segfaults(ctx, input):
    ctypes.string_at(0)


def closes(ctx, input):
    os.closerange(3, 1000)
    return "unheard"


def closes_and_stays(ctx, input):
    ready()
    os.closerange(3, 1000)
    time.sleep(600)


def reopens(ctx, input):
    os.closerange(3, 1000)
    for _ in range(20):
        KEPT.append(socket.socket(socket.AF_UNIX))
        KEPT[-1].connect(input)
    return "must not be said to a stranger"


def closes_output(ctx, input):
    os.close(1)
    os.close(2)
    return "heard"


def replaces_output(ctx, input):
    sys.stdout = sys.stderr = None
    return "heard"


def writes_into_every_pipe(ctx, input):
    for number in range(3, 100):
        try:
            os.write(number, b"\\xff" * 100)
        except OSError:
            pass
    time.sleep(600)


def shouts(ctx, input):
    for _ in range(input):
        print("x" * 99)
    return "done"


def one_long_line(ctx, input):
    sys.stdout.write("y" * input)
    return "done"


def wanders(ctx, input):
    before = os.getcwd()
    os.chdir("/")
    return before


def sets_an_alarm(ctx, input):
    signal.alarm(1)
    return os.getpid()


def waits(ctx, input):
    time.sleep(input)
    return os.getpid()


def asks(ctx, input):
    return input()


def reads_standard_input(ctx, _input):
    return sys.stdin.read()


def raises_weird(ctx, input):
    class Weird(Exception):
        def __str__(self):
            raise RuntimeError("no text")
    raise Weird


def interrupts(ctx, input):
    raise KeyboardInterrupt


def nothing_plain(ctx, input):
    return {"a": [1, {2, 3}]}


async def forgets(ctx, input):
    return asyncio_sleep()


async def asyncio_sleep():
    pass


def eats_memory(ctx, input):
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (input, input))
    return len(bytearray(input))


def leaves_a_thread(ctx, input):
    def later():
        time.sleep(0.05)
        ctx.log.info("late line")
    threading.Thread(target=later).start()
    return os.getpid()


def terminated(ctx, input):
    ready()
    time.sleep(input)
    return "outlasted"


def recurses(ctx, input):
    return recurses(ctx, input)
"""


@pytest.fixture
def where(tmp_path: Path) -> Path:
    return folder(tmp_path / "acme", nodes__bad=BAD)


async def still_works(n: Nursery) -> None:
    async with soon():
        assert isinstance(await n.run("pid"), int)


@pytest.mark.parametrize("function", ["sleeps", "spins", "in_c", "in_libc", "deaf"])
def test_a_cancelled_handler_dies_at_once_whatever_it_does(where: Path, function: str) -> None:
    async def check(n: Nursery) -> None:
        call = n.begin(function)
        pid = int(await n.line("began"))
        call.cancel()
        async with soon():
            with pytest.raises(asyncio.CancelledError):
                await call
        assert not alive(pid), "it is dead when the caller goes on"
        await still_works(n)

    nursery(where, check, slots=1)


def test_a_cancelled_handler_takes_all_that_it_started_along(where: Path) -> None:
    async def check(n: Nursery) -> None:
        call = n.begin("family", True)
        pids = [int(pid) for pid in (await n.line("family")).split()]
        assert len(pids) == 4
        assert all(map(alive, pids))
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        await dead(*pids)
        await still_works(n)

    nursery(where, check, slots=1)


def test_what_a_finished_handler_left_running_ends_and_its_child_with_it(where: Path) -> None:
    async def check(n: Nursery) -> None:
        pids = await n.run("family", False)
        child = int((await n.line("family")).split()[0])
        await dead(child, *pids)
        await still_works(n)

    nursery(where, check, slots=1)


def test_a_time_limit_kills(where: Path) -> None:
    async def check(n: Nursery) -> None:
        async with soon():
            failure = await n.run("sleeps", None, timeout_seconds=3)
        assert failure.code == "timeout"
        await dead(int(await n.line("began")))
        await still_works(n)

    nursery(where, check, slots=1)


def test_a_copy_made_by_a_fork_does_not_answer(where: Path) -> None:
    async def check(n: Nursery) -> None:
        for _ in range(5):
            answer = await n.run("forks")
            assert answer["forked"] != 0, "the answer is the original's"
            await dead(answer["forked"])
        assert n.log.messages == [], "it goes without a word"
        assert await n.run("forks_and_fails") == "ok"
        assert await n.run("forks_and_logs") == "ok"
        assert any("from the copy" in line for line in n.log.messages)
        await n.run("forks_and_looks")
        assert await n.line("found") == "0", "it has no socket to speak through"
        await still_works(n)

    nursery(where, check, slots=1)


@pytest.mark.parametrize("status", [0, 3])
def test_an_exit_is_the_calls_failure_and_shows_its_last_words(where: Path, status: int) -> None:
    async def check(n: Nursery) -> None:
        failure = await n.run("exits", status)
        assert failure.code == "child_exited"
        assert f"exited with status {status}" in failure.message
        assert failure.retryable
        assert failure.details == {"exit_status": status, "output": "last words\n"}
        await still_works(n)

    nursery(where, check, slots=1)


def test_sys_exit_ends_the_call_and_not_the_child(where: Path) -> None:
    async def check(n: Nursery) -> None:
        before = await n.run("pid")
        failure = await n.run("sys_exits", 3)
        assert (failure.code, failure.message) == ("child_exited", "the handler called sys.exit(3)")
        assert await n.run("pid") == before

    nursery(where, check, slots=1)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
def test_a_death_by_signal_names_it(where: Path, number: signal.Signals) -> None:
    async def check(n: Nursery) -> None:
        failure = await n.run("dies", int(number))
        assert failure.code == "child_exited"
        assert failure.details["signal"] == number.name
        assert number.name in failure.message
        await still_works(n)

    nursery(where, check, slots=1)


def test_a_segmentation_fault_shows_where(where: Path) -> None:
    async def check(n: Nursery) -> None:
        failure = await n.run("segfaults")
        assert failure.details["signal"] == "SIGSEGV"
        assert "segfaults" in failure.details["output"], "the interpreter's stack is in the output"
        await still_works(n)

    nursery(where, check, slots=1)


def test_a_handler_that_closes_its_descriptors_fails_alone(where: Path) -> None:
    async def check(n: Nursery) -> None:
        assert (await n.run("closes")).code == "child_exited"
        async with soon():
            failure = await n.run("closes_and_stays")
        assert failure.code == "child_exited"
        assert "closed the pipe" in failure.message
        await still_works(n)

    nursery(where, check, slots=1)


def test_an_answer_never_goes_into_a_socket_of_the_handlers(where: Path, tmp_path: Path) -> None:
    """The handler's own connections get the number that the child's socket had."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())
        writer.close()

    async def check(n: Nursery) -> None:
        server = await asyncio.start_unix_server(listen, tmp_path / "s")
        async with server:
            assert (await n.run("reopens", str(tmp_path / "s"))).code == "child_exited"
            async with soon():
                while len(heard) < 20:
                    await asyncio.sleep(0.005)
        assert heard == [b""] * 20
        await still_works(n)

    nursery(where, check, slots=1)


@pytest.mark.parametrize("function", ["closes_output", "replaces_output"])
def test_a_handler_without_output_is_heard(where: Path, function: str) -> None:
    async def check(n: Nursery) -> None:
        assert await n.run(function) == "heard"
        assert await n.run("shouts", 1) == "done"
        assert n.log.messages == ["x" * 99]

    nursery(where, check, slots=1)


def test_noise_in_the_pipe_is_a_failure(where: Path) -> None:
    async def check(n: Nursery) -> None:
        async with soon():
            failure = await n.run("writes_into_every_pipe")
        assert failure.code == "child_exited"
        assert "something else wrote" in failure.message
        await still_works(n)

    nursery(where, check, slots=1)


def test_megabytes_of_output_stop_nobody_and_are_bounded(where: Path) -> None:
    async def check(n: Nursery) -> None:
        async with soon():
            assert await n.run("shouts", 100_000) == "done"
        *lines, last = n.log.lines
        kept = sum(len(message) for _, message, _ in lines)
        assert CHILD_OUTPUT_BYTES - 100 < kept <= CHILD_OUTPUT_BYTES
        assert last[1] == "more output was dropped"
        assert last[2]["bytes"] == 99 * 100_000 - kept
        n.log.lines.clear()
        assert await n.run("shouts", 1) == "done"
        assert n.log.messages == ["x" * 99], "the next call starts with all of its own"

    nursery(where, check, slots=1)


def test_a_long_line_comes_in_pieces_and_whole(where: Path) -> None:
    async def check(n: Nursery) -> None:
        await n.run("one_long_line", 100_000)
        assert "".join(n.log.messages) == "y" * 100_000
        assert max(map(len, n.log.messages)) == CHILD_LINE_BYTES

    nursery(where, check, slots=1)


def test_the_tail_of_a_dead_childs_output_is_bounded(where: Path) -> None:
    folder(where, nodes__loud="import os\ndef f(ctx, input):\n  print('z' * 20000, flush=True); os._exit(1)")

    async def check(n: Nursery) -> None:
        failure = await n.children.run(n.reference("nodes/loud.py:f"), b"\xc0", n.log.context())
        assert not isinstance(failure, bytes)
        assert len(failure.details["output"]) <= CHILD_TAIL_BYTES

    nursery(where, check, slots=1)


def test_the_next_call_starts_at_home(where: Path) -> None:
    async def check(n: Nursery) -> None:
        home = await n.run("wanders")
        assert await n.run("wanders") == home == os.getcwd()

    nursery(where, check, slots=1)


def test_an_alarm_does_not_go_off_in_another_call(where: Path) -> None:
    async def check(n: Nursery) -> None:
        pid = await n.run("sets_an_alarm")
        assert await n.run("waits", 1.2) == pid

    nursery(where, check, slots=1)


def test_there_is_nothing_on_standard_input(where: Path) -> None:
    async def check(n: Nursery) -> None:
        assert await n.run("reads_standard_input") == ""

    nursery(where, check, slots=1)


@pytest.mark.parametrize(
    ("function", "code", "words"),
    [
        ("raises_weird", "handler_error", "Weird"),
        ("interrupts", "handler_error", "KeyboardInterrupt"),
        ("recurses", "handler_error", "RecursionError"),
        ("nothing_plain", "output_invalid", "/a/1 set is no JSON data; a set has no order"),
        ("forgets", "output_invalid", "is an `await` missing?"),
    ],
)
def test_an_odd_end_is_a_failure_with_words(where: Path, function: str, code: str, words: str) -> None:
    async def check(n: Nursery) -> None:
        failure = await n.run(function)
        assert failure.code == code
        assert words in failure.message
        await still_works(n)

    nursery(where, check, slots=1)


def test_the_traceback_goes_to_the_log(where: Path) -> None:
    async def check(n: Nursery) -> None:
        await n.run("recurses")
        level, message, fields = n.log.lines[-1]
        assert (level, message, fields["node"]) == ("error", "the handler raised", "charge")
        assert "bad.py" in fields["exception"]
        assert "runtime/child.py" not in fields["exception"]

    nursery(where, check, slots=1)


def test_memory_that_isnt_there_is_the_handlers_own_failure(where: Path) -> None:
    async def check(n: Nursery) -> None:
        failure = await n.run("eats_memory", 4 << 30)
        assert failure.code == "handler_error"
        assert "MemoryError" in failure.message

    nursery(where, check, slots=1)


def test_a_child_that_has_grown_is_replaced(where: Path) -> None:
    source = """
        import os
        KEPT = []
        def leaks(ctx, input):
            KEPT.append(bytearray(b"x") * input)
            return os.getpid()
    """
    folder(where, nodes__leaky=source)

    async def check(n: Nursery) -> None:
        pids = set()
        for size in [1, 600 << 20]:
            for _ in range(64):
                reference = n.reference("nodes/leaky.py:leaks")
                result = await n.children.run(reference, b"\xce" + size.to_bytes(4), n.log.context())
                pids.add(result)
                size = 1
        assert len(pids) == 1
        result = await n.children.run(reference, b"\x01", n.log.context())
        assert result not in pids

    nursery(where, check, slots=1)


def test_a_thread_that_a_handler_left_may_log_but_not_disturb(where: Path) -> None:
    async def check(n: Nursery) -> None:
        pid = await n.run("leaves_a_thread")
        assert await n.run("pid") == pid
        assert await n.line("late line") == ""

    nursery(where, check, slots=1)


def test_a_childs_sigterm_is_left_to_the_worker(where: Path) -> None:
    async def check(n: Nursery) -> None:
        call = n.begin("terminated", 0.3)
        os.kill(int(await n.line("began")), signal.SIGTERM)
        assert n.children.server_pid is not None
        os.kill(n.children.server_pid, signal.SIGTERM)
        assert await call == "outlasted"

    nursery(where, check, slots=1)


def test_a_child_that_dies_idle_fails_nobody(where: Path) -> None:
    async def check(n: Nursery) -> None:
        for _ in range(10):
            pid = await n.run("pid")
            os.kill(pid, signal.SIGKILL)
            await dead(pid)
            assert isinstance(await n.run("pid"), int)

    nursery(where, check, slots=1)


def test_fifty_cancelled_calls_leave_fifty_dead_children(where: Path) -> None:
    async def check(n: Nursery) -> None:
        for _ in range(10):
            calls = [n.begin("sleeps") for _ in range(5)]
            await n.line("began")
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            pids = [int(line.split()[1]) for line in n.log.messages if line.startswith("began")]
            await dead(*pids)
            n.log.lines.clear()
        await still_works(n)

    nursery(where, check, slots=2)


WORKER = """
import asyncio, sys
from axiom.runtime.children import Children
from axiom.runtime.context import Context, Surroundings
from axiom.runtime.loading import Reference

def emit(level, message, fields):
    print(message, flush=True)

children = Children(2)
children.start()
print("server", children.server_pid, flush=True)

async def main():
    reference = Reference("a@1", sys.argv[1], "d", "nodes/bad.py:family")
    await children.run(reference, b"\\xc3", Context(around=Surroundings("w", emit)))

asyncio.run(main())
"""


@pytest.mark.parametrize("victim", ["worker", "server"])
def test_nothing_outlives_the_worker(where: Path, victim: str) -> None:
    """kill -9 of the worker; and of worker and fork server at once."""
    worker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WORKER), str(where)], stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    with worker, worker.stdout:
        server = int(worker.stdout.readline().split()[1])
        child, *family = [int(pid) for pid in worker.stdout.readline().split()[1:]]
        if victim == "server":
            os.kill(worker.pid, signal.SIGSTOP)
            os.kill(server, signal.SIGKILL)
        worker.kill()
    if victim == "worker":
        asyncio.run(dead(server, child, *family))
        return
    asyncio.run(dead(server, child))
    os.killpg(child, signal.SIGKILL)  # with both gone nobody knows of what the handler had started
    os.kill(family[-1], signal.SIGKILL)


def test_a_copy_of_the_worker_does_not_keep_its_children_alive(where: Path) -> None:
    """A process that the worker forked has the control socket too; the pidfd tells that the worker is dead."""
    source = textwrap.dedent(WORKER).replace(
        "asyncio.run(main())",
        "import os, time\nif os.fork() == 0:\n    print('copy', os.getpid(), flush=True)\n    time.sleep(60)\n"
        "    os._exit(0)\nasyncio.run(main())",
    )
    worker = subprocess.Popen([sys.executable, "-c", source, str(where)], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    found: dict[str, list[int]] = {}
    with worker, worker.stdout:
        while len(found) < 3:
            name, *pids = worker.stdout.readline().split()
            found[name] = [int(pid) for pid in pids]
        worker.kill()
    try:
        asyncio.run(dead(*found["server"], *found["family"]))
    finally:
        os.kill(found["copy"][0], signal.SIGKILL)
