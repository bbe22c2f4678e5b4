"""``ctx``: what a handler is told of its attempt, and what it may say while it runs.

One is made for each attempt, thousands a second, so it only stores what it is given; the key, the log and the secrets'
view are made when they are asked for. The same class serves the worker's loop, its threads and its child processes:
what differs is the ``Surroundings`` that it speaks to.
"""

from __future__ import annotations

import hashlib
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from axiom.compiler.artifact import canonical

from .failures import Failure
from .redaction import redacted, scrubbed

LEVELS: Final = ("debug", "info", "warning", "error")
Emit = Callable[[str, str, dict[str, Any]], None]
"""``(level, message, fields)``: where a line of log goes."""
Report = Callable[["Context", str, Mapping[str, Any]], None]
"""``(context, "progress" | "heartbeat", body)``."""


def to_stderr(level: str, message: str, fields: dict[str, Any]) -> None:
    """Write a line of log as JSON on stderr. Workers give a sink of their own, which adds the time."""
    line = json.dumps({"event": message, "level": level, **fields}, default=str, ensure_ascii=False)
    sys.stderr.write(line + "\n")


def _unheard(context: Context, kind: str, body: Mapping[str, Any]) -> None:
    """Progress where nobody asked for it."""


class Surroundings:
    """What the contexts of one process share."""

    __slots__ = ("emit", "report", "worker")

    def __init__(self, worker: str = "", emit: Emit = to_stderr, report: Report = _unheard) -> None:
        self.worker: Final = worker
        self.emit: Final = emit
        self.report: Final = report


ALONE: Final = Surroundings()
"""For a handler that is called without a worker, e.g. in a test of one's own."""
_EMPTY: Final[Mapping[str, Any]] = {}


class Context:
    """The ``ctx`` of one attempt."""

    __slots__ = (
        "_around",
        "_cancelled",
        "_key",
        "_log",
        "_scope",
        "_secrets",
        "attempt",
        "config",
        "execution_id",
        "fencing_token",
        "iteration",
        "node",
        "resume_after",
    )

    def __init__(
        self,
        execution_id: str = "",
        node: str = "",
        iteration: tuple[int, ...] = (),
        attempt: int = 1,
        fencing_token: int = 0,
        *,
        scope: str = "",
        config: Mapping[str, Any] = _EMPTY,
        secrets: Mapping[str, str] = _EMPTY,
        resume_after: Any = None,
        around: Surroundings = ALONE,
    ) -> None:
        self.execution_id = execution_id
        """32 hex digits; also the trace id."""
        self.node = node
        """The node's alias in its flow."""
        self.iteration = iteration
        """Loop counts and map indexes, outermost first; ``()`` outside of both."""
        self.attempt = attempt
        """1 for the first. A crash of worker, machine or store starts no new one."""
        self.fencing_token = fencing_token
        """Grows with each owner of the execution: an effect's target can refuse a smaller one than it has seen."""
        self.config = config
        """The configuration of the run; plain data."""
        self.resume_after = resume_after
        """For a pipeline node with ``on_resume: continue``: ``frames_out`` and ``frames_in``, else ``None``."""
        self._scope = scope
        self._secrets = secrets
        self._around = around
        self._cancelled = False
        self._key: str | None = None
        self._log: Log | None = None

    @property
    def idempotency_key(self) -> str:
        """32 hex digits, the same for every attempt, worker and restart of this node and iteration."""
        key = self._key
        if key is None:
            key = self._key = idempotency_key(self._scope or self.execution_id, self.node, self.iteration)
        return key

    @property
    def log(self) -> Log:
        """A logger whose lines carry execution, node, attempt and worker."""
        log = self._log
        if log is None:
            log = self._log = Log(self)
        return log

    @property
    def secrets(self) -> Secrets:
        """The secrets that the node declares in ``required_secrets``."""
        return Secrets(self._secrets)

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for this attempt any more: for code in threads, which can't be stopped from outside."""
        return self._cancelled

    def progress(self, fraction: float | None = None, message: str = "", **details: Any) -> None:
        """Tell how far the work is, from 0 to 1. Shown while it runs; not kept."""
        self._report("progress", {"fraction": fraction, "message": message, **details})

    def heartbeat(self, **details: Any) -> None:
        """Tell that the work is alive. Shown while it runs; not kept."""
        self._report("heartbeat", details)

    def _report(self, kind: str, body: Mapping[str, Any]) -> None:
        self._around.report(self, kind, scrubbed(body, self._secrets) if self._secrets else body)

    def __repr__(self) -> str:
        return f"<Context of {self.node!r}, attempt {self.attempt}, execution {self.execution_id}>"


def idempotency_key(scope: str, node: str, iteration: tuple[int, ...]) -> str:
    """Return what names a node's effect: the same for all its attempts, and for nothing else."""
    return hashlib.sha256(canonical([scope, node, iteration])).hexdigest()[:32]


def cancel(context: Context) -> None:
    """Let ``context.cancelled`` be true from now on."""
    context._cancelled = True


def secrets_of(context: Context) -> Mapping[str, str]:
    """The values behind ``context.secrets``: for the way into a child process, and for ``redacted``."""
    return context._secrets


def fields_of(context: Context) -> tuple[Any, ...]:
    """All that makes the same context in a child process, as plain data."""
    return (
        context.execution_id,
        context.node,
        context.iteration,
        context.attempt,
        context.fencing_token,
        context._scope,
        dict(context.config),
        dict(context._secrets),
    )


def context_of(fields: list[Any], around: Surroundings) -> Context:
    """The other way round."""
    execution_id, node, iteration, attempt, epoch, scope, config, secrets = fields
    return Context(
        execution_id,
        node,
        tuple(iteration),
        attempt,
        epoch,
        scope=scope,
        config=config,
        secrets=secrets,
        around=around,
    )


def relay(context: Context, is_log: bool, what: str, message: str, fields: dict[str, Any]) -> None:
    """Pass on what the context's copy in a child process has said: a line of log, or a report."""
    around = context._around
    if not is_log:
        around.report(context, what, fields)
    else:
        around.emit(what, message, {**fields, "worker": around.worker} if around.worker else fields)


def redacted_failure(failure: Failure, secrets: Mapping[str, str]) -> Failure:
    """Return a failure without the values of the secrets, in its code, its message or its details."""
    if not secrets:
        return failure
    return failure._replace(
        code=redacted(failure.code, secrets),
        message=redacted(failure.message, secrets),
        details=scrubbed(dict(failure.details), secrets),
    )


class Secrets:
    """Read-only, and silent: neither ``repr`` nor an error shows a value."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the secret, or ``default`` if the node doesn't declare it or nobody has set it."""
        return self._values.get(name, default)

    def __getitem__(self, name: str) -> str:
        """Return the secret; ``KeyError`` with its name if there is none."""
        try:
            return self._values[name]
        except KeyError:
            raise KeyError(
                f"no secret {name!r}: declare it in the node's `required_secrets`, and set it"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Secrets {', '.join(sorted(self._values)) or 'none'}>"


class Log:
    """Lines with fields: ``ctx.log.info("charged", amount=12.5)``. Values of secrets are struck out."""

    __slots__ = ("_bound", "_context")

    def __init__(self, context: Context, bound: Mapping[str, Any] = _EMPTY) -> None:
        self._context = context
        self._bound = bound

    def bind(self, **fields: Any) -> Log:
        """Return a logger that adds ``fields`` to every line."""
        return Log(self._context, {**self._bound, **fields})

    def debug(self, event: str, /, *arguments: Any, **fields: Any) -> None:
        self.write("debug", event, arguments, fields)

    def info(self, event: str, /, *arguments: Any, **fields: Any) -> None:
        self.write("info", event, arguments, fields)

    def warning(self, event: str, /, *arguments: Any, **fields: Any) -> None:
        self.write("warning", event, arguments, fields)

    def error(self, event: str, /, *arguments: Any, **fields: Any) -> None:
        self.write("error", event, arguments, fields)

    def exception(self, event: str, /, *arguments: Any, **fields: Any) -> None:
        """``error``, with the traceback of the exception that is being handled."""
        self.write("error", event, arguments, {**fields, "exception": traceback.format_exc()})

    def write(self, level: str, event: str, arguments: tuple[Any, ...], fields: Mapping[str, Any]) -> None:
        """Hand one line to the surroundings; ``arguments`` fill ``%s`` places as in standard logging."""
        context = self._context
        around = context._around
        message = str(event) % arguments if arguments else str(event)
        line = {
            **self._bound,
            **fields,
            "execution_id": context.execution_id,
            "node": context.node,
            "attempt": context.attempt,
        }
        if around.worker:
            line["worker"] = around.worker
        if context._secrets:
            message = redacted(message, context._secrets)
            line = scrubbed(line, context._secrets)
        around.emit(level, message, line)
