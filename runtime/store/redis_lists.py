"""Pages of executions, merged from the partitions' sorted indexes.

Each partition keeps, per account, indexes by accepted time: all, per status, per flow, per graph. A page takes the
filter whose indexes are smallest, merges them newest first, and checks the other filters on the heads. It looks at
``PAGE_HEADS`` heads at most; then it is short, and its cursor leads on.

A source is read in chunks by key (time, id), not by offset: what is added or moves meanwhile makes no gap.
"""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from ..limits import PAGE_HEADS
from .base import Head, Page, Query
from .redis_layout import Keys, index_name
from .redis_wire import Command, Wire

Place = tuple[int, str]
"""(accepted at, execution id)."""

HEADS_AT_ONCE: Final = 200
_END: Final = (1 << 62, "~")


class Source:
    """One index, read backwards from a place."""

    def __init__(self, name: str, below: Place, lowest: int, chunk: int) -> None:
        self.name = name
        self.below = below
        self.lowest = lowest
        self.chunk = chunk
        self.found: list[Place] = []
        """In reverse: the next one is the last."""
        self.done = False

    def command(self) -> Command:
        top = self.below[0] if self.below is not _END else "+inf"
        return (
            "ZRANGE", self.name, top, self.lowest, "BYSCORE", "REV", "LIMIT", 0, self.chunk, "WITHSCORES",
        )  # fmt: skip

    def fill(self, answer: Sequence[bytes]) -> None:
        """Take the next chunk; where all of it was seen before (many of one moment), ask for more next time."""
        places = [(int(float(answer[n + 1])), answer[n].decode()) for n in range(0, len(answer), 2)]
        new = [place for place in places if place < self.below]
        self.done = len(places) < self.chunk
        if not new:
            self.chunk *= 2
            return
        self.below = new[-1]
        self.found = new[::-1]


class Lists:
    """Reads pages; ``heads`` fetches the heads of ids."""

    def __init__(
        self, wire: Wire, keys: Keys, heads: Callable[[Sequence[str]], Awaitable[list[Head | None]]]
    ) -> None:
        self._wire = wire
        self._keys = keys
        self._heads = heads

    async def page(self, query: Query) -> Page:
        """Return one page; see ``Store.list``."""
        limit = max(1, query.limit)
        below = query.cursor or (_END if query.created_to is None else (query.created_to, "~"))
        names = await self._names(query)
        chunk = limit // len(names) * 2 + 8
        sources = [Source(name, below, query.created_from or 0, chunk) for name in names]
        rows: list[Head] = []
        looked, last = 0, None
        while looked < PAGE_HEADS:
            places = await self._next(sources, min(HEADS_AT_ONCE, PAGE_HEADS - looked, limit - len(rows) + 1))
            if not places:
                return Page(rows, None)
            heads = await self._heads([place[1] for place in places])
            for place, head in zip(places, heads, strict=True):
                if head is not None and _matches(head, query):
                    if len(rows) == limit:
                        return Page(rows, last)
                    rows.append(head)
                last = place
            looked += len(places)
        return Page(rows, last)

    async def scan(self, after: str, limit: int) -> list[Head]:
        """Return executions of all accounts in id order."""
        low = f"({after}" if after else "-"
        answers = await self._wire.ask(
            *[("ZRANGEBYLEX", f"{p}e", low, "+", "LIMIT", 0, limit) for p in self._keys.prefixes]
        )
        ids = heapq.nsmallest(limit, (name.decode() for names in answers for name in names))
        return [head for head in await self._heads(ids) if head is not None]

    async def _next(self, sources: list[Source], count: int) -> list[Place]:
        """Return the next places over all sources, newest first."""
        places: list[Place] = []
        while len(places) < count:
            await self._refill(sources)
            ready = [source for source in sources if source.found]
            if not ready:
                break
            # Good until some source that has more runs dry: then it must be read on before the merge goes on.
            queue = [(-source.found[-1][0], _Reversed(source.found[-1][1]), source) for source in ready]
            heapq.heapify(queue)
            while len(places) < count and queue:
                source = queue[0][2]
                places.append(source.found.pop())
                if source.found:
                    heapq.heapreplace(queue, (-source.found[-1][0], _Reversed(source.found[-1][1]), source))
                elif source.done:
                    heapq.heappop(queue)
                else:
                    break
        return places

    async def _refill(self, sources: list[Source]) -> None:
        while dry := [source for source in sources if not source.found and not source.done]:
            answers = await self._wire.ask(*[source.command() for source in dry])
            for source, answer in zip(dry, answers, strict=True):
                source.fill(answer)

    async def _names(self, query: Query) -> list[str]:
        """Return the indexes of the query's most selective filter."""
        choices: list[list[tuple[str, str]]] = []
        if query.statuses:
            choices.append([("i", status) for status in dict.fromkeys(query.statuses)])
        if query.flow is not None:
            choices.append([("if", query.flow)])
        if query.graph_id is not None:
            choices.append([("ig", query.graph_id)])
        named = [
            [index_name(p, kind, query.account, value) for p in self._keys.prefixes for kind, value in choice]
            for choice in choices or [[("i", "")]]
        ]
        if len(named) == 1:
            return named[0]
        sizes: list[Any] = await self._wire.ask(*[("ZCARD", name) for names in named for name in names])
        totals = []
        for names in named:
            totals.append(sum(sizes[: len(names)]))
            del sizes[: len(names)]
        return named[totals.index(min(totals))]


class _Reversed(str):
    """Sorts the other way round."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)


def _matches(head: Head, query: Query) -> bool:
    q = query.q
    return (
        head.account == query.account
        and (not query.statuses or head.status in query.statuses)
        and (query.flow is None or head.flow == query.flow)
        and (query.graph_id is None or head.graph_id == query.graph_id)
        and (query.created_from is None or head.created_at >= query.created_from)
        and (query.created_to is None or head.created_at <= query.created_to)
        and (not q or head.execution_id.startswith(q) or q in (head.flow, head.key, head.business_key))
    )
