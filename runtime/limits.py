"""Every bound of the runtime, named, with its reason. Settings may lower or raise those that say so."""

from typing import Final

PARTITIONS: Final = 16
"""Partitions of a new store; recorded in it. Enough to spread over a small cluster, few enough to merge a page from."""

LEASE_MS: Final = 1_500
"""How long a silent session keeps its executions. With the beat below, a dead worker's runs move within 2 s."""
BEAT_MS: Final = 400
"""One renewal of the session: three fit into a lease, so one lost beat costs nothing."""
LOOP_STALL_SECONDS: Final = 5.0
"""An event loop that has not ticked for so long ends its worker: its other runs go on elsewhere."""
IDLE_LOOK_SECONDS: Final = 1.0
"""How long a worker without a hint waits before it looks for work all the same (jittered)."""
WAITER_LOOK_SECONDS: Final = 2.0
"""The same for a reader that waits for an execution."""

BATCH_EXECUTIONS: Final = 256
"""Executions in one append call: bounds the time that the call holds the store."""
BATCH_BYTES: Final = 1 << 20
"""Bytes in one append call."""

INLINE_VALUE_BYTES: Final = 64 << 10
"""A larger input or output goes to a blob: the journal stays quick to read."""
PAYLOAD_BYTES: Final = 16 << 20
"""The largest input or output of a node."""
EVENT_BYTES: Final = 1 << 20
"""The largest event; a bigger one is refused before it can poison a journal."""
SNAPSHOT_EVENTS: Final = 256
"""Events between two snapshots."""
STREAM_BYTES: Final = 256 << 20
"""Frames of one execution."""

DOOR_TRIES: Final = 20
"""How often a door reads and decides again after a conflict, before it answers 503."""
UNCLEAR_SECONDS: Final = 2.0
"""How long a writer reads back and waits after an unclear answer, before it gives the execution up."""

PRIORITY_MS: Final = 60_000
"""What one step of priority is worth in waiting: who waits long enough goes before whoever has just come."""
SHORT_WAIT_MS: Final = 1_000
"""A shorter wait stays in the worker; a longer one parks the execution."""
SUSPECT_TAKEOVERS: Final = 2
"""After so many takeovers without progress the attempt runs in a child process."""
POISON_TAKEOVERS: Final = 10
"""After so many, the run is FAILED ``poisoned``."""
CANCEL_GRACE_SECONDS: Final = 5.0
"""An ``async def`` that swallows its cancellation for so long ends its worker."""

NODE_TIMEOUT_SECONDS: Final = 300.0
CONCURRENT_EXECUTIONS: Final = 256
"""Executions that one worker has in flight."""
PROCESS_SLOTS: Final = 8
"""Warm child processes of one worker."""
FRAME_BUFFER: Final = 64
"""Frames between two pipeline nodes."""
FRAME_BUFFER_BYTES: Final = 2 << 20
"""Bytes between two pipeline nodes; a single larger frame passes alone."""
FRAMES_UNDURABLE: Final = 1_024
"""Frames of one run that were made and are not yet durable: back-pressure on the generators."""
FRAMES_UNDURABLE_BYTES: Final = 4 << 20
"""Bytes of those; a single larger frame passes alone."""
FRAME_PAGE_BYTES: Final = 1 << 20
"""About what a resuming node has in memory of each log that it reads."""
FRAME_PAGE: Final = 256
"""Frames that a resuming node reads at once, at most."""
STREAM_MARK_BYTES: Final = 1 << 20
"""How often a run notes in its log how many bytes it has: what a takeover may lose count of."""
FAILURE_DRAIN_SECONDS: Final = 5.0
"""How long the nodes behind a failed one may work on the frames that it made before."""
RETENTION_DAYS: Final = 30
WAIT_SECONDS: Final = 30.0
"""The default of ``timeout_seconds`` of an invoke that waits, and of a stream."""
PAGE: Final = 50
PAGE_MOST: Final = 500
PAGE_HEADS: Final = 1_000
"""Heads that one page looks at; a short page with a cursor is allowed."""
PARALLEL_NODES: Final = 256
"""Nodes of one execution that run at the same time; the rest stay ready."""

VALUE_DEPTH: Final = 100
"""Levels of a message: none that people write is deeper, and no reader of it must fear for its stack."""
CHILD_CALLS: Final = 10_000
"""Calls that one child process serves before a fresh one takes its place: what leaks, leaks so far."""
CHILD_GROWTH_BYTES: Final = 512 << 20
"""A child that has grown by so much since its first calls is replaced after its call."""
CHILD_OUTPUT_BYTES: Final = 1 << 20
"""What one call may print or log; the rest is counted and dropped."""
CHILD_LINE_BYTES: Final = 8 << 10
"""A longer line is logged in pieces."""
CHILD_TAIL_BYTES: Final = 4 << 10
"""The end of its output that the failure of a dead child shows."""
KILL_SECONDS: Final = 1.0
"""How long a caller waits to hear that a child it has killed is dead."""
THREAD_SLOTS: Final = 8
"""Calls of ``isolation: thread`` at a time. A thread can't be killed: one that never ends keeps its slot."""
PREPARED_PLANS: Final = 256
"""Plans that a worker keeps bound."""
VALUES_KEPT: Final = 4_096
"""Outputs of one execution held in memory for the nodes that come next; others are read when they are needed."""
MAPS_KEPT: Final = 16
"""Open maps of one execution whose items are held in memory; those of others are worked out again."""
MAP_ITEMS: Final = 100_000
"""Items of one map."""
