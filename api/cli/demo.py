"""``axiom demo``: the whole of it before the reader's eyes, in a minute, with nothing pretended.

A server in this process, workers in processes of their own, an embedded store in a folder of the demo's; what is shown
is what came back over HTTP, and the times are measured. Each chapter is one function of ``demo_chapters.py``; one that
finds something otherwise than promised ends the demo with exit code 1.
"""

from __future__ import annotations

import shutil
import tempfile
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

import click

from ..settings import DEFAULT_STORE, Settings, load
from . import exits, output

EXAMPLES: Final = ("greeting", "orders", "word-counts")
WORKERS: Final = 2


@click.command()
@click.option("--exit", "exit_", is_flag=True, help="End when it has been shown, and leave nothing behind.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="The server's port; 4000, or a free one if that is taken."
)
@click.option("--store", help="Another store than an embedded one of its own.")
def demo(exit_: bool, port: int | None, store: str | None) -> int:
    """Show it all: compile, run, stream, kill a worker and see the run finish.

    \b
    Example:
      axiom demo
      axiom demo --exit
    """
    from axiom.runtime import telemetry

    from ..loops import run_loop

    telemetry.configure_logging("error", console=True)
    folder = Path(tempfile.mkdtemp(prefix="axiom-demo-"))
    try:
        with as_file(files("axiom.examples")) as source:
            for name in EXAMPLES:
                leftovers = shutil.ignore_patterns("__pycache__", ".axiom")
                shutil.copytree(source / name, folder / name, ignore=leftovers)
        settings = load({"dev": True, "port": port, "store": store})
        if settings.store == DEFAULT_STORE:
            settings = load({"dev": True, "port": port, "store": f"sqlite:///{folder}/demo.db"})
        return run_loop(_demo(settings, folder, port is None, exit_))
    finally:
        if exit_:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            output.note(f"its files stay in {folder}")


async def _demo(settings: Settings, folder: Path, any_port: bool, exit_: bool) -> int:
    import asyncio

    import httpx

    from .demo_chapters import Broken, Stage, tell
    from .dev import Tree, dev_key
    from .embedded import opened_store
    from .serving import bind, serving, until_told
    from .target import ANSWER_SECONDS, Target

    try:
        listener = bind(settings.host, settings.port)
    except exits.Stop:
        if not any_port:
            raise
        listener = bind(settings.host, 0)
    told = asyncio.ensure_future(until_told())
    url = f"http://localhost:{listener.getsockname()[1]}"
    async with opened_store(settings.store) as store, serving(store, settings, listener):
        tree = Tree(store, settings, [folder / name for name in EXAMPLES], WORKERS, quiet=True)
        key = await dev_key(store, folder / "key")
        client = httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=ANSWER_SECONDS
        )
        try:
            async with client:
                stage = Stage(Target(client, url), tree, store, url, key, folder, {})
                story = asyncio.ensure_future(tell(stage))
                await asyncio.wait({story, told}, return_when=asyncio.FIRST_COMPLETED)
                if not story.done():
                    story.cancel()
                    return exits.DONE
                story.result()
            if not exit_:
                output.note("\nCtrl-C ends it.")
                await told
        except Broken as error:
            raise exits.failed(f"this is not as it should be: {error}") from error
        finally:
            told.cancel()
            await tree.stop()
    return exits.DONE
