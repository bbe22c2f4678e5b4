"""Nodes that wait: for a time, an event, a person, a child; and nodes that run once per item of a list.

An attempt of such a node comes here. The first time it says what it waits for (``NodeWaiting``, ``MapOpened``); when
the state says that it was woken, it says how that ends. In between it costs nothing: the run is parked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from . import correlation
from . import events as e
from .events import Event
from .failures import Failure
from .limits import MAP_ITEMS
from .orders import CHILD, child_id
from .outcomes import Ended, Output, Result
from .state import COMPLETED

if TYPE_CHECKING:
    from .perform import Attempt

REPLACED: Final = "pause_timeout"


async def sleep(attempt: Attempt, message: Any) -> Result:
    """``kind: sleep``: pass the message on after a while."""
    if attempt.woken is not None:
        return Output(message)
    duration = attempt.step.node.config.get("duration_ms")
    if duration is None:
        duration = _value(attempt, "duration", message)
    return attempt.event(
        e.NODE_WAITING, {"for": "timer", "due": attempt.execution.now() + max(0, int(duration))}
    )


async def event(attempt: Attempt, message: Any) -> Result:
    """``kind: event``: wait for a named event with the right key; its payload is the output."""
    config = attempt.step.node.config
    key = str(_value(attempt, "correlate", message)) if "correlate" in config else None
    if key is not None:
        await _subscription(attempt, config["name"], key)
    if attempt.woken is None:
        body: dict[str, Any] = {"for": "event", "name": config["name"], "key": key}
        if "timeout_ms" in config:
            body["due"] = attempt.execution.now() + config["timeout_ms"]
        return attempt.event(e.NODE_WAITING, body)
    if attempt.woken.by == "time":
        return Failure("event_timeout", f"{config['name']} did not come in time", retryable=False)
    return Output(await attempt.execution.messages.of_event(attempt.woken.seq, "payload"))


async def _subscription(attempt: Attempt, name: str, key: str) -> None:
    """Let events find this run by ``key`` before it waits, and no more when it has waited."""
    execution, spot = attempt.execution, ".".join([attempt.step.node.alias, *map(str, attempt.key[1])])
    change = correlation.subscribe if attempt.woken is None else correlation.unsubscribe
    store, account = execution.host.store, execution.head.account
    await execution.writer.patiently(lambda: change(store, account, name, key, execution.id, spot))


async def pause(attempt: Attempt, message: Any) -> Result:
    """Return the answer to a node's pause as ``Output``, or what else becomes of it."""
    config: Mapping[str, Any] = attempt.step.node.config["hitl"]
    if attempt.woken is None:
        return _open(attempt, message, config, 0)
    if attempt.woken.by == "answer":
        return Output(await attempt.execution.messages.of_event(attempt.woken.seq, "input"))
    policy = config.get("timeout_policy", "FAIL")
    if policy == "RESUME_WITH":
        return Output(config["resume_with"])
    if policy == "CANCEL":
        return Ended(e.CANCELLED, {"reason": f"nobody answered {attempt.pause_id} in time"})
    level = attempt.woken.level
    if policy == "ESCALATE" and level < len(config["escalate_to"]):
        return _open(attempt, message, config, level + 1)
    return Failure(REPLACED, f"nobody answered {attempt.pause_id} in time", retryable=False)


def _open(attempt: Attempt, message: Any, config: Mapping[str, Any], level: int) -> Event:
    now = attempt.execution.now()
    body: dict[str, Any] = {
        "for": "pause",
        "name": attempt.pause_id,
        "message": attempt.step.pause_message(message),
        "schema": config["resume_input"],
        "quorum": config.get("quorum", 1),
        "level": level,
    }
    if level:
        body["to"] = config["escalate_to"][level - 1]
    elif "assignees" in config:
        body["to"] = list(config["assignees"])
    if "timeout_ms" in config:
        body["due"] = now + config["timeout_ms"]
    if "remind_every_ms" in config:
        body["remind_at"] = now + config["remind_every_ms"]
    return attempt.event(e.NODE_WAITING, body)


async def items(attempt: Attempt, message: Any) -> Result:
    """A node with ``map``: open it, and put its items' outputs together when they are done."""
    config = attempt.step.node.config["map"]
    if attempt.woken is None:
        found = attempt.execution.messages.items(attempt.step, attempt.key, message)
        if not isinstance(found, list):
            return Failure("map_items", "the items of the map are no list", retryable=False)
        if len(found) > MAP_ITEMS:
            text = f"{len(found)} items, and {MAP_ITEMS} at most"
            return Failure("payload_too_large", text, retryable=False)
        tolerant = config["failure_policy"] == "TOLERATE_FAILURES"
        body = {"count": len(found), "bound": config["max_concurrency"], "tolerant": tolerant}
        return attempt.event(e.MAP_OPENED, body)
    execution = attempt.execution
    outputs = []
    for index in range(len(execution.messages.items(attempt.step, attempt.key, message))):
        key = (attempt.key[0], (*attempt.key[1], index))
        run = execution.state.nodes[key]
        outputs.append(
            await execution.messages.of_event(run.seq, "output") if run.phase == COMPLETED else None
        )
    execution.messages.closed(attempt.key)
    return Output(outputs, checked=True)


async def subflow(attempt: Attempt, message: Any) -> Result:
    """``flow:``: start a child with ``message``; its end is the node's, or, not waited for, its id the output."""
    execution, woken = attempt.execution, attempt.woken
    if woken is not None and woken.child and woken.by == "signal":
        return _ended(await execution.messages.of_event(woken.seq, "payload"))
    child = child_id(execution.id, attempt.step.node.alias, attempt.key[1], attempt.number)
    if woken is not None and woken.child:
        return Failure("timeout", f"the subflow {child} did not end in time")
    given = {"input": {"value": message}}
    if not attempt.step.node.config["wait"]:
        return Output({"execution_id": child}, beside={"child": child, **given})
    body: dict[str, Any] = {"for": "child", "name": child, "key": CHILD, **given}
    timeout_ms = attempt.step.node.config.get("timeout_ms")
    if timeout_ms is not None:
        body["due"] = execution.now() + timeout_ms
    return attempt.event(e.NODE_WAITING, body)


def _ended(told: Mapping[str, Any]) -> Result:
    if told["status"] == "COMPLETED":
        return Output(told["output"])
    error = told["error"]
    where = f" in {error['node']}" if error.get("node") else ""
    details = {"child": told["child"], "status": told["status"], "node": error.get("node")}
    message = f"the subflow {told['child']} ended as {told['status']}{where}: {error['message']}"
    return Failure(error["code"], message, retryable=told["status"] != "CANCELLED", details=details)


def _value(attempt: Attempt, name: str, message: Any) -> Any:
    return attempt.step.settings[name](message, None)


KINDS: Final[dict[str, Callable[[Attempt, Any], Awaitable[Result]]]] = {"sleep": sleep, "event": event}
"""What runs in place of a handler, by the node's kind."""
