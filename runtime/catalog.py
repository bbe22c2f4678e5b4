"""What the store knows of packages, artifacts and aliases: the shelf that a start reads and never locks.

All of it lies in documents::

    package    name@version                 its manifest, from which flows are compiled
    artifact   graph_id                     its canonical bytes; never changes
    owned      account/graph_id             that the account may run it, and where it came from: source, positions
    alias      account/name                 the artifact a name stands for, with the history of its moves

An artifact's bytes are their own name, so plans are kept in memory once read and never looked at again. Source and
canvas positions are an account's own and lie with its claim to the artifact, not with the artifact: two accounts whose
flows mean the same share the bytes and see nothing of each other.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from axiom.compiler.artifact import Artifact, Plan, canonical, thaw
from axiom.compiler.compile import Flows
from axiom.compiler.model import FlowRef

from .events import pack_value, unpack_value
from .store.base import Document, Store

PLANS_KEPT: Final = 1_024
"""Plans and claims that a process keeps in memory, per store."""
HISTORY_KEPT: Final = 200
"""Moves that an alias remembers: what a rollback can reach."""
MOVE_TRIES: Final = 20

K = TypeVar("K")
V = TypeVar("V")


class UnknownArtifact(LookupError):
    """There is no such artifact, or it is another account's."""

    code = "unknown_artifact"

    def __init__(self, graph_id: str) -> None:
        super().__init__(f"there is no artifact {graph_id!r}")


class UnknownAlias(LookupError):
    """The account has no alias of that name."""

    code = "unknown_alias"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no flow of the name {name!r}")


class UnknownMove(LookupError):
    """The alias has no such earlier move to go back to."""

    code = "unknown_alias_version"


class AliasMoved(RuntimeError):
    """Someone moved the alias first: look again. ``version`` is the present one."""

    code = "alias_moved"

    def __init__(self, name: str, version: int) -> None:
        self.version = version
        super().__init__(f"{name} has been moved meanwhile: it is at version {version}")


class PackageTaken(RuntimeError):
    """A published version never changes."""

    code = "package_taken"


class Move(NamedTuple):
    """One step of an alias. ``version`` counts from 1."""

    version: int
    graph_id: str
    at: int
    by: str
    reason: str
    """``move`` or ``rollback``."""


class Alias(NamedTuple):
    """A name and what it stands for; ``history`` is newest first and begins with the present."""

    name: str
    graph_id: str
    version: int
    history: tuple[Move, ...]

    @property
    def moved_at(self) -> int:
        return self.history[0].at


class Held(NamedTuple):
    """An artifact as its account sees it."""

    graph_id: str
    plan: Plan
    content: bytes
    source: str
    positions: Mapping[str, Any]
    description: str
    created_at: int


class _Cache:
    """What a process has read of one store and can't change: bounded, oldest use first out."""

    def __init__(self) -> None:
        self.plans: OrderedDict[str, Plan] = OrderedDict()
        self.owned: OrderedDict[tuple[str, str], None] = OrderedDict()


_CACHES: Final[WeakKeyDictionary[Store, _Cache]] = WeakKeyDictionary()


def _cache(store: Store) -> _Cache:
    found = _CACHES.get(store)
    if found is None:
        found = _CACHES[store] = _Cache()
    return found


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> V:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > PLANS_KEPT:
        kept.popitem(last=False)
    return value


# --- packages -------------------------------------------------------------------------------------------------------


async def publish_package(store: Store, manifest: Mapping[str, Any], replace: bool = False) -> str:
    """Keep a package's manifest (``name``, ``version``, …) and return ``name@version``.

    ``PackageTaken`` if that version was published with other content; ``replace`` (development) overwrites it.
    """
    key = f"{manifest['name']}@{manifest['version']}"
    value = canonical(manifest)
    if replace:
        held = await store.get("package", key)
        if held is None or held.value != value:
            await store.put("package", key, value)
        return key
    if await store.put("package", key, value, expect=0) is None:
        held = await store.get("package", key)
        if held is not None and held.value != value:
            raise PackageTaken(f"{key} is published with other content; a new version needs a new number")
    return key


async def package(store: Store, name: str, version: str) -> Mapping[str, Any] | None:
    """Return a published package's manifest."""
    found = await store.get("package", f"{name}@{version}")
    return None if found is None else _mapping(found)


async def packages(store: Store) -> list[Mapping[str, Any]]:
    """Return the manifests of every published package."""
    return [_mapping(found) for found in await every(store, "package")]


# --- artifacts ------------------------------------------------------------------------------------------------------


async def store_artifact(
    store: Store,
    account: str,
    artifact: Artifact,
    *,
    source: str = "",
    positions: Mapping[str, Any] | None = None,
    description: str = "",
) -> str:
    """Keep an artifact, make it the account's, and return its ``graph_id``."""
    graph_id = artifact.graph_id
    await store.put("artifact", graph_id, artifact.content, expect=0)
    claim = {"source": source, "positions": dict(positions or {}), "description": description}
    held = await store.get("owned", f"{account}/{graph_id}")
    if held is None or {**unpack_value(held.value), "created_at": 0} != {**claim, "created_at": 0}:
        created = store.now() if held is None else unpack_value(held.value)["created_at"]
        await store.put("owned", f"{account}/{graph_id}", pack_value({**claim, "created_at": created}))
    _keep(_cache(store).plans, graph_id, artifact.plan)
    return graph_id


async def load_plan(store: Store, graph_id: str) -> Plan:
    """Return the plan of an artifact, whoever owns it: for workers. ``UnknownArtifact``, ``ArtifactDamaged``."""
    plans = _cache(store).plans
    plan = plans.get(graph_id)
    if plan is not None:
        return plan
    found = await store.get("artifact", graph_id)
    if found is None:
        raise UnknownArtifact(graph_id)
    return _keep(plans, graph_id, thaw(graph_id, found.value))


async def readable_plan(store: Store, graph_id: str) -> Plan | None:
    """Return the plan of an artifact; ``None`` if it is gone, or this version can't read it."""
    try:
        return await load_plan(store, graph_id)
    except (UnknownArtifact, ValueError):
        return None


async def owned_plan(store: Store, account: str, graph_id: str) -> Plan:
    """Return the plan of one of the account's artifacts: for doors. ``UnknownArtifact``, also for another's."""
    owned = _cache(store).owned
    if (account, graph_id) not in owned:
        if await store.get("owned", f"{account}/{graph_id}") is None:
            raise UnknownArtifact(graph_id)
        _keep(owned, (account, graph_id), None)
    return await load_plan(store, graph_id)


async def artifact(store: Store, account: str, graph_id: str) -> Held:
    """Return one of the account's artifacts with all that is known of it. ``UnknownArtifact``."""
    claim = await store.get("owned", f"{account}/{graph_id}")
    found = await store.get("artifact", graph_id)
    if claim is None or found is None:
        raise UnknownArtifact(graph_id)
    told = unpack_value(claim.value)
    plan = await load_plan(store, graph_id)
    return Held(
        graph_id,
        plan,
        found.value,
        told["source"],
        told["positions"],
        told["description"],
        told["created_at"],
    )


# --- aliases --------------------------------------------------------------------------------------------------------


async def alias(store: Store, account: str, name: str) -> Alias:
    """Return an alias with its history. ``UnknownAlias``."""
    found = await store.get("alias", f"{account}/{name}")
    if found is None:
        raise UnknownAlias(name)
    return _alias(name, found)


async def aliases(store: Store, account: str) -> list[Alias]:
    """Return all of the account's aliases, by name."""
    prefix = f"{account}/"
    return [_alias(found.key.removeprefix(prefix), found) for found in await every(store, "alias", prefix)]


async def resolve_alias(store: Store, account: str, name: str) -> str:
    """Return the ``graph_id`` that a name stands for now. ``UnknownAlias``."""
    return (await alias(store, account, name)).graph_id


async def stored_flows(store: Store, account: str, names: Iterable[str]) -> Flows:
    """Return what finds those of ``names`` (aliases, graph ids) that the account has, for flows that contain them."""
    found: dict[str, FlowRef] = {}
    for name in names:
        try:
            graph_id = await resolve_alias(store, account, name)
        except UnknownAlias:
            graph_id = name
        try:
            found[name] = FlowRef(graph_id, await owned_plan(store, account, graph_id))
        except UnknownArtifact:
            continue
    return found.get


async def move_alias(
    store: Store,
    account: str,
    name: str,
    graph_id: str,
    *,
    by: str = "",
    expect: int | None = None,
    reason: str = "move",
) -> Alias:
    """Let a name stand for one of the account's artifacts, and record it. A move to where it stands changes nothing.

    ``expect``: the version it must have now (0: none yet), else ``AliasMoved``. ``UnknownArtifact``.
    """
    await owned_plan(store, account, graph_id)
    key = f"{account}/{name}"
    for _ in range(MOVE_TRIES):
        found = await store.get("alias", key)
        now = _alias(name, found) if found is not None else Alias(name, "", 0, ())
        if expect is not None and now.version != expect:
            raise AliasMoved(name, now.version)
        if now.graph_id == graph_id:
            return now
        move = Move(now.version + 1, graph_id, store.now(), by, reason)
        after = Alias(name, graph_id, move.version, (move, *now.history)[:HISTORY_KEPT])
        value = pack_value([list(step) for step in after.history])
        if await store.put("alias", key, value, expect=found.version if found else 0) is not None:
            return after
    raise AliasMoved(name, now.version)


async def roll_back_alias(
    store: Store,
    account: str,
    name: str,
    *,
    to: int | None = None,
    by: str = "",
    expect: int | None = None,
) -> Alias:
    """Move a name back to where it stood at version ``to``, by default at the one before. The same recorded call.

    ``UnknownAlias``, ``UnknownMove`` if there is nothing to go back to, ``AliasMoved``.
    """
    now = await alias(store, account, name)
    wanted = now.version - 1 if to is None else to
    target = next((move for move in now.history if move.version == wanted), None)
    if target is None:
        raise UnknownMove(f"{name} has no version {wanted} to go back to")
    return await move_alias(
        store,
        account,
        name,
        target.graph_id,
        by=by,
        expect=now.version if expect is None else expect,
        reason="rollback",
    )


# --- reading --------------------------------------------------------------------------------------------------------


async def every(store: Store, kind: str, prefix: str = "") -> list[Document]:
    """Return all documents of a kind, in key order."""
    out: list[Document] = []
    after = ""
    while True:
        page = await store.documents(kind, prefix, after)
        out.extend(page)
        if not page:
            return out
        after = page[-1].key


def _alias(name: str, found: Document) -> Alias:
    history = tuple(Move(*step) for step in unpack_value(found.value))
    return Alias(name, history[0].graph_id, history[0].version, history)


def _mapping(found: Document) -> Mapping[str, Any]:
    value: Mapping[str, Any] = unpack_value(found.value)
    return value
