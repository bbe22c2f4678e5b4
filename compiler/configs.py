"""``config`` of a placed node, by the node's kind: how it is retried, joined, waited for and run over many items.

Like ``parse`` it knows nothing of packages and graphs. Keys that only make sense together, or that exclude each
other, are told here.
"""

from __future__ import annotations

from dataclasses import fields as fields_of
from dataclasses import replace
from typing import Final

from .artifact import Join, Retry
from .fields import EVENT_NAME, NOTIFY_URL, Fields
from .limits import parse_breaker, parse_concurrency, parse_rate
from .model import Awaited, Fan, Pause, Placement
from .report import Report
from .source import Scalar, Tree

LIMITS: Final = ("concurrency", "rate_limit", "circuit_breaker")
CONFIG_KEYS: Final = {
    "node": ["retry", "timeout_seconds", "join", "compose", "hitl", "map", *LIMITS],
    "sleep": ["duration_ms", "join", "compose"],
    "event": ["name", "correlate", "message", "timeout_ms", "join", "compose"],
    "flow": ["wait", "retry", "timeout_seconds", "join", "compose", "hitl", "map"],
}
"""By the kind of the node."""
NEEDED: Final = {"sleep": ("duration_ms",), "event": ("name",)}
RETRY_KEYS: Final = [f.name for f in fields_of(Retry)]
JOIN_KEYS: Final = ["kind", "n", "failure_policy", "timeout_ms"]
PAUSE_KEYS: Final = [
    "message",
    "resume_input",
    "timeout_ms",
    "timeout_policy",
    "resume_with",
    "escalate_to",
    "remind_every_ms",
    "quorum",
    "assignees",
    "notify",
]
MAP_KEYS: Final = ["items", "max_concurrency", "failure_policy"]
JOINS: Final = ("AND", "OR", "XOR", "N_OF_M", "FIRST")
FAILURE_POLICIES: Final = ("FAIL_FAST", "TOLERATE_FAILURES")
TIMEOUT_POLICIES: Final = ("CANCEL", "FAIL", "RESUME_WITH", "ESCALATE", "BRANCH")
PARTNERS: Final = {"RESUME_WITH": "resume_with", "ESCALATE": "escalate_to"}
"""The key that a policy needs, and that needs the policy."""
DEFAULT_ATTEMPTS: Final = 3
"""Of a ``retry`` that does not say; without a ``retry`` there is one attempt."""
DEFAULT_POLICY: Final = "CANCEL"
"""Of a pause with a ``timeout_ms`` that does not say what then."""
MAX_SECONDS: Final = 10 * 366 * 86_400
"""Ten years: beyond it a number of seconds is a mistake."""
MAX_MS: Final = MAX_SECONDS * 1_000
MAX_CONCURRENCY: Final = 256
"""Items of one ``map`` that run at the same time in one worker."""
MAX_QUORUM: Final = 1_000


def configured(placement: Placement, config: Tree | None, report: Report) -> Placement:
    """Return ``placement`` with what its ``config`` says."""
    kind = placement.kind
    if config is None:
        for key in NEEDED.get(kind, ()):
            message = f"`{placement.alias}` needs `config` with the key `{key}`"
            report.error("AX1021", placement.place, message, expected=key)
        return placement
    f = Fields(config, report, "`config`", CONFIG_KEYS[kind])
    f.require(*NEEDED.get(kind, ()))
    retry, join, pause, fan = f.get("retry"), f.get("join"), f.get("hitl"), f.get("map")
    if pause and fan:
        message = "a node has both `hitl` and `map`"
        report.error("AX1026", f.at("map"), message, expected="a node with `hitl` in front of it")
    return replace(
        placement,
        places={**placement.places, **{f"config.{key}": place for key, place in f.places.items()}},
        retry=parse_retry(retry, report) if retry else None,
        timeout_seconds=parse_timeout(f, None),
        join=_join(join, report) if join else None,
        compose=f.table("compose"),
        pause=_pause(pause, report) if pause else None,
        fan=_fan(fan, report) if fan else None,
        concurrency=parse_concurrency(f.get("concurrency"), report),
        awaited=_awaited(f) if kind in ("sleep", "event") else None,
        wait=f.flag("wait", True),
        rate_limit=parse_rate(f.get("rate_limit"), report),
        breaker=parse_breaker(f.get("circuit_breaker"), report),
    )


def parse_retry(tree: Tree, report: Report) -> Retry:
    """Return a retry policy."""
    f = Fields(tree, report, "`retry`", RETRY_KEYS)
    blank = Retry()
    delays = f.integers("delays_ms")
    attempts = len(delays) + 1 if delays else DEFAULT_ATTEMPTS
    return Retry(
        max_attempts=f.integer("max_attempts", attempts, 1, 10_000),
        initial_interval_ms=f.integer("initial_interval_ms", blank.initial_interval_ms, 0),
        backoff_coefficient=float(f.number("backoff_coefficient", blank.backoff_coefficient, 1, 1_000)),
        max_interval_ms=f.integer("max_interval_ms", blank.max_interval_ms, 0),
        jitter=float(f.number("jitter", blank.jitter, 0, 1)),
        delays_ms=delays,
        non_retryable=tuple(sorted(set(f.texts("non_retryable")))),
    )


def parse_timeout(f: Fields, default: float | None) -> float | None:
    """Return ``timeout_seconds`` of a node."""
    seconds = f.number("timeout_seconds", 0, 0, MAX_SECONDS, above=True)
    return float(seconds) if seconds else default


def _join(tree: Tree, report: Report) -> Join:
    f = Fields(tree, report, "`join`", JOIN_KEYS)
    f.require("kind")
    return Join(
        kind=f.choice("kind", "AND", JOINS),
        failure_policy=f.choice("failure_policy", "FAIL_FAST", FAILURE_POLICIES),
        n=f.integer("n", 0, 1),
        timeout_ms=f.integer("timeout_ms", 0, 1) or None,
    )


def _pause(tree: Tree, report: Report) -> Pause:
    f = Fields(tree, report, "`hitl`", PAUSE_KEYS)
    policy = f.choice("timeout_policy", DEFAULT_POLICY if "timeout_ms" in f else "", TIMEOUT_POLICIES)
    _check_partners(f, policy, report)
    return Pause(
        place=f.place,
        places=f.places,
        message=_expression(f, "message"),
        resume_input=f.text("resume_input"),
        timeout_ms=f.integer("timeout_ms", 0, 1, MAX_MS),
        timeout_policy=policy,
        resume_with=f.data("resume_with"),
        escalate_to=f.texts("escalate_to"),
        remind_every_ms=f.integer("remind_every_ms", 0, 1, MAX_MS),
        quorum=f.integer("quorum", 1, 1, MAX_QUORUM),
        assignees=f.texts("assignees"),
        notify=f.text("notify", "", NOTIFY_URL, "https://example.org/hooks/people"),
    )


def _check_partners(f: Fields, policy: str, report: Report) -> None:
    """What a pause does at its deadline, and the deadline and the values which that takes."""
    if "timeout_policy" in f and "timeout_ms" not in f:
        message = "`timeout_policy` without a `timeout_ms` never acts"
        report.error("AX1026", f.at("timeout_policy"), message, found=policy, expected="`timeout_ms`")
    for owner, key in PARTNERS.items():
        if policy == owner and not f.data(key) and not (key == "resume_with" and key in f):
            message = f"`timeout_policy: {owner}` needs `{key}`"
            report.error("AX1026", f.at("timeout_policy"), message, expected=f"`{key}`")
        elif policy != owner and key in f:
            found = f"timeout_policy: {policy}" if policy else "no `timeout_policy`"
            message = f"`{key}` needs `timeout_policy: {owner}`"
            report.error("AX1026", f.at(key), message, found=found, expected=f"`timeout_policy: {owner}`")


def _fan(tree: Tree, report: Report) -> Fan:
    f = Fields(tree, report, "`map`", MAP_KEYS)
    f.require("items")
    return Fan(
        place=f.place,
        places=f.places,
        items=_expression(f, "items"),
        max_concurrency=f.integer("max_concurrency", 10, 1, MAX_CONCURRENCY),
        failure_policy=f.choice("failure_policy", "FAIL_FAST", FAILURE_POLICIES),
    )


def _awaited(f: Fields) -> Awaited:
    return Awaited(
        place=f.place,
        places=f.places,
        duration=_expression(f, "duration_ms"),
        name=f.text("name", "", EVENT_NAME, "payment.settled"),
        correlate=_expression(f, "correlate"),
        message=f.text("message"),
        timeout_ms=f.integer("timeout_ms", 0, 1, MAX_MS),
    )


def _expression(f: Fields, key: str) -> Tree | None:
    """Return the CEL of ``key``; a number may stand there without quotes."""
    tree = f.get(key)
    if tree is None or (isinstance(tree, Scalar) and isinstance(tree.value, (str, int, float))):
        return tree
    f.wrong(tree, "an expression", f"`{key}`")
    return None


__all__ = ["MAX_MS", "MAX_SECONDS", "configured", "parse_retry", "parse_timeout"]
