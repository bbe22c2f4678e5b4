"""The engine inside a user's own process: a store, one worker, and starts that need no queue.

A run that is started here is born claimed by this process's worker, and its first write already holds the start of its
entry node: a chain of n nodes costs n + 1 durable writes, and no look at the queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from . import events as e
from .clock import Clock
from .decide import decide
from .engine import Execution
from .events import Event
from .fold import extend, fold
from .limits import RETENTION_DAYS
from .prepared import Prepared
from .state import BLANK
from .store.base import Append, Claimed, Create, Exists, Head, Ok, Status, Store, Unclear
from .store.ids import new_execution_id
from .worker import Worker


class Engine:
    """Starts runs of prepared plans on its own worker, and tells their ends.

    ``worker`` must have been made with ``on_final=engine.on_final``; it may also take runs from the queue.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._ends: Final[dict[str, asyncio.Future[Execution | None]]] = {}
        self.worker: Worker

    def on_final(self, execution: Execution) -> None:
        """Tell whoever waits that an execution is no longer here: ended, or to be looked up in the store."""
        end = self._ends.pop(execution.id, None)
        if end is not None and not end.done():
            end.set_result(execution if execution.state.final else None)

    async def start(
        self,
        prepared: Prepared,
        value: Any,
        *,
        account: str = "default",
        body: Mapping[str, Any] | None = None,
    ) -> tuple[str, asyncio.Future[Execution | None]]:
        """Create an execution that is owned here from birth; durable on return. The future tells when it leaves."""
        store, plan, worker = self._store, prepared.plan, self.worker
        now = store.now()
        execution_id = new_execution_id(self._clock)
        accepted = Event(
            e.ACCEPTED,
            now,
            body={
                "graph_id": prepared.graph_id,
                "flow": plan.name,
                "mode": plan.mode,
                "account": account,
                "input": {"value": value},
                **(body or {}),
            },
        )
        if plan.timeout_seconds is not None:
            accepted = accepted._replace(
                body={**accepted.body, "deadline": now + int(plan.timeout_seconds * 1000)}
            )
        started = Event(e.STARTED, now, epoch=now, body={"worker": worker.name})
        state = fold(prepared.topology, BLANK, (accepted, started))
        events = [accepted, started]
        if plan.mode == "unary":
            following = decide(prepared.topology, state, now, now, worker.pools)
            extend(prepared.topology, state, following)
            events += following
        data = tuple([e.encode(event) for event in events])
        pool = plan.nodes[plan.entry].pool
        retention = RETENTION_DAYS if plan.retention_days is None else plan.retention_days
        create = Create(
            account,
            plan.name,
            prepared.graph_id,
            plan.mode,
            pool,
            plan.priority,
            retention_days=retention,
            session=worker.session,
            epoch=now,
        )
        crcs = tuple([e.crc(execution_id, encoded) for encoded in data])
        item = Append(execution_id, data, crcs, now, 0, status=Status.RUNNING, create=create)
        outcome = (await store.append((item,)))[0]
        if not isinstance(outcome, Ok):
            assert not isinstance(outcome, Exists), "no key was given"
            raise Unclear(f"the new execution was answered with {outcome}")
        head = Head(
            execution_id,
            len(events),
            0,
            Status.RUNNING,
            now,
            worker.session,
            account,
            plan.name,
            prepared.graph_id,
            plan.mode,
            pool,
            None,
            plan.priority,
            now,
            now,
            now,
            None,
            retention,
            None,
            None,
            0,
        )
        end: asyncio.Future[Execution | None] = asyncio.get_running_loop().create_future()
        self._ends[execution_id] = end
        worker.adopt(Claimed(head, None, None, [accepted]), prepared, born=state)
        return execution_id, end
