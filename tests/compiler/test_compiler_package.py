"""Packages: from a folder and from a manifest, the digest of their code, and their messages."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest
from compiler_kit import common, compiled, shop

from axiom.compiler.compile import compile_flow, validate_package
from axiom.compiler.digest import digest, package_files
from axiom.compiler.errors import CompileFailed
from axiom.compiler.handlers import snake_case
from axiom.compiler.messages import Library
from axiom.compiler.model import MessageId, Package
from axiom.compiler.package import load_package
from axiom.compiler.schemas import endless, object_of

AXIOM = """\
name: acme/p
version: 0.1.0
language: python
messages:
  M: {type: object, properties: {a: {type: string}}}
nodes:
  - {name: A, input: M, output: M}
"""


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write(tmp_path, {"axiom.yaml": AXIOM, "nodes/a.py": "def a(ctx, input):\n    return input\n"})


def test_a_package_is_the_same_from_its_manifest() -> None:
    manifest = json.loads(json.dumps(shop().manifest()))
    again = Package.from_manifest(manifest)
    assert again.manifest() == manifest
    assert (again.id, again.digest, again.folder) == (shop().id, shop().digest, None)
    source = "name: f\nnodes: [{alias: a, node: Pay}]\n"
    remote = compile_flow(source, "f", [Package.from_manifest(common().manifest())], again)
    assert remote.require().graph_id == compiled(source).require().graph_id


def test_a_manifest_is_checked_like_a_source() -> None:
    manifest = shop().manifest()
    for broken in (
        {},
        {**manifest, "nodes": [{"name": "X"}]},
        {**manifest, "digest": 5},
        {**manifest, "messages": {"Order": {"type": "nope"}}},
        {**manifest, "messages": {1: 2}},
        {**manifest, "surprise": 1},
    ):
        with pytest.raises(CompileFailed):
            Package.from_manifest(broken)


def test_every_word_of_the_language_of_packages_is_taken_in(project: Path) -> None:
    write(
        project,
        {
            "axiom.yaml": AXIOM.replace(
                "output: M}",
                """output: M, description: does, timeout_seconds: 1.5, pool: gpu,
     pure: true, isolation: thread, required_secrets: [B, A, B], handler: "nodes/a.py:a",
     retry: {delays_ms: [20, 300], non_retryable: [ValueError], jitter: 0}}
env: [{name: LEVEL, default: info, secret: true}]""",
            )
        },
    )
    package = load_package(project)
    node = package.nodes["A"]
    assert (node.timeout_seconds, node.pool, node.pure, node.isolation) == (1.5, "gpu", True, "thread")
    assert node.required_secrets == ("A", "B")
    assert (node.retry.max_attempts, node.retry.delays_ms, node.retry.jitter) == (3, (20, 300), 0.0)
    assert (package.env[0].default, package.env[0].secret) == ("info", True)


def test_the_digest_covers_code_and_not_what_git_ignores(project: Path) -> None:
    before = digest(project)
    write(project, {".gitignore": "*.log\n/out/\n!keep.log\n", "nodes/.gitignore": "!b.log\nlocal.py\n"})
    ignoring = digest(project)
    assert ignoring != before
    write(
        project,
        {
            "a.log": "",
            "out/x": "",
            "nodes/local.py": "",
            "nodes/__pycache__/a.pyc": "",
            ".git/x": "",
            ".venv/y": "",
            ".axiom/z": "",
            "nodes/old.pyc": "",
        },
    )
    assert digest(project) == ignoring
    for covered in ("keep.log", "nodes/b.log", "data.yaml", "nodes/deep/er/data.bin"):
        before = digest(project)
        write(project, {covered: "x"})
        assert digest(project) != before, covered


def test_the_digest_covers_exactly_what_git_would(project: Path) -> None:
    write(
        project,
        {
            ".gitignore": "*.tmp\nbuild/\n/only-top\n!important.tmp\ndoc/**/*.html\n",
            "sub/.gitignore": "!*.tmp\n/x\n",
            "a.tmp": "",
            "important.tmp": "",
            "build/y": "",
            "sub/build/z": "",
            "only-top": "",
            "sub/only-top": "",
            "sub/b.tmp": "",
            "sub/x": "",
            "sub/y/x": "",
            "doc/a/b.html": "",
            "doc/c.html": "",
            "doc/c.txt": "",
        },
    )
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    listed = ["git", "ls-files", "--others", "--exclude-standard"]
    wanted = subprocess.run(listed, cwd=project, check=True, capture_output=True, text=True).stdout.split(
        "\n"
    )
    assert sorted(path.as_posix() for path in package_files(project)) == sorted(filter(None, wanted))


def test_the_digest_is_the_same_on_every_system(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    for path in reversed(list(package_files(project))):
        target = other / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((project / path).read_bytes().replace(b"\n", b"\r\n"))
    assert digest(other) == digest(project)
    binary = b"\0\r\n"
    (project / "x.bin").write_bytes(binary)
    (other / "x.bin").write_bytes(binary.replace(b"\r", b""))
    assert digest(other) != digest(project)


def test_links_to_folders_are_not_followed(project: Path) -> None:
    (project / "loop").symlink_to(project)
    before = digest(project)
    (project / "loop").unlink()
    assert digest(project) != before


def test_handlers_are_read_and_never_run(project: Path) -> None:
    write(project, {"nodes/a.py": "raise SystemExit('imported')\nfrom x import y\ndef a(ctx, input): ...\n"})
    assert validate_package(project) == []


@pytest.mark.parametrize(
    "text",
    [
        "from elsewhere import a",
        "a = make()",
        "import a",
        "try:\n    from fast import a\nexcept ImportError:\n    def a(ctx, input): ...",
        "if True:\n    def a(ctx, input, more=1): ...",
        "@node\nasync def a(): ...",
        "def a(*args): ...",
        "class a: ...",
        "def a(ctx, input):\n    def inner():\n        yield 1\n    return list(inner())",
    ],
)
def test_what_may_well_be_a_handler_is_accepted(project: Path, text: str) -> None:
    assert validate_package(write(project, {"nodes/a.py": text + "\n"})) == []


@pytest.mark.parametrize(
    "text",
    [
        "def a(ctx, input, *, more): ...",
        "def a(ctx, input, more): ...",
        "def a(): ...",
        "def a(ctx, input):\n    yield",
    ],
)
def test_what_cannot_be_a_handler_is_refused(project: Path, text: str) -> None:
    assert validate_package(write(project, {"nodes/a.py": text + "\n"}))


def test_a_handler_behind_a_link_out_of_the_folder_is_refused(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "a.py"
    outside.write_text("def a(ctx, input): ...\n")
    (project / "nodes" / "a.py").unlink()
    (project / "nodes" / "a.py").symlink_to(outside)
    assert [d.code for d in validate_package(project)] == ["AX1109"]


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("ReserveStock", "reserve_stock"),
        ("A", "a"),
        ("HTTPGet", "http_get"),
        ("GetURL2", "get_url2"),
        ("Do_It", "do_it"),
    ],
)
def test_a_handler_is_named_after_its_node(name: str, snake: str) -> None:
    assert snake_case(name) == snake


def test_messages_come_from_files_too(project: Path) -> None:
    write(
        project,
        {
            "messages/Order.yaml": "type: object\n",
            "messages/more.json": '{"X": {"$ref": "Order"}, "Y": true}',
        },
    )
    assert sorted(load_package(project).messages) == ["M", "Order", "X", "Y"]
    write(project, {"messages/lower.yaml": "type: object\n"})
    assert [d.code for d in validate_package(project)] == ["AX1025"]


def test_a_resolved_message_stands_alone() -> None:
    library = Library([shop(), common()])
    schema = library.schema(MessageId("acme/shop", "1.2.0", "Order"))
    assert isinstance(schema, dict)
    assert schema["properties"]["customer"] == {"$ref": "#/$defs/Customer"}
    assert schema["$defs"]["Customer"]["properties"]["address"] == {"$ref": "#/$defs/Address"}
    good = {
        "id": "1",
        "total": 2,
        "express": True,
        "kind": "new",
        "customer": {"name": "A", "address": {"street": "s", "city": "c"}},
    }
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(good)
    good["customer"]["address"].pop("city")  # type: ignore[index]
    assert not validator.is_valid(good)


def test_references_keep_their_meaning_wherever_they_move(project: Path) -> None:
    """Recursion through two messages, a message's own ``$defs`` of another's name, and pointers into messages."""
    write(
        project,
        {
            "axiom.yaml": AXIOM.replace(
                "nodes:",
                """\
  Tree:
    type: object
    required: [label]
    properties: {label: {$ref: '#/$defs/Leaf'}, kids: {type: array, items: {$ref: '#'}}, leaf: {$ref: Leaf}}
    $defs: {Leaf: {type: string}}
    additionalProperties: false
  Leaf:
    type: object
    properties: {tree: {$ref: '#/messages/Tree'}, name: {$ref: '#/messages/Tree/properties/label'}, me: {$ref: '#'}}
    additionalProperties: false
nodes:""",
            )
        },
    )
    schema = Library([load_package(project)]).schema(MessageId("acme/p", "0.1.0", "Tree"))
    valid = jsonschema.Draft202012Validator(schema).is_valid  # type: ignore[arg-type]
    leaf = {"tree": {"label": "x"}, "name": "n", "me": {"me": {}}}
    assert valid({"label": "a", "kids": [{"label": "b", "leaf": leaf}]})
    assert not valid({"label": "a", "leaf": {"name": 1}})
    assert not valid({"label": "a", "leaf": {"tree": {"kids": []}}})
    assert not valid({"label": {}, "kids": []})
    boxed = object_of({"a/b": schema, "c": {"type": "integer"}}, ["a/b"])
    valid = jsonschema.Draft202012Validator(boxed).is_valid  # type: ignore[arg-type]
    assert valid({"a/b": {"label": "a", "leaf": leaf}, "c": 1})
    assert not valid({"a/b": {"label": "a", "leaf": {"me": {"me": 1}}}})


def test_a_schema_that_leads_only_to_itself_is_found() -> None:
    assert endless({"$ref": "#"})
    assert endless({"$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}})
    assert not endless(
        {"properties": {"next": {"$ref": "#"}}, "anyOf": [{"$ref": "#/$defs/x"}], "$defs": {"x": {}}}
    )


def test_flows_lie_beside_the_package(project: Path) -> None:
    write(
        project,
        {
            "flow.yaml": "name: one\nnodes: [{alias: a, node: A}]\n",
            "flows/two.yaml": "name: two\nnodes: [{alias: a, node: A}]\n",
        },
    )
    package = load_package(project)
    assert [Path(flow.file).name for flow in package.flows] == ["flow.yaml", "two.yaml"]
    assert validate_package(project) == []


def test_everything_wrong_with_a_package_is_told_at_once(project: Path) -> None:
    write(
        project,
        {
            "axiom.yaml": AXIOM.replace("input: M", "input: N").replace("{type: string}", "{type: text}")
            + "junk: 1\n"
        },
    )
    with pytest.raises(CompileFailed) as failed:
        load_package(project)
    assert sorted({d.code for d in failed.value.diagnostics}) == ["AX1020", "AX1103", "AX1110"]


def test_the_digest_leaves_the_flows_out(project: Path) -> None:
    """They are compiled: a comment in one must not change what it compiles to."""
    before = digest(project)
    (project / "flow.yaml").write_text("# a comment\n")
    (project / "flows").mkdir(exist_ok=True)
    (project / "flows" / "other.yaml").write_text("name: a/b\n")
    assert digest(project) == before
    (project / "nodes" / "flow.yaml").write_text("x: 1\n")
    assert digest(project) != before, "only at the top"
