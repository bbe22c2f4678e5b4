"""Circuit breakers: a node that keeps failing is not called for a while.

A circuit belongs to a package's node and an account, whichever flows place it. It is **closed** while calls go through.
When as many calls fail within the window as its settings say, it **opens**: calls wait until its time is up. Then one
of them, the **probe**, is let through: if that succeeds the circuit is closed, if not it opens again. A probe that
nobody hears of any more is replaced by another.

Circuits are advice and hold no truth: workers share them through documents, look at one at most every ``LOOK_MS``, and
go on without them while the store is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, NamedTuple

import msgpack
import structlog

from . import telemetry
from .clock import Clock
from .store.base import Store, StoreError

KIND: Final = "circuit"
"""Of the documents."""
LOOK_MS: Final = 1_000
"""How old a worker's knowledge of a circuit may be when it calls the node."""
TRIES: Final = 5
"""How often a change is tried again after another worker's."""
MOST_FAILURES: Final = 1_000
"""Failures that one circuit remembers."""

CLOSED: Final = "closed"
OPEN: Final = "open"
HALF_OPEN: Final = "half_open"

log = structlog.get_logger("axiom.circuits")


class Breaker(NamedTuple):
    """What a flow says of a circuit."""

    failures: int
    window_ms: int
    open_ms: int
    on_open: str = "WAIT"
    """``WAIT`` or ``FAIL``."""


class Circuit(NamedTuple):
    """A circuit as it is stored."""

    state: str = CLOSED
    until: int = 0
    """Open: when a probe may go. Half open: when the probe is given up."""
    failures: tuple[int, ...] = ()
    """When calls failed, while it is closed."""
    version: int = 0


class Known(NamedTuple):
    circuit: Circuit
    read_at: int


class Admitted(NamedTuple):
    """Whether a call may go: ``wait_until`` 0, else not before then. ``probe``: its outcome decides."""

    wait_until: int = 0
    probe: bool = False


class Circuits:
    """See the top of the file."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._known: dict[str, Known] = {}
        self._telling: set[asyncio.Task[Any]] = set()

    async def admit(self, name: str, breaker: Breaker, call_ms: int) -> Admitted:
        """May the node be called? ``call_ms``: how long a probe may take."""
        try:
            return await self._admit(name, breaker, call_ms)
        except StoreError as error:
            log.warning("circuit_unknown", circuit=name, error=str(error))
            return Admitted()

    def tell(self, name: str, breaker: Breaker, failed: bool, probe: bool) -> None:
        """A call has ended. What it changes is written beside what comes next."""
        if failed or probe:
            self._beside(self._tell(name, breaker, failed, probe))

    async def stop(self) -> None:
        """Wait for what is being written."""
        await asyncio.gather(*self._telling, return_exceptions=True)

    async def _admit(self, name: str, breaker: Breaker, call_ms: int) -> Admitted:
        circuit = await self._look(name, LOOK_MS)
        now = self._store.now()
        if circuit.state != CLOSED:
            circuit = await self._look(name, 0)
        if circuit.state == CLOSED:
            return Admitted()
        if circuit.until > now:
            return Admitted(min(circuit.until, now + breaker.open_ms))
        probing = Circuit(HALF_OPEN, now + call_ms, (), circuit.version)
        if await self._write(name, probing):
            return Admitted(probe=True)
        circuit = await self._look(name, 0)
        return Admitted() if circuit.state == CLOSED else Admitted(now + breaker.open_ms)

    async def _tell(self, name: str, breaker: Breaker, failed: bool, probe: bool) -> None:
        try:
            for _ in range(TRIES):
                circuit = await self._look(name, 0)
                changed = _after(circuit, breaker, failed, probe, self._store.now())
                if changed is None or await self._write(name, changed):
                    return
        except StoreError as error:
            log.warning("circuit_not_told", circuit=name, error=str(error))

    async def _look(self, name: str, age_ms: int) -> Circuit:
        known, now = self._known.get(name), self._store.now()
        if known is not None and now - known.read_at < age_ms:
            return known.circuit
        document = await self._store.get(KIND, name)
        circuit = Circuit() if document is None else read(document.value, document.version)
        self._know(name, circuit)
        return circuit

    async def _write(self, name: str, circuit: Circuit) -> bool:
        value = msgpack.packb(tuple(circuit)[:3])
        version = await self._store.put(KIND, name, value, circuit.version)
        if version is None:
            return False
        self._know(name, circuit._replace(version=version))
        return True

    def _know(self, name: str, circuit: Circuit) -> None:
        before = self._known.get(name)
        self._known[name] = Known(circuit, self._store.now())
        telemetry.circuit_moved(before and before.circuit.state, circuit.state)
        if before is not None and before.circuit.state != circuit.state:
            log.warning("circuit", circuit=name, state=circuit.state, until=circuit.until)

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._clock.spawn(work, "circuit")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)


def _after(circuit: Circuit, breaker: Breaker, failed: bool, probe: bool, now: int) -> Circuit | None:
    """The circuit after a call has ended; ``None``: the same."""
    if probe:
        if circuit.state != HALF_OPEN:
            return None
        return circuit._replace(
            state=OPEN if failed else CLOSED, until=now + breaker.open_ms if failed else 0
        )
    if circuit.state != CLOSED:
        return None  # it had begun before
    recent = (*(at for at in circuit.failures if at > now - breaker.window_ms), now)
    if len(recent) >= breaker.failures:
        return circuit._replace(state=OPEN, until=now + breaker.open_ms, failures=())
    return circuit._replace(failures=recent[-MOST_FAILURES:])


def read(value: bytes, version: int) -> Circuit:
    """Return the circuit of a document."""
    state, until, failures = msgpack.unpackb(value, use_list=False)
    return Circuit(state, until, failures, version)
