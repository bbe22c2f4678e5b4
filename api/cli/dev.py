"""``axiom dev``: a package served on this machine, in one process tree.

This process holds the store and serves HTTP; it never imports what it serves. Worker processes do, under a crew that
replaces the dead. When a file changes, everything is compiled again: if it is sound it is published, names move to the
new artifacts and new workers take the place of the old, which drain; if it is not, the problems are shown and what ran
before goes on.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from axiom.compiler.artifact import Plan
from axiom.compiler.compile import subflow_names
from axiom.compiler.package import inspect_package
from axiom.runtime import telemetry
from axiom.runtime.catalog import stored_flows
from axiom.runtime.clock import SystemClock
from axiom.runtime.store.base import Store, StoreError

from .. import auth
from ..loops import run_loop
from ..settings import Settings, load
from . import exits, output
from .compiling import report
from .create import package_folder
from .embedded import opened_store
from .project import ACCOUNT, Project, publish, read_project
from .sample import sample
from .serving import bind, serving, until_told
from .supervise import Crew

KEY_FILE: Final = Path(".axiom/dev-key")
READY_SECONDS: Final = 60.0
"""How long the first workers may take until they are there."""
IGNORED: Final = frozenset({".axiom", ".venv", ".git", "__pycache__", "node_modules"})


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False), default=".")
@click.option("--host", help="The address to listen on (AXIOM_HOST); 127.0.0.1 by default.")
@click.option("--port", type=click.IntRange(0, 65535), help="The port (AXIOM_PORT); 4000 by default.")
@click.option("--store", help="Where executions live (AXIOM_STORE).")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Worker processes.")
@click.option("--config", type=click.Path(path_type=Path), help="A file of settings (AXIOM_CONFIG).")
def dev(
    directory: Path, host: str | None, port: int | None, store: str | None, workers: int, config: Path | None
) -> int:
    """Serve a package on this machine, and reload it when its files change.

    \b
    Example:
      axiom dev orders/ --port 4000 --workers 2
    """
    settings = load({"host": host, "port": port, "store": store, "dev": True}, file=config)
    if settings.store.startswith("memory:"):
        raise exits.usage(
            "memory: is one process's own, and dev is several", "leave --store out, or give sqlite:///…"
        )
    telemetry.configure_logging(
        "warning" if settings.log_level == "info" else settings.log_level, console=True
    )
    if config:
        os.environ["AXIOM_CONFIG"] = str(config.resolve())  # for the workers
    return run_loop(_dev(package_folder(directory), settings, workers))


async def _dev(folder: Path, settings: Settings, count: int) -> int:
    listener = bind(settings.host, settings.port)
    async with opened_store(settings.store) as store, serving(store, settings, listener):
        tree = Tree(store, settings, [folder], count)
        stopped = asyncio.ensure_future(until_told())
        watching = asyncio.ensure_future(_watch(folder, tree))
        try:
            await tree.publish()
            url = f"http://localhost:{listener.getsockname()[1]}"
            if tree.projects:
                await tree.start()
                await banner(store, settings, tree, url)
            else:
                output.note("nothing is served yet: mend the errors above, and it will be")
            await asyncio.wait({stopped, watching}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
        finally:
            watching.cancel()
            stopped.cancel()
            output.note("draining")
            await tree.stop()
    return exits.DONE


class Tree:
    """The projects that are served and the workers that run them."""

    def __init__(
        self, store: Store, settings: Settings, folders: Sequence[Path], count: int, quiet: bool = False
    ) -> None:
        self._store: Final = store
        self._quiet: Final = quiet
        self._folders: Final = tuple(folders)
        self.projects: tuple[Project, ...] = ()
        """As they were published last; empty until all were sound once."""
        self.crew: Final = Crew(worker_command(folders, settings), count, self._on_death, environment())
        self._started = False

    async def publish(self) -> bool:
        """Compile and publish; whether all was sound. Problems are shown either way."""
        projects = tuple([await self._read(folder) for folder in self._folders])
        for project in projects:
            report(project.diagnostics)
        if not all(project.sound for project in projects):
            return False
        for project in projects:
            await publish(self._store, project, by="dev", replace=True)
        self.projects = projects
        return True

    async def _read(self, folder: Path) -> Project:
        package, _ = inspect_package(folder)
        names = subflow_names(package.flows) if package is not None else ()
        flows = await stored_flows(self._store, ACCOUNT, names)
        return await asyncio.to_thread(read_project, folder, True, flows=flows)

    async def reload(self) -> None:
        """Take up what has changed, if it is sound."""
        if not await self.publish():
            output.note("what was there before goes on")
            return
        if self._started:
            await self.crew.renew()
        else:
            await self.start()
        flows = ", ".join(name for project in self.projects for name in project.graph_ids)
        output.note(f"reloaded {flows}")

    async def start(self) -> None:
        """Start the workers, and return when they are there."""
        self._started = True
        await self.crew.start()
        try:
            async with asyncio.timeout(READY_SECONDS):
                while len(self._ours(await self._store.sessions())) < self.crew.count:
                    await asyncio.sleep(0.03)
        except TimeoutError:
            raise exits.failed(f"the workers did not come up within {READY_SECONDS:g} s") from None

    async def stop(self) -> None:
        await self.crew.stop()

    async def _on_death(self, pid: int, code: int) -> None:
        """Free what a dead worker owned at once, instead of when its lease is over."""
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if not self._quiet:
            output.note(f"worker {pid} died ({how}); starting another")
        try:
            for session in await self._store.sessions():
                if session.info.get("pid") == pid and session.info.get("host") == os.uname().nodename:
                    await self._store.end_session(session.session)
        except StoreError as error:
            output.note(f"its session could not be ended: {error}")

    def _ours(self, sessions: Sequence[Any]) -> list[Any]:
        return [session for session in sessions if session.info.get("pid") in self.crew.pids]


def worker_command(folders: Sequence[Path], settings: Settings) -> list[str]:
    """The command line of a worker of ours."""
    command = [sys.executable, "-P", "-m", "axiom.api.cli.main", "worker", *map(str, folders), "--lifeline"]
    return [*command, "--store", settings.store, "--concurrency", str(settings.max_concurrent_executions)]


def environment() -> dict[str, str]:
    """What workers inherit: everything; their log is kept to warnings unless something else was asked for."""
    return {"AXIOM_LOG_LEVEL": "warning", **os.environ}


async def _watch(folder: Path, tree: Tree) -> None:
    """Reload whenever a file of the package has changed."""
    from watchfiles import awatch

    def matters(_change: Any, path: str) -> bool:
        return not IGNORED & set(Path(path).relative_to(folder).parts)

    async for _ in awatch(folder, watch_filter=matters, debounce=200, step=50):
        await tree.reload()


# --- what is shown ----------------------------------------------------------------------------------------------------


async def banner(store: Store, settings: Settings, tree: Tree, url: str) -> None:
    """Print where it is, a key, and a line that can be pasted."""
    key = await dev_key(store)
    workers = ", ".join(f"process {pid}" for pid in tree.crew.pids)
    output.fields({"server": url, "store": settings.store, "key": key, "workers": workers})
    plans = [flow.artifact.plan for project in tree.projects for flow in project.flows]
    for project in tree.projects:
        for name, graph_id in project.graph_ids.items():
            output.fields({"flow   ": f"{name}  {url}/registry/v1/artifacts/{graph_id}/docs"})
    for plan in plans[:1]:
        output.data(f"\n{curl(url, key, plan)}\n")
    output.note("Files are watched; Ctrl-C ends it.")


async def dev_key(store: Store, file: Path = KEY_FILE) -> str:
    """Return the key of this folder: the one that it had, if the store knows it still."""
    raw = kept_key(file)
    if raw:
        known = {key.key_id for key in await auth.keys(store, ACCOUNT) if not key.revoked}
        if auth.digest(raw)[:16] in known:
            return raw
    raw = await auth.create_key(store, SystemClock(), ACCOUNT, "dev")
    keep_key(file, raw)
    return raw


def kept_key(file: Path) -> str:
    return file.read_text().strip() if file.exists() else ""


def keep_key(file: Path, raw: str) -> None:
    """Write the key where its owner alone can read it."""
    file.parent.mkdir(exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(raw + "\n")


def curl(url: str, key: str, plan: Plan) -> str:
    """Return a line for a shell that starts the flow with an input that fits."""
    import json
    import shlex

    stream = plan.mode == "pipeline"
    body: dict[str, Any] = {"flow": plan.name, "input": sample(plan.messages.get(plan.input, True))}
    if not stream:
        body["wait"] = True
    path = "/invocations/v1/flows/invoke" + ("/stream" if stream else "")
    return (
        f"curl -s{'N' if stream else ''} -X POST {url}{path} -H 'Authorization: Bearer {key}' "
        f"-H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body))}"
    )
