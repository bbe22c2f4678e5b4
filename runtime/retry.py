"""Whether a failed attempt is followed by another, and when. Pure.

Only failures of the node count. The death of a worker, of the store or of the machine is no attempt: it never gets
here.
"""

from __future__ import annotations

from contextlib import suppress

from axiom.compiler.artifact import Retry

from .failures import Failure


def retry_delay_ms(policy: Retry, attempt: int, failure: Failure, random: float) -> int | None:
    """Return the milliseconds until the attempt after ``attempt`` (from 1), or ``None``: the node has failed for good.

    An explicit delay asked for by the handler wins over the policy's list of delays, that over the backoff
    ``initial * coefficient ** (attempt - 1)``, bounded by ``max_interval_ms`` and spread by ``1 ± jitter``.
    ``random`` is in [0, 1).
    """
    if not failure.retryable or attempt >= policy.max_attempts:
        return None
    if failure.code in policy.non_retryable or any(name in policy.non_retryable for name in failure.types):
        return None
    if failure.retry_after_ms is not None:
        return failure.retry_after_ms
    if policy.delays_ms:
        return policy.delays_ms[min(attempt, len(policy.delays_ms)) - 1]
    delay = float(policy.max_interval_ms)
    with suppress(OverflowError):  # a growth beyond all numbers is beyond the bound
        delay = min(policy.initial_interval_ms * policy.backoff_coefficient ** (attempt - 1), delay)
    return int(delay * (1 + policy.jitter * (2 * random - 1)))
