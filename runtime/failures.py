"""Why a node or a run failed: data that fits into an event, never an exception object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Failure(NamedTuple):
    """One failed attempt.

    ``code`` is stable: ``handler_error`` (it raised), ``timeout``, ``output_invalid``, ``input_invalid``,
    ``edge_adapter``, ``edge_check``, ``edge_condition``, ``child_exited`` (exit, signal, out of memory),
    ``payload_too_large``, ``stream_diverged``, ``stream_too_large``, ``stream_not_resumable``, ``handler_missing``,
    ``secret_missing``, ``secret_unreadable``, ``secret_in_output``, or what the handler itself gave with
    ``NodeFailure``.
    """

    code: str
    message: str
    types: tuple[str, ...] = ()
    """The exception's class name and its bases', innermost first: what ``non_retryable`` is matched against."""
    retryable: bool = True
    retry_after_ms: int | None = None
    """An explicit delay that the handler asked for, e.g. from a ``Retry-After`` header; replaces the backoff."""
    details: Mapping[str, Any] = {}


class NodeFailure(Exception):
    """Raised by handlers to fail with a code of their own, a delay of their own, or for good.

    ``raise NodeFailure("card declined", code="declined", retryable=False)``
    ``raise NodeFailure("busy", retry_after_seconds=20)``
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "handler_error",
        retryable: bool = True,
        retry_after_seconds: float | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds
        self.details = dict(details or {})


def failure_of(error: BaseException) -> Failure:
    """Return the failure that an exception from a handler stands for. Tracebacks go to the log, not in here.

    An exception may carry its own as ``failure``, as those do that are raised around a handler: a bad argument, a bad
    result, code that can't be loaded.
    """
    try:
        own = getattr(error, "failure", None)
    except Exception:
        own = None  # a property of the user's
    if isinstance(own, Failure):
        return own
    types = tuple(cls.__name__ for cls in type(error).__mro__ if cls not in (object, BaseException))
    if isinstance(error, NodeFailure):
        after = error.retry_after_seconds
        return Failure(
            error.code,
            _text(error),
            types,
            error.retryable,
            None if after is None else max(0, int(after * 1000)),
            error.details,
        )
    if isinstance(error, SystemExit):
        return Failure("child_exited", f"the handler called sys.exit({error.code!r:.100})", types)
    return Failure("handler_error", f"{type(error).__name__}: {_text(error)}"[:4000], types)


def secret_in_output(alias: str) -> Failure:
    """What becomes of an output that would carry a secret into the journal."""
    text = f"the output of {alias} holds the value of a secret: outputs are kept, secrets must not be"
    return Failure("secret_in_output", text, retryable=False)


def _text(error: BaseException) -> str:
    """An exception's text; its class is the user's, and may fail at that too."""
    try:
        return str(error)
    except Exception:
        return "(its text can't be made)"
