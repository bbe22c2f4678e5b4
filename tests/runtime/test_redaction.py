"""Secrets are found in the spellings that programs turn them into, and nothing else is touched."""

from __future__ import annotations

import base64
import io
import json
from urllib.parse import quote, quote_plus

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom.runtime.redaction import (
    KNOWN,
    REDACTED,
    SHORTEST,
    VALUES_KEPT,
    CleanStream,
    Known,
    held,
    longest,
    redacted,
    scrubbed,
)

SECRETS = st.text(min_size=SHORTEST, max_size=40).filter(lambda text: text.strip() == text)
PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n"


@given(SECRETS, st.binary(max_size=7), st.binary(max_size=7))
def test_no_spelling_of_a_secret_is_left(secret: str, before: bytes, after: bytes) -> None:
    secrets = {"K": secret}
    raw = secret.encode("utf-8", "surrogatepass")
    whole = base64.b64encode(before + raw + after).decode()
    core = base64.b64encode(bytes(3) + raw)[4:-4].decode()
    for text in (secret, json.dumps({"a": secret}), repr([secret]), raw.hex(), whole):
        assert REDACTED in redacted(f"x{text}y", secrets)
    if len(before) % 3 == 0:
        assert core not in redacted(whole, secrets)
    if secret.isprintable():
        assert secret not in redacted(f"{quote(secret)} {quote_plus(secret)} {secret}", secrets)


@given(st.text(max_size=200))
def test_what_holds_no_secret_stays_as_it_is(text: str) -> None:
    assert redacted(text, {"K": "a-secret-that-is-nowhere"}) == text
    assert redacted(text, {}) == text


def test_a_secret_of_several_lines_is_found_line_by_line() -> None:
    for line in PEM.splitlines():
        assert redacted(line, {"K": PEM}) == REDACTED


def test_the_longest_of_two_that_begin_alike_is_struck_out() -> None:
    assert (
        redacted("canary-canary-long!", {"A": "canary-canary", "B": "canary-canary-long"}) == f"{REDACTED}!"
    )
    assert longest({"B": "canary-canary-long"}) >= len("canary-canary-long")


def test_data_is_scrubbed_in_keys_and_depths_and_numbers_stay() -> None:
    found = scrubbed(
        {"my canary-1": [("canary-1", 5), {"x": b"canary-1"}], "n": 1.5, "none": None}, {"K": "canary-1"}
    )
    assert found == {f"my {REDACTED}": [[REDACTED, 5], {"x": f"b'{REDACTED}'"}], "n": 1.5, "none": None}


@pytest.mark.parametrize("value", [{"t": "x sécret-1 y"}, {"sécret-1": 1}, [["sécret-1"]]])
def test_packed_data_that_holds_a_secret_is_found(value: object) -> None:
    assert held(msgpack.packb(value), {"K": "sécret-1"})
    assert not held(msgpack.packb(value), {"K": "another-1"})


def test_a_stream_of_the_process_is_kept_clean_of_what_was_opened() -> None:
    below = io.StringIO()
    stream = CleanStream(below)
    KNOWN.add(["opened-in-this-process"])
    print("it is", "opened-in-this-process", file=stream)
    stream.writelines(["opened-in-this-process\n"])
    assert below.getvalue() == f"it is {REDACTED}\n{REDACTED}\n"
    assert not stream.closed


def test_what_a_process_remembers_is_bounded() -> None:
    known = Known()
    known.add(f"value-number-{n}" for n in range(VALUES_KEPT + 1))
    assert known.clean(f"value-number-{VALUES_KEPT}") == REDACTED
    assert known.clean("value-number-0 ") == "value-number-0 "
