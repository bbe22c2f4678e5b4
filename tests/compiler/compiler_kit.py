"""What the compiler's tests share: two packages on disk, and flows over them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from axiom.compiler.compile import Compiled, FlowRef, compile_flow
from axiom.compiler.model import Package
from axiom.compiler.package import load_package

HERE = Path(__file__).parent
DIAMOND = """\
name: acme/diamond
version: 1.0.0
input: Order
output: Order
nodes:
  - {alias: start, node: Check}
  - {alias: left, node: Check}
  - {alias: right, node: Check, config: {retry: {max_attempts: 2}, timeout_seconds: 5}}
  - {alias: meet, node: Merge, config: {join: {kind: AND}}}
edges:
  - {from: start, to: left}
  - {from: start, to: right, adapter: {id: "'r-' + id", total: total, express: express, kind: kind, customer: customer}}
  - {from: left, to: meet, adapter: {left: value}}
  - {from: right, to: meet, adapter: {right: value}}
"""

RICH = """\
name: acme/rich
version: 1.0.0
on_cancel: compensate
nodes:
  - {alias: start, node: Check}
  - {alias: nap, kind: sleep, config: {duration_ms: "total > 10.0 ? 60000 : 1000"}}
  - alias: settled
    kind: event
    config: {name: payment.settled, correlate: id, message: Receipt, timeout_ms: 3600000}
  - alias: send
    node: Send
    config:
      hitl: {message: "'Send ' + id + '?'", resume_input: Approved, timeout_ms: 86400000, timeout_policy: ESCALATE,
             escalate_to: [ada, grace], remind_every_ms: 3600000, quorum: 2}
  - {alias: each, node: Send, config: {map: {items: "[value]", failure_policy: TOLERATE_FAILURES}}}
  - {alias: audit, flow: acme/audit, config: {wait: false}}
  - {alias: take_back, node: Send}
edges:
  - {from: start, to: nap}
  - {from: nap, to: settled}
  - {from: settled, to: send}
  - {from: send, to: send, loop: true, max_iterations: 3, condition: paid < 1.0}
  - {from: send, to: each}
  - {from: each, to: audit, adapter: {lines: "value.map(i, i == null)"}}
compensate: {send: take_back}
"""
AUDIT = "name: acme/audit\nnodes: [{alias: l, kind: sleep, config: {duration_ms: 1}}]\n"


@cache
def common() -> Package:
    """The package acme/common: one message that others import."""
    return load_package(HERE / "packages" / "common")


@cache
def shop() -> Package:
    """The package acme/shop, at home in most tests."""
    return load_package(HERE / "packages" / "shop")


def compiled(source: str | bytes, file: str = "flow.yaml", **settings: Any) -> Compiled:
    """Compile a flow at home in acme/shop, with acme/common at hand and every feature switched on."""
    return compile_flow(source, file, [common()], shop(), **{"unsupported": frozenset(), **settings})


def codes(result: Compiled) -> list[str]:
    """The codes of a result, in order."""
    return [diagnostic.code for diagnostic in result.diagnostics]


def refs(name: str) -> FlowRef | None:
    """Resolve the one flow that others may contain."""
    if name != "acme/audit":
        return None
    artifact = compiled(AUDIT).require()
    return FlowRef(artifact.graph_id, artifact.plan)
