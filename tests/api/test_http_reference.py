"""The reference of HTTP names every code and every route, and none that isn't there."""

from __future__ import annotations

import re
from pathlib import Path

from starlette.routing import Route

from axiom.api.app import ROUTES
from axiom.api.auth import SCOPES
from axiom.api.errors import EXPECTED, PROBLEMS, Problem
from axiom.api.guards import AT_ONCE, HEADER_BYTES, HEADER_COUNT
from axiom.api.wire import DEPTH

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "http.md"


def test_every_error_code_is_explained_with_its_status_and_none_is_invented() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d{3}) \|", PAGE.read_text(), re.M))
    assert rows == {code: str(status) for code, (status, _) in PROBLEMS.items()}


def test_what_the_rooms_below_raise_has_a_code_of_the_list() -> None:
    for error in EXPECTED:
        code = getattr(error, "code", None)
        assert error is Problem or not isinstance(code, str) or code in PROBLEMS, error


def test_every_route_is_named() -> None:
    text = PAGE.read_text()
    for route in ROUTES:
        assert isinstance(route, Route)
        if route.path.startswith("/assets"):
            continue
        last = re.sub(r"\{(\w+)(:path)?\}", r"{\1}", route.path)
        tail = "/" + last.rstrip("/").split("/")[-1]
        spelled = {"{node}": "{Node}", "{key_id}": "{id}"}
        for ours, theirs in spelled.items():
            tail = tail.replace(ours, theirs)
        assert tail in text, route.path


def test_scopes_and_bounds_are_those_of_the_code() -> None:
    text = PAGE.read_text()
    assert all(f"`{scope}`" in text for scope in SCOPES)
    assert f"nested to {DEPTH}" in text
    assert f"headers {HEADER_BYTES >> 10} KiB, {HEADER_COUNT} of them" in text
    assert f"{AT_ONCE:,} requests at once" in text
