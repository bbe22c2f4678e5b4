"""Whatever is sent anywhere, the answer is one of ours: never a 500, and every refusal a problem document."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

import httpx
from http_kit import plan
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.routing import Route

from axiom.api.app import ROUTES, create_app
from axiom.api.auth import LOCAL, SCOPE_KEY
from axiom.api.errors import PROBLEMS
from axiom.api.settings import Settings
from axiom.compiler.artifact import freeze
from axiom.runtime import catalog
from axiom.runtime.store.memory import MemoryStore

GRAPH_ID = freeze(plan(input_=True)).graph_id
STREAMING = ("/stream", "/live")

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
names = st.sampled_from(
    [
        "graph_id",
        "flow",
        "input",
        "wait",
        "timeout_seconds",
        "webhook",
        "config_id",
        "name",
        "scopes",
        "expires_in_seconds",
        "to",
        "expect_version",
        "nodes",
        "edges",
        "key",
        "url",
    ]
)
likely = st.sampled_from([GRAPH_ID, "acme/fulfil", True, 0, 0.01, {"url": "http://8.8.8.8/"}, ["read"], "a"])
bodies = st.one_of(
    st.dictionaries(names, likely | values, max_size=6).map(lambda body: json.dumps(body).encode()),
    values.map(lambda body: json.dumps(body).encode()),
    st.binary(max_size=60),
)
routes = st.sampled_from(
    [
        (method, route.path)
        for route in ROUTES
        if isinstance(route, Route) and not route.path.endswith(STREAMING)
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]
)
segments = st.one_of(
    st.sampled_from([GRAPH_ID, "0" * 32, "acme/fulfil", "default"]), st.text(min_size=1, max_size=12)
)
queries = st.dictionaries(
    st.sampled_from(
        [
            "status",
            "flow",
            "graph_id",
            "from",
            "to",
            "q",
            "limit",
            "cursor",
            "after",
            "node",
            "dead",
            "timeout_seconds",
            "x",
        ]
    ),
    st.text(max_size=12) | st.integers().map(str),
    max_size=3,
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(["application/json", "application/yaml", "text/plain", "x"]),
        "idempotency-key": st.text("abc \x7f", max_size=5),
        "last-event-id": st.text("0123456789-x", max_size=6),
        "traceparent": st.text("0123456789abcdef-", max_size=60),
    },
)


@settings(max_examples=300)
@given(routes, st.lists(segments, min_size=4, max_size=4), bodies, queries, headers)
def test_no_request_breaks_a_door(
    route: tuple[str, str],
    parts: list[str],
    body: bytes,
    query: dict[str, str],
    given_headers: dict[str, str],
) -> None:
    method, path = route
    for part in parts:
        start, brace, rest = path.partition("{")
        if brace:
            path = start + quote(part, safe="") + rest.partition("}")[2]

    async def case() -> None:
        store = MemoryStore()
        await store.open()
        app = create_app(store, Settings())
        await catalog.store_artifact(store, "default", freeze(plan(input_=True)))
        await catalog.move_alias(store, "default", "acme/fulfil", GRAPH_ID)

        async def inside(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, SCOPE_KEY: LOCAL}, receive, send)

        sent = {name: value.strip() for name, value in given_headers.items()}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(inside), base_url="http://local"
        ) as client:
            answer = await client.request(method, path, content=body, params=query, headers=sent)
        await store.close()
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400 and answer.headers["content-type"].startswith("text/html"):
            assert not path.startswith(("/invocations/", "/console/v1"))  # a page for people
        elif answer.status_code >= 400:
            assert PROBLEMS[answer.json()["code"]][0] == answer.status_code
            assert answer.headers["content-type"] == "application/problem+json"

    asyncio.run(case())
