"""What a Redis server's settings put at risk, in plain words, and how to mend it.

Read once when the store opens and again for ``/ready`` and ``doctor``. A managed server may hide ``CONFIG``; then what
can't be seen is said to be unknown rather than passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import redis

from .base import Finding
from .redis_wire import Address, Wire

WARN_SHARE: Final = 0.70
"""Of the memory: above it a finding warns."""
REFUSE_SHARE: Final = 0.85
"""Of the memory: above it new executions are refused. Live ones go on into what is left."""
NODE_BYTES: Final = 1024
"""The proposed ``stream-node-max-bytes``: journals are short, and a node's room is taken at once."""
OLDEST: Final = (7, 0)

_NAMES: Final = (
    "appendonly", "appendfsync", "no-appendfsync-on-rewrite", "aof-use-rdb-preamble", "maxmemory",
    "maxmemory-policy", "stream-node-max-bytes", "save", "min-replicas-to-write",
)  # fmt: skip


class Settings(NamedTuple):
    """What ``INFO`` and ``CONFIG GET`` say."""

    info: Mapping[str, str]
    config: Mapping[str, str] | None
    """``None``: the server does not show it."""

    @property
    def version(self) -> tuple[int, ...]:
        text = self.info.get("valkey_version") or self.info.get("redis_version") or "0"
        return tuple(int(part) for part in text.split(".") if part.isdigit())

    @property
    def has_waitaof(self) -> bool:
        return self.version >= (7, 2)

    @property
    def replicas(self) -> int:
        return int(self.info.get("connected_slaves", 0))

    @property
    def memory_share(self) -> float:
        return memory_share(self.info)


def memory_share(info: Mapping[str, str]) -> float:
    """Return used memory as a share of ``maxmemory``, or of the machine's memory where there is no such limit."""
    limit = int(info.get("maxmemory", 0)) or int(info.get("total_system_memory", 0))
    return int(info.get("used_memory", 0)) / limit if limit else 0.0


def read_info(text: bytes) -> dict[str, str]:
    """Return the fields of an ``INFO`` answer."""
    lines = (line.partition(":") for line in text.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in lines if colon and not name.startswith("#")}


async def read_settings(wire: Wire) -> Settings:
    """Ask the server."""
    (info,) = await wire.ask(("INFO",))
    try:
        (pairs,) = await wire.ask(("CONFIG", "GET", *_NAMES))
    except Exception as error:
        if not isinstance(error.__cause__, redis.ResponseError):
            raise
        return Settings(read_info(info), None)
    texts = [part.decode() for part in pairs]
    return Settings(read_info(info), dict(zip(texts[::2], texts[1::2], strict=True)))


def copies(
    settings: Settings, address: Address, wait_ms: int
) -> tuple[tuple[Any, ...] | None, tuple[int, int]]:
    """Return the command that waits for copies of a write, and how many (on disk here, on replicas) are wanted."""
    wanted = min(1, settings.replicas) if address.replicas is None else address.replicas
    config = settings.config or {}
    on_disk = settings.has_waitaof and config.get("appendonly") == "yes"
    if on_disk and (wanted or config.get("appendfsync") != "always"):
        return ("WAITAOF", 1, wanted, wait_ms), (1, wanted)
    if wanted:
        return ("WAIT", wanted, wait_ms), (0, wanted)
    return None, (0, 0)


def findings(settings: Settings, address: Address) -> list[Finding]:
    """Return what to tell the operator, the worst first; a lone ``ok`` if there is nothing."""
    found = [*_of_version(settings), *_of_memory(settings), *_of_replicas(settings, address)]
    if settings.config is None:
        found.append(
            Finding(
                "warning",
                "redis_settings_hidden",
                "The server does not show its settings, so whether it keeps what it acknowledged is unknown.",
                "Ask its operator for: appendonly yes, appendfsync always, maxmemory-policy noeviction.",
            )
        )
    else:
        found += [*_of_durability(settings.config), *_of_layout(settings.config)]
    if not found:
        version = ".".join(str(part) for part in settings.version)
        return [Finding("ok", "redis_ok", f"Redis {version} keeps what it acknowledges.")]
    return sorted(found, key=lambda finding: ("danger", "warning", "ok").index(finding.level))


def _set(name: str, value: str) -> str:
    return f"CONFIG SET {name} {value}"


def _of_version(settings: Settings) -> list[Finding]:
    if settings.version >= OLDEST:
        return []
    text = ".".join(str(part) for part in settings.version)
    return [
        Finding(
            "danger", "redis_too_old", f"This is Redis {text}; Axiom needs 7.0 or later.", "Upgrade Redis."
        )
    ]


def _of_durability(config: Mapping[str, str]) -> list[Finding]:
    found = []
    if config.get("appendonly") != "yes":
        found.append(
            Finding(
                "danger",
                "redis_aof_off",
                "There is no append-only file: a crash of Redis loses all that was written since its last snapshot.",
                _set("appendonly", "yes"),
            )
        )
    fsync = config.get("appendfsync")
    if fsync != "always":
        lost = "about a second" if fsync == "everysec" else "half a minute or more"
        found.append(
            Finding(
                "danger" if fsync == "no" else "warning",
                "redis_appendfsync",
                f"appendfsync is {fsync}: a crash of the machine loses {lost} of acknowledged steps; they run again.",
                _set("appendfsync", "always"),
            )
        )
    if config.get("no-appendfsync-on-rewrite") == "yes":
        found.append(
            Finding(
                "warning",
                "redis_no_fsync_on_rewrite",
                "While Redis rewrites its file it does not sync: a crash in that time loses acknowledged steps.",
                _set("no-appendfsync-on-rewrite", "no"),
            )
        )
    policy = config.get("maxmemory-policy", "")
    if policy != "noeviction":
        limited = int(config.get("maxmemory", 0)) > 0
        found.append(
            Finding(
                "danger" if limited and policy.startswith("allkeys") else "warning",
                "redis_eviction",
                f"maxmemory-policy is {policy}: when memory runs short Redis may delete parts of live runs.",
                _set("maxmemory-policy", "noeviction"),
            )
        )
    return found


def _of_memory(settings: Settings) -> list[Finding]:
    share = settings.memory_share
    if share < WARN_SHARE:
        return []
    full = share >= REFUSE_SHARE
    consequence = (
        "new runs are refused, live ones go on" if full else f"at {REFUSE_SHARE:.0%} new runs are refused"
    )
    return [
        Finding(
            "danger" if full else "warning",
            "redis_memory",
            f"Redis uses {share:.0%} of its memory; {consequence}.",
            "Raise maxmemory, add memory, or shorten the retention of finished runs.",
        )
    ]


def _of_replicas(settings: Settings, address: Address) -> list[Finding]:
    if settings.info.get("role") == "slave":
        return [
            Finding(
                "danger",
                "redis_is_replica",
                "This server is a replica: nothing can be written.",
                "Point the store's URL at the primary.",
            )
        ]
    wanted = address.replicas or 0
    if wanted > settings.replicas:
        return [
            Finding(
                "danger",
                "redis_replicas",
                f"Writes wait for {wanted} replica(s) and {settings.replicas} are connected: none is acknowledged.",
                "Connect the replicas, or lower ?replicas= in the store's URL.",
            )
        ]
    if settings.replicas and address.replicas == 0:
        return [
            Finding(
                "warning",
                "redis_replicas",
                "There are replicas, but writes don't wait for them: a failover loses the newest acknowledged steps.",
                "Write ?replicas=1 in the store's URL.",
            )
        ]
    return []


def _of_layout(config: Mapping[str, str]) -> list[Finding]:
    found = []
    if int(config.get("stream-node-max-bytes", NODE_BYTES)) > NODE_BYTES:
        found.append(
            Finding(
                "warning",
                "redis_stream_nodes",
                "Each short journal takes four times the memory that it needs.",
                _set("stream-node-max-bytes", str(NODE_BYTES)),
            )
        )
    if not config.get("save", ""):
        found.append(
            Finding(
                "warning",
                "redis_no_snapshots",
                "Redis writes no snapshots (RDB): the append-only file is the only copy, with nothing to back up from.",
                _set("save", "300 100"),
            )
        )
    return found


async def fix(wire: Wire, found: list[Finding]) -> None:
    """Apply what ``CONFIG SET`` can, and keep it over a restart where the server has a configuration file."""
    for finding in found:
        if finding.fix.startswith("CONFIG SET "):
            _, _, name, value = finding.fix.split(" ", 3)
            await wire.ask(("CONFIG", "SET", name, value))
    try:
        await wire.ask(("CONFIG", "REWRITE"))
    except Exception as error:
        if not isinstance(error.__cause__, redis.ResponseError):
            raise
