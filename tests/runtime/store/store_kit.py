"""What the store's rules are written with: short names for executions, events and owners.

A rule gets two handles on the same data, ``store`` and ``other`` (two processes as far as the store can tell; for
``memory:`` the same object), and may use either for any step. Ids and names are new for each rule, so that rules can
share one server.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from axiom.runtime import events
from axiom.runtime.events import Event
from axiom.runtime.store.base import (
    Append,
    Beat,
    Claimed,
    Create,
    Fence,
    Head,
    Hint,
    Ok,
    Outcome,
    Store,
    keyed_digits,
)

LONG_MS = 60_000
"""A lease that outlives any rule."""
SHORT_MS = 150
"""A lease that a rule lets lapse."""


def fresh(word: str = "x") -> str:
    """A name that no other rule uses."""
    return f"{word}-{uuid.uuid4().hex[:12]}"


def new_id(account: str = "", subject: str = "", key: str | None = None) -> str:
    """An execution id; under a key it begins as the store asks."""
    token = uuid.uuid4().hex
    return token if key is None else keyed_digits(account, subject, key) + token[4:]


def encoded(execution_id: str, *facts: Event) -> dict[str, Any]:
    """``events`` and ``crcs`` of an ``Append``."""
    lines = tuple(events.encode(fact) for fact in facts)
    return {"events": lines, "crcs": tuple(events.crc(execution_id, line) for line in lines)}


def note(at: int = 1, n: int = 0, epoch: int = 0) -> Event:
    """Any event, told apart by ``n``."""
    return Event(events.NODE_STARTED, at, "node", (), 1, epoch, {"n": n})


class Run:
    """One execution as its writers see it."""

    def __init__(self, store: Store, execution_id: str, fence: Fence | None, seq: int) -> None:
        self.store, self.id, self.fence, self.seq = store, execution_id, fence, seq

    def step(self, *numbers: int, **extra: Any) -> Append:
        """The owner's next append; ``extra`` overrides any field."""
        facts = [note(self.store.now(), n) for n in numbers or (0,)]
        fields: dict[str, Any] = {"at": self.store.now(), "after": self.seq, "fence": self.fence}
        return Append(self.id, **(encoded(self.id, *facts) | fields | extra))

    def door(self, *numbers: int, **extra: Any) -> Append:
        return self.step(*numbers, **({"fence": None} | extra))

    def signal(self, dedup: str | None = None, *numbers: int, **extra: Any) -> Append:
        return self.step(*numbers, **({"fence": None, "after": None, "dedup": dedup} | extra))

    async def write(self, *numbers: int, **extra: Any) -> int:
        """Append as the owner, expecting ``Ok``."""
        outcome = await one(self.store, self.step(*numbers, **extra))
        assert isinstance(outcome, Ok), outcome
        self.seq = outcome.seq
        return self.seq

    async def head(self) -> Head:
        head = (await self.store.heads([self.id]))[0]
        assert head is not None
        return head


async def one(store: Store, item: Append) -> Outcome:
    """Append a single item and return its outcome."""
    (outcome,) = await store.append([item])
    return outcome


def creation(store: Store, account: str = "acme", **fields: Any) -> Append:
    """The append that starts an execution; ``fields`` are ``Create``'s, ``status`` and ``execution_id``."""
    status = fields.pop("status", None)
    given = fields.pop("execution_id", None)
    numbers = fields.pop("numbers", (0,))
    extra = {name: fields.pop(name) for name in ("outbox", "snapshot", "at") if name in fields}
    create = Create(
        account,
        fields.pop("flow", "acme/flow"),
        fields.pop("graph_id", "g" * 32),
        fields.pop("mode", "unary"),
        fields.pop("queue", "default"),
        **fields,
    )
    key = create.key or create.business_key
    execution_id = given or new_id(create.account, create.flow or create.graph_id, key)
    now = store.now()
    return Append(
        execution_id,
        **encoded(execution_id, *[note(now, n) for n in numbers]),
        **({"at": now} | extra),
        after=0,
        status=status,
        create=create,
    )


async def begin(store: Store, **fields: Any) -> Run:
    """Start an execution; with ``session`` it is born claimed."""
    item = creation(store, **fields)
    outcome = await one(store, item)
    assert outcome == Ok(len(item.events)), outcome
    create = item.create
    assert create is not None
    fence = None if create.session is None else Fence(create.session, create.epoch)
    return Run(store, item.execution_id, fence, len(item.events))


async def beat(
    store: Store, session: str, lease_ms: int = LONG_MS, seen: dict[str, int] | None = None
) -> Beat:
    """Renew as a worker's thread would."""
    beater = store.beater()
    try:
        return await asyncio.to_thread(beater.beat, session, lease_ms, {"worker": session}, seen or {})
    finally:
        await asyncio.to_thread(beater.close)


async def live(store: Store, lease_ms: int = LONG_MS) -> str:
    """A new session with a lease."""
    session = fresh("session")
    await beat(store, session, lease_ms)
    return session


async def owned_run(store: Store, **fields: Any) -> Run:
    """An execution born claimed by a live session."""
    session = fields.pop("session", None) or await live(store)
    return await begin(store, session=session, epoch=store.now(), **({"status": "RUNNING"} | fields))


def run_of(store: Store, claimed: Claimed) -> Run:
    """The claimer's view of what it was given."""
    head = claimed.head
    assert head.session is not None
    return Run(store, head.execution_id, Fence(head.session, head.epoch), head.seq)


async def until(found: Callable[[], Awaitable[Any]], seconds: float = 120.0) -> Any:
    """Look until the answer is truthy; for what only passing time brings about (a lease's end, a due time)."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        answer = await found()
        if answer:
            return answer
        assert loop.time() < end, "did not come about"
        await asyncio.sleep(0.02)


class Listener:
    """Gathers a store's hints."""

    def __init__(self, store: Store, *kinds: str) -> None:
        self.hints: list[Hint] = []
        self._came = asyncio.Event()
        self.stop = store.watch(self._take, kinds or None)

    def _take(self, hints: Any) -> None:
        self.hints.extend(hints)
        self._came.set()

    async def wait(self, wanted: Callable[[Hint], bool], seconds: float = 120.0) -> Hint:
        """Return the first hint that is wanted, waiting for it if need be."""
        async with asyncio.timeout(seconds):
            while True:
                for hint in self.hints:
                    if wanted(hint):
                        return hint
                self._came.clear()
                await self._came.wait()
