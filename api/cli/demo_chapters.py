"""The chapters of ``axiom demo``. Each does something real, shows what came of it, and checks that it is right."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from axiom.runtime.catalog import load_plan
from axiom.runtime.store.base import Store
from axiom.runtime.topology import Topology
from axiom.runtime.verify import verify

from . import output
from .dev import Tree, curl
from .executions import every_row
from .target import Target

INVOKE: Final = "/invocations/v1/flows/invoke"
ORDER: Final = {"order_id": "o-17", "card": "2222", "lines": [{"item": "tea", "quantity": 30, "price": 4.5}]}
"""A card of a slow bank: time enough to kill its worker."""
TEXT: Final = {"text": "licences"}
CALLS: Final = 9
SHOWN_EVERY: Final = 800
"""Of the streamed frames, every so many are shown."""
WATCH_SECONDS: Final = 30.0
"""How long a chapter waits for what must happen."""


class Broken(Exception):
    """Something is not as it was promised."""


class Stage(NamedTuple):
    """What the chapters have to work with."""

    target: Target
    tree: Tree
    store: Store
    url: str
    key: str
    folder: Path
    remembered: dict[str, str]
    """Execution ids that a later chapter shows."""


Chapter = Callable[[Stage], Awaitable[None]]


async def tell(stage: Stage) -> None:
    """All chapters, in order."""
    click.echo(
        click.style("\nAxiom", bold=True) + ": durable flows of typed nodes. What follows happens for real."
    )
    for number, (title, chapter) in enumerate(CHAPTERS, 1):
        click.echo(f"\n{click.style(f'{number}. {title}', bold=True)}")
        await chapter(stage)


def show(text: str, colour: str | None = None) -> None:
    click.echo("   " + (click.style(text, fg=colour) if colour else text))


def command(text: str) -> None:
    click.echo("   " + click.style(f"$ {text}", fg="cyan"))


def check(true: object, promise: str) -> None:
    """``Broken`` unless it holds."""
    if not true:
        raise Broken(promise)


async def compile_and_start(stage: Stage) -> None:
    began = time.perf_counter()
    check(await stage.tree.publish(), "the examples compile")
    spent = (time.perf_counter() - began) * 1000
    for project in stage.tree.projects:
        for flow in project.flows:
            plan = flow.artifact.plan
            show(
                f"{plan.name:<22} {plan.mode:<9} {len(plan.nodes)} nodes   graph_id {flow.artifact.graph_id}"
            )
    show(f"compiled, checked on every edge and published in {spent:.0f} ms", "green")


async def start_workers(stage: Stage) -> None:
    await stage.tree.start()
    show(f"server  {stage.url}   process {os.getpid()}   store {stage.store.url}")
    for pid in stage.tree.crew.pids:
        show(f"worker  process {pid}")


async def invoke_and_wait(stage: Stage) -> None:
    plan = next(
        f.artifact.plan
        for p in stage.tree.projects
        for f in p.flows
        if f.artifact.plan.name == "examples/greet"
    )
    command(curl(stage.url, stage.key, plan))
    body = {"flow": plan.name, "input": {"name": "Ada"}, "wait": True}
    spent = []
    for _ in range(CALLS):
        began = time.perf_counter()
        answer = await stage.target.post(INVOKE, body)
        spent.append((time.perf_counter() - began) * 1000)
    show(json.dumps(answer))
    check(answer["result"]["output"] == {"greeting": "Hello, Ada!"}, "Ada is greeted")
    said = f"started, run, made durable and answered in {statistics.median(spent):.1f} ms"
    show(f"{said} (the median of {CALLS} calls)", "green")


async def stream(stage: Stage) -> None:
    seen, began, first = Reader(stage), time.perf_counter(), 0.0
    async for frame in seen.frames({"flow": "examples/count-words", "input": TEXT}):
        first = first or time.perf_counter() - began
        if frame["frame_index"] % SHOWN_EVERY == 0:
            show(f"frame {frame['frame_index']:>5}  {json.dumps(frame['payload'])}")
    spent = time.perf_counter() - began
    show(f"frame {len(seen.got) - 1:>5}  {json.dumps(seen.got[-1])}")
    right(stage, seen.got)
    said = f"{len(seen.got)} lines in {spent:.2f} s, the first after {first * 1000:.0f} ms"
    show(f"{said}, each durable before it was sent; the counts are right", "green")


async def kill_in_a_node(stage: Stage) -> None:
    answer = await stage.target.post(INVOKE, {"flow": "examples/order", "input": ORDER})
    execution_id = answer["execution_id"]
    show(f"execution {execution_id}: an order whose bank takes two seconds")
    path = f"/invocations/v1/executions/{execution_id}"
    await until(lambda: _has(stage, execution_id, "NodeStarted", "charge"), "the charge begins")
    pid = await owner_of(stage, execution_id)
    killed_ms = kill(pid, "the node `charge` is running there")
    result = await _result(stage, execution_id)
    check(result["success"], "the order is fulfilled")
    events = await every_row(stage.target, execution_id, "events")
    base = _ms(events[0]["at"])
    for event in events:
        text = (
            f"{event['seq']:>3}  +{_ms(event['at']) - base:>5} ms  {event['kind']:<22} {event['node'] or ''}"
        )
        show(text, "yellow" if event["kind"] == "ExecutionTakenOver" else None)
    taken = next(event for event in events if event["kind"] == "ExecutionTakenOver")
    done = Counter(event["node"] for event in events if event["kind"] == "NodeCompleted")
    check(set(done.values()) == {1}, "every node completed once")
    check(
        all(
            sum(e["kind"] == "NodeStarted" and e["node"] == node for e in events) == 1
            for node in ("price", "reserve")
        ),
        "finished nodes do not run again",
    )
    show(f"result {json.dumps(result['output'])}")
    show(
        f"{taken['body']['worker']} took over {_ms(taken['at']) - killed_ms} ms after the kill; "
        f"only `charge` ran again; GET {path}",
        "green",
    )
    stage.remembered["order"] = execution_id


async def kill_in_mid_stream(stage: Stage) -> None:
    seen = Reader(stage)
    pid = killed_ms = 0
    async for frame in seen.frames({"flow": "examples/count-words", "input": {**TEXT, "pause_ms": 1}}):
        if frame["frame_index"] == 1000 and not pid:
            pid = await owner_of(stage, seen.execution_id)
            killed_ms = kill(pid, f"frame 1000 of execution {seen.execution_id} has just arrived")
        if frame["frame_index"] in (999, 1000, 1001, 1002):
            show(f"frame {frame['frame_index']:>5}  {json.dumps(frame['payload'])}")
    right(stage, seen.got)
    events = await every_row(stage.target, seen.execution_id, "events")
    taken = [event for event in events if event["kind"] == "ExecutionTakenOver"]
    check(taken, "another worker took the stream over")
    said = f"{taken[0]['body']['worker']} took over {_ms(taken[0]['at']) - killed_ms} ms after the kill"
    show(f"{said}; {len(seen.got)} frames, no gap, no repeat, the counts of an undisturbed run", "green")


async def show_checkpoints(stage: Stage) -> None:
    rows = await every_row(stage.target, stage.remembered["order"], "checkpoints")
    for row in rows:
        show(f"{row['seq']:>3}  {row['node']:<10} attempt {row['attempt']}  {json.dumps(row['output'])}")


async def verify_everything(stage: Stage) -> None:
    async def topology_of(graph_id: str) -> Topology:
        return Topology(await load_plan(stage.store, graph_id))

    found = [violation async for violation in verify(stage.store, topology_of)]
    for violation in found:
        show(output.clean(list(violation)), "red")
    check(not found, "what is stored keeps every promise")
    show("every history is whole, in order, and says what the heads say: no violations", "green")


async def where_things_are(stage: Stage) -> None:
    graph_id = next(iter(stage.tree.projects[0].graph_ids.values()))
    axiom = output.program()
    lines = {
        "pages": f"{stage.url}/executions",
        "page of the greeting": f"{stage.url}/registry/v1/artifacts/{graph_id}/docs",
        "executions": f"{axiom} executions list --url {stage.url} --key {stage.key}",
        "store": stage.store.url,
        "projects": f"{stage.folder}/greeting, orders, word-counts",
        "your own": f"{axiom} init hello && {axiom} dev hello",
    }
    width = max(map(len, lines))
    for name, value in lines.items():
        show(f"{name:<{width}}  {value}")


CHAPTERS: Final[tuple[tuple[str, Chapter], ...]] = (
    ("Compile three projects", compile_and_start),
    ("Start a server and two workers, each a process", start_workers),
    ("Invoke a flow and wait for its result", invoke_and_wait),
    ("Stream the word counts of a text, line by line", stream),
    ("kill -9 a worker in the middle of a node", kill_in_a_node),
    ("kill -9 a worker in mid-stream", kill_in_mid_stream),
    ("The checkpoints of the order", show_checkpoints),
    ("Verify all that was stored", verify_everything),
    ("Where things are", where_things_are),
)


class Reader:
    """Reads a stream and joins it again where it breaks off; ``got`` holds the payloads."""

    def __init__(self, stage: Stage) -> None:
        self._target: Final = stage.target
        self.got: list[Any] = []
        self.execution_id = ""

    async def frames(self, body: dict[str, Any]) -> Any:
        call: dict[str, Any] = {"method": "POST", "path": f"{INVOKE}/stream", "json": body}
        while True:
            async with self._target.events(**call) as events:
                async for event in events:
                    frame = event.data
                    self.execution_id = frame["execution_id"]
                    if frame["is_final"] and event.id:
                        check(frame["success"], f"the stream ends well, not with {frame.get('error')}")
                        return
                    if not frame["is_final"]:
                        check(frame["frame_index"] == len(self.got), "frames come without gap or repeat")
                        self.got.append(frame["payload"])
                        yield frame
            path = f"/invocations/v1/flows/{self.execution_id}/stream"
            headers = {"Last-Event-ID": str(len(self.got) - 1)} if self.got else {}
            call = {"method": "GET", "path": path, "headers": headers}


def right(stage: Stage, got: list[Any]) -> None:
    """Compare streamed counts with a plain count of the text."""
    text = (stage.folder / "word-counts" / "texts" / "licences.txt").read_text(encoding="utf-8")
    words = Counter(re.findall(r"[a-z]+(?:'[a-z]+)?", text.lower()))
    check(len(got) == text.count("\n"), "there is one frame for each line")
    check(got[-1]["total"] == words.total(), "the words are counted right")
    check(got[-1]["distinct"] == len(words), "the different words are counted right")


def kill(pid: int, why: str) -> int:
    """Kill -9 a process; the wall clock's milliseconds then."""
    show(why)
    command(f"kill -9 {pid}")
    os.kill(pid, signal.SIGKILL)
    return time.time_ns() // 1_000_000


async def owner_of(stage: Stage, execution_id: str) -> int:
    """The process of the worker that runs an execution."""
    events = await every_row(stage.target, execution_id, "events")
    name = next(
        e["body"]["worker"]
        for e in reversed(events)
        if e["kind"] in ("ExecutionStarted", "ExecutionTakenOver")
    )
    workers = (await stage.target.get("/console/v1/workers"))["workers"]
    return int(next(worker["pid"] for worker in workers if worker["worker"] == name))


async def until(true: Callable[[], Awaitable[bool]], promise: str) -> None:
    patience = time.monotonic() + WATCH_SECONDS
    while not await true():
        check(time.monotonic() < patience, promise)
        await asyncio.sleep(0.02)


async def _has(stage: Stage, execution_id: str, kind: str, node: str) -> bool:
    events = await every_row(stage.target, execution_id, "events")
    return any(event["kind"] == kind and event["node"] == node for event in events)


async def _result(stage: Stage, execution_id: str) -> dict[str, Any]:
    """Follow an execution to its end and return its result."""
    path = f"/invocations/v1/executions/{execution_id}"
    async with asyncio.timeout(WATCH_SECONDS), stage.target.events("GET", f"{path}/live") as events:
        async for _ in events:
            pass
    result: dict[str, Any] = await stage.target.get(f"{path}/output")
    return result


def _ms(text: str) -> int:
    from datetime import datetime

    return round(datetime.fromisoformat(text).timestamp() * 1000)
