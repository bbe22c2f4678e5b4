"""Where nodes stand when the author did not say: one picture for every page, image and command.

Columns are layers: a node stands right of all that lead to it, but for back edges; one that compensates stands below
the node that it undoes. Rows are found by sweeping over the layers and putting
each node near the mean of its neighbours (Sugiyama, Tagawa and Toda, 1981), then keeping the order with the fewest
crossings. Nodes that the author pinned stay where they are, and the others make room.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from .lower import topological
from .model import Flow

Cell = tuple[int, int]
"""Column and row, from 0; the author's pins may be negative."""
SWEEPS: Final = 8
"""Back and forth; more seldom finds a better order."""
SWEPT_NODES: Final = 2_000
"""Larger flows are laid out in their order: nobody sees their crossings."""


def layout(flow: Flow) -> dict[str, Cell]:
    """Return the column and row of each node."""
    order = sorted(topological(flow), key=flow.compensating.__contains__)
    order += sorted({node.alias for node in flow.nodes} - set(order))
    before: dict[str, list[str]] = {alias: [] for alias in order}
    after: dict[str, list[str]] = {alias: [] for alias in order}
    for edge in flow.edges:
        if edge.forward and edge.source in after and edge.target in before:
            before[edge.target].append(edge.source)
            after[edge.source].append(edge.target)
    columns = _columns(flow, order, before)
    layers: list[list[str]] = [[] for _ in range(max(columns.values(), default=-1) + 1)]
    for alias in order:
        layers[columns[alias]].append(alias)
    if len(order) <= SWEPT_NODES:
        layers = _untangled(layers, before, after)
    return _placed(flow, layers)


def crossings(layers: Sequence[Sequence[str]], after: Mapping[str, Sequence[str]]) -> int:
    """Count the pairs of edges between neighbouring layers that cross."""
    total = 0
    for left, right in pairwise(layers):
        row = {alias: index for index, alias in enumerate(right)}
        seen: list[int] = []
        for alias in left:
            ends = [row[target] for target in after.get(alias, ()) if target in row]
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _columns(flow: Flow, order: Sequence[str], before: Mapping[str, Sequence[str]]) -> dict[str, int]:
    columns: dict[str, int] = {}
    undone = {item.by: item.alias for item in flow.compensate}
    for alias in order:
        beside = columns.get(undone.get(alias, ""), 0)
        columns[alias] = max((columns[b] + 1 for b in before[alias] if b in columns), default=beside)
    return columns


def _untangled(
    layers: list[list[str]], before: Mapping[str, Sequence[str]], after: Mapping[str, Sequence[str]]
) -> list[list[str]]:
    best, fewest = layers, crossings(layers, after)
    current = [list(layer) for layer in layers]
    for sweep in range(SWEEPS):
        if not fewest:
            break
        forward = sweep % 2 == 0
        near = before if forward else after
        span = range(1, len(current)) if forward else range(len(current) - 2, -1, -1)
        for index in span:
            fixed = current[index - 1 if forward else index + 1]
            row = {alias: position for position, alias in enumerate(fixed)}
            current[index] = _by_mean(current[index], row, near)
        count = crossings(current, after)
        if count < fewest:
            best, fewest = [list(layer) for layer in current], count
    return best


def _by_mean(layer: list[str], row: Mapping[str, int], near: Mapping[str, Sequence[str]]) -> list[str]:
    def mean(item: tuple[int, str]) -> float:
        rows = [row[alias] for alias in near[item[1]] if alias in row]
        return sum(rows) / len(rows) if rows else float(item[0])

    return [alias for _, alias in sorted(enumerate(layer), key=mean)]


def _placed(flow: Flow, layers: Sequence[Sequence[str]]) -> dict[str, Cell]:
    cells: dict[str, Cell] = {node.alias: node.pin for node in flow.nodes if node.pin}
    taken = set(cells.values())
    for column, layer in enumerate(layers):
        row = 0
        for alias in layer:
            if alias in cells:
                continue
            while (column, row) in taken:
                row += 1
            cells[alias] = (column, row)
            taken.add((column, row))
    return {node.alias: cells[node.alias] for node in flow.nodes if node.alias in cells}
