"""What operators see: JSON lines with their fields, spans under the execution's own trace, counted appends."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from axiom.runtime import telemetry
from axiom.runtime.clock import SystemClock
from axiom.runtime.store.base import Append, Missing
from axiom.runtime.store.memory import MemoryStore

ID = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def as_before() -> Iterator[None]:
    """Logging is one per process: leave it as it was."""
    root = logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**before)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "TRACER", provider.get_tracer("axiom"))
    return exporter


def test_each_line_is_one_json_object_with_what_was_bound(
    as_before: None, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry.configure_logging("info", worker="w-1")
    log = structlog.get_logger("axiom.test")
    with telemetry.bind(execution_id=ID, node="charge", attempt=2):
        log.info("node_failed", code="timeout")
        logging.getLogger("uvicorn.error").warning("from %s", "uvicorn")
    log.info("after")
    log.debug("too quiet")
    first, second, third = map(json.loads, capsys.readouterr().err.splitlines())
    assert first["event"] == "node_failed"
    assert {name: first[name] for name in ("execution_id", "node", "attempt", "worker", "level", "code")} == {
        "execution_id": ID,
        "node": "charge",
        "attempt": 2,
        "worker": "w-1",
        "level": "info",
        "code": "timeout",
    }
    assert first["timestamp"].endswith("Z")
    assert (second["event"], second["execution_id"], second["logger"]) == (
        "from uvicorn",
        ID,
        "uvicorn.error",
    )
    assert "execution_id" not in third


def test_an_exceptions_trace_is_a_field_of_its_line(
    as_before: None, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry.configure_logging()
    try:
        raise ValueError("two\nlines")
    except ValueError:
        structlog.get_logger("axiom.test").exception("broken")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError" in json.loads(line)["exception"]


def test_spans_of_an_execution_share_its_id_as_their_trace(spans: InMemorySpanExporter) -> None:
    link = f"00-{'a' * 32}-{'b' * 16}-01"
    telemetry.execution_span(ID, "acme/fulfil", 1_000, 3_500, "COMPLETED", link)
    telemetry.node_span(ID, "charge", 2, 1_000, 2_000, error="declined")
    with pytest.raises(RuntimeError), telemetry.span("webhook", ID, {"axiom.destination": "https://x"}):
        raise RuntimeError("refused")
    execution, node, webhook = spans.get_finished_spans()
    assert {f"{span.context.trace_id:032x}" for span in (execution, node, webhook)} == {ID}
    assert len({span.parent.span_id for span in (execution, node, webhook) if span.parent}) == 1
    assert f"{execution.links[0].context.trace_id:032x}" == "a" * 32
    assert execution.end_time is not None
    assert execution.start_time is not None
    assert execution.end_time - execution.start_time == 2_500_000_000
    assert node.status.description == "declined"
    assert not webhook.status.is_ok
    assert execution.attributes is not None
    assert execution.attributes["axiom.execution_id"] == ID


def test_a_metered_store_is_the_same_store_counted() -> None:
    async def case() -> None:
        clock = SystemClock()
        store = MemoryStore(clock)
        await store.open()
        counted = telemetry.metered(store, clock)
        before = telemetry.REGISTRY.get_sample_value(
            "axiom_store_appends_total", {"kind": "events", "outcome": "missing"}
        )
        assert await counted.append([Append(ID, (b"x",), (1,), 1, 5)]) == [Missing()]
        after = telemetry.REGISTRY.get_sample_value(
            "axiom_store_appends_total", {"kind": "events", "outcome": "missing"}
        )
        assert (after or 0) == (before or 0) + 1
        assert await counted.read(ID) == []
        assert counted.url == store.url
        await store.close()

    asyncio.run(case())


def test_metrics_have_no_label_that_users_can_fill() -> None:
    labels = {
        name for metric in telemetry.REGISTRY.collect() for sample in metric.samples for name in sample.labels
    }
    assert labels <= {"mode", "status", "outcome", "kind", "method", "route", "le"}
    assert b"axiom_run_seconds" in telemetry.exposition()
