"""Limits as people look at them: who is in, who stands in line, and which circuits are not closed."""

from __future__ import annotations

from typing import Any

from axiom.runtime.circuits import KIND, read
from axiom.runtime.store.base import Store
from axiom.runtime.store.permits import Limit

from .wire import iso


async def limits(
    store: Store, account: str, after: str, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Return an account's limits in use, by name, and the last name if there may be more."""
    found = await store.limits(f"{account}|", f"{account}|{after}" if after else "", limit)
    rows = [_row(one) for one in found]
    return rows, rows[-1]["name"] if len(rows) == limit else None


def _row(limit: Limit) -> dict[str, Any]:
    _, flow, node, key = limit.name.split("|", 3)
    return {
        "name": limit.name.partition("|")[2],
        "flow": flow,
        "node": node or None,
        "key": key or None,
        "limit": limit.most,
        "holders": [holder[:32] for holder in limit.holders],
        "waiting": [holder[:32] for holder in limit.waiting],
        "waiting_count": limit.line,
    }


async def circuits(store: Store, account: str) -> list[dict[str, Any]]:
    """Return an account's circuits, closed ones too: those whose nodes have failed some time."""
    rows = []
    for document in await store.documents(KIND, f"{account}|"):
        _, package, node = document.key.split("|", 2)
        circuit = read(document.value, document.version)
        until = iso(circuit.until) if circuit.until else None
        rows.append({"package": package, "node": node, "state": circuit.state, "until": until})
    return rows
