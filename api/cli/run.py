"""``axiom run``: start a flow, then wait for its result or print its frames as they come.

A flow is named by its alias, by a ``graph_id``, or by a path. A path is compiled and run right here: its artifact goes
into the store, and a worker in this process executes it, so that nothing else needs to be running.

Waiting survives what it waits for: a stream that breaks off is joined again behind the last frame that was printed, and
a wait that outlasts one call is continued by following the execution.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from pathlib import Path
from typing import Any, Final

import click

from ..settings import Settings
from . import exits, output
from .target import Target, reach, target_options

GRAPH_ID: Final = re.compile(r"[a-z2-7]{32}")
ONE_CALL_SECONDS: Final = 25.0
"""How long one HTTP call waits; a longer wait is several."""
FIRST_CALL_SECONDS: Final = 1.0
"""How long the first call waits: enough for short runs. A longer run is followed, so that a pause is seen at once."""
REJOIN_SECONDS: Final = 0.5
STOP_LOOK_SECONDS: Final = 0.2
FINAL: Final = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
STOPPED: Final = FINAL | {"PAUSED", "DEBUG_PAUSED"}


@click.command()
@click.argument("flow")
@click.option("-d", "--data", default="{}", help="The input as JSON; @FILE reads a file, - reads stdin.")
@click.option("--wait", "how", flag_value="wait", help="Wait for the result (what is done anyway).")
@click.option("--no-wait", "how", flag_value="no-wait", help="Print the execution's id and leave it running.")
@click.option(
    "--stream", "how", flag_value="stream", help="Print frames as they come, one JSON document per line."
)
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Wait so many seconds at most.")
@click.option("--at", help="Start at this time (ISO 8601); its id is printed, unless --wait is given.")
@click.option("--delay", type=click.FloatRange(min=0), help="Start after so many seconds; the same.")
@click.option("--idempotency-key", help="A second start with the same key finds the first.")
@click.option("--config-id", help="The config that the run gets, over the defaults.")
@click.option("--debug", is_flag=True, help="Stop before the first node: axiom debug moves it on.")
@click.option("--break", "breakpoints", multiple=True, help="Stop before this node; may be repeated.")
@click.option("--json", "json_", is_flag=True, help="Print the whole answer, not the output alone.")
@target_options
def run(
    settings: Settings,
    flow: str,
    data: str,
    how: str | None,
    timeout: float | None,
    at: str | None,
    delay: float | None,
    idempotency_key: str | None,
    config_id: str | None,
    debug: bool,
    breakpoints: tuple[str, ...],
    json_: bool,
) -> int:
    """Start a flow, and wait for or stream its result.

    FLOW is a name, a graph id, or a path to a package or one of its flows.

    \b
    Example:
      axiom run acme/fulfil -d '{"order_id": "o-1", "total": 12.5}'
      axiom run ./orders -d @order.json --stream
      axiom run acme/report --at 2030-01-31T09:00:00+01:00
    """
    input_ = read_input(data)
    when = {name: told for name, told in (("start_at", at), ("delay_seconds", delay)) if told is not None}
    if when and how is None:
        how = "no-wait"
    deadline = time.monotonic() + timeout if timeout else None
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
    more: dict[str, Any] = {**when, **({"config_id": config_id} if config_id else {})}
    if debug or breakpoints:
        more["debug"] = {"pause_at_start": debug, "breakpoints": list(breakpoints)}
    if Path(flow).exists():
        from .local import run_local

        if settings.url:
            raise exits.usage(
                "a path is run on a store, not on a server", "publish it there and give its name"
            )
        return run_local(
            settings,
            Path(flow),
            lambda target, body: _run(target, {**body, **more}, how, deadline, headers, json_),
            input_,
        )
    which = {"graph_id": flow} if GRAPH_ID.fullmatch(flow) else {"flow": flow}
    body = {**which, "input": input_, **more}
    return asyncio.run(_reach_and_run(settings, body, how, deadline, headers, json_))


def read_input(data: str) -> Any:
    """Return the JSON of ``-d``: itself, ``@FILE``, or ``-`` for stdin."""
    import json

    if data == "-":
        text, where = sys.stdin.read(), "stdin"
    elif data.startswith("@"):
        text, where = Path(data[1:]).read_text(encoding="utf-8"), data[1:]
    else:
        text, where = data, "-d"
    try:
        return json.loads(text)
    except ValueError as error:
        raise exits.usage(f"{where} is no JSON: {error}") from error


async def _reach_and_run(settings: Settings, body: dict[str, Any], *rest: Any) -> int:
    async with reach(settings) as target:
        return await _run(target, body, *rest)


async def _run(
    target: Target,
    body: dict[str, Any],
    how: str | None,
    deadline: float | None,
    headers: dict[str, str],
    json_: bool,
) -> int:
    if how == "stream":
        return await _stream(target, body, deadline, headers, json_)
    wait, debug = how != "no-wait", "debug" in body
    call = {**body, "wait": wait and not debug}
    if call["wait"]:
        call["timeout_seconds"] = _left(deadline, FIRST_CALL_SECONDS)
    path = "/invocations/v1/flows/invoke"
    answer = await target.post(path, call, headers=headers, timeout=None, accept=(409,))
    if answer.get("code") == "wrong_mode" and how is None:
        return await _stream(target, body, deadline, headers, json_)
    if "execution_id" not in answer:
        raise exits.usage(answer.get("detail") or answer.get("title") or "refused")
    execution_id = answer["execution_id"]
    if not wait:
        output.as_json(answer) if json_ else output.data(execution_id)
        return exits.DONE
    if "result" not in answer:
        follow = _follow_stops if debug else _follow
        status = await follow(target, execution_id, deadline)
        if status not in FINAL:
            return await _stopped(target, execution_id, status)
        answer["result"] = await target.get(f"/invocations/v1/executions/{execution_id}/output")
    return await _tell(target, execution_id, answer, json_)


async def _tell(target: Target, execution_id: str, answer: dict[str, Any], json_: bool) -> int:
    """Print a finished run's result and return its exit code."""
    result = answer["result"]
    if json_:
        output.as_json(answer)
    elif result["success"]:
        output.as_json(result["output"])
    if result["success"]:
        return exits.DONE
    status = (await target.get(f"/invocations/v1/executions/{execution_id}"))["status"]
    error = result.get("error") or {}
    where = f" in node {error['node']}" if error.get("node") else ""
    said = f"{error.get('message') or status}{where}"
    raise exits.Stop(
        f"{execution_id}: {said}", exits.OF_STATUS.get(status, exits.FAILED), f"axiom why {execution_id}"
    )


async def _follow(target: Target, execution_id: str, deadline: float | None) -> str:
    """Return the status that an execution ends or stops at, or what it is at the deadline."""
    path = f"/invocations/v1/executions/{execution_id}"
    last, asked = "0", False
    while True:
        status = str((await target.get(path))["status"])
        if status in STOPPED or (deadline is not None and time.monotonic() >= deadline):
            return status
        try:
            async with asyncio.timeout(_left(deadline, ONE_CALL_SECONDS)):
                async with target.events("GET", f"{path}/live", headers={"Last-Event-ID": last}) as events:
                    async for event in events:
                        last = event.id
                        asked = asked or event.data["body"].get("for") == "pause"
                        if asked:  # once people are asked, every event may be the one that leaves it to them
                            break
        except TimeoutError:
            pass


async def _follow_stops(target: Target, execution_id: str, deadline: float | None) -> str:
    """The same for a debug run, which stops long before any stream ends."""
    while True:
        status = str((await target.get(f"/invocations/v1/executions/{execution_id}"))["status"])
        if status in STOPPED or (deadline is not None and time.monotonic() >= deadline):
            return status
        await asyncio.sleep(_left(deadline, STOP_LOOK_SECONDS))


async def _stream(
    target: Target, body: dict[str, Any], deadline: float | None, headers: dict[str, str], json_: bool
) -> int:
    """Print the frames of a new run; join again behind the last one until the run's own end comes."""
    last, execution_id = "", ""
    call: dict[str, Any] = {
        "method": "POST",
        "path": "/invocations/v1/flows/invoke/stream",
        "json": {**body, "timeout_seconds": _left(deadline, ONE_CALL_SECONDS)},
        "headers": headers,
    }
    while True:
        async with target.events(**call) as events:
            async for event in events:
                frame = event.data
                execution_id = frame["execution_id"]
                if frame["is_final"] and event.id:
                    return await _end_of_stream(target, execution_id, frame, json_)
                if not frame["is_final"]:
                    last = event.id
                    output.as_json(frame if json_ else frame["payload"], indent=None)
        if not execution_id:
            raise exits.away("the stream ended before it began")
        if deadline is not None and time.monotonic() >= deadline:
            return _unfinished(execution_id, "RUNNING")
        await asyncio.sleep(REJOIN_SECONDS)
        call = {
            "method": "GET",
            "path": f"/invocations/v1/flows/{execution_id}/stream",
            "params": {"timeout_seconds": _left(deadline, ONE_CALL_SECONDS)},
            "headers": {"Last-Event-ID": last} if last else {},
        }


async def _end_of_stream(target: Target, execution_id: str, frame: dict[str, Any], json_: bool) -> int:
    if json_:
        output.as_json(frame, indent=None)
    if frame["success"]:
        return exits.DONE
    status = (await target.get(f"/invocations/v1/executions/{execution_id}"))["status"]
    raise exits.Stop(
        f"{execution_id}: {frame.get('error') or status}",
        exits.OF_STATUS.get(status, exits.FAILED),
        f"axiom why {execution_id}",
    )


async def _stopped(target: Target, execution_id: str, status: str) -> int:
    """The wait is over, and the run is not: name the pause that it waits at, and what answers it."""
    if status == "PAUSED":
        from .pauses import of_execution

        for pause in await of_execution(target, execution_id):
            if pause["status"] == "open":
                who = ", ".join(pause["assignees"]) or "somebody"
                asked = f": {output.clean(pause['message'])}" if pause["message"] is not None else ""
                raise exits.Stop(
                    f"{execution_id} is paused: {pause['pause_id']} waits for {who}{asked}",
                    exits.PAUSED,
                    f"axiom pauses resume {execution_id} {pause['pause_id']} -d JSON",
                )
    return _unfinished(execution_id, status)


def _unfinished(execution_id: str, status: str) -> int:
    """The wait is over and the run is not."""
    paused = exits.OF_STATUS.get(status) == exits.PAUSED
    said = "is paused" if paused else "goes on"
    raise exits.Stop(
        f"{execution_id} {said}",
        exits.PAUSED if paused else exits.TIMED_OUT,
        f"axiom {'debug' if status == 'DEBUG_PAUSED' else 'executions tail'} {execution_id}",
    )


def _left(deadline: float | None, most: float) -> float:
    """Seconds until the deadline, at most ``most`` and never quite none."""
    return most if deadline is None else max(0.05, min(most, deadline - time.monotonic()))
