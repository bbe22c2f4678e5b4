"""``axiom worker``: a process that executes the nodes of packages.

SIGTERM drains it: it claims no more, parks each execution at its next checkpoint, and ends its session, so that others
go on at once. The fork server of its child processes starts before the event loop, which is why settings and packages
are read outside of it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from axiom.compiler.errors import CompileFailed
from axiom.compiler.package import load_package
from axiom.runtime import telemetry
from axiom.runtime.catalog import PackageTaken, publish_package
from axiom.runtime.clock import SystemClock
from axiom.runtime.local import LocalWorker
from axiom.runtime.redaction import keep_clean
from axiom.runtime.store.base import Store

from ..loops import run_loop
from ..sealing import keys_of, take_environment
from ..settings import Settings, load
from . import exits, output
from .compiling import report
from .embedded import opened_store
from .serving import until_told

DRAIN_SECONDS: Final = 25.0
"""How long a drain waits for nodes to end; a supervisor waits a little longer before it kills."""


@click.command()
@click.argument("directories", nargs=-1, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--store", help="Where executions live (AXIOM_STORE).")
@click.option(
    "--pool", "pools", multiple=True, default=("default",), show_default=True, help="May be repeated."
)
@click.option(
    "--concurrency", type=click.IntRange(1), help="Executions in flight (AXIOM_MAX_CONCURRENT_EXECUTIONS)."
)
@click.option("--name", default="", help="Its name in lists and events; made up by default.")
@click.option("--lifeline", is_flag=True, hidden=True, help="End when stdin does: its supervisor is gone.")
@click.option("--config", type=click.Path(path_type=Path), help="A file of settings (AXIOM_CONFIG).")
def worker(
    directories: tuple[Path, ...],
    store: str | None,
    pools: tuple[str, ...],
    concurrency: int | None,
    name: str,
    lifeline: bool,
    config: Path | None,
) -> int:
    """Run a worker, which executes the nodes of packages.

    DIRECTORIES are package folders; this one by default. It runs only what its code's digest fits.

    \b
    Example:
      axiom worker orders/ payments/ --store redis://localhost:6379/0 --pool default --pool gpu
    """
    settings = load({"store": store, "max_concurrent_executions": concurrency}, file=config)
    if settings.store.startswith("memory:"):
        raise exits.usage("memory: is one process's own", "give --store sqlite:///… or redis://…")
    name = name or f"worker-{os.getpid()}"
    directories = directories or (Path(),)
    keep_clean()
    telemetry.configure_logging(settings.log_level, worker=name)
    try:
        local = LocalWorker(
            directories,
            SystemClock(),
            pools=pools,
            process_slots=settings.process_slots,
            keys=keys_of(settings),
            secrets=take_environment(),
        )
    except CompileFailed as error:
        report(error.diagnostics)
        raise exits.failed("a package has errors") from error
    return run_loop(_work(local, directories, settings, name, lifeline))


async def _publish(store: Store, directories: Sequence[Path]) -> None:
    """Let servers compile against these packages. What was published with other code stays, and is told."""
    for folder in directories:
        try:
            await publish_package(store, load_package(folder).manifest())
        except PackageTaken as error:
            output.note(
                f"warning: {error}: runs that were compiled for it stay with workers that have its code"
            )


async def _work(
    local: LocalWorker, directories: Sequence[Path], settings: Settings, name: str, lifeline: bool
) -> int:
    async with opened_store(settings.store) as store:
        if not lifeline:
            await _publish(store, directories)
        await local.start(
            store,
            name=name,
            concurrency=settings.max_concurrent_executions,
            weights=settings.weights,
            lease_ms=settings.lease_duration_ms,
            stall_seconds=settings.worker_timeout_ms / 1000,
        )
        if not lifeline:
            output.note(f"{name} serves {', '.join(local.packages.digests)} from {settings.store}")
        told = asyncio.ensure_future(until_told())
        ends = {told, asyncio.ensure_future(end_of_stdin())} if lifeline else {told}
        done, rest = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        await local.stop(DRAIN_SECONDS if told in done else 0.0)
    return exits.DONE


async def end_of_stdin() -> None:
    """Return when the other end of stdin is closed."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(4096):
        pass
