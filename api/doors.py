"""What every door does, whatever it speaks: start, wait, cancel, look up. No HTTP in here.

A start is one append that creates the execution; with a key it is unique, and a repetition finds the first. A door
whose answer depends on the state reads, decides and appends with ``after``; when someone wrote first it reads and
decides again, ``DOOR_TRIES`` times at most. After an unclear answer the same append is sent again, which is harmless.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from axiom.compiler.artifact import canonical
from axiom.runtime import events as e
from axiom.runtime import telemetry
from axiom.runtime.cancelling import cancellation
from axiom.runtime.catalog import readable_plan
from axiom.runtime.clock import Clock
from axiom.runtime.limits import (
    DOOR_TRIES,
    INLINE_VALUE_BYTES,
    PAGE,
    PAYLOAD_BYTES,
    UNCLEAR_SECONDS,
)
from axiom.runtime.reading import present
from axiom.runtime.results import Result, result_of
from axiom.runtime.starts import Start, creation
from axiom.runtime.store.base import (
    FINAL,
    Append,
    Conflict,
    Exists,
    Head,
    Missing,
    Ok,
    Outcome,
    Query,
    Status,
    Store,
    StoreError,
    Unavailable,
)
from axiom.runtime.store.base import Final as Ended
from axiom.runtime.store.ids import new_execution_id

from .waiters import Waiters

FIRST_BACKOFF_SECONDS: Final = 0.02


class DoorError(Exception):
    """A door said no; ``code`` is one of ``errors.PROBLEMS``."""

    code = "internal_error"


class UnknownExecution(DoorError):
    """There is no such execution, or it is another account's."""

    code = "unknown_execution"

    def __init__(self, execution_id: str) -> None:
        super().__init__(f"there is no execution {execution_id[:64]!r}")


class IdempotencyMismatch(DoorError):
    """The key was used for another request."""

    code = "idempotency_mismatch"


class AlreadyFinal(DoorError):
    """The execution ended otherwise."""

    code = "already_final"


class Contended(DoorError):
    """Others wrote first, again and again."""

    code = "contended"


class NotStorable(DoorError):
    """The value can't be kept: an integer beyond 64 bits, a lone surrogate, or too large."""

    code = "invalid_input"


class Started(NamedTuple):
    """``fresh`` is false if the key had started this execution before."""

    execution_id: str
    fresh: bool


def request_hash(request: Mapping[str, Any]) -> str:
    """Return what tells one request from another under the same idempotency key.

    >>> request_hash({"input": 1}) == request_hash({"input": 2})
    False
    """
    return hashlib.sha256(canonical(request)).hexdigest()


def execution_id_for(clock: Clock, start: Start) -> str:
    """Return the id that a start will get if it is fresh: made first, so that one can listen before it is written."""
    return new_execution_id(clock, start.account, start.plan.name or start.graph_id, start.key)


async def start_execution(
    store: Store, clock: Clock, start: Start, execution_id: str | None = None
) -> Started:
    """Create an execution and queue it. ``IdempotencyMismatch``, ``NotStorable``, ``StoreError``."""
    execution_id = execution_id or execution_id_for(clock, start)
    try:
        packed = e.pack_value(start.input)
    except (ValueError, OverflowError, TypeError) as error:
        raise NotStorable(f"the input can't be kept: {error}") from error
    if len(packed) > PAYLOAD_BYTES:
        raise NotStorable(f"the input has {len(packed)} bytes; at most {PAYLOAD_BYTES} are taken")
    value: dict[str, Any] = {"value": start.input}
    if len(packed) > INLINE_VALUE_BYTES:
        if start.key is not None and (earlier := await _earlier(store, start)) is not None:
            return _joined(earlier, start)
        await store.put_blob(execution_id, "input", packed)
        value = {"blob": "input", "size": len(packed)}
    outcome = await persist(store, clock, creation(store.now(), start, execution_id, value))
    if isinstance(outcome, Exists):
        return _joined(outcome, start)
    if not isinstance(outcome, Ok):
        raise Contended(f"the store answered {outcome} to a start")
    telemetry.RUNS_STARTED.labels(start.plan.mode).inc()
    return Started(execution_id, True)


async def _earlier(store: Store, start: Start) -> Exists | None:
    """What the key has started already: asked before a large input is written that nobody would own."""
    page = await store.find(Query(start.account, flow=start.plan.name or None, q=start.key, limit=PAGE))
    for head in page.heads:
        if head.key == start.key and (start.plan.name or head.graph_id == start.graph_id):
            accepted = (await store.read(head.execution_id, 0, 1))[0].body
            return Exists(head.execution_id, accepted.get("request_hash", ""))
    return None


def _joined(earlier: Exists, start: Start) -> Started:
    if earlier.request_hash != start.request_hash:
        raise IdempotencyMismatch(f"the Idempotency-Key {start.key!r} was used for another request")
    return Started(earlier.execution_id, False)


async def persist(store: Store, clock: Clock, item: Append) -> Outcome:
    """Append one item; after an unclear answer send it again, for ``UNCLEAR_SECONDS`` at most. ``StoreError``."""
    give_up = clock.monotonic() + UNCLEAR_SECONDS
    backoff = FIRST_BACKOFF_SECONDS
    while True:
        try:
            return (await store.append((item,)))[0]
        except StoreError as error:
            if not error.retryable or isinstance(error, Unavailable) or clock.monotonic() >= give_up:
                raise
        await clock.sleep(backoff)
        backoff = min(backoff * 2, 0.5)


async def head_of(store: Store, account: str, execution_id: str) -> Head:
    """Return the head of one of the account's executions. ``UnknownExecution``, also for another account's."""
    if len(execution_id) == 32 and not set(execution_id) - HEX:
        head = (await store.heads((execution_id,)))[0]
        if head is not None and head.account == account:
            return await present(store, head)
    raise UnknownExecution(execution_id)


HEX: Final = frozenset("0123456789abcdef")


async def cancel(store: Store, clock: Clock, account: str, execution_id: str, reason: str = "") -> Status:
    """End an execution, now; return its status: CANCELLED, or COMPENSATING where its flow undoes first what it did.

    One that was cancelled already stays as it is.

    ``UnknownExecution``; ``AlreadyFinal`` if it ended otherwise; ``Contended``.
    """
    for _ in range(DOOR_TRIES):
        head = await head_of(store, account, execution_id)
        if head.status == Status.CANCELLED:
            return Status.CANCELLED
        if head.status in FINAL:
            raise AlreadyFinal(f"execution {execution_id} is {head.status}")
        plan = await readable_plan(store, head.graph_id)
        if head.status == Status.COMPENSATING and plan is not None and plan.on_cancel == "compensate":
            return Status.COMPENSATING
        item = await cancellation(store, head, plan, reason or "cancelled by its caller")
        outcome = await persist(store, clock, item)
        if isinstance(outcome, Ok):
            if item.status == Status.CANCELLED:
                telemetry.run_ended(Status.CANCELLED, (item.at - head.created_at) / 1000)
            return Status(item.status or head.status)
        if isinstance(outcome, Missing):
            raise UnknownExecution(execution_id)
        assert isinstance(outcome, (Conflict, Ended)), f"a cancel was answered by {outcome}"
    raise Contended(f"execution {execution_id} moved {DOOR_TRIES} times while it was being cancelled")


async def wait_for(store: Store, waiters: Waiters, execution_id: str, seconds: float) -> Result | None:
    """Wait for an execution's end, ``seconds`` at most, and return it; ``None`` if it has not ended by then."""
    with waiters.listen(execution_id) as listener:
        ended = await waiters.ended(listener, execution_id, seconds, look=True)
    return None if ended is None else await result_of(store, execution_id, ended.seq)


async def start_and_wait(
    store: Store, clock: Clock, waiters: Waiters, start: Start, seconds: float
) -> tuple[Started, Result | None]:
    """Start an execution and wait for its end; it listens before it starts, so a fresh one needs no look."""
    execution_id = execution_id_for(clock, start)
    with waiters.listen(execution_id) as listener:
        started = await start_execution(store, clock, start, execution_id)
        if started.fresh:
            ended = await waiters.ended(listener, execution_id, seconds, look=False)
            result = None if ended is None else await result_of(store, execution_id, ended.seq)
            return started, result
    return started, await wait_for(store, waiters, started.execution_id, seconds)
