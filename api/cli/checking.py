"""``axiom verify`` and ``axiom doctor``: is what is stored right, and is what it stands on sound."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from axiom.runtime.store.base import Finding, Store, StoreError

from ..settings import Settings
from . import exits, output
from .target import must_exist, target_options

MARKS: Final = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "danger": ("✗", "red")}
OLDEST_PYTHON: Final = (3, 11)

as_json = click.option("--json", "json_", is_flag=True, help="Print JSON.")


class Checked(NamedTuple):
    """What a verification found."""

    executions: int
    violations: list[dict[str, Any]]


@click.command()
@click.argument("execution_ids", nargs=-1)
@as_json
@target_options
def verify(settings: Settings, execution_ids: tuple[str, ...], json_: bool) -> int:
    """Check stored histories against what the engine promises.

    Without ids it walks the whole store. It reads the store itself, so it takes --store and no --url.

    \b
    Example:
      axiom verify --store sqlite:///.axiom/axiom.db
    """
    checked = asyncio.run(_verify(settings, execution_ids))
    if json_:
        found = checked.violations
        output.as_json({"ok": not found, "checked": checked.executions, "violations": found})
    else:
        for violation in checked.violations:
            output.data(
                "\t".join(
                    output.clean(violation[name]) for name in ("execution_id", "seq", "code", "message")
                )
            )
        output.note(f"{checked.executions} executions checked, {len(checked.violations)} violations")
    return exits.FAILED if checked.violations else exits.DONE


@click.command()
@click.option("--fix", is_flag=True, help="Mend what can be mended from here.")
@as_json
@target_options
def doctor(settings: Settings, fix: bool, json_: bool) -> int:
    """Check this installation and the store's settings.

    \b
    Example:
      axiom doctor --store redis://localhost:6379/0 --fix
    """
    findings = [*of_machine(), *asyncio.run(of_store(settings, fix))]
    if json_:
        output.as_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            mark, colour = MARKS[finding.level]
            output.data(f"{click.style(mark, fg=colour)} {finding.message}")
            if finding.fix:
                output.data(f"  {finding.fix}")
    return exits.FAILED if any(finding.level == "danger" for finding in findings) else exits.DONE


async def _verify(settings: Settings, execution_ids: tuple[str, ...]) -> Checked:
    from axiom.compiler.errors import ArtifactDamaged
    from axiom.runtime import verify as checker
    from axiom.runtime.catalog import UnknownArtifact, load_plan
    from axiom.runtime.topology import Topology

    topologies: dict[str, Topology | None] = {}
    async with opened(settings) as store:

        async def topology_of(graph_id: str) -> Topology | None:
            if graph_id not in topologies:
                try:
                    topologies[graph_id] = Topology(await load_plan(store, graph_id))
                except (UnknownArtifact, ArtifactDamaged):
                    topologies[graph_id] = None
            return topologies[graph_id]

        violations = [
            found._asdict() async for found in checker.verify(store, topology_of, execution_ids or None)
        ]
        return Checked(len(execution_ids) or await _count(store), violations)


async def _count(store: Store) -> int:
    total, after = 0, ""
    while heads := await store.scan(after):
        total += len(heads)
        after = heads[-1].execution_id
    return total


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Store]:
    """The store of the settings, open; a store in a file must be there."""
    from axiom.runtime.store.opening import open_store

    if settings.url:
        raise exits.usage("this reads a store: give --store, not --url")
    must_exist(settings.store)
    store = open_store(settings.store)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def of_machine() -> list[Finding]:
    """What this Python and this folder are fit for."""
    version = ".".join(map(str, sys.version_info[:3]))
    fits = sys.version_info >= OLDEST_PYTHON
    folder = Path.cwd()
    writable = _writable(folder)
    return [
        Finding(
            "ok" if fits else "danger",
            "python",
            f"Python {version}",
            "" if fits else "3.11 or newer is needed",
        ),
        Finding(
            "ok" if writable else "warning",
            "folder",
            f"{folder} can {'' if writable else 'not '}be written to",
            "" if writable else "give --store: the default store lies in this folder",
        ),
    ]


def _writable(folder: Path) -> bool:
    from tempfile import TemporaryFile

    try:
        with TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


async def of_store(settings: Settings, fix: bool) -> list[Finding]:
    """What the store says of itself; ``fix`` lets it mend what it can."""
    try:
        async with opened(settings) as store:
            mend = getattr(store, "mend", None)
            mended: list[str] = await mend() if fix and mend is not None else []
            done = [Finding("ok", "mended", f"mended: {line}") for line in mended]
            return [
                Finding("ok", "store", f"the store {settings.store} answers"),
                *done,
                *await store.findings(),
            ]
    except exits.Stop as stop:
        return [Finding("warning", "store", str(stop), stop.hint)]
    except StoreError as error:
        return [Finding("danger", error.code, f"the store {settings.store}: {error}")]
