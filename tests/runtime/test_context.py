"""What a handler is told, and what it may say."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgpack
import pytest
from handler_kit import EXECUTION, Lines
from hypothesis import given
from hypothesis import strategies as st

from axiom.runtime.context import (
    Context,
    Surroundings,
    cancel,
    context_of,
    fields_of,
    idempotency_key,
    redacted,
    redacted_failure,
)
from axiom.runtime.failures import Failure
from axiom.sdk import Context as Exported

KEYS = st.tuples(st.text(max_size=5), st.text(max_size=5), st.lists(st.integers(0, 3), max_size=3).map(tuple))


@given(KEYS, KEYS)
def test_one_key_for_one_effect(a: Any, b: Any) -> None:
    assert (idempotency_key(*a) == idempotency_key(*b)) == (a == b)


def test_the_key_is_what_the_documents_say() -> None:
    context = Context(EXECUTION, "charge", (2, 0))
    expected = hashlib.sha256(msgpack.packb([EXECUTION, "charge", [2, 0]])).hexdigest()[:32]
    assert context.idempotency_key == context.idempotency_key == expected


def test_attempts_workers_and_restarts_share_a_key() -> None:
    first = Context(EXECUTION, "charge", (), 1, 5)
    assert Context(EXECUTION, "charge", (), 2, 9).idempotency_key == first.idempotency_key
    assert Context("f" * 32, "charge", scope=EXECUTION).idempotency_key == first.idempotency_key
    assert Context("f" * 32, "charge").idempotency_key != first.idempotency_key


def test_the_copy_in_a_child_is_the_same() -> None:
    lines = Lines()
    here = Context(
        EXECUTION, "charge", (1, 2), 3, 4, scope="s", config={"a": 1}, secrets={"K": "v"}, around=lines.around
    )
    there = context_of(msgpack.unpackb(msgpack.packb(fields_of(here))), lines.around)
    assert fields_of(there) == fields_of(here)
    assert there.idempotency_key == here.idempotency_key


def test_log_lines_say_where_they_come_from() -> None:
    lines = Lines()
    context = lines.context()
    assert context.log is context.log
    context.log.info("charged %s of %s", 1, 2, amount=12.5)
    context.log.bind(card="4242").warning("slow")
    try:
        raise ValueError("oh")
    except ValueError:
        context.log.exception("failed")
    context.log.debug("d")
    context.log.error("e")
    found = {"execution_id": EXECUTION, "node": "charge", "attempt": 1, "worker": "w1"}
    assert lines.lines[0] == ("info", "charged 1 of 2", {"amount": 12.5, **found})
    assert lines.lines[1] == ("warning", "slow", {"card": "4242", **found})
    assert "ValueError: oh" in lines.lines[2][2]["exception"]
    assert [level for level, _, _ in lines.lines] == ["info", "warning", "error", "debug", "error"]


def test_a_percent_sign_alone_is_only_a_percent_sign() -> None:
    lines = Lines()
    lines.context().log.info("100% done")
    assert lines.messages == ["100% done"]


def test_without_a_worker_lines_are_json_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    Context(node="n").log.info("hello", odd={1, 2} - {2}, text="é")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["node"], line["odd"], line["text"]) == (
        "hello",
        "info",
        "n",
        "{1}",
        "é",
    )
    Context().progress(0.5)
    Context().heartbeat()


def test_secrets_are_given_by_name_and_never_shown() -> None:
    secrets = Context(secrets={"KEY": "canary"}).secrets
    assert (secrets.get("KEY"), secrets["KEY"], secrets.get("OTHER"), secrets.get("OTHER", "x")) == (
        "canary",
        "canary",
        None,
        "x",
    )
    assert "KEY" in secrets
    assert (list(secrets), len(secrets)) == (["KEY"], 1)
    assert "canary" not in f"{secrets!r}{secrets}{Context(secrets={'KEY': 'canary'})!r}"
    with pytest.raises(KeyError, match=r"OTHER.*required_secrets"):
        secrets["OTHER"]


def test_secrets_are_struck_out_of_lines() -> None:
    lines = Lines()
    context = lines.context(secrets={"A": "canary", "B": "canary-long", "EMPTY": ""})
    context.log.info("it is canary-long", value="canary", nested={"deep": ["canary"]}, number=5)
    ((_, message, fields),) = lines.lines
    assert message == "it is [redacted]"
    assert "canary" not in str(fields)
    assert fields["number"] == 5


@given(st.lists(st.text("ab", min_size=1, max_size=3)), st.text("abc"))
def test_no_secret_is_left(values: list[str], text: str) -> None:
    out = redacted(text, {str(index): value for index, value in enumerate(values)})
    assert not any(value in piece for value in values for piece in out.split("[redacted]"))


def test_no_secret_is_left_in_a_failure() -> None:
    failure = Failure("x", "the canary sang", details={"a": ["canary", {"b": "a canary"}, 5]})
    assert redacted_failure(failure, {}) is failure
    assert redacted_failure(failure, {"K": "canary"}) == Failure(
        "x", "the [redacted] sang", details={"a": ["[redacted]", {"b": "a [redacted]"}, 5]}
    )


def test_cancelled_is_told() -> None:
    context = Context()
    assert context.cancelled is False
    cancel(context)
    assert context.cancelled is True


def test_reports_carry_what_they_say() -> None:
    heard: list[Any] = []
    around = Surroundings(report=lambda context, kind, body: heard.append((context.node, kind, body)))
    context = Context(node="n", around=around)
    context.progress(0.25, "a quarter", rows=10)
    context.heartbeat()
    assert heard == [
        ("n", "progress", {"fraction": 0.25, "message": "a quarter", "rows": 10}),
        ("n", "heartbeat", {}),
    ]


def test_users_import_it_from_the_sdk() -> None:
    assert Exported is Context
