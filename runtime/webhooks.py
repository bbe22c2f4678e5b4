"""Webhooks: telling a receiver how a run ended, or whom it asks (``notices.py``), at least once.

The order to tell is an outbox entry that lands in the step of the final event (``final_effects`` for the engine,
``webhook_entry`` for a door that cancels), so that no crash can lose it. The entry holds where to send; what to send is
read from the journal when it is sent, which a final status keeps the same for every attempt.

A delivery is signed after Standard Webhooks: ``webhook-id`` is the entry's name and stays the same over retries,
``webhook-timestamp`` is the attempt's, ``webhook-signature`` covers both and the body with the account's secret. A 2xx
answer settles it. Anything else is tried again, after a delay that doubles, for a day; then the entry is dead, listed,
and can be redelivered. ``410 Gone`` and an address that may not be called end it at once.

One dead receiver delays nobody: while a destination fails it gets one probe at a time, and never more than
``PER_DESTINATION`` deliveries are under way to one.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

import structlog
from standardwebhooks import Webhook

from . import notices, telemetry
from .clock import Clock, instant
from .egress import Answer, Egress, Refused, Unreachable
from .events import Event, pack_value, unpack_value
from .lease import Lease
from .results import STATUS_OF, NotFinal, ValueGone, result_of
from .store.base import FINAL, Hint, OutboxEntry, Outgoing, Settle, Store, StoreError
from .store.lanes import OUTSIDE

KIND: Final = "webhook"
CONCURRENCY: Final = 32
"""Deliveries under way in one process."""
PER_DESTINATION: Final = 8
"""Deliveries under way to one origin; a single one while it fails."""
LOOK_SECONDS: Final = 2.0
"""How long the loop waits without a hint before it looks for due entries all the same (jittered)."""
FIRST_DELAY_MS: Final = 2_000
MOST_DELAY_MS: Final = 3_600_000
GIVE_UP_MS: Final = 86_400_000
"""After a day an entry is dead."""
JITTER: Final = 0.2
TROUBLE_KEPT: Final = 10_000
"""Failing destinations remembered before those whose pause is over are forgotten."""
SECRET_BYTES: Final = 24

log = structlog.get_logger("axiom.webhooks")


class Ended(Protocol):
    """What ``final_effects`` reads of the engine's execution."""

    @property
    def id(self) -> str: ...
    @property
    def accepted(self) -> Mapping[str, Any]: ...


def webhook_entry(accepted: Mapping[str, Any], final: Event) -> tuple[Outgoing, ...]:
    """Return the outbox entry that goes with a final event: one if the run was started with a webhook, else none.

    ``accepted`` is the body of the run's first event.
    """
    hook = accepted.get("webhook")
    if not hook or final.kind not in STATUS_OF:
        return ()
    payload = pack_value(
        {
            "url": hook["url"],
            "headers": dict(hook.get("headers") or {}),
            "account": accepted["account"],
            "graph_id": accepted["graph_id"],
        }
    )
    return (Outgoing(KIND, origin(hook["url"]), payload),)


def final_effects(execution: Ended, final: Event) -> tuple[Outgoing, ...]:
    """``webhook_entry`` in the form that ``Worker(effects=…)`` takes."""
    return webhook_entry(execution.accepted, final)


def origin(url: str) -> str:
    """Return what back-off is counted by: scheme, host and port.

    >>> origin("https://Example.org/a?b")
    'https://example.org'
    """
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.split('/')[0].split('?')[0].split('#')[0]}".lower()


# --- secrets and signing --------------------------------------------------------------------------------------------


async def secret_of(store: Store, clock: Clock, account: str) -> str:
    """Return the account's signing secret (``whsec_…``), made on first use."""
    found = await store.get("webhook_secret", account)
    if found is None:
        fresh = "whsec_" + base64.b64encode(bytes.fromhex(clock.token(SECRET_BYTES))).decode()
        await store.put("webhook_secret", account, pack_value([fresh]), expect=0)
        found = await store.get("webhook_secret", account)
        assert found is not None
    return str(unpack_value(found.value)[0])


async def rotate_secret(store: Store, clock: Clock, account: str) -> str:
    """Replace the secret; the one before signs too, until the next rotation, so that receivers can follow."""
    former = await secret_of(store, clock, account)
    fresh = "whsec_" + base64.b64encode(bytes.fromhex(clock.token(SECRET_BYTES))).decode()
    await store.put("webhook_secret", account, pack_value([fresh, former]))
    return fresh


async def signed(store: Store, clock: Clock, account: str, name: str, body: str) -> dict[str, str]:
    """Return the Standard Webhooks headers of one attempt, signed with each of the account's secrets."""
    await secret_of(store, clock, account)
    found = await store.get("webhook_secret", account)
    assert found is not None
    now = instant(store.now() // 1000 * 1000)
    signatures = [Webhook(secret).sign(name, now, body) for secret in unpack_value(found.value)]
    return {
        "webhook-id": name,
        "webhook-timestamp": str(store.now() // 1000),
        "webhook-signature": " ".join(signatures),
    }


# --- delivering -----------------------------------------------------------------------------------------------------


class Trouble(NamedTuple):
    """A destination that fails: how often in a row, and when it may be tried again."""

    failures: int
    until: int


class Deliveries:
    """See the top of the file. Any number of processes may run one: each entry is held by one at a time.

    Without ``session`` it opens one of its own, and its claims end with it.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        egress: Egress,
        *,
        session: str | None = None,
        threaded: bool = True,
        give_up_ms: int = GIVE_UP_MS,
        first_delay_ms: int = FIRST_DELAY_MS,
    ) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._egress: Final = egress
        self.session: Final = session or clock.token(8)
        self._lease: Lease | None = None
        if session is None:
            self._lease = Lease(
                store,
                clock,
                self.session,
                self._describe,
                lambda beat: None,
                lambda: None,
                threaded=threaded,
            )
        self._give_up_ms: Final = give_up_ms
        self._first_delay_ms: Final = first_delay_ms
        self._news = asyncio.Event()
        self._loop_task: asyncio.Task[Any] | None = None
        self._under_way: dict[str, set[asyncio.Task[Any]]] = {}
        self._working: set[str] = set()
        """Names of the entries that are being delivered here."""
        self._unsure = False
        """A claim's answer or a settlement was lost: the session may hold entries that nobody here works on."""
        self._trouble: dict[str, Trouble] = {}
        self._unwatch: Callable[[], None] | None = None

    async def start(self) -> None:
        """Begin to deliver."""
        if self._lease is not None:
            await self._lease.start()
        self._unwatch = self._store.watch(self._on_hints, ("outbox",))
        self._news.set()
        self._loop_task = self._clock.spawn(self._loop(), "webhooks")

    async def stop(self) -> None:
        """Stop; what is under way is broken off and will be sent again by another."""
        if self._unwatch is not None:
            self._unwatch()
        tasks = [task for group in self._under_way.values() for task in group]
        if self._loop_task is not None:
            tasks.append(self._loop_task)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._lease is not None:
            await self._lease.stop()
            try:
                await self._store.end_session(self.session)
            except StoreError as error:
                log.warning("session_not_ended", error=str(error))

    def _describe(self) -> Mapping[str, Any]:
        return {"worker": f"webhooks-{self.session[:6]}", "role": "webhooks", "pools": [], "packages": {}}

    def _on_hints(self, hints: Sequence[Hint]) -> None:
        if any(hint.kind == "outbox" and hint.subject == OUTSIDE for hint in hints):
            self._news.set()

    async def _loop(self) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS * (0.75 + self._clock.random() / 2)):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()
            room = CONCURRENCY - sum(map(len, self._under_way.values()))
            if room <= 0:
                continue
            holding = sorted(self._working) if self._unsure else None
            try:
                entries = await self._store.claim_outbox(self.session, room, OUTSIDE, holding)
                if holding is not None:
                    self._unsure = False
                await self._take(entries)
            except StoreError as error:
                log.warning("outbox_unread", error=str(error))
                self._unsure = True
                self._news.set()
                await self._clock.sleep(0.2)
                continue
            if len(entries) == room:
                self._news.set()

    async def _take(self, entries: Sequence[OutboxEntry]) -> None:
        """Start what may go now; put the rest back until it may."""
        later: list[Settle] = []
        now = self._store.now()
        for entry in entries:
            group = self._under_way.setdefault(entry.destination, set())
            trouble = self._trouble.get(entry.destination)
            room = PER_DESTINATION if trouble is None else 1
            if trouble is not None and trouble.until > now:
                later.append(Settle(entry.name, self._jittered(now, trouble.until - now), error=entry.error))
            elif len(group) >= room:
                later.append(Settle(entry.name, self._jittered(now, 1_000), error=entry.error))
            else:
                task = self._clock.spawn(self._deliver(entry), entry.name)
                self._working.add(entry.name)
                group.add(task)
                task.add_done_callback(partial(self._finished, entry))
        if later:
            await self._store.settle_outbox(self.session, later)

    def _finished(self, entry: OutboxEntry, task: asyncio.Task[Any]) -> None:
        self._working.discard(entry.name)
        group = self._under_way.get(entry.destination)
        if group is not None:
            group.discard(task)
            if not group:
                del self._under_way[entry.destination]
        self._news.set()

    async def _deliver(self, entry: OutboxEntry) -> None:
        began = self._clock.monotonic()
        with (
            telemetry.bind(execution_id=entry.execution_id, webhook=entry.name),
            telemetry.span("webhook", entry.execution_id, {"axiom.destination": entry.destination}),
        ):
            try:
                verdict = await self._attempt(entry)
                await self._store.settle_outbox(self.session, [verdict])
            except StoreError as error:
                log.warning("webhook_unsettled", error=str(error))
                self._unsure = True
                return
        outcome = "dead" if verdict.dead else "delivered" if verdict.due_at is None else "retried"
        telemetry.WEBHOOKS.labels(outcome).inc()
        telemetry.WEBHOOK_SECONDS.observe(self._clock.monotonic() - began)

    async def _attempt(self, entry: OutboxEntry) -> Settle:
        """Send once and say what becomes of the entry."""
        order = unpack_value(entry.payload)
        try:
            told = await self._told(entry.execution_id, order)
        except (NotFinal, ValueGone) as error:
            return Settle(entry.name, None, dead=True, error=str(error))
        if told is None:
            return Settle(entry.name, None)  # deleted by hand: nobody is left to tell of
        body = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
        headers = {
            **order["headers"],
            "content-type": "application/json",
            "user-agent": "axiom-webhooks/1",
            **await signed(self._store, self._clock, order["account"], entry.name, body),
        }
        try:
            answer = await self._egress.post(order["url"], body.encode(), headers)
        except Refused as error:
            return self._dead(entry, str(error))
        except Unreachable as error:
            return self._again(entry, str(error), None)
        except Exception as error:  # whatever it is, the entry must not be lost nor block those behind it
            log.exception("webhook_broken", destination=entry.destination)
            return self._again(entry, f"{type(error).__name__}: {error}", None)
        return self._judge(entry, answer)

    async def _told(self, execution_id: str, order: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what a delivery says: how the run ended, or what a pause asks; ``None`` if it is gone."""
        head = (await self._store.heads((execution_id,)))[0]
        if head is not None and "seq" in order:
            return await notices.told(self._store, head, order["seq"])
        if head is None or head.status not in FINAL:
            return None
        result = await result_of(self._store, execution_id, head.seq)
        return {
            "execution_id": execution_id,
            "graph_id": order["graph_id"],
            "status": head.status,
            "result": result.as_json(),
        }

    def _judge(self, entry: OutboxEntry, answer: Answer) -> Settle:
        if 200 <= answer.status < 300:
            self._trouble.pop(entry.destination, None)
            return Settle(entry.name, None)
        if answer.status == 410:
            return self._dead(entry, "HTTP 410: the receiver wants no more of these")
        what = "a redirect, which is not followed" if 300 <= answer.status < 400 else "no success"
        return self._again(entry, f"HTTP {answer.status}: {what}", answer.retry_after)

    def _dead(self, entry: OutboxEntry, error: str) -> Settle:
        log.error("webhook_dead", destination=entry.destination, error=error)
        return Settle(entry.name, None, dead=True, error=error[:500])

    def _again(self, entry: OutboxEntry, error: str, retry_after: str | None) -> Settle:
        now = self._store.now()
        if now - entry.created_at >= self._give_up_ms:
            return self._dead(entry, f"given up after a day; last: {error}")
        failures = min((self._trouble.get(entry.destination) or Trouble(0, 0)).failures + 1, 20)
        delay = min(self._first_delay_ms * 2 ** min(entry.attempts, 20), MOST_DELAY_MS)
        if retry_after is not None and retry_after.isdigit():
            delay = max(delay, min(int(retry_after) * 1000, MOST_DELAY_MS))
        if len(self._trouble) >= TROUBLE_KEPT:
            self._trouble = {where: held for where, held in self._trouble.items() if held.until > now}
        pause = min(self._first_delay_ms * 2 ** (failures - 1), MOST_DELAY_MS)
        self._trouble[entry.destination] = Trouble(failures, now + pause)
        log.warning("webhook_failed", destination=entry.destination, error=error, retry_in_ms=delay)
        return Settle(entry.name, self._jittered(now, delay), error=error[:500])

    def _jittered(self, now: int, delay_ms: int) -> int:
        return now + max(1, int(delay_ms * (1 + JITTER * (2 * self._clock.random() - 1))))
