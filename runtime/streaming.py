"""One owned execution in pipeline mode: the journal's side of a ``PipelineRun``.

The frames are in the frame log; the journal holds what brackets them: who owned the run, when each node began and
ended (remarks, written as they come, without the stream waiting for them), and the end with its count of frames.
Every durable frame is a checkpoint: a drain or a cancel stops the run where it stands.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from axiom.compiler.artifact import Node

from . import events as e
from .configs import timeout_of
from .events import Event
from .failures import Failure
from .fold import fold
from .limits import POISON_TAKEOVERS
from .perform import Attempt, HandlerFailed, Lost
from .pipeline import Broken, Finished, NodeBegan, NodeStopped, PipelineRun
from .pipeline_log import LostClaim
from .pipeline_node import ResumeAfter, Stuck
from .pipeline_takeup import NodeEnded
from .retry import retry_delay_ms
from .store.base import Conflict, Ok, Park

if TYPE_CHECKING:
    from .engine import Execution

PARKED = object()


async def stream(execution: Execution, opening: list[Event]) -> None:
    """Own the execution until its stream ends, or is cancelled, drained or lost."""
    remarks = _Remarks(execution)
    await remarks.write(opening)
    if execution.over:
        return
    if execution.prepared.secrets and not execution.secrets:  # taken over: opened by another worker before
        locked = await execution.host.performer.unlock(execution, execution.prepared.secrets)
        if locked is not None:
            await remarks.write([_final(execution, await _broken(execution, locked.code, locked.message))])
            return
    if await _hopeless(execution):
        message = f"{POISON_TAKEOVERS} workers in a row died with this run in their hands, and made no frame"
        await remarks.write([_final(execution, await _broken(execution, "poisoned", message))])
        return
    assert execution.prepared.pipeline is not None
    run = PipelineRun(
        execution_id=execution.id,
        pipeline=execution.prepared.pipeline,
        input=await execution.messages.flow_input(),
        fence=execution.fence,
        store=execution.host.store,
        clock=execution.host.clock,
        make_context=lambda node, after: _context(execution, node, after),
        call=lambda node, value, iteration: _call(execution, node, value, iteration),
        on_event=remarks.note,
        opened=execution.opened,
        timeout_of=lambda node: timeout_of(execution.accepted, node),
    )
    try:
        result = await _race(execution, run)
    except LostClaim:
        return
    except Stuck:
        execution.host.performer.stuck(_attempt(execution, execution.prepared.plan.nodes[0], ()))
        return
    finally:
        await remarks.close()
    if result is PARKED:
        await remarks.write([], Park(execution.head.queue, 0))
    else:
        await remarks.write([_final(execution, result)])


async def _race(execution: Execution, run: PipelineRun) -> Any:
    """Run the stream until it ends, its deadline passes, or the order to drain comes."""
    clock = execution.host.clock
    streaming = clock.spawn(run.run(), f"stream {execution.id}")
    execution.on_drain = streaming.cancel
    if execution.draining:  # the order came before anyone could hear it
        streaming.cancel()
    late = False

    def time_out() -> None:
        nonlocal late
        late = True
        streaming.cancel()

    deadline = execution.state.deadline
    alarm = None
    if deadline is not None:
        alarm = clock.later(max(0, deadline - execution.now()) / 1000, time_out)
    try:
        await asyncio.wait((streaming,))
    except asyncio.CancelledError:
        streaming.cancel()
        await asyncio.wait((streaming,))
        raise
    finally:
        execution.on_drain = None
        if alarm is not None:
            alarm.cancel()
    if streaming.cancelled():
        if late:
            return await _broken(execution, "run_timeout", "the run did not end before its deadline")
        return PARKED
    return streaming.result()


async def _hopeless(execution: Execution) -> bool:
    """Whether the last ``POISON_TAKEOVERS`` owners all died and left the log as they found it."""
    if execution.state.takeovers < POISON_TAKEOVERS:
        return False
    found: list[int] = []
    after = 0
    while events := await execution.host.store.read(execution.id, after):
        after = events[-1].seq
        found += [event.body.get("frames", -1) for event in events if event.kind == e.TAKEN_OVER]
    return found[-POISON_TAKEOVERS] == execution.head.frames


async def _broken(execution: Execution, code: str, message: str) -> Broken:
    """A failure that is no node's; it counts the frames that readers have been given."""
    frames = await execution.host.store.frame_counts(execution.id)
    terminal = execution.prepared.plan.nodes[execution.prepared.plan.terminal].alias
    return Broken(Failure(code, message), "", frames.get(terminal, 0))


def _final(execution: Execution, result: Finished | Broken) -> Event:
    now = execution.now()
    if isinstance(result, Finished):
        return Event(e.COMPLETED, now, epoch=execution.epoch, body={"frames": result.frames})
    body: dict[str, Any] = {
        "code": result.failure.code,
        "message": result.failure.message,
        "frames": result.frames,
    }
    if result.node:
        body |= {"node": result.node, "attempt": 1}
    return Event(e.FAILED, now, epoch=execution.epoch, body=body)


def _attempt(execution: Execution, node: Node, iteration: tuple[int, ...], number: int = 1) -> Attempt:
    return Attempt(execution, execution.prepared.steps[node.number], (node.number, iteration), number)


def _context(execution: Execution, node: Node, after: ResumeAfter | None) -> Any:
    return execution.host.performer.context(_attempt(execution, node, ()), after)


async def _call(execution: Execution, node: Node, value: Any, iteration: tuple[int, ...]) -> Any:
    """Call a unary node for one frame, with its retries; its output or its failure."""
    clock = execution.host.clock
    number = 1
    while True:
        failure = await _once(_attempt(execution, node, iteration, number), value)
        if not isinstance(failure, Failure):
            return failure
        delay = retry_delay_ms(node.retry, number, failure, clock.random())
        if delay is None:
            return failure
        await clock.sleep(delay / 1000)
        number += 1


async def _once(attempt: Attempt, value: Any) -> Any:
    handler, performer = attempt.step.handler, attempt.execution.host.performer
    if handler is None:
        return Failure("handler_missing", f"{attempt.step.node.name} is not on this worker", retryable=False)
    try:
        async with asyncio.timeout(attempt.timeout_seconds):
            if handler.isolation != "async":
                return await performer.elsewhere(attempt, handler.isolation, value)
            argument = value if handler.decode is None else handler.decode(value)
            return handler.encode(await handler.function(performer.context(attempt), argument))
    except TimeoutError:
        return Failure("timeout", f"{attempt.step.node.alias} took longer than {attempt.timeout_seconds:g} s")
    except HandlerFailed as error:
        return error.failure
    except (Exception, SystemExit) as error:
        return performer.failed(attempt, error)


class _Remarks:
    """Writes journal events beside the stream: one append at a time, what comes meanwhile joins the next."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._pending: list[Event] = []
        self._writing: asyncio.Task[None] | None = None

    def note(self, what: NodeBegan | NodeEnded | NodeStopped) -> None:
        """A node began or ended."""
        execution = self._execution
        kind = e.NODE_STREAMED
        body: dict[str, Any] = {}
        if isinstance(what, NodeBegan):
            kind, body = e.NODE_STREAMING, {"resumes": what.resumes}
        else:
            body = {"frames": what.frames}
        self._pending.append(Event(kind, execution.now(), what.node, (), 1, execution.epoch, body))
        if self._writing is None:
            self._writing = execution.host.clock.spawn(self._write_pending(), f"remarks {execution.id}")

    async def close(self) -> None:
        """Wait for the last write."""
        if self._writing is not None:
            await asyncio.wait((self._writing,))

    async def write(self, events: list[Event], leaving: Park | None = None) -> None:
        """Write events behind whatever the journal holds by then; an end or a park ends the ownership."""
        execution = self._execution
        while events or leaving is not None:
            state = execution.state
            events = [event._replace(at=max(event.at, state.at)) for event in events]
            state = fold(execution.topology, state, events)
            outcome = await execution.writer.write(await execution.append_of(state, events, leaving))
            if isinstance(outcome, Ok):
                execution.state = state
                execution.over = execution.over or state.final or leaving is not None
                return
            if not isinstance(outcome, Conflict):
                raise Lost
            await execution.catch_up(outcome.tail)

    async def _write_pending(self) -> None:
        try:
            while self._pending:
                events, self._pending = self._pending, []
                await self.write(events)
        except Lost:
            self._execution.kill()
        finally:
            self._writing = None
