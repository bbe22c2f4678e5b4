"""From a node to its function: which code, which function, where it runs, and what comes back."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from handler_kit import folder, node

from axiom.compiler.digest import digest
from axiom.runtime.context import Context
from axiom.runtime.failures import NodeFailure, failure_of
from axiom.runtime.handlers import Handler, HandlerBroken, HandlerMissing, Packages, WrongResult

MANIFEST = """
name: acme/orders
version: 1.0.0
language: python
messages: {Any: {type: object}}
nodes:
  - {name: Echo, input: Any, output: Any, handler: "nodes/echo.py:echo"}
"""


class Code(NamedTuple):
    name: str
    version: str
    digest: str


def read(where: Path) -> Code:
    """A package whose version is in a file, and whose digest is that of the folder."""
    name, _, version = (where / "name").read_text().partition("@")
    return Code(name, version or "1.0.0", digest(where))


def package(where: Path, name: str = "acme/orders", **files: str) -> Path:
    folder(where, **files)
    (where / "name").write_text(name)
    return where


def bind(where: Path, entry: str, **changes: Any) -> Handler:
    packages = Packages([where], read)
    return packages.handler(node(entry, digest=packages.digests["acme/orders@1.0.0"], **changes), False)


ECHO = "async def echo(ctx, input): return input"


def test_a_folder_with_a_manifest_is_a_package(tmp_path: Path) -> None:
    where = folder(tmp_path / "p", nodes__echo="async def echo(ctx, input): return {'got': input}")
    (where / "axiom.yaml").write_text(MANIFEST)
    packages = Packages([where])
    assert packages.digests == {"acme/orders@1.0.0": digest(where)}
    handler = packages.handler(node("nodes/echo.py:echo", digest=digest(where)), False)
    assert handler.isolation == "async"


def test_only_the_pinned_code_will_do(tmp_path: Path) -> None:
    where = package(tmp_path / "p", nodes__echo=ECHO)
    packages = Packages([where], read)
    have = packages.digests["acme/orders@1.0.0"]
    with pytest.raises(HandlerMissing) as missing:
        packages.handler(node("nodes/echo.py:echo", digest="other"), False)
    assert (missing.value.package, missing.value.wanted, missing.value.have) == (
        "acme/orders@1.0.0",
        "other",
        have,
    )
    with pytest.raises(HandlerMissing) as missing:
        packages.handler(node("nodes/echo.py:echo", package="acme/else"), True)
    assert missing.value.have == ""
    assert packages.holds("acme/orders@1.0.0", have)
    assert not packages.holds("acme/orders@1.0.0", "other")


def test_with_drift_other_code_and_another_version_will_do(tmp_path: Path) -> None:
    where = package(tmp_path / "p", nodes__echo=ECHO)
    packages = Packages([where], read)
    for changes in ({"digest": "other"}, {"version": "0.9.0"}, {"digest": ""}):
        found = packages.handler(node("nodes/echo.py:echo", **changes), drift=True)
        assert found.reference.digest == packages.digests["acme/orders@1.0.0"]
    with pytest.raises(HandlerMissing):
        packages.handler(node("nodes/echo.py:echo", version="0.9.0"), False)


KINDS = """
import functools

def plain(ctx, input): ...
async def asynchronous(ctx, input): ...
async def stream(ctx, frames): yield 1
def generator(ctx, input): yield 1

def decorated_by(function):
    @functools.wraps(function)
    async def wrapped(ctx, input): return await function(ctx, input)
    return wrapped

@decorated_by
async def decorated(ctx, input): ...

class Callable:
    async def __call__(self, ctx, input): ...
    def method(self, ctx, input): ...

instance = Callable()
method = instance.method
alias = plain
if True:
    async def conditional(ctx, input): ...

def inner(ctx, input):
    def helper(): yield 1
    return list(helper())

number = 5
"""


@pytest.mark.parametrize(
    ("function", "declared", "isolation"),
    [
        ("plain", "", "process"),
        ("plain", "thread", "thread"),
        ("plain", "process", "process"),
        ("asynchronous", "", "async"),
        ("asynchronous", "process", "process"),
        ("decorated", "", "async"),
        ("instance", "", "async"),
        ("method", "", "process"),
        ("alias", "", "process"),
        ("conditional", "", "async"),
        ("inner", "", "process"),
    ],
)
def test_where_a_handler_runs(tmp_path: Path, function: str, declared: str, isolation: str) -> None:
    where = package(tmp_path / "p", nodes__kinds=KINDS)
    assert bind(where, f"nodes/kinds.py:{function}", isolation=declared).isolation == isolation


@pytest.mark.parametrize(
    ("function", "changes", "code"),
    [
        ("plain", {"isolation": "async"}, "handler_isolation"),
        ("generator", {}, "handler_kind"),
        ("stream", {}, "handler_kind"),
        ("asynchronous", {"type": "pipeline"}, "handler_kind"),
        ("stream", {"type": "pipeline", "isolation": "process"}, "handler_isolation"),
        ("nowhere", {}, "handler_function_missing"),
        ("number", {}, "handler_function_missing"),
    ],
)
def test_what_is_no_handler_is_refused(
    tmp_path: Path, function: str, changes: dict[str, str], code: str
) -> None:
    where = package(tmp_path / "p", nodes__kinds=KINDS)
    with pytest.raises(HandlerBroken) as broken:
        bind(where, f"nodes/kinds.py:{function}", **changes)
    assert broken.value.code == code
    assert broken.value.place.file.endswith("kinds.py")
    assert failure_of(broken.value).code == code


@pytest.mark.parametrize(
    ("source", "code", "line"),
    [
        ("async def f(ctx): ...", "handler_signature", 1),
        (
            "from __future__ import annotations\nasync def f(ctx, input: Nowhere): ...",
            "handler_annotation",
            2,
        ),
        ("x = 1\nimport nowhere\nasync def f(ctx, input): ...", "handler_import", 2),
        ("async def f(ctx, input) ...", "handler_syntax", 1),
        ("async def f(ctx, input): ...\nraise SystemExit", "handler_import", 2),
        ("async def f(ctx, input): ...\n1/0", "handler_import", 2),
    ],
)
def test_broken_code_says_where(tmp_path: Path, source: str, code: str, line: int) -> None:
    where = package(tmp_path / "p", nodes__f=source)
    with pytest.raises(HandlerBroken) as broken:
        bind(where, "nodes/f.py:f")
    assert broken.value.code == code
    assert broken.value.place.line == line
    assert broken.value.place.file == str(where.resolve() / "nodes/f.py")
    assert "axiom_package" not in broken.value.message


@pytest.mark.parametrize("entry", ["nodes/none.py:f", "../p/nodes/f.py:f", "/etc/f.py:f", "nodes/a.b.py:f"])
def test_a_file_that_is_not_there_or_not_below_is_refused(tmp_path: Path, entry: str) -> None:
    where = package(tmp_path / "p", nodes__f="def f(ctx, input): ...")
    with pytest.raises(HandlerBroken) as broken:
        bind(where, entry)
    assert broken.value.code == "handler_file_missing"


def test_the_code_of_a_process_handler_is_not_run_here(tmp_path: Path) -> None:
    where = package(tmp_path / "p", nodes__f="raise SystemExit('never here')\ndef f(ctx, input): ...")
    handler = bind(where, "nodes/f.py:f")
    assert handler.isolation == "process"
    with pytest.raises(HandlerBroken):
        handler.function  # noqa: B018


def test_an_argument_and_a_result_are_data_outside(tmp_path: Path) -> None:
    source = """
        from dataclasses import dataclass
        @dataclass
        class Order:
            total: float
        async def typed(ctx, order: Order) -> Order: return Order(order.total * 2)
        async def loose(ctx, input: dict) -> dict: return input
    """
    where = package(tmp_path / "p", nodes__f=source)
    typed, loose = bind(where, "nodes/f.py:typed"), bind(where, "nodes/f.py:loose")
    assert loose.decode is None
    assert typed.decode is not None
    order = typed.decode({"total": 2.0})
    assert typed.encode(order) == {"total": 2.0}
    data = {"a": [1]}
    assert loose.encode(data) is data


def test_a_wrong_result_says_what_and_where() -> None:
    @dataclasses.dataclass
    class Order:
        lines: list[Any]

    with pytest.raises(WrongResult, match="the handler returned at /lines/1 set is no JSON data") as wrong:
        Handler.encode(Order([1, {2}]))
    assert failure_of(wrong.value) == wrong.value.failure
    assert (wrong.value.failure.code, wrong.value.failure.retryable) == ("output_invalid", False)


def test_a_result_that_cannot_even_be_looked_at_is_wrong_too() -> None:
    class Rude(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError("no")

    with pytest.raises(WrongResult, match="Rude that can't be read: no"):
        Handler.encode(Rude(a=1))


def test_reload_gives_new_code_and_keeps_what_is_bound(tmp_path: Path) -> None:
    where = package(
        tmp_path / "p", nodes__f="from shared import N\nasync def f(ctx, input): return N", shared="N = 1"
    )
    packages = Packages([where], read)
    key = "acme/orders@1.0.0"
    first = packages.handler(node("nodes/f.py:f", digest=packages.digests[key]), False)
    assert packages.reload() == []
    folder(where, shared="N = 2")
    assert packages.reload() == [key]
    second = packages.handler(node("nodes/f.py:f", digest=packages.digests[key]), False)
    assert (run(first), run(second)) == (1, 2)


def test_a_reload_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    where = package(tmp_path / "p", nodes__echo=ECHO)
    packages = Packages([where], read)
    before = dict(packages.digests)
    (where / "name").unlink()
    with pytest.raises(OSError):
        packages.reload()
    assert packages.digests == before
    assert packages.handler(node("nodes/echo.py:echo", digest=before["acme/orders@1.0.0"]), False)


def test_code_that_changed_on_disk_is_not_run_as_what_it_was(tmp_path: Path) -> None:
    where = package(
        tmp_path / "p", nodes__f="from shared import N\nasync def f(ctx, input): return N", shared="N = 1"
    )
    packages = Packages([where], read)
    folder(where, shared="N = 22")
    wanted = node("nodes/f.py:f", digest=packages.digests["acme/orders@1.0.0"])
    with pytest.raises(HandlerBroken) as broken:
        packages.handler(wanted, False)
    assert broken.value.code == "code_changed"


def run(handler: Handler, value: Any = None) -> Any:
    coroutine = handler.function(Context(), value)
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


# --- worlds ---------------------------------------------------------------------------------------------------------

LATE = """
from nodes import shared as direct
from nodes.shared import NAME
from . import shared as relative
import nodes.shared
import shared as top

async def f(ctx, input):
    import nodes.late
    from nodes.late import NAME as late
    return [NAME, direct.NAME, relative.NAME, nodes.shared.NAME, top.NAME, late, nodes.late.NAME]
"""


def world(where: Path, name: str) -> Path:
    value = f"NAME = {name!r}"
    return package(where, f"acme/{name}", nodes__f=LATE, nodes__shared=value, nodes__late=value, shared=value)


def test_packages_with_the_same_file_names_never_meet(tmp_path: Path) -> None:
    packages = Packages([world(tmp_path / name, name) for name in ("a", "b")], read)
    found = {}
    for name in ("a", "b"):
        wanted = node("nodes/f.py:f", package=f"acme/{name}", digest=packages.digests[f"acme/{name}@1.0.0"])
        found[name] = packages.handler(wanted, False)
    assert run(found["a"]) == ["a"] * 7
    assert run(found["b"]) == ["b"] * 7
    assert run(found["a"]) == ["a"] * 7
    assert "shared" not in sys.modules
    assert "nodes" not in sys.modules


def test_two_digests_of_one_package_in_one_worker(tmp_path: Path) -> None:
    folders = [
        package(tmp_path / n, nodes__f=f"async def f(ctx, input): return {n!r}") for n in ("old", "new")
    ]
    packages = Packages(folders, read)
    for where in folders:
        assert run(packages.handler(node("nodes/f.py:f", digest=digest(where)), False)) == where.name
    assert packages.digests == {"acme/orders@1.0.0": digest(folders[1])}


def test_a_users_folder_is_appended_and_shadows_nothing(tmp_path: Path) -> None:
    source = "import json, msgpack\nasync def f(ctx, input): return [json.dumps([1]), msgpack.MINE]"
    where = package(
        tmp_path / "p", nodes__f=source, json="raise ImportError('mine')", msgpack="MINE = 'mine'"
    )
    before = list(sys.path)
    assert run(bind(where, "nodes/f.py:f")) == ["[1]", "mine"]
    assert sys.path[: len(before)] == before
    assert str(where.resolve()) in sys.path[len(before) :] or str(where.resolve()) in before
    import msgpack

    assert not hasattr(msgpack, "MINE")


def test_a_missing_import_is_told_under_the_name_it_was_asked_for(tmp_path: Path) -> None:
    where = package(tmp_path / "p", nodes__f="from nodes.none import x\nasync def f(ctx, input): ...")
    with pytest.raises(HandlerBroken, match=r"No module named 'nodes\.none'"):
        bind(where, "nodes/f.py:f")


def test_a_class_of_a_package_knows_its_module(tmp_path: Path) -> None:
    source = """
        from __future__ import annotations
        import dataclasses, pickle
        @dataclasses.dataclass
        class Line:
            item: str
        @dataclasses.dataclass
        class Order:
            lines: list[Line]
        async def f(ctx, order: Order): return pickle.loads(pickle.dumps(order))
    """
    handler = bind(package(tmp_path / "p", nodes__f=source), "nodes/f.py:f")
    assert handler.decode is not None
    assert handler.encode(run(handler, handler.decode({"lines": [{"item": "a"}]}))) == {
        "lines": [{"item": "a"}]
    }


def test_loading_writes_nothing_into_the_folder(tmp_path: Path) -> None:
    where = world(tmp_path / "a", "a")
    before = sorted(where.rglob("*"))
    packages = Packages([where], read)
    run(packages.handler(node("nodes/f.py:f", package="acme/a", digest=digest(where)), False))
    assert sorted(where.rglob("*")) == before


def test_failures_that_handlers_choose(tmp_path: Path) -> None:
    failure = failure_of(NodeFailure("busy", code="busy", retry_after_seconds=-1, details={"a": 1}))
    assert (failure.code, failure.retry_after_ms, failure.details) == ("busy", 0, {"a": 1})

    class Silent(Exception):
        failure = property(lambda self: 1 / 0)

        def __str__(self) -> str:
            raise RuntimeError

    assert failure_of(Silent())[:2] == ("handler_error", "Silent: (its text can't be made)")
    assert failure_of(SystemExit(3))[:2] == ("child_exited", "the handler called sys.exit(3)")
