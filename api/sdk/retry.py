"""How often a task is tried: the field's four words for it."""

from __future__ import annotations

from axiom.compiler.artifact import Retry as Policy


class Retry:
    """Makes retry policies; times are in milliseconds. Without one a task is tried once."""

    @staticmethod
    def never() -> Policy:
        """One attempt."""
        return Policy(max_attempts=1)

    @staticmethod
    def fixed(max_attempts: int, delay_ms: int) -> Policy:
        """The same delay before each further attempt."""
        return Policy(max_attempts, delay_ms, 1.0, delay_ms, 0.0)

    @staticmethod
    def exponential(
        max_attempts: int, base_delay_ms: int = 200, factor: float = 2.0, max_delay_ms: int = 30_000
    ) -> Policy:
        """A delay that grows by ``factor``, up to ``max_delay_ms``."""
        return Policy(max_attempts, base_delay_ms, factor, max_delay_ms, 0.0)

    @staticmethod
    def jittered(
        max_attempts: int,
        base_delay_ms: int = 200,
        factor: float = 2.0,
        max_delay_ms: int = 30_000,
        jitter: float = 0.5,
    ) -> Policy:
        """As ``exponential``, spread by a random factor in ``1 ± jitter``."""
        return Policy(max_attempts, base_delay_ms, factor, max_delay_ms, jitter)
