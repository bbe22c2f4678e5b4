"""What a store is: one journal and one head per execution, a queue, sessions, an outbox, documents, and hints.

The promises, which ``tests/runtime/store/conformance.py`` holds every store to:

* **Durable when it answers.** An ``Ok`` is said after the write is as safe as the store's URL promises.
* **Each item all or nothing.** Events, head, queue entry, outbox and snapshot of one ``Append`` land in one step.
  A batch is many such items that share one write; one item's outcome never changes another's.
* **Judged in this order:** unknown or existing execution, re-sent, final status, fence, ``after``.
* **A re-sent append is harmless**: if the item's last event stands at its seq with the same bytes, it is ``Ok``,
  also when the execution has ended or moved on meanwhile. A repeated ``dedup`` is ``Ok`` with its first seq, likewise.
  A ``create`` for an id that exists with other bytes is ``Exists``.
* **Ownership.** A head names the session and epoch that own it, or neither. An owned execution is claimable when its
  session is dead (its lease is over, or it ended). A claim's epoch is ``max(last + 1, now)``. An owner whose lease is
  over may write until someone claims. A session that was ended stays so: a later beat is answered ``alive=False``.
* **Nobody is forgotten.** A write to an execution by someone who is not its owner (a door or a signal: no fence) wakes
  it in the same step: owned, its id goes to the owner's mailbox; parked, it becomes ready in its queue.
* **A final status clears** session, queue entry, timers and business key in its own step; nothing follows it but
  deletion. The old owner, if someone else ended the run, finds the id in its mailbox.
* **Keys.** The idempotency key is unique within (account, flow or, if that is empty, graph_id); the business key within
  (account, flow). The idempotency key is looked at first. The id of a start with a key begins with ``keyed_digits``.
* **The outbox** keeps order per execution and destination: an entry that is held or waits for its ``due_at`` holds back
  those behind it; a dead one does not. Dead entries don't hold up retention, undelivered ones do.
* **Hints follow writes.** A hint is sent after the write that it speaks of was answered, in seq order per execution.

The types here are tuples of plain data, so that they cross a socket as they are. Times are milliseconds since 1970.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from ..events import Event
from .lanes import OUTSIDE
from .permits import PermitStore


class Status(StrEnum):
    """What an execution is doing. The last three are final and never change."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    WAITING_ON_GATE = "WAITING_ON_GATE"
    DEBUG_PAUSED = "DEBUG_PAUSED"
    WAITING = "WAITING"
    COMPENSATING = "COMPENSATING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})


# --- errors, by occasion ------------------------------------------------------------------------------------------


class StoreError(Exception):
    """Something is wrong with the store. ``retryable``: the same call may succeed later."""

    code = "store_error"
    retryable = False


class Unclear(StoreError):
    """The write may or may not have landed (lost answer, failed commit, too few copies). Read back, then decide."""

    code, retryable = "store_unclear", True


class Unavailable(StoreError):
    """The store can't be reached, or is not ready; nothing was written."""

    code, retryable = "store_unavailable", True


class Full(StoreError):
    """No room: a new execution was refused before anything was written."""

    code, retryable = "store_full", True


class Unusable(StoreError):
    """It can't be opened as it is: read-only, no locks, wrong partition count, a newer format."""

    code = "store_unusable"


# --- appending ----------------------------------------------------------------------------------------------------


class Fence(NamedTuple):
    """Proof of ownership: the claim that the writer holds."""

    session: str
    epoch: int


class Create(NamedTuple):
    """The head of a new execution. With ``session`` it is born claimed by it (epoch ``now``), else queued."""

    account: str
    flow: str
    graph_id: str
    mode: str
    queue: str
    priority: int = 0
    """Higher first: a step is worth ``PRIORITY_MS`` of waiting."""
    ready_at: int = 0
    """0: at once."""
    retention_days: float = 30.0
    key: str | None = None
    """The idempotency key, held until the execution is deleted, with the hash of its request."""
    request_hash: str = ""
    business_key: str | None = None
    """At most one live execution of this account and flow holds it; freed by the final status."""
    session: str | None = None
    epoch: int = 0
    """The epoch of the claim it is born with."""


class Park(NamedTuple):
    """The owner gives the execution up in the same step: it waits in ``queue`` until ``ready_at``. Needs a fence."""

    queue: str
    ready_at: int | None
    """0 or past: ready now. ``None``: until someone writes to it."""


class Outgoing(NamedTuple):
    """An effect that Axiom performs: written with the event that orders it, delivered at least once by any worker."""

    kind: str
    """``webhook``; in the lane ``inside`` (``lanes.py``): ``start``, ``signal``, ``cancel``."""
    destination: str
    """Order is kept and failures back off per destination (a webhook's origin, an execution's id)."""
    payload: bytes
    n: int = 0
    """Its number within the append; ``<execution>/<seq>/<n>`` is its name everywhere."""


class Append(NamedTuple):
    """Events for one execution, with what else changes in that step.

    Owner: ``after`` and ``fence``. Door: ``after`` alone. Signal: neither, but ``dedup``. New: ``create``, after 0.
    """

    execution_id: str
    events: tuple[bytes, ...]
    crcs: tuple[int, ...]
    at: int
    """The last event's; becomes the head's ``updated_at`` (and ``started_at``, ``completed_at`` as the status says)."""
    after: int | None = None
    fence: Fence | None = None
    dedup: str | None = None
    status: str | None = None
    """The new status, if it changes; of a ``create``, the first (``QUEUED`` if not given)."""
    park: Park | None = None
    outbox: tuple[Outgoing, ...] = ()
    snapshot: bytes | None = None
    """State after the last event; replaces the snapshot before."""
    create: Create | None = None


class Ok(NamedTuple):
    """Written, or already there. ``seq`` is that of the last event (for a repeated signal: of the first delivery)."""

    seq: int


class Conflict(NamedTuple):
    """Someone wrote first; the journal ends at ``tail``. Read again and decide again."""

    tail: int


class Fenced(NamedTuple):
    """A younger claim exists, or none is held: stop, do not retry."""

    epoch: int


class Final(NamedTuple):
    """The execution has ended."""

    status: str


class Exists(NamedTuple):
    """The idempotency key or the business key is taken."""

    execution_id: str
    request_hash: str
    business: bool = False


class Missing(NamedTuple):
    """There is no such execution."""


Outcome = Ok | Conflict | Fenced | Final | Exists | Missing


def _same(one: tuple[Any, ...], other: object) -> bool:
    return type(one) is type(other) and tuple.__eq__(one, other)  # type: ignore[operator]


for _kind in (Ok, Conflict, Fenced, Final, Exists, Missing):
    # Tuples are equal if their fields are, whatever their type; ``Ok(3)`` must not be ``Conflict(3)``.
    setattr(_kind, "__eq__", _same)  # noqa: B010
    setattr(_kind, "__ne__", lambda one, other: not _same(one, other))  # noqa: B010


# --- reading ------------------------------------------------------------------------------------------------------


class Head(NamedTuple):
    """The small record beside a journal. ``queue``/``ready_at`` matter while no session owns it."""

    execution_id: str
    seq: int
    check: int
    status: str
    epoch: int
    session: str | None
    account: str
    flow: str
    graph_id: str
    mode: str
    queue: str
    ready_at: int | None
    priority: int
    created_at: int
    started_at: int | None
    updated_at: int
    completed_at: int | None
    retention_days: float
    key: str | None
    business_key: str | None
    frames: int
    """Entries in the frame log."""


class Query(NamedTuple):
    """Which executions to list, newest first."""

    account: str
    statuses: tuple[str, ...] = ()
    flow: str | None = None
    graph_id: str | None = None
    created_from: int | None = None
    created_to: int | None = None
    """Before, not at, this moment."""
    q: str | None = None
    """A prefix of the id, a flow name, or a key."""
    limit: int = 50
    cursor: tuple[int, str] | None = None
    """``(created_at, execution_id)`` of the last row seen."""


class Page(NamedTuple):
    heads: list[Head]
    cursor: tuple[int, str] | None
    """``None`` at the end; a short page may have one."""


# --- frames -------------------------------------------------------------------------------------------------------


class Frame(NamedTuple):
    """One frame of a pipeline run. ``position`` is dense per execution, from 1; ``index`` dense per node, from 0."""

    position: int
    node: str
    index: int  # type: ignore[assignment]
    taken: int
    """How many input frames the node had taken when it made this one."""
    payload: bytes
    """MessagePack."""


class FrameAppend(NamedTuple):
    """Frames for one execution's log, compare-and-append: ``after`` is the position they follow."""

    execution_id: str
    fence: Fence
    after: int
    frames: tuple[Frame, ...]


# --- sessions, claims, outbox, hints --------------------------------------------------------------------------------


class Session(NamedTuple):
    """A worker's life between start and end, and what is known of it."""

    session: str
    expires_at: int
    info: Mapping[str, Any]
    """``{"worker", "host", "pid", "pools", "packages": {"name@version": digest}, "started_at", "slots"}``"""
    owned: int


class Beat(NamedTuple):
    """The answer to one renewal."""

    now: int
    alive: bool
    """False: the lease had run out before this beat (its executions may be gone)."""
    mailbox: list[tuple[str, int]]
    """``(execution_id, seq)`` of executions of this session that someone else wrote to, until acknowledged."""
    owned: int
    checksum: int
    """XOR of ``crc32(execution_id)`` over what the store says the session owns."""
    orphans: int
    """Executions of dead sessions that wait for a claim."""


class Claimed(NamedTuple):
    """An execution that now belongs to the claimer. ``former`` is the dead session it was taken from."""

    head: Head
    former: str | None
    snapshot: tuple[int, bytes] | None
    events: list[Event]
    """Everything after the snapshot, if it is small (at most ``CLAIM_BYTES``); else empty: read it."""


class OutboxEntry(NamedTuple):
    name: str
    """``<execution>/<seq>/<n>``: the de-duplication id at the other end."""
    execution_id: str
    kind: str
    destination: str
    payload: bytes
    attempts: int
    created_at: int
    due_at: int
    dead: bool = False
    error: str | None = None
    """What the last attempt said; shown to users."""


class Settle(NamedTuple):
    """What became of a claimed outbox entry: done (``due_at`` None, not dead), again at ``due_at``, or dead."""

    name: str
    due_at: int | None
    dead: bool = False
    error: str | None = None


class Hint(NamedTuple):
    """Something moved. ``kind``: ``moved`` (an execution's journal, with status), ``frames`` (its frame log),
    ``ready`` (a queue has work: ``subject`` is its name), ``mail`` (``subject`` is a session), ``outbox`` (its lane).
    A ``moved`` with an empty ``subject`` says that hints may have been lost: look at everything."""

    kind: str
    subject: str
    seq: int = 0
    status: str = ""
    execution_id: str = ""


class Finding(NamedTuple):
    """What the store's settings put at risk, in plain words. ``level``: ``ok``, ``warning``, ``danger``."""

    level: str
    code: str
    message: str
    fix: str = ""


class Document(NamedTuple):
    """Something small with a version: an artifact, an alias, a key. The first write has version 1."""

    key: str
    version: int
    value: bytes
    updated_at: int


def keyed_digits(account: str, subject: str, key: str) -> str:
    """Return the first four hex digits of an id that is started under ``key`` (``subject``: flow, or graph_id if none).

    They choose the partition, so that the key and the execution it names lie in one. Of two, the idempotency key.

    >>> len(keyed_digits("default", "acme/fulfil", "order-17"))
    4
    """
    return hashlib.sha256(f"{account}\n{subject}\n{key}".encode()).hexdigest()[:4]


Watcher = Callable[[Sequence[Hint]], None]

CLAIM_BYTES = 256 << 10
"""Journal bytes that ride along with a claim."""
EVEN: Mapping[str, float] = {}


class Beater(Protocol):
    """The renewing side of a session, for a thread of its own with a connection of its own."""

    def beat(self, session: str, lease_ms: int, info: Mapping[str, Any], seen: Mapping[str, int]) -> Beat:
        """Open or renew the session; ``seen`` acknowledges mailbox entries up to those seqs. Blocks; thread-safe."""

    def close(self) -> None: ...


class Store(PermitStore, Protocol):
    """Where executions live. All methods may be called from one event loop; ``Beater`` from any thread."""

    url: str
    partitions: int

    async def open(self) -> None:
        """Connect, create or upgrade, check. ``Unusable`` or ``Unavailable`` says why not. Idempotent."""

    async def close(self) -> None: ...

    def now(self) -> int:
        """The store's time: the last answer's, carried on by this process's monotonic clock."""

    async def findings(self) -> list[Finding]: ...

    # journal
    async def append(self, batch: Sequence[Append]) -> list[Outcome]:
        """Write each item, all of it or nothing; one outcome per item, in order. ``Unclear`` if the answer was lost.

        Calls under way at the same time share one write (group commit); none waits for company. A long batch is written
        in steps of at most ``BATCH_EXECUTIONS`` items and about ``BATCH_BYTES``.
        """

    async def read(self, execution_id: str, after: int = 0, limit: int = 1_000) -> list[Event]:
        """Events with ``seq > after``, in order; at most ``limit``; empty if there is no such execution."""

    async def snapshot(self, execution_id: str) -> tuple[int, bytes] | None: ...

    async def heads(self, ids: Sequence[str]) -> list[Head | None]: ...

    async def find(self, query: Query) -> Page:
        """One page of an account's executions, newest first. (Not ``list``: that name would hide the type.)"""

    async def scan(self, after: str = "", limit: int = 500) -> list[Head]:
        """Every execution, whatever its account, in id order; for ``verify``, retention reports and export."""

    # values too large for the journal
    async def put_blob(self, execution_id: str, name: str, data: bytes) -> None:
        """Durable before the event that names it is written; deleted with its execution."""

    async def blob(self, execution_id: str, name: str) -> bytes | None: ...

    # frames
    async def append_frames(self, batch: Sequence[FrameAppend]) -> list[Outcome]:
        """``Ok(position)``, ``Conflict(tail position)``, ``Fenced``, ``Final``, ``Missing``; as ``append``."""

    async def frames(self, execution_id: str, node: str, after: int = -1, limit: int = 256) -> list[Frame]:
        """Frames of one node with ``index > after``, in order."""

    async def frame_counts(self, execution_id: str) -> dict[str, int]:
        """How many frames each node has in the log."""

    # ownership
    def beater(self) -> Beater: ...

    async def claim(
        self, session: str, queues: Sequence[str], limit: int, weights: Mapping[str, float] = EVEN
    ) -> list[Claimed]:
        """Take executions of dead sessions first, then ready ones of the named queues: accounts in turn, by weight (1
        if not given); of an account by priority and time. No two claimers get one. The session must have beaten."""

    async def end_session(self, session: str) -> None:
        """Its executions are claimable at once. For a drain, and for a supervisor that saw its child die."""

    async def sessions(self) -> list[Session]: ...

    async def owned(self, session: str) -> list[str]: ...

    # outbox
    async def claim_outbox(
        self, session: str, limit: int, lane: str = OUTSIDE, holding: Sequence[str] | None = None
    ) -> list[OutboxEntry]:
        """Due entries of a lane that nobody alive holds; the first of each execution and destination only.

        With ``holding``, what the session holds there beside these names is let go of first (a lost answer)."""

    async def settle_outbox(self, session: str, settled: Sequence[Settle]) -> None: ...

    async def outbox(
        self, account: str | None = None, dead: bool | None = None, limit: int = 100
    ) -> list[OutboxEntry]: ...

    async def redeliver(self, name: str) -> bool:
        """Make a dead entry due again."""

    # retention
    async def expired(self, now: int, limit: int = 100, account: str | None = None) -> list[Head]:
        """Final executions past their retention with no undelivered outbox entry."""

    async def delete(self, ids: Sequence[str]) -> int:
        """Remove final executions with everything of theirs; live ones are left. How many went."""

    # documents
    async def put(self, kind: str, key: str, value: bytes, expect: int | None = None) -> int | None:
        """Write and return the new version; ``None`` if ``expect`` (0: absent) is not the present one."""

    async def get(self, kind: str, key: str) -> Document | None: ...

    async def documents(
        self, kind: str, prefix: str = "", after: str = "", limit: int = 500
    ) -> list[Document]: ...

    async def remove(self, kind: str, key: str) -> bool: ...

    # hints
    def watch(self, watcher: Watcher, kinds: Collection[str] | None = None) -> Callable[[], None]:
        """Call ``watcher`` on this loop with the store's hints (of ``kinds``, if given); the answer stops it."""
