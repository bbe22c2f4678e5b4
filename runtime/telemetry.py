"""What operators see: counters and histograms, spans, and logs of one JSON object a line.

Nothing here decides anything, and nothing waits: a metric is a number in memory that ``/metrics`` prints. Names begin
with ``axiom_``; label values come from closed sets (a status, a mode, an outcome), never from users, so that no input
can grow the number of series.

An execution's id *is* its W3C trace id. Its spans hang below a root that every process derives from the id alone, so
that workers need no context from each other; the caller's own ``traceparent`` becomes a link. With no OpenTelemetry SDK
installed the spans cost next to nothing.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, cast

import structlog
from opentelemetry import context, trace
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from .clock import Clock
from .store.base import Append, FrameAppend, Outcome, Store

REGISTRY: Final = CollectorRegistry()
"""Axiom's own: what an embedding program counts is not mixed with it."""

_FAST: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_LONG: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 3600, 86400)

RUNS_STARTED: Final = Counter("axiom_runs_started", "Executions accepted.", ["mode"], registry=REGISTRY)
RUNS_ENDED: Final = Counter("axiom_runs_ended", "Executions that ended.", ["status"], registry=REGISTRY)
RUN_SECONDS: Final = Histogram(
    "axiom_run_seconds", "From acceptance to the final status.", ["status"], buckets=_LONG, registry=REGISTRY
)
NODE_ATTEMPTS: Final = Counter("axiom_node_attempts", "Attempts of nodes.", ["outcome"], registry=REGISTRY)
NODE_SECONDS: Final = Histogram(
    "axiom_node_seconds", "How long an attempt took.", ["outcome"], buckets=_LONG, registry=REGISTRY
)
STORE_SECONDS: Final = Histogram(
    "axiom_store_append_seconds", "One call, durable.", ["kind"], buckets=_FAST, registry=REGISTRY
)
STORE_ITEMS: Final = Counter("axiom_store_appends", "Items appended.", ["kind", "outcome"], registry=REGISTRY)
STREAMS_OPEN: Final = Gauge("axiom_streams_open", "Connections that a stream is sent on.", registry=REGISTRY)
STREAM_FRAMES: Final = Counter("axiom_stream_frames", "Frames sent to readers.", registry=REGISTRY)
FIRST_FRAME_SECONDS: Final = Histogram(
    "axiom_stream_first_frame_seconds", "From request to first frame.", buckets=_FAST, registry=REGISTRY
)
WEBHOOKS: Final = Counter("axiom_webhooks", "Delivery attempts.", ["outcome"], registry=REGISTRY)
WEBHOOK_SECONDS: Final = Histogram(
    "axiom_webhook_seconds", "One delivery attempt.", buckets=_LONG, registry=REGISTRY
)
HTTP_REQUESTS: Final = Counter(
    "axiom_http_requests", "Requests answered.", ["method", "route", "status"], registry=REGISTRY
)
HTTP_SECONDS: Final = Histogram(
    "axiom_http_seconds", "Until the answer began.", ["route"], buckets=_FAST, registry=REGISTRY
)
LIMIT_WAITS: Final = Counter(
    "axiom_limit_waits",
    "Nodes that had to wait for a permit, their rate or a circuit.",
    ["kind"],
    registry=REGISTRY,
)
CIRCUITS: Final = Gauge(
    "axiom_circuit_state", "Circuits that this worker knows, by state.", ["status"], registry=REGISTRY
)
PRUNED: Final = Counter("axiom_pruned", "Executions removed by retention.", registry=REGISTRY)


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)


def run_ended(status: str, seconds: float) -> None:
    """Count an execution that has just reached its final status."""
    counter, histogram = _run_meters(status)
    counter.inc()
    histogram.observe(seconds)


def attempt_ended(outcome: str, seconds: float) -> None:
    """Count a node's attempt; ``outcome``: ``completed``, ``failed``, ``retried`` or ``cancelled``."""
    counter, histogram = _attempt_meters(outcome)
    counter.inc()
    histogram.observe(seconds)


def circuit_moved(before: str | None, after: str) -> None:
    """Count a circuit as what it is now."""
    if before is not None:
        CIRCUITS.labels(before).dec()
    CIRCUITS.labels(after).inc()


@cache
def _run_meters(status: str) -> tuple[Counter, Histogram]:
    return RUNS_ENDED.labels(status), RUN_SECONDS.labels(status)


@cache
def _attempt_meters(outcome: str) -> tuple[Counter, Histogram]:
    return NODE_ATTEMPTS.labels(outcome), NODE_SECONDS.labels(outcome)


@cache
def _item_meter(kind: str, outcome: str) -> Counter:
    return STORE_ITEMS.labels(kind, outcome.lower())


class _Metered:
    """A store whose appends are timed and counted; everything else is the store's own."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._seconds: Final = STORE_SECONDS.labels("events")
        self._frame_seconds: Final = STORE_SECONDS.labels("frames")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, batch: Sequence[Append]) -> list[Outcome]:
        began = self._clock.monotonic()
        outcomes = await self._store.append(batch)
        self._seconds.observe(self._clock.monotonic() - began)
        _count("events", outcomes)
        return outcomes

    async def append_frames(self, batch: Sequence[FrameAppend]) -> list[Outcome]:
        began = self._clock.monotonic()
        outcomes = await self._store.append_frames(batch)
        self._frame_seconds.observe(self._clock.monotonic() - began)
        _count("frames", outcomes)
        return outcomes


def metered(store: Store, clock: Clock) -> Store:
    """Return ``store`` with its appends timed and counted."""
    return cast(Store, _Metered(store, clock))


def _count(kind: str, outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        _item_meter(kind, type(outcome).__name__).inc()


# --- spans ----------------------------------------------------------------------------------------------------------

TRACER: Final = trace.get_tracer("axiom")
_TRACEPARENT: Final = re.compile(r"^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$")


def traceparent(text: str | None) -> str | None:
    """Return a W3C ``traceparent`` header if it is one, else ``None``: a caller's bad header is no error.

    >>> traceparent("00-" + "a" * 32 + "-" + "b" * 16 + "-01")[:6], traceparent("00-0-0-0")
    ('00-aaa', None)
    """
    found = _TRACEPARENT.match((text or "").strip().lower())
    if found is None or not int(found[1], 16) or not int(found[2], 16):
        return None
    return found[0][:55]


def _links(link: str | None) -> list[Link]:
    found = _TRACEPARENT.match(link or "")
    if found is None:
        return []
    flags = TraceFlags(int(found[3], 16))
    return [Link(SpanContext(int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=flags))]


def trace_of(execution_id: str) -> context.Context:
    """Return the context below which all of an execution's spans lie: its trace id is the execution's."""
    root = int(execution_id[16:], 16) or 1
    parent = SpanContext(
        int(execution_id, 16) or 1, root, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )
    return trace.set_span_in_context(NonRecordingSpan(parent), context.Context())


@contextmanager
def span(
    name: str,
    execution_id: str,
    attributes: Mapping[str, Any] | None = None,
    *,
    link: str | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
) -> Iterator[Span]:
    """Open a span of an execution for the length of the block; an exception marks it failed."""
    found = TRACER.start_as_current_span(
        name,
        context=trace_of(execution_id),
        kind=kind,
        attributes={"axiom.execution_id": execution_id, **(attributes or {})},
        links=_links(link),
    )
    with found as opened:
        yield opened


def tracing() -> bool:
    """Whether this process has set up tracing: whoever makes many spans asks once for all of an execution's."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def past_span(
    name: str,
    execution_id: str,
    began_ms: int,
    ended_ms: int,
    attributes: Mapping[str, Any] | None = None,
    *,
    link: str | None = None,
    error: str | None = None,
) -> None:
    """Record a span that is over: an execution from acceptance to end, a node's attempt from start to outcome."""
    opened = TRACER.start_span(
        name,
        context=trace_of(execution_id),
        attributes={"axiom.execution_id": execution_id, **(attributes or {})},
        links=_links(link),
        start_time=began_ms * 1_000_000,
    )
    if error is not None:
        opened.set_status(Status(StatusCode.ERROR, error))
    opened.end(ended_ms * 1_000_000)


def execution_span(
    execution_id: str, flow: str, began_ms: int, ended_ms: int, status: str, link: str | None = None
) -> None:
    """Record the span of a whole execution."""
    attributes = {"axiom.flow": flow, "axiom.status": status}
    error = None if status == "COMPLETED" else status
    past_span("execution", execution_id, began_ms, ended_ms, attributes, link=link, error=error)


def node_span(
    execution_id: str, node: str, attempt: int, began_ms: int, ended_ms: int, error: str | None = None
) -> None:
    """Record the span of one attempt of a node."""
    attributes = {"axiom.node": node, "axiom.attempt": attempt}
    past_span(f"node {node}", execution_id, began_ms, ended_ms, attributes, error=error)


# --- logs -----------------------------------------------------------------------------------------------------------


def configure_logging(level: str = "info", *, worker: str | None = None, console: bool = False) -> None:
    """Let every log line be one JSON object on stderr (``console``: text for people).

    Lines carry what was bound with ``bind``: ``execution_id``, ``node``, ``attempt``; and ``worker`` if given. Standard
    ``logging`` (uvicorn's, a handler's) comes out in the same form.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    if worker:
        shared.insert(0, _always(worker=worker))
    render: Any = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def log_through_logging() -> None:
    """Let the lines go through standard ``logging``, for a program that embeds the engine.

    What it has set up for structlog itself stays.
    """
    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.processors.format_exc_info,
                structlog.stdlib.render_to_log_kwargs,
            ],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
        )


def _always(**fields: Any) -> Any:
    def add(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        return {**fields, **event}

    return add


@contextmanager
def bind(**fields: Any) -> Iterator[None]:
    """Add fields to every log line of the block, also of tasks started in it."""
    with structlog.contextvars.bound_contextvars(**fields):
        yield
