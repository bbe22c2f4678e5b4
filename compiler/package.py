"""A package of nodes: from its folder, or from a manifest.

A folder holds ``axiom.yaml``, ``messages/*.yaml|json``, handlers, and flows (``flow.yaml``, ``flows/*.yaml``). Its
digest covers all of its code, so a package is read once and then is a value: nothing here is imported or run. A
manifest is what a worker publishes, an ``axiom.yaml`` with nothing left out and a digest; a server without the
folder compiles from it, through the same reader.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from .configs import parse_retry, parse_timeout
from .digest import digest
from .errors import CompileFailed, Diagnostic, Place
from .fields import NODE_NAME, PACKAGE_NAME, VERSION, Fields
from .handlers import Handlers, snake_case
from .messages import check_references, read_message
from .model import EnvVar, FlowFile, Import, NodeType, Package
from .report import Report, listed, suggest
from .source import Table, Tree, graft, read

MANIFEST: Final = "axiom.yaml"
PACKAGE_KEYS: Final = [
    "name",
    "version",
    "language",
    "description",
    "messages",
    "nodes",
    "imports",
    "env",
    "author",
    "license",
    "tags",
]
NODE_KEYS: Final = [
    "name",
    "handler",
    "input",
    "output",
    "description",
    "type",
    "timeout_seconds",
    "retry",
    "required_secrets",
    "isolation",
    "pool",
    "pure",
    "on_resume",
]


def load_package(folder: Path) -> Package:
    """Return the package in ``folder``. Raises ``CompileFailed`` with all that is wrong with it."""
    package, report = inspect_package(folder)
    report.require()
    assert package is not None, "a package that could not be read has an error"
    return package


def inspect_package(folder: Path) -> tuple[Package | None, Report]:
    """Return what could be made of the package in ``folder``, and what is wrong with it."""
    report = Report()
    with report.bounded():
        return _inspect(folder, report), report
    return None, report


def package_from_manifest(manifest: Mapping[str, Any]) -> Package:
    """Return the package that ``Package.manifest`` described. Raises ``CompileFailed``."""
    report = Report()
    name = str(manifest.get("name", "?"))[:200]
    code = manifest.get("digest")
    try:
        tree = graft(
            {key: value for key, value in manifest.items() if key != "digest"}, f"manifest of {name}"
        )
    except ValueError as error:
        message = f"not plain data: {error}"
        raise CompileFailed([Diagnostic("AX1022", message, f"manifest of {name}")]) from error
    if not isinstance(code, str):
        report.error("AX1021", tree.place, "a manifest needs the key `digest`", expected="digest")
    with report.bounded():
        package = replace(_package(tree, {}, report), digest=str(code))
    report.require()
    return package


def shown(file: Path) -> str:
    """Return a path as diagnostics show it: relative to the working directory where it lies below it."""
    try:
        return file.resolve().relative_to(Path.cwd()).as_posix()
    except (ValueError, OSError):
        return file.as_posix()


def _inspect(folder: Path, report: Report) -> Package | None:
    file = folder / MANIFEST
    content = _content(file, shown(file), report)
    tree = None if content is None else read(content, shown(file), report)
    if tree is None:
        return None
    package = _package(tree, _message_files(folder, report), report)
    handlers = Handlers(folder, report, shown)
    for node in package.nodes.values():
        if node.entry:
            handlers.check(node)
    return replace(package, digest=digest(folder), folder=folder, flows=_flow_files(folder, report))


def _package(tree: Tree, separate: Mapping[str, Tree], report: Report) -> Package:
    f = Fields(tree, report, "the package", PACKAGE_KEYS)
    f.require("name", "version", "language")
    f.choice("language", "python", ("python",))
    table = f.table("messages")
    sources = dict(separate)
    for entry in table.entries if table else ():
        if entry.key in sources:
            message = f"the message `{entry.key}` is declared twice"
            report.error("AX1102", entry.place, message, found=f"also in {sources[entry.key].place.file}")
        if not NODE_NAME.fullmatch(entry.key):
            message = f"`{entry.key[:80]}` is no name for a message"
            report.error("AX1025", entry.place, message, found=entry.key[:80], expected="like `OrderRequest`")
        sources.setdefault(entry.key, entry.value)
    messages = {name: m for name, source in sources.items() if (m := read_message(name, source, report))}
    imports = tuple(_import(item, report) for item in f.items("imports"))
    known = set(sources) | {name for item in imports for name in item.messages}
    package = Package(
        place=tree.place,
        places=f.places,
        name=f.text("name", "", PACKAGE_NAME, "acme/orders"),
        version=f.text("version", "", VERSION, "0.1.0"),
        digest="",
        description=f.text("description"),
        author=f.text("author"),
        license=f.text("license"),
        tags=f.texts("tags"),
        nodes=_nodes(f, known, report),
        messages=messages,
        imports=imports,
        env=_unique((_env(item, report) for item in f.items("env")), report),
        sources=report.texts(),
    )
    for item in imports:
        for name in set(item.messages) & set(sources):
            report.error(
                "AX1102", item.place, f"the message `{name}` is both declared and imported", found=name
            )
    check_references(package, sources, report)
    return package


def _nodes(f: Fields, messages: set[str], report: Report) -> dict[str, NodeType]:
    nodes: dict[str, NodeType] = {}
    for item in f.items("nodes"):
        node = _node(item, report)
        if not node.name:
            continue
        if node.name in nodes:
            found = f"first in line {nodes[node.name].place.line}"
            report.error("AX1102", node.at("name"), f"the node `{node.name}` is declared twice", found=found)
        nodes.setdefault(node.name, node)
        for key, message in (("input", node.input), ("output", node.output)):
            if message and message not in messages:
                report.error(
                    "AX1103",
                    node.at(key),
                    f"the {key} of `{node.name}` is no message of this package",
                    found=message,
                    expected=listed(messages) or "a message under `messages` or `imports`",
                    suggestion=suggest(message, messages),
                )
    return nodes


def _node(tree: Tree, report: Report) -> NodeType:
    f = Fields(tree, report, "a node", NODE_KEYS)
    f.require("name", "input", "output")
    name = f.text("name", "", NODE_NAME, "ReserveStock")
    kind = f.choice("type", "unary", ("unary", "pipeline"))
    retry = f.get("retry")
    for key in ("input", "output"):
        if f.data(key) == "":
            report.error("AX1103", f.at(key), f"the {key} of `{name}` is no message", expected="its name")
    for key, wanted in (("on_resume", "pipeline"), ("isolation", "unary")):
        if f.data(key) not in (None, "", "skip") and kind != wanted:
            message = f"`{key}` is for {wanted} nodes"
            report.error("AX1026", f.at(key), message, found=f"type {kind}", expected=f"`type: {wanted}`")
    blank = NodeType(place=tree.place, name=name, input="", output="", entry="")
    return NodeType(
        place=tree.place,
        places=f.places,
        name=name,
        input=f.text("input"),
        output=f.text("output"),
        entry=_entry(f, name, report),
        description=f.text("description"),
        type=kind,
        timeout_seconds=parse_timeout(f, None) or blank.timeout_seconds,
        retry=parse_retry(retry, report) if retry else blank.retry,
        required_secrets=tuple(sorted(set(f.texts("required_secrets")))),
        isolation=f.choice("isolation", "", ("process", "thread", "async")),
        pool=f.text("pool", "default"),
        pure=f.flag("pure"),
        on_resume=f.choice("on_resume", "skip", ("skip", "continue", "fail")),
    )


def _entry(f: Fields, name: str, report: Report) -> str:
    default = f"nodes/{snake_case(name)}.py:{snake_case(name)}"
    entry = f.text("handler", default)
    path, colon, function = entry.partition(":")
    if not colon or not path.endswith(".py") or not function.isidentifier() or "\\" in path:
        message = "a handler is a file of the package and a function in it"
        report.error("AX1025", f.at("handler"), message, found=entry[:80], expected=f"like `{default}`")
        return ""
    if path.startswith("/") or ".." in path.split("/"):
        report.error("AX1109", f.at("handler"), "a handler's path leaves the package", found=path)
        return ""
    return entry


def _import(tree: Tree, report: Report) -> Import:
    f = Fields(tree, report, "an import", ("package", "version", "messages"))
    f.require("package", "version", "messages")
    return Import(
        place=tree.place,
        places=f.places,
        package=f.text("package", "", PACKAGE_NAME, "acme/common"),
        version=f.text("version", "", VERSION, "1.0.0"),
        messages=f.texts("messages"),
    )


def _env(tree: Tree, report: Report) -> EnvVar:
    f = Fields(tree, report, "a variable", ("name", "default", "description", "required", "secret"))
    f.require("name")
    return EnvVar(
        place=tree.place,
        places=f.places,
        name=f.text("name"),
        default=f.text("default"),
        description=f.text("description"),
        required=f.flag("required"),
        secret=f.flag("secret"),
    )


def _unique(variables: Any, report: Report) -> tuple[EnvVar, ...]:
    out: dict[str, EnvVar] = {}
    for item in variables:
        if item.name in out:
            report.error(
                "AX1102", item.at("name"), f"the variable `{item.name}` is declared twice", found=item.name
            )
        out.setdefault(item.name, item)
    return tuple(out.values())


def _message_files(folder: Path, report: Report) -> dict[str, Tree]:
    """Messages in ``messages/``: a file holds one schema and is named after it, or maps names to schemas."""
    out: dict[str, Tree] = {}
    for file in sorted(p for ending in ("*.yaml", "*.json") for p in (folder / "messages").glob(ending)):
        content = _content(file, shown(file), report)
        tree = None if content is None else read(content, shown(file), report)
        if tree is None:
            continue
        many = (
            isinstance(tree, Table) and tree.entries and all(NODE_NAME.fullmatch(e.key) for e in tree.entries)
        )
        found = (
            {e.key: e.value for e in tree.entries} if many and isinstance(tree, Table) else {file.stem: tree}
        )
        for name, source in found.items():
            if not NODE_NAME.fullmatch(name):
                message = f"`{file.name}` is not named after a message"
                report.error("AX1025", source.place, message, found=name, expected="like `OrderRequest.yaml`")
            if name in out:
                message = f"the message `{name}` is declared twice"
                report.error("AX1102", source.place, message, found=f"also in {out[name].place.file}")
            out.setdefault(name, source)
    return out


def _flow_files(folder: Path, report: Report) -> tuple[FlowFile, ...]:
    files = [folder / "flow.yaml", *sorted((folder / "flows").glob("*.yaml"))]
    contents = ((shown(file), _content(file, shown(file), report)) for file in files if file.exists())
    return tuple(FlowFile(name, content) for name, content in contents if content is not None)


def _content(file: Path, name: str, report: Report) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        report.error(
            "AX1101", Place(name), "a file of the package can't be read", found=reason, expected=name
        )
        return None
