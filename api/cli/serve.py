"""``axiom serve``: the server of a deployment. Workers are processes of their own, elsewhere or beside it."""

from __future__ import annotations

from pathlib import Path

import click

from axiom.runtime import telemetry

from ..loops import run_loop
from ..settings import Settings, load
from . import exits, output
from .embedded import opened_store
from .serving import bind, serving, until_told


@click.command()
@click.option("--host", help="The address to listen on (AXIOM_HOST); 127.0.0.1 by default.")
@click.option("--port", type=click.IntRange(0, 65535), help="The port (AXIOM_PORT); 4000 by default.")
@click.option("--store", help="Where executions live (AXIOM_STORE).")
@click.option("--config", type=click.Path(path_type=Path), help="A file of settings (AXIOM_CONFIG).")
def serve(host: str | None, port: int | None, store: str | None, config: Path | None) -> int:
    """Run the server: HTTP, webhooks, retention. Never runs user code.

    Every call needs a key: axiom keys create --name NAME. SIGTERM ends it in order; runs go on elsewhere.

    \b
    Example:
      axiom serve --host 0.0.0.0 --store redis://localhost:6379/0
    """
    settings = load({"host": host, "port": port, "store": store}, file=config)
    if settings.store.startswith("memory:"):
        raise exits.usage(
            "memory: is one process's own, and a server has no workers",
            "give --store sqlite:///… or redis://…",
        )
    telemetry.configure_logging(settings.log_level)
    return run_loop(_serve(settings))


async def _serve(settings: Settings) -> int:
    listener = bind(settings.host, settings.port)
    async with opened_store(settings.store) as store, serving(store, settings, listener):
        host, port = listener.getsockname()[:2]
        output.note(f"axiom serves {settings.store} on http://{host}:{port}")
        await until_told()
    return exits.DONE
