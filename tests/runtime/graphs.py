"""Plans made by hand for tests: ``graph("a b c", "a>b b>c")``."""

from __future__ import annotations

from typing import Any

from axiom.compiler.artifact import Edge, Join, Node, Plan, Retry
from axiom.runtime import events as e
from axiom.runtime.decide import AGAIN, decide
from axiom.runtime.events import Event
from axiom.runtime.fold import fold
from axiom.runtime.state import State
from axiom.runtime.topology import Topology

POOLS = ("default",)


def graph(
    nodes: str,
    arrows: str,
    joins: dict[str, Join] | None = None,
    retry: dict[str, Retry] | None = None,
    terminal: str | None = None,
    **more: Any,
) -> Plan:
    """``a>b`` is an edge, ``a!b`` an ``on_error`` edge, ``a?b`` an edge with a condition (true where told so)."""
    names = nodes.split()
    placed = [
        Node(
            number,
            name,
            "test/pkg",
            "1.0.0",
            "",
            name.title(),
            f"nodes/{name}.py:{name}",
            "Any",
            "Any",
            join=(joins or {}).get(name),
            retry=(retry or {}).get(name, Retry()),
        )
        for number, name in enumerate(names)
    ]
    edges = []
    for number, arrow in enumerate(arrows.split()):
        sign = next(sign for sign in ">!?" if sign in arrow)
        source, target = arrow.split(sign)
        edges.append(
            Edge(
                number,
                names.index(source),
                names.index(target),
                on_error=sign == "!",
                condition=["literal", True] if sign == "?" else None,
            )
        )
    last = names.index(terminal) if terminal else len(names) - 1
    settings: dict[str, Any] = {"mode": "unary", "messages": {"Any": True}, **more}
    return Plan(
        name="test/flow",
        version="1.0.0",
        input="Any",
        output="Any",
        nodes=tuple(placed),
        edges=tuple(edges),
        entry=0,
        terminal=last,
        **settings,
    )


def accepted(at: int = 1_000, **body: Any) -> Event:
    return Event(e.ACCEPTED, at, body={"graph_id": "g", "input": {"value": {}}, **body})


class Play:
    """Folds and decides by hand: ``play.done("a")``, ``play.fails("b")``; ``play.events`` is the journal so far."""

    def __init__(self, plan: Plan, at: int = 1_000, **body: Any) -> None:
        self.topology = Topology(plan)
        self.events: list[Event] = []
        self.state = State()
        self.at = at
        self.put(accepted(at, **body), Event(e.STARTED, at, epoch=1))

    def put(self, *events: Event) -> Play:
        for event in events:
            self.state = fold(self.topology, self.state, (event,))
            self.events.append(event)
        while following := decide(self.topology, self.state, self.at, 1, POOLS):
            self.state = fold(self.topology, self.state, following)
            self.events.extend(following)
            if following[0].kind not in AGAIN:
                break
        return self

    def later(self, ms: int) -> Play:
        self.at += ms
        return self.put()

    def done(self, node: str, skipped: tuple[int, ...] = ()) -> Play:
        body = {"output": {"value": node}, "skipped": list(skipped)}
        return self.put(Event(e.NODE_COMPLETED, self.at, node, (), self.attempt(node), 1, body))

    def fails(self, node: str, code: str = "boom", retry_in: int | None = None) -> Play:
        body: dict[str, Any] = {"code": code, "message": f"{node} broke"}
        if retry_in is not None:
            body["retry_at"] = self.at + retry_in
        return self.put(Event(e.NODE_FAILED, self.at, node, (), self.attempt(node), 1, body))

    def attempt(self, node: str) -> int:
        return self.state.running[self.topology.numbers[node], ()]

    def phase(self, node: str) -> str | None:
        run = self.state.nodes.get((self.topology.numbers[node], ()))
        return run and run.phase

    @property
    def running(self) -> str:
        return " ".join(sorted(self.topology.aliases[number] for number, _ in self.state.running))

    @property
    def ending(self) -> tuple[str, Any]:
        assert self.state.final, f"still {self.state.status}"
        return str(self.state.status), (self.state.outcome or {}).get("code")
