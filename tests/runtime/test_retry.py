"""When a failed attempt is followed by another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from axiom.compiler.artifact import Retry
from axiom.runtime.failures import Failure, NodeFailure, failure_of
from axiom.runtime.retry import retry_delay_ms

BOOM = Failure("handler_error", "boom", ("ConnectionError", "OSError", "Exception"))


def test_without_a_policy_there_is_one_attempt():
    assert retry_delay_ms(Retry(), 1, BOOM, 0.5) is None


def test_the_backoff_grows_by_its_coefficient_up_to_its_bound():
    policy = Retry(10, 200, 2.0, 1_000, jitter=0.0)
    assert [retry_delay_ms(policy, n, BOOM, 0.5) for n in range(1, 6)] == [200, 400, 800, 1_000, 1_000]
    assert retry_delay_ms(policy, 10, BOOM, 0.5) is None


def test_explicit_delays_take_the_place_of_the_backoff_and_the_last_repeats():
    policy = Retry(5, delays_ms=(20, 300))
    assert [retry_delay_ms(policy, n, BOOM, 0.5) for n in range(1, 6)] == [20, 300, 300, 300, None]


def test_a_delay_asked_for_by_the_handler_wins():
    failure = failure_of(NodeFailure("busy", retry_after_seconds=20))
    assert retry_delay_ms(Retry(2, delays_ms=(5,)), 1, failure, 0.5) == 20_000


def test_non_retryable_names_an_exception_a_base_of_it_or_a_code():
    for name in ("ConnectionError", "OSError", "handler_error"):
        assert retry_delay_ms(Retry(3, non_retryable=(name,)), 1, BOOM, 0.5) is None
    assert retry_delay_ms(Retry(3, non_retryable=("ValueError",)), 1, BOOM, 0.5) is not None
    assert retry_delay_ms(Retry(3), 1, failure_of(NodeFailure("no", retryable=False)), 0.5) is None


@given(st.integers(1, 10_000), st.floats(0, 0.999), st.floats(0, 1))
def test_jitter_spreads_within_its_share_and_never_overflows(attempt, random, jitter):
    policy = Retry(100_000, 200, 3.0, 30_000, jitter=jitter)
    delay = retry_delay_ms(policy, attempt, BOOM, random)
    base = min(200 * 3.0 ** min(attempt - 1, 600), 30_000)
    assert delay is not None
    assert base * (1 - jitter) - 1 <= delay <= base * (1 + jitter) + 1
