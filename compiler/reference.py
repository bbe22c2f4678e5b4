"""``docs/reference/flow.md``: every key of ``flow.yaml``, what may stand there and what it means.

The tables are data, so that a test can hold them to the keys that the parser knows; the bounds in them are the
parser's constants. ``python -m axiom.compiler.reference`` prints the page, and a test compares them.
"""

from __future__ import annotations

from typing import Final

from .artifact import Retry
from .configs import CONFIG_KEYS, DEFAULT_ATTEMPTS, DEFAULT_POLICY, MAX_CONCURRENCY, MAX_QUORUM
from .limits import MOST, MOST_FAILURES, OPEN_MS, WINDOW_MS
from .parse import MAX_NODES
from .passes.loops import MAX_DEPTH, MAX_LOOPS
from .passes.supported import FEATURES, UNSUPPORTED

_RETRY: Final = Retry()
Rows = dict[str, tuple[str, str]]
"""Key → what stands there and by default, and what it means."""

FLOW: Final[Rows] = {
    "name": ("`handle/flow`", "The flow's name, and its alias unless that is moved."),
    "version": ("`0.0.0`", "A semantic version."),
    "description": ("text", "For people; no part of the artifact."),
    "input": (
        "a message; the entry node's input",
        "What the flow takes: a message of its packages. An entry that takes what comes (`sleep`, `event`, `map`) "
        "takes any object if this is left out.",
    ),
    "output": ("a message; what the terminal node gives", "What the flow gives."),
    "pipeline_mode": ("true or false", "`true` makes a pipeline of unary nodes; any pipeline node does too."),
    "timeout_seconds": ("none", "How long a run may take as a whole."),
    "retention_days": ("the server's", "How long a run's data is kept after its end."),
    "on_cancel": ("`stop` or `compensate`; `stop`", "Whether a cancel undoes what was done."),
    "priority": (
        "-1000 to 1000; 0",
        "Each step is a head start of a minute in the queue, so the oldest run goes at last.",
    ),
    "concurrency": ("`{key, limit}`", "How many runs may be under way: see [limits](#limits)."),
    "rate_limit": ("`{key, per_second, burst}`", "How many runs may begin: see [limits](#limits)."),
    "nodes": (f"a list, at most {MAX_NODES:,}", "See below."),
    "edges": ("a list", "See below. A flow of one node needs none."),
    "compensate": ("`{ALIAS: ALIAS}`", "See [compensation](#compensation)."),
}
NODE: Final[Rows] = {
    "alias": ("an identifier, unique", "The node's name in the flow."),
    "node": ("`ReserveStock`", "A node of a package."),
    "package": ("`handle/name@version`; the flow's own, or the one that has it", "Where `node` is declared."),
    "flow": ("an alias or a `graph_id`", "A subflow, in place of `node`."),
    "kind": ("`sleep` or `event`", "A node without a handler, in place of `node`."),
    "config": ("a mapping", "By the kind of the node, see below."),
    "col": ("a whole number", "With `row`: its place on the canvas. What isn't placed is laid out."),
    "row": ("a whole number", "See `col`."),
    "position": ("`{x, y}`", "The same in pixels, as the canvas writes it."),
}
CONFIG: Final[Rows] = {
    "retry": ("the node's own", "See [retry](#retry)."),
    "timeout_seconds": ("the node's own", "Of one attempt."),
    "join": ("a mapping", "How several edges into the node meet: see [joins](#joins)."),
    "compose": (
        "`{FIELD: CEL}`",
        "Shapes the input of an AND, OR or N_OF_M join; `inputs.ALIAS` is what an arm brings.",
    ),
    "hitl": ("a mapping", "Waits for people before the node runs: see [pauses](#pauses)."),
    "map": ("a mapping", "Runs the node once per item: see [maps](#maps)."),
    "concurrency": ("`{key, limit}`", "How many calls of the node may be under way: see [limits](#limits)."),
    "rate_limit": (
        "`{key, per_second, burst}`",
        "How many calls of the node may begin: see [limits](#limits).",
    ),
    "circuit_breaker": (
        "`{failures, window_ms, open_ms, on_open}`",
        "Stops calling a node that keeps failing: see [limits](#limits).",
    ),
    "duration_ms": ("a whole number, or CEL", "`kind: sleep`: how long. At most ten years."),
    "name": ("`payment.settled`", "`kind: event`: which event."),
    "correlate": ("CEL, a string or a whole number", "`kind: event`: only one with this key."),
    "message": ("a message; any object", "`kind: event`: what the event brings, and what the node gives."),
    "timeout_ms": ("none", "`kind: event`: how long to wait; then the node fails with `event_timeout`."),
    "wait": ("true", "`flow`: whether its result is waited for. If not, the node gives `{execution_id}`."),
}
RETRY: Final[Rows] = {
    "max_attempts": (
        f"{DEFAULT_ATTEMPTS}, or one more than `delays_ms`",
        "Attempts in all. A node without `retry` has one. A crash of worker, machine or store is none.",
    ),
    "initial_interval_ms": (f"{_RETRY.initial_interval_ms}", "Before the second attempt."),
    "backoff_coefficient": (f"{_RETRY.backoff_coefficient:g}", "By which the interval grows each time."),
    "max_interval_ms": (f"{_RETRY.max_interval_ms}", "Where it stops growing."),
    "jitter": (f"{_RETRY.jitter:g}", "The share by which an interval may be shorter or longer."),
    "delays_ms": ("a list", "The intervals one by one, in place of the three above; the last one repeats."),
    "non_retryable": ("a list", "Exception classes and failure codes that end the node at once."),
}
JOIN: Final[Rows] = {
    "kind": ("`AND`, `OR`, `XOR`, `N_OF_M` or `FIRST`", "When the node goes: see above."),
    "n": ("a whole number", "N_OF_M: how many arms it takes."),
    "failure_policy": (
        "`FAIL_FAST` or `TOLERATE_FAILURES`; the first",
        "A failed arm fails the join and stops the others, or counts as not taken.",
    ),
    "timeout_ms": ("none", "How long to wait for arms after the first: see above."),
}
PAUSE: Final[Rows] = {
    "message": ("CEL over what arrives", "What people are shown."),
    "resume_input": (
        "a message; the node's input",
        "What they answer. Every answer must be an input of the node.",
    ),
    "timeout_ms": ("none", "The deadline."),
    "timeout_policy": (f"{DEFAULT_POLICY}", "What happens at the deadline: see below."),
    "resume_with": ("a value", "RESUME_WITH: the answer at the deadline."),
    "escalate_to": (
        "a list of names",
        "ESCALATE: who is asked next, one after the other, each with the deadline.",
    ),
    "remind_every_ms": ("none", "How often people are reminded."),
    "quorum": (f"1 to {MAX_QUORUM:,}; 1", "How many must answer, each person once; the last answer goes on."),
    "assignees": (
        "a list of names",
        "Who is asked first. Shown and filtered by; a key decides who may answer.",
    ),
    "notify": (
        "an `http(s)` URL; the run's webhook",
        "Told when the pause opens, is escalated, reassigned or reminded of.",
    ),
}
LIMIT: Final[Rows] = {
    "key": ("CEL over `input`; one for all", "`concurrency`, `rate_limit`: what each limit is for."),
    "limit": (f"1 to {MOST:,}", "`concurrency`: how many may go at the same time."),
    "per_second": (
        f"above 0, to {MOST:,}",
        "`rate_limit`: how many may begin in a second; 0.1 is six a minute.",
    ),
    "burst": (f"1 to {MOST:,}; 1", "`rate_limit`: how many of them may begin at once after a pause."),
    "failures": (
        f"1 to {MOST_FAILURES:,}",
        "`circuit_breaker`: how many failures within the window open it.",
    ),
    "window_ms": (f"{WINDOW_MS}", "`circuit_breaker`: the window."),
    "open_ms": (f"{OPEN_MS}", "`circuit_breaker`: how long nothing is called before a probe."),
    "on_open": (
        "`WAIT` or `FAIL`; `WAIT`",
        "`circuit_breaker`: calls wait meanwhile, or fail with `circuit_open`.",
    ),
}
MAP: Final[Rows] = {
    "items": ("CEL over what arrives, a list", "Each item must be an input of the node."),
    "max_concurrency": (f"1 to {MAX_CONCURRENCY}; 10", "How many items run at the same time."),
    "failure_policy": (
        "`FAIL_FAST` or `TOLERATE_FAILURES`; the first",
        "A failed item fails the node, or gives null.",
    ),
}
EDGE: Final[Rows] = {
    "from": ("an alias or `@flow_input`", "Where it begins."),
    "to": ("an alias or `@flow_output`", "Where it ends."),
    "adapter": (
        "`{FIELD: CEL}`",
        "Makes the target's input of the source's message; without it that is passed on.",
    ),
    "condition": ("CEL, or `{op, field, value}`", "Whether the edge is taken."),
    "on_error": ("false", "Taken when the source fails for good. Brings `{code, message, node, attempt}`."),
    "check": ("`runtime`", "Where the types can't be proved: check each message when it comes."),
    "loop": ("false", "The edge leads back: see [loops](#loops)."),
    "max_iterations": ("1 to 1,000,000", "How often a loop goes round at most. A loop needs it."),
}

_LEAD: Final = """\
# `flow.yaml`

A flow is a graph of nodes. JSON with the same keys does too. An unknown key is an error, and so is all that
[these codes](errors.md) name; [expressions](expressions.md) are CEL.

<!-- Made by `python -m axiom.compiler.reference`; a test compares the two. -->

```yaml
name: acme/fulfil
version: 1.0.0
input: OrderRequest
nodes:
  - {alias: reserve, node: ReserveStock}
  - {alias: charge, package: acme/payments@1.2.0, node: Charge, config: {timeout_seconds: 60}}
  - {alias: release, node: ReleaseStock}
edges:
  - {from: reserve, to: charge, adapter: {amount: total, memo: "'order ' + order_id"}}
compensate: {reserve: release}
```"""

_GRAPH: Final = f"""\
Rules of the graph:

* one entry: the target of `@flow_input`, or the one node that no forward edge leads to;
* one terminal: what no normal edge leaves. Several ends meet in a node with a `join`. Where an `on_error` branch ends,
  the run ends as failed;
* every node can be reached from the entry, but for those that compensate;
* at most one edge from one node to another (and one more that goes back);
* what leaves a node, after the adapter, is proved to be an input of the next.

An edge whose condition is false is not taken. A node all of whose edges are not taken is not taken either; that is no
failure. If the terminal is not taken, the run fails with `no_path_taken`, and the compiler warns where it may.

In pipeline mode nodes take frames as they come: no joins, waits, maps, loops, subflows,
compensation or limits.

### Loops

An edge with `loop: true` leads back to a node that its source follows from, or to the source itself. What lies on the
ways between is the loop's **body**, the target its **head**. When the source completes and the edge's condition holds
(or there is none), the loop goes round: the head takes what the edge brings, and the other edges of the source wait
for the last round. What comes round skips a join in front of the head, and must be the head's input by itself.

* edges enter the body at its head alone, and leave it from its source alone;
* bodies lie inside one another or apart, at most {MAX_DEPTH} deep and {MAX_LOOPS} in a flow;
* loops back to one head share its count of rounds;
* an edge can't be both `loop` and `on_error`: lead the error to a node, and go back from there."""

_KINDS: Final = """\
A node has a handler (`node`), is a flow (`flow`), or waits (`kind`). Which keys `config` may hold:

| | keys |
|---|---|
{kinds}

* **`kind: sleep`** passes on what arrives after a time that outlives restarts.
* **`kind: event`** gives what the event brings. One that came before the node did is kept for it.
* **`flow`** is pinned when the flow is compiled: moving the alias later changes nothing. It has an execution of its
  own, takes the subflow's input and gives its output, or, with `wait: false`, `{{execution_id}}` at once. It fails as
  the subflow failed; each attempt of `retry` starts it anew; `timeout_seconds` bounds the wait and cancels it (none
  by default). A pipeline can't be a subflow, and no flow can contain itself."""

_JOINS: Final = """\
A node with several forward edges says how they meet. AND goes when all arms arrived, and is not taken if one is not;
OR when every arm is settled and one or more arrived; XOR and FIRST with the first that arrives; N_OF_M with the n-th.

`timeout_ms` counts from the first arm that arrives, and outlives restarts. When it is up, the node fails with
`gate_timeout` and the other arms are stopped; but an OR that tolerates failures goes with what has arrived. What
arrives later is recorded and changes nothing.

The input of an AND, OR or N_OF_M join is an object: the fields that the arms' adapters write, and each other arm's
message under its alias; or what `compose` makes. XOR and FIRST pass the one arm's message on."""

_PAUSES: Final = """\
A node with `hitl` pauses before it runs. The answer becomes its input, so what arrives need not be one: it is what
`message` speaks of. A pause costs no worker and outlives restarts and deploys.

| at the deadline | |
|---|---|
| `CANCEL` | the run is cancelled |
| `FAIL` | the node fails with `pause_timeout` |
| `RESUME_WITH` | `resume_with` is the answer |
| `ESCALATE` | the next of `escalate_to` is asked; after the last one the node fails with `pause_timeout` |
| `BRANCH` | the node fails with `pause_timeout`, and has an `on_error` edge for that |"""

_MAPS: Final = """\
A node with `map` runs once for each item of a list, each with a checkpoint of its own. Its followers see the list of
its outputs, in the order of the items. A node can't have both `map` and `hitl`: let one follow the other."""

_LIMITS: Final = """\
`concurrency` of a flow bounds how many of its runs are under way; `concurrency` of a node, how many calls of its
handler, over all runs and workers. `key` is CEL over `input` (the run's, or the node's; of a `map` one item's) and
makes a limit of its own of each value: a string or a whole number. Who can't go waits in line, parked, and goes in the
order of asking. A run gives its permit back while it is parked; a node while its handler doesn't run. What a dead
worker held is free when its lease is over.

`rate_limit` bounds how many runs, or calls, begin in a second; one that is over waits for a moment of its own.

`circuit_breaker` counts the failures of a package's node, whichever flows of the account call it. When it is open,
calls wait (or fail) until its time is up; then one goes, and its outcome closes the circuit or opens it again.
Failures that another try would meet as well (`non_retryable`, invalid input) don't count."""

_COMPENSATION: Final = """\
`compensate: {charge: refund}` names the node that undoes another. After a failure, and with `on_cancel: compensate`
after a cancel, what completed is undone in reverse order, each durably; the run is COMPENSATING meanwhile.

The node that undoes stands outside of the graph: no edge leads to it or away. It has a handler, undoes one other node
and takes what that gave."""


def reference() -> str:
    """Return the text of the page."""
    names = {"node": "`node`", "sleep": "`kind: sleep`", "event": "`kind: event`", "flow": "`flow`"}
    kinds = "\n".join(
        f"| {names[kind]} | {', '.join(f'`{key}`' for key in keys)} |" for kind, keys in CONFIG_KEYS.items()
    )
    parts = [
        _LEAD,
        _table("## The flow", FLOW),
        _table("## Nodes", NODE),
        _table("### `config`", CONFIG, _KINDS.format(kinds=kinds)),
        _table("### Retry", RETRY),
        _table("### Joins", JOIN, _JOINS),
        _table("### Pauses", PAUSE, _PAUSES),
        _table("### Maps", MAP, _MAPS),
        _table("## Edges", EDGE),
        _GRAPH,
        _table("## Limits", LIMIT, _LIMITS),
        f"## Compensation\n\n{_COMPENSATION}",
        _not_yet(),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(title: str, rows: Rows, lead: str = "") -> str:
    head = [title, "", *([lead, ""] if lead else []), "| key | value; default | meaning |", "|---|---|---|"]
    return "\n".join([*head, *(f"| `{key}` | {value} | {text} |" for key, (value, text) in rows.items())])


def _not_yet() -> str:
    if not UNSUPPORTED:
        return ""
    names = "\n".join(f"* {FEATURES[name]}" for name in sorted(UNSUPPORTED))
    return f"## Not in this version\n\nThe compiler knows these and refuses them (`AX1901`):\n\n{names}"


if __name__ == "__main__":
    print(reference(), end="")
