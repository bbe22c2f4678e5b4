"""What the fold needs to know of a plan's graph, worked out once per artifact.

``@flow_input`` and ``@flow_output`` are no nodes: their edges are left out here. A loop's back edge is no arm: it makes
the loop's head ready again, in the next iteration.

A node's **depth** is the number of loops whose body it is in; its iteration has as many counts, outermost first. An
edge into a loop's head adds a 0, an edge out of a loop drops the last count, a back edge adds one to it.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from axiom.compiler.artifact import Edge, Join, Plan

Arrow = tuple[int, int]
"""``(edge number, target node number)``."""


class _AnyName(dict[str, int]):
    """Whatever an operation of a coded plan is called, it is of node 0."""

    def get(self, name: str, default: Any = None) -> int:  # type: ignore[override]
        return 0

    def __missing__(self, name: str) -> int:
        return 0


class Topology:
    """A plan's arrows by node. Immutable after construction."""

    def __init__(self, plan: Plan) -> None:
        count = len(plan.nodes)
        follows: list[list[Arrow]] = [[] for _ in range(count)]
        rescues: list[list[Arrow]] = [[] for _ in range(count)]
        backs: list[list[Arrow]] = [[] for _ in range(count)]
        arms: list[list[int]] = [[] for _ in range(count)]
        inner = [edge for edge in plan.edges if edge.source >= 0 and edge.target >= 0]
        for edge in inner:
            group = backs if edge.loop else rescues if edge.on_error else follows
            group[edge.source].append((edge.number, edge.target))
            if not edge.loop:
                arms[edge.target].append(edge.number)
        self.plan: Final = plan
        self.entry: Final = plan.entry
        self.terminal: Final = plan.terminal
        self.follows: Final = tuple(map(tuple, follows))
        """Normal arrows out of each node."""
        self.rescues: Final = tuple(map(tuple, rescues))
        """``on_error`` arrows out of each node."""
        self.backs: Final = tuple(map(tuple, backs))
        """Loops' back edges out of each node."""
        self.arms: Final = tuple(map(tuple, arms))
        """The edges that each node waits for."""
        self.needs: Final = tuple(map(len, arms))
        """How many arms each node waits for."""
        self.joins: Final[tuple[Join, ...]] = tuple(node.join or Join() for node in plan.nodes)
        self.aliases: Final = tuple(node.alias for node in plan.nodes)
        self.coded: Final = any(node.type == "coded" for node in plan.nodes)
        """Whether its one node is a coroutine, whose operations are the nodes of its history."""
        self.numbers: Final[dict[str, int]] = _AnyName() if self.coded else plan.numbers
        self.mapped: Final = frozenset(node.number for node in plan.nodes if "map" in node.config)
        """Nodes that run once per item of a list."""
        self.calls: Final = frozenset(node.number for node in plan.nodes if node.kind == "flow")
        """Subflows."""
        self.asks: Final = any("hitl" in node.config or node.type == "coded" for node in plan.nodes)
        """Whether a node of it may wait for people."""
        self.undoes: Final = {
            plan.numbers[alias]: plan.numbers[undo] for alias, undo in plan.compensate.items()
        }
        """Node number → that of its compensation."""
        self.reaches: Final = self._reaching(without=None)
        """Whether the terminal can be reached; where not, the node belongs to an error branch that ends."""
        self.loops: Final = self._loops([edge for edge in inner if edge.loop])
        """The nodes of each loop, by the number of its head."""
        self.depths: Final = self._depths()
        self.looped: Final = any(backs)
        self.captives = cache(self._captives)

    def opening(self) -> tuple[int, ...]:
        """Return the iteration of the entry node."""
        return (0,) * self.depths[self.entry]

    def across(self, source: int, target: int, iteration: tuple[int, ...]) -> tuple[int, ...]:
        """Return the iteration of ``target`` when a forward arrow comes from ``source`` in ``iteration``."""
        here, there = self.depths[source], self.depths[target]
        return iteration[:there] if there <= here else iteration[:here] + (0,) * (there - here)

    def again(self, target: int, iteration: tuple[int, ...]) -> tuple[int, ...]:
        """Return the next iteration of the loop whose head is ``target``."""
        depth = self.depths[target]
        return (*iteration[: depth - 1], iteration[depth - 1] + 1)

    def _reaching(self, without: int | None) -> tuple[bool, ...]:
        into: list[list[int]] = [[] for _ in self.follows]
        for source, arrows in enumerate(self.follows):
            for _, target in arrows + self.rescues[source]:
                into[target].append(source)
        return self._walk(into, self.terminal, without)

    def _walk(self, arrows: list[list[int]], start: int, without: int | None) -> tuple[bool, ...]:
        found = [False] * len(arrows)
        work = [] if start == without else [start]
        while work:
            node = work.pop()
            if not found[node] and node != without:
                found[node] = True
                work.extend(arrows[node])
        return tuple(found)

    def _loops(self, backs: list[Edge]) -> dict[int, frozenset[int]]:
        if not backs:
            return {}
        out = [[target for _, target in arrows] for arrows in self.follows]
        for source, arrows in enumerate(self.rescues):
            out[source].extend(target for _, target in arrows)
        into: list[list[int]] = [[] for _ in out]
        for source, targets in enumerate(out):
            for target in targets:
                into[target].append(source)
        loops: dict[int, frozenset[int]] = {}
        for edge in backs:
            after = self._walk(out, edge.target, None)
            before = self._walk(into, edge.source, None)
            body = frozenset(n for n in range(len(out)) if after[n] and before[n])
            loops[edge.target] = loops.get(edge.target, frozenset()) | body  # several back edges, one loop
        return loops

    def _depths(self) -> tuple[int, ...]:
        return tuple(sum(node in body for body in self.loops.values()) for node in range(len(self.follows)))

    def _captives(self, join: int) -> frozenset[int]:
        """The nodes whose work is of no use once ``join`` has failed: without it they lead nowhere."""
        around = self._reaching(without=join)
        return frozenset(
            node for node, reaches in enumerate(self.reaches) if reaches and not around[node] and node != join
        )
