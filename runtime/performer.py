"""How this process calls handlers: on the loop, in a thread, or in a warm child process.

``Attempt`` (``perform.py``) decides nothing of this: it asks for a context and, for what does not run on the loop, for
an output from elsewhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

from . import events as e
from . import telemetry
from .children import Children, ChildrenStopped
from .configs import secrets_chosen, values_of
from .context import Context, Surroundings, redacted_failure, secrets_of
from .events import Event
from .failures import Failure, failure_of
from .handlers import Handler
from .perform import Attempt, HandlerFailed, Lost
from .redaction import KNOWN
from .threads import Threads
from .values import NotPlain, TooLarge, pack, unpack
from .vault import Opened, names_of

if TYPE_CHECKING:
    from .engine import Execution

Vault = Callable[[str, Mapping[str, str]], Awaitable[Opened]]
"""``(account, declared name → secret)``: opens them."""


class LocalPerformer:
    """See the top of the file.

    ``vault`` opens the secrets of an account; ``on_stuck`` is called when a handler on the loop
    ignores its cancellation: the worker must end.
    """

    def __init__(
        self,
        children: Children,
        around: Surroundings,
        vault: Vault,
        on_stuck: Callable[[str], None],
    ) -> None:
        self._children: Final = children
        self._around: Final = around
        self._vault: Final = vault
        self._on_stuck: Final = on_stuck
        self._threads: Final = Threads()

    def context(self, attempt: Attempt, resume_after: Any = None) -> Context:
        """Return the ``ctx`` of an attempt."""
        execution, node = attempt.execution, attempt.step.node
        return Context(
            execution.id,
            node.alias,
            attempt.key[1],
            attempt.number,
            execution.epoch,
            scope=execution.accepted.get("scope") or execution.id,
            config=_copy(values_of(execution.accepted)),
            secrets={
                name: execution.secrets[name] for name in node.required_secrets if name in execution.secrets
            },
            resume_after=resume_after,
            around=self._around,
        )

    async def unlock(self, execution: Execution, names: Collection[str]) -> Failure | None:
        """Open the secrets that nodes declare by these names, for ``context``; the failure if one can't be."""
        return await unlock(self._vault, execution, names)

    async def elsewhere(self, attempt: Attempt, isolation: str, value: Any) -> Any:
        """Call the handler in a child process or a thread; its output, or ``HandlerFailed``."""
        context = self.context(attempt)
        handler = attempt.step.handler
        assert handler is not None
        if not isinstance(handler, Handler):
            return await handler.function(
                context, value
            )  # stands in for code that can't be loaded, and says why
        if isolation == "thread":
            return await self._in_thread(handler, context, value)
        try:
            outcome = await self._children.run(
                handler.reference, pack(value), context, attempt.timeout_seconds
            )
        except ChildrenStopped as error:
            raise Lost from error
        except (NotPlain, TooLarge) as error:
            raise HandlerFailed(Failure("input_invalid", str(error), retryable=False)) from error
        if isinstance(outcome, Failure):
            raise HandlerFailed(outcome)
        return unpack(outcome)

    def failed(self, attempt: Attempt, error: BaseException) -> Failure:
        """Return the failure of a handler on the loop, without the values of its run's secrets."""
        return redacted_failure(failure_of(error), attempt.execution.opened)

    def observe(self, attempt: Attempt, event: Event, seconds: float) -> None:
        """Count and trace a finished attempt."""
        error = None
        if event.kind == e.NODE_COMPLETED:
            outcome = "completed"
        else:
            outcome = "retried" if "retry_at" in event.body else "failed"
            error = event.body["code"]
        telemetry.attempt_ended(outcome, seconds)
        if not attempt.execution.traced:
            return
        began = event.at - int(seconds * 1000)
        telemetry.node_span(
            attempt.execution.id, attempt.step.node.alias, attempt.number, began, event.at, error
        )

    def stuck(self, attempt: Attempt) -> None:
        """A handler ignores its cancellation."""
        self._on_stuck(attempt.step.node.alias)

    def close(self) -> None:
        """Let the threads go; what still runs in them is not waited for."""
        self._threads.stop()

    async def _in_thread(self, handler: Handler, context: Context, value: Any) -> Any:
        try:
            argument = value if handler.decode is None else handler.decode(value)
            return handler.encode(await self._threads.run(handler.function, context, argument))
        except Exception as error:
            raise HandlerFailed(redacted_failure(failure_of(error), secrets_of(context))) from error


async def unlock(vault: Vault, execution: Execution, names: Collection[str]) -> Failure | None:
    """Open secrets for an execution, by the names that its nodes declare; the failure if one can't be. ``Lost``."""
    chosen = names_of(names, secrets_chosen(execution.accepted))
    opened = await execution.writer.patiently(lambda: vault(execution.head.account, chosen))
    execution.unlocked(opened.values)
    KNOWN.add(opened.values.values())
    for name, (code, message) in opened.missing.items():
        needs = f"a node declares it as {name}" if name != chosen[name] else "a node needs it"
        return Failure(code, f"{message} ({needs})")
    return None


def _copy(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Each attempt has its own: what one does to it is nobody else's business."""
    return deepcopy(values) if values else values
