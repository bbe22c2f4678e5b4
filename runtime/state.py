"""The state of one execution: what is left when its events are applied in order.

There is nothing to save but the journal and nothing to repair after a crash: read it, fold it (``fold.py``), go on.
Nothing here waits, reads a clock, draws a number, or knows of a store; what should happen next is the business of
``decide.py``.

Each node (per iteration) goes through these phases::

    (absent) ──► ready ──► running ──► completed
        │          ▲        ▲ │  │ ├──► failed
        │          │  woken │ ▼  │ ▼
        │          │       waiting  retrying ──► (due) ready
        ├──► not_taken      every arm that leads here was not taken
        └──► cancelled      an arm before it failed, a join failed fast, or the run is over

``waiting`` is a node that has begun and needs something from outside: a time, an event, a person, a child. ``mapping``
is one whose items run as iterations of their own.

Every map is persistent (``immutables.Map``): a fold shares all that did not change, and costs the same at node 10 and
at node 10,000. Outputs are not in here, only the seq of the event that holds each.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from immutables import Map

from .store.base import FINAL, Status

Key = tuple[int, tuple[int, ...]]
"""A node's number and its iteration."""

READY: Final = "ready"
RUNNING: Final = "running"
RETRYING: Final = "retrying"
WAITING: Final = "waiting"
MAPPING: Final = "mapping"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
NOT_TAKEN: Final = "not_taken"
CANCELLED: Final = "cancelled"

RATE: Final = "rate"
"""What a node waits for, and is woken by, that waited for its rate limit."""
ASKS_AGAIN: Final = frozenset({"permit", RATE, "circuit"})
"""Waits of nodes that go on afterwards with what they had before."""

ARRIVED: Final = "arrived"
"""An arm that brings a message; the others are ``NOT_TAKEN`` and ``FAILED``."""


class Run(NamedTuple):
    """Where one node stands."""

    phase: str
    attempt: int = 0
    seq: int = 0
    """Of the event that brought it here; for ``completed``, of the one that holds the output."""
    due: int = 0
    """When a retry starts."""


class Arms(NamedTuple):
    """What a join has heard so far."""

    arrived: int = 0
    not_taken: int = 0
    failed: int = 0


class Wait(NamedTuple):
    """What a waiting node waits for."""

    kind: str
    """``timer``, ``event``, ``pause``, ``child``, ``permit``, ``rate`` or ``circuit``."""
    due: int | None = None
    name: str = ""
    """The event's name, the pause's id, the child's execution id, or the limit's or circuit's name."""
    key: str | None = None
    """What an event is correlated by; who asks for a permit."""
    quorum: int = 1
    answers: tuple[int, ...] = ()
    """Seqs of the answers to a pause."""
    remind_at: int | None = None
    level: int = 0
    """How often a pause was escalated."""
    seq: int = 0
    before: tuple[Any, ...] | None = None
    """Of a child: see ``Woken.before``. Of a limit: what had woken the node, and does so again."""

    @property
    def signals(self) -> tuple[tuple[str, str | None], ...]:
        """The names of the signals that wake it. One that was sent to this very run need not say the key."""
        exact = (self.name, self.key)
        return (exact, (self.name, None)) if self.kind == "event" and self.key is not None else (exact,)


class Woken(NamedTuple):
    """What woke a node that had waited."""

    by: str
    """``time``, ``signal``, ``answer``, ``items`` or ``rate``."""
    seq: int = 0
    """Of the signal or the answer."""
    level: int = 0
    """How often its pause was escalated."""
    child: bool = False
    """Whether it had waited for a child."""
    before: tuple[Any, ...] | None = None
    """What had woken it before its child began: people are asked once, also if the subflow is tried again."""


class Mapping(NamedTuple):
    """How far a map over items is."""

    total: int
    """Items."""
    begun: int
    """Items that were made ready; at most ``bound`` of them are not done."""
    done: int = 0
    bound: int = 1
    tolerant: bool = False


class Debug(NamedTuple):
    """A debug run (``debugging.py``)."""

    breakpoints: tuple[int, ...] = ()
    """Numbers of the nodes to stop before."""
    stopped: bool = False
    let: tuple[Key, ...] = ()
    """What may start all the same."""
    edits: tuple[tuple[Key, int], ...] = ()
    """Nodes whose input a person gave, and the seq of the event that holds it."""


class IllegalTransition(ValueError):
    """This event can't happen in this state. A late result, or a damaged journal."""

    code = "illegal_transition"


_NONE: Final[Map[Any, Any]] = Map()


class State:
    """See the top of the file. Made by ``fold``; never changed by anyone else."""

    __slots__ = (
        "accepted",
        "arms",
        "at",
        "came",
        "cancelling",
        "counts",
        "deadline",
        "debug",
        "doom",
        "end",
        "epoch",
        "failures",
        "first",
        "gate_dues",
        "gates",
        "graph",
        "heir",
        "held",
        "joined",
        "looped",
        "mapping",
        "nodes",
        "outcome",
        "pauses",
        "ready",
        "retrying",
        "running",
        "seq",
        "signals",
        "started",
        "status",
        "takeovers",
        "undoing",
        "waiting",
        "woken",
    )

    def __init__(self) -> None:
        self.seq = 0
        self.at = 0
        self.epoch = 0
        self.status: str = Status.QUEUED
        self.accepted: bool = False
        self.started = False
        self.deadline: int | None = None
        """When the whole run times out."""
        self.heir = False
        """A restart: what it took over is its own, also to compensate."""
        self.held = 0
        """The seq of the event that holds the run, while it does: nothing new starts until someone resumes it."""
        self.debug: Debug | None = None
        self.graph: str | None = None
        """The artifact that it was moved to."""
        self.nodes: Map[Key, Run] = _NONE
        self.ready: Map[Key, int] = _NONE
        """Value: the seq at which it became ready."""
        self.running: Map[Key, int] = _NONE
        """Value: its attempt."""
        self.retrying: Map[Key, int] = _NONE
        """Value: when it is due."""
        self.waiting: Map[Key, Wait] = _NONE
        self.woken: Map[Key, Woken] = _NONE
        """What woke the nodes that had waited and have not ended since."""
        self.mapping: Map[Key, Mapping] = _NONE
        self.signals: Map[tuple[str, str | None], tuple[int, ...]] = _NONE
        """Events that came and that nobody has taken yet: ``(name, key)`` → seqs, oldest first."""
        self.pauses: Map[str, Key] = _NONE
        """Open pauses, by id."""
        self.arms: Map[tuple[int, tuple[int, ...]], str] = _NONE
        """``(edge number, iteration)`` → arrived, not_taken or failed; for joins only."""
        self.counts: Map[Key, Arms] = _NONE
        self.gates: Map[Key, int] = _NONE
        """Joins that have heard of some arms and still wait for others; when the first one arrived, 0 if none has."""
        self.gate_dues: Map[Key, int] = _NONE
        """Those of them that have a timeout and an arrival: when it is up, 0 until that is in the journal."""
        self.joined: Map[Key, tuple[int, ...]] = _NONE
        """For a join that goes before all its arms have settled: the edges it went with."""
        self.looped: Map[Key, int] = _NONE
        """For a loop's head that goes round again: the back edge that it came by."""
        self.came: Map[tuple[int, tuple[int, ...]], Key] = _NONE
        """Where a message into or out of a loop came from: ``(edge, iteration of the target)`` → its source."""
        self.failures: Map[Key, tuple[str, str, str, int]] = _NONE
        """Failed nodes: code, message, the alias of the node that failed, attempt."""
        self.first: Key | None = None
        """The first node that failed without being handled."""
        self.doom: Key | None = None
        """The node whose failure reached the terminal: the run will fail with it."""
        self.end: tuple[str, int] | None = None
        """The terminal's phase once it has settled for good, and the seq of that event."""
        self.takeovers = 0
        """Owners lost since the last progress."""
        self.cancelling: str | None = None
        """The reason, once a run that compensates was told to stop."""
        self.undoing: tuple[Key, ...] | None = None
        """Compensation nodes still to run, first one first, once they have begun; their iteration is that of the node
        that they undo."""
        self.outcome: dict[str, Any] | None = None
        """The body of the final event; of a run that compensates, what it will be if nothing cancels it."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, State) and all(
            getattr(self, name) == getattr(other, name) for name in State.__slots__
        )

    __hash__ = None  # type: ignore[assignment]

    def copy(self) -> State:
        other = State.__new__(
            State
        )  # written out: it is made for every event, and a loop costs four times as much
        other.accepted = self.accepted
        other.arms = self.arms
        other.at = self.at
        other.came = self.came
        other.cancelling = self.cancelling
        other.counts = self.counts
        other.deadline = self.deadline
        other.debug = self.debug
        other.doom = self.doom
        other.end = self.end
        other.epoch = self.epoch
        other.failures = self.failures
        other.first = self.first
        other.gate_dues = self.gate_dues
        other.graph = self.graph
        other.gates = self.gates
        other.heir = self.heir
        other.held = self.held
        other.joined = self.joined
        other.looped = self.looped
        other.mapping = self.mapping
        other.nodes = self.nodes
        other.outcome = self.outcome
        other.pauses = self.pauses
        other.ready = self.ready
        other.retrying = self.retrying
        other.running = self.running
        other.seq = self.seq
        other.signals = self.signals
        other.started = self.started
        other.status = self.status
        other.takeovers = self.takeovers
        other.undoing = self.undoing
        other.waiting = self.waiting
        other.woken = self.woken
        return other

    @property
    def live(self) -> bool:
        """Whether anything runs, may run, or waits."""
        return bool(self.running or self.ready or self.retrying or self.waiting or self.mapping)

    @property
    def final(self) -> bool:
        return self.status in FINAL


BLANK: Final = State()
"""Before the first event."""
