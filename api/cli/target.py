"""What a command talks to: a server by its URL, or the application over a store that this process opens.

Both are reached through one HTTP client, so a command is written once. Problem documents become one line on stderr and
the exit code of their status; a command that wants to treat one itself asks for it with ``accept``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from ..settings import Settings, load
from . import exits

if TYPE_CHECKING:
    import httpx

ANSWER_SECONDS: Final = 30.0
"""How long a server may take to answer, waits of its own not counted."""


class Event(NamedTuple):
    """One server-sent event."""

    id: str
    data: Any


class Target:
    """A server, or a store that is served to us alone."""

    def __init__(self, client: httpx.AsyncClient, where: str) -> None:
        self.client: Final = client
        self.where: Final = where

    async def get(self, path: str, **params: Any) -> Any:
        return await self.call("GET", path, params=params)

    async def post(self, path: str, body: Any = None, **options: Any) -> Any:
        return await self.call("POST", path, json=body, **options)

    async def call(self, method: str, path: str, *, accept: tuple[int, ...] = (), **options: Any) -> Any:
        """Return the JSON answer; ``Stop`` for a problem, unless ``accept`` names its status."""
        import httpx

        if params := options.get("params"):
            options["params"] = {name: value for name, value in params.items() if value not in (None, (), [])}
        try:
            answer = await self.client.request(method, path, **options)
        except httpx.TransportError as error:
            raise self.gone(error) from error
        if answer.status_code >= 400 and answer.status_code not in accept:
            raise problem(answer.status_code, answer.content, self.where)
        return answer.json() if answer.content else None

    @asynccontextmanager
    async def events(self, method: str, path: str, **options: Any) -> AsyncIterator[AsyncIterator[Event]]:
        """Open a stream of server-sent events."""
        import httpx

        headers = {"Accept": "text/event-stream", **options.pop("headers", {})}
        timeout = httpx.Timeout(ANSWER_SECONDS, read=None)
        try:
            async with self.client.stream(
                method, path, headers=headers, timeout=timeout, **options
            ) as answer:
                if answer.status_code >= 400:
                    raise problem(answer.status_code, await answer.aread(), self.where)
                yield read_events(answer.aiter_lines())
        except httpx.TransportError as error:
            raise self.gone(error) from error

    def gone(self, error: Exception) -> exits.Stop:
        return exits.away(
            f"{self.where} can't be reached: {str(error) or type(error).__name__}", "is axiom dev running?"
        )


async def read_events(lines: AsyncIterator[str]) -> AsyncIterator[Event]:
    """Return the events of a stream's lines; comments are left out, data is JSON."""
    name, data = "", ""
    async for line in lines:
        if not line:
            if data:
                yield Event(name, json.loads(data))
            name, data = "", ""
        elif line.startswith("data:"):
            data += line[5:].removeprefix(" ")
        elif line.startswith("id:"):
            name = line[3:].strip()


def problem(status: int, content: bytes, where: str) -> exits.Stop:
    """Return the end of a command that a problem document (RFC 9457) stands for."""
    try:
        document = json.loads(content)
        assert isinstance(document, Mapping)
    except (ValueError, AssertionError):
        document = {}
    said = document.get("detail") or document.get("title") or f"{where} answered {status}"
    violations = document.get("violations") or document.get("errors") or []
    lines = [
        f"{item.get('path', '')}: {item.get('message', item)}"
        for item in violations
        if isinstance(item, Mapping)
    ]
    message = "; ".join([str(said), *lines])
    if status == 404:
        return exits.not_found(message)
    if status in (401, 403):
        return exits.usage(message, "give a key: --key, AXIOM_API_KEY, or axiom keys create --name me")
    if status in (429, 502, 503, 504):
        return exits.away(message)
    return exits.Stop(message, exits.USAGE if status in (400, 409, 413, 415, 422) else exits.FAILED)


@asynccontextmanager
async def reach(settings: Settings, *, create: bool = False) -> AsyncIterator[Target]:
    """Reach the server of the settings, or their store. ``create``: a store that isn't there may be made."""
    import httpx

    async with AsyncExitStack() as stack:
        if settings.url:
            headers = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
            client = httpx.AsyncClient(base_url=settings.url, headers=headers, timeout=ANSWER_SECONDS)
        else:
            from .embedded import application

            if not create:
                must_exist(settings.store)
            transport = await stack.enter_async_context(application(settings))
            client = httpx.AsyncClient(
                base_url="http://localhost", transport=transport, timeout=ANSWER_SECONDS
            )
        yield Target(await stack.enter_async_context(client), settings.url or settings.store)


def must_exist(store: str) -> None:
    """``Stop`` if a store in a file isn't there: reading makes none."""
    if (
        store.startswith("sqlite:///")
        and not Path(store.removeprefix("sqlite:///").partition("?")[0]).exists()
    ):
        raise exits.not_found(
            f"there is no store {store}", "axiom dev makes one; --store or --url names another"
        )


def target_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--url``, ``--key``, ``--store`` and ``--config`` to a command, which gets ``settings`` instead."""

    @click.option("--url", help="The server to talk to (AXIOM_URL).")
    @click.option("--key", "api_key", help="The API key to show it (AXIOM_API_KEY).")
    @click.option("--store", help="A store to open instead of a server (AXIOM_STORE).")
    @click.option("--config", type=click.Path(path_type=Path), help="A file of settings (AXIOM_CONFIG).")
    @wraps(function)
    def command(
        *args: Any, url: str | None, api_key: str | None, store: str | None, config: Path | None, **rest: Any
    ) -> Any:
        if url and store:
            raise exits.usage("--url and --store exclude each other")
        flags = {"url": "" if store and not url else url, "api_key": api_key, "store": store}
        return function(*args, settings=load(flags, file=config), **rest)

    return command
