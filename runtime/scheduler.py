"""The loop that starts what schedules say, on every server at once.

Servers don't divide the schedules: each sees all of them, and a change to one is written against the version that was
read, so one server's decision stands and the others look again. A firing is written down first, then started under its
own idempotency key, then noted: a server that dies in between leaves a firing that any other finishes, once.

A look costs one small read while nothing is due: the mark tells whether any schedule changed.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import jsonschema_rs
import structlog

from . import catalog
from .cancelling import cancellation
from .clock import Clock
from .configs import ConfigUnfit, UnknownConfig, resolve
from .limits import RETENTION_DAYS
from .schedules import (
    KIND,
    MARK,
    RUNS_WATCHED,
    Firing,
    Schedule,
    Standing,
    decide,
    input_of,
    key_of,
    pack,
    unpack,
    wakes_at,
)
from .starts import Start, creation
from .store.base import FINAL, Exists, Ok, Store, StoreError
from .store.ids import new_execution_id

LOOK_SECONDS: Final = 1.0
"""Between two looks at the mark, at most: how late a new schedule is seen."""
READ_ALL_MS: Final = 60_000
"""How often everything is read again, whatever the mark says."""
STEPS: Final = 100
"""Due times of one schedule that are settled in one look; the others follow in the next."""

log = structlog.get_logger("axiom.scheduler")


class Scheduler:
    """See the top of the file. One per server; each does all of it."""

    def __init__(self, store: Store, clock: Clock, retention_days: float = RETENTION_DAYS) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._retention_days: Final = retention_days
        self._wakes: dict[str, int] = {}
        """Document key → when to look at it; those that nothing is due for are left out."""
        self._mark = -1
        self._read_at = 0
        self._task: asyncio.Task[Any] | None = None

    async def start(self) -> None:
        """Begin to look."""
        self._task = self._clock.spawn(self._loop(), "scheduler")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _loop(self) -> None:
        while True:
            try:
                await self.look()
            except StoreError as error:
                log.warning("schedules_not_read", error=str(error))
            soonest = min((at for at in self._wakes.values() if at), default=None)
            seconds = LOOK_SECONDS
            if soonest is not None:
                seconds = min(seconds, max(0.01, (soonest - self._store.now()) / 1000))
            await self._clock.sleep(seconds)

    async def look(self) -> None:
        """Read what changed, and do all that is due. ``StoreError``."""
        now = self._store.now()
        mark = await self._store.get(MARK, "all")
        version = mark.version if mark is not None else 0
        if version != self._mark or now - self._read_at >= READ_ALL_MS:
            found = await catalog.every(self._store, KIND)
            self._wakes = {}
            for document in found:
                self._note(document.key, *unpack(document.value))
            self._mark, self._read_at = version, now
        for key in [key for key, at in self._wakes.items() if at <= now]:
            try:
                await self._settle(key)
            except StoreError:
                raise
            except Exception:  # one that is broken must not hold up the others
                log.exception("schedule_broken", schedule=key)
                self._wakes[key] = now + READ_ALL_MS

    def _note(self, key: str, schedule: Schedule, standing: Standing) -> None:
        at = wakes_at(schedule, standing)
        if at is None:
            self._wakes.pop(key, None)
        else:
            self._wakes[key] = at

    async def _settle(self, key: str) -> None:
        """Do what follows for one schedule, step by step, until nothing is due."""
        for _ in range(STEPS):
            document = await self._store.get(KIND, key)
            if document is None:
                self._wakes.pop(key, None)
                return
            schedule, standing = unpack(document.value)
            made = await self._step(schedule, standing)
            if made is None:
                self._note(key, schedule, standing)
                return
            await self._store.put(KIND, key, pack(schedule, made), expect=document.version)

    async def _step(self, schedule: Schedule, standing: Standing) -> Standing | None:
        """Return the next standing, to be written if nobody wrote first; ``None`` if nothing is due."""
        if standing.firing is not None:
            return await self._fire(schedule, standing, standing.firing)
        alive = await self._alive(standing.runs)
        standing = standing._replace(runs=alive)
        step = decide(schedule, standing, self._store.now(), bool(alive))
        if step is None:
            return None
        if step.fire is None:
            return step.standing
        if step.cancel:
            for execution_id in alive:
                await self._cancel(execution_id, f"the schedule {schedule.name} starts the next one")
        try:
            graph_id = schedule.graph_id or await catalog.resolve_alias(
                self._store, schedule.account, schedule.flow
            )
        except catalog.UnknownAlias as error:
            return step.standing.noting(step.fire, self._store.now(), "failed", reason=str(error))
        return step.standing._replace(firing=Firing(step.fire, graph_id))

    async def _fire(self, schedule: Schedule, standing: Standing, firing: Firing) -> Standing:
        """Start what was decided on, or find that it was started, and note it."""
        told: dict[str, Any] = {"manual": True} if firing.manual else {}
        done = standing._replace(firing=None)
        try:
            execution_id = await fire(self._store, self._clock, schedule, firing, self._retention_days)
        except NotStarted as error:
            return done.noting(firing.due, self._store.now(), "failed", reason=str(error), **told)
        runs = (*done.runs, execution_id)[-RUNS_WATCHED:]
        started = {"execution_id": execution_id, **told}
        return done._replace(runs=runs).noting(firing.due, self._store.now(), "started", **started)

    async def _alive(self, runs: tuple[str, ...]) -> tuple[str, ...]:
        if not runs:
            return ()
        heads = await self._store.heads(runs)
        return tuple(head.execution_id for head in heads if head is not None and head.status not in FINAL)

    async def _cancel(self, execution_id: str, reason: str) -> None:
        for _ in range(20):
            head = (await self._store.heads((execution_id,)))[0]
            if head is None or head.status in FINAL:
                return
            plan = await catalog.load_plan(self._store, head.graph_id)
            item = await cancellation(self._store, head, plan, reason)
            if isinstance((await self._store.append((item,)))[0], Ok):
                return


class NotStarted(RuntimeError):
    """A firing can't be started, now or later: its flow is gone, or its input doesn't fit."""


async def fire(store: Store, clock: Clock, schedule: Schedule, firing: Firing, retention_days: float) -> str:
    """Start a firing once, however often this is called; the execution's id. ``NotStarted``, ``StoreError``."""
    try:
        plan = await catalog.owned_plan(store, schedule.account, firing.graph_id)
        config = await resolve(store, schedule.account, plan, schedule.config_id)
    except (catalog.UnknownArtifact, UnknownConfig, ConfigUnfit) as error:
        raise NotStarted(str(error)) from error
    value = input_of(schedule, firing.due)
    schema = plan.messages.get(plan.input, True)
    checker = jsonschema_rs.Draft202012Validator(schema if isinstance(schema, bool) else dict(schema))
    wrong = next(iter(checker.iter_errors(value)), None)
    if wrong is not None:
        where = "/".join(map(str, wrong.instance_path))
        raise NotStarted(f"invalid_input: /input/{where}: {wrong.message}"[:500])
    key = key_of(schedule, firing)
    start = Start(
        schedule.account,
        firing.graph_id,
        plan,
        value,
        config_id=schedule.config_id,
        config=config,
        key=key,
        request_hash=f"schedule/{key}",
        retention_days=retention_days,
    )
    execution_id = new_execution_id(clock, schedule.account, plan.name or firing.graph_id, key)
    outcome = (await store.append((creation(store.now(), start, execution_id, {"value": value}),)))[0]
    if isinstance(outcome, Exists):
        return outcome.execution_id
    assert isinstance(outcome, Ok), f"a start was answered with {outcome}"
    return execution_id
