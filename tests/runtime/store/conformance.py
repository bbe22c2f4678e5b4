"""The rules that every store keeps. Each store's test file runs all of ``RULES`` against itself.

A rule is ``async def rule(store, other)``; see ``store_kit``. Every rule says in its name what holds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import rules_append
import rules_frames
import rules_outbox
import rules_ownership
import rules_permits
import rules_reading
import rules_retention

from axiom.runtime.store.base import Store

Rule = Callable[[Store, Store], Awaitable[None]]

RULES: list[Rule] = [
    *rules_append.RULES,
    *rules_ownership.RULES,
    *rules_permits.RULES,
    *rules_frames.RULES,
    *rules_outbox.RULES,
    *rules_reading.RULES,
    *rules_retention.RULES,
]
