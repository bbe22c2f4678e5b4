"""Why a run waits under its limits: a permit that others hold, a rate, a circuit that is open."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from .reasons import EVENT, SHOWN, TIMER, Reason, View, span, where
from .state import Key, Wait
from .store.permits import Limit

HOLDERS_SHOWN = 5


def permits(view: View) -> Iterator[Reason]:
    """Nodes, or runs, that stand in line."""
    for key, wait in _waits(view, "permit"):
        alias, limit = view.alias(key), view.limits.get(wait.name)
        whose = f"the limit of {limit_shown(wait.name)}"
        details: dict[str, Any] = {"limit": wait.name}
        text = f"Node {alias}{where(key)} waits for a permit under {whose}."
        if limit is not None:
            holders = [holder[:32] for holder in limit.holders]
            ahead = _ahead(limit, str(wait.key))
            details |= {"most": limit.most, "holders": holders, "line": limit.line, "ahead": ahead}
            text = f"Node {alias}{where(key)} waits for one of {limit.most} permits under {whose}"
            text += f", held by {_shown(holders)}" if holders else ", which is free"
            text += f"; {ahead} stand before it." if ahead else "; it is the next."
        after = "It goes when one of them ends, parks or is cancelled."
        yield Reason("permit", text, after, EVENT, alias, key[1], None, None, details)


def rates(view: View) -> Iterator[Reason]:
    """Nodes whose rate limit gave them a moment."""
    for key, wait in _waits(view, "rate"):
        alias, left = view.alias(key), (wait.due or 0) - view.now
        text = (
            f"Node {alias}{where(key)} goes in {span(left)}: that is its turn under the rate limit of "
            f"{limit_shown(wait.name)}."
        )
        after = "Nothing to do: it goes then."
        yield Reason("rate", text, after, TIMER, alias, key[1], wait.due, None, {"limit": wait.name})


def circuits(view: View) -> Iterator[Reason]:
    """Nodes that are not called because they kept failing."""
    for key, wait in _waits(view, "circuit"):
        alias, left = view.alias(key), (wait.due or 0) - view.now
        _, package, node = wait.name.split("|", 2)
        text = (
            f"Node {alias}{where(key)} is not called: {node} of {package} kept failing, and its circuit is open "
            f"for another {span(left)}."
        )
        after = "One call tries it then: if it succeeds, the others follow."
        yield Reason("circuit", text, after, TIMER, alias, key[1], wait.due, None, {"circuit": wait.name})


def limit_shown(name: str) -> str:
    """Return a limit's name in words.

    >>> limit_shown("default|acme/fulfil|charge|c-1")
    "node charge of acme/fulfil, key 'c-1'"
    """
    _, flow, node, key = name.split("|", 3)
    return (f"node {node} of {flow}" if node else flow) + (f", key {key!r}" if key else "")


def _waits(view: View, kind: str) -> Iterator[tuple[Key, Wait]]:
    if view.state is not None:
        found = ((key, wait) for key, wait in view.state.waiting.items() if wait.kind == kind)
        yield from islice(found, SHOWN)


def _ahead(limit: Limit, holder: str) -> int:
    return limit.waiting.index(holder) if holder in limit.waiting else limit.line


def _shown(holders: list[str]) -> str:
    more = len(holders) - HOLDERS_SHOWN
    return ", ".join(holders[:HOLDERS_SHOWN]) + (f" and {more} more" if more > 0 else "")
