"""The whole way from a source to an artifact, and the answers about a package.

``read → parse → PASSES → lower → freeze``. Each step collects what it finds and hands on what is left, so that one run
tells everything; an artifact is only made where no error was found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .artifact import Artifact, freeze
from .canvas import canvas_tree
from .errors import CompileFailed, Diagnostic, Place
from .explain import explain
from .layout import Cell, layout
from .lower import lower
from .messages import Library
from .model import Flow, FlowFile, FlowRef, Package, Placement
from .package import inspect_package, load_package
from .parse import parse
from .passes import PASSES, UNSUPPORTED, Context, FlowCycle, FlowRefused, Flows
from .report import Report, listed, suggest
from .source import Scalar, Table, Tree, read

MAX_FLOWS_DEEP: Final = 32
"""Flows that are compiled because one is asked for that contains the next."""


def no_flows(name: str) -> FlowRef | None:
    """There are no flows to contain."""
    return None


@dataclass(frozen=True)
class Compiled:
    """What came of a source."""

    artifact: Artifact | None
    """``None`` if there are errors."""
    diagnostics: list[Diagnostic]
    """Errors and warnings, in the order of the source."""
    positions: dict[str, Cell] = field(default_factory=dict)
    """Column and row of each node, by alias: as pinned, or laid out."""
    description: str = ""
    """What the author says of the flow. It is no part of the artifact."""

    @property
    def warnings(self) -> list[Diagnostic]:
        """The diagnostics that are no errors."""
        return [item for item in self.diagnostics if item.severity == "warning"]

    def require(self) -> Artifact:
        """Return the artifact, or raise ``CompileFailed``."""
        if self.artifact is None:
            raise CompileFailed(self.diagnostics)
        return self.artifact


def compile_flow(
    source: bytes | str,
    file: str,
    packages: Sequence[Package],
    home: Package | None = None,
    drift: bool = False,
    pipeline_mode: bool | None = None,
    *,
    flows: Flows = no_flows,
    unsupported: frozenset[str] = UNSUPPORTED,
) -> Compiled:
    """Compile a flow in YAML or JSON.

    ``file`` is its name in diagnostics; ``home`` is the package whose nodes and messages it may name without saying
    where from; ``drift`` marks the artifact as one that changed code may run; ``pipeline_mode`` takes the place of
    what the source says; ``flows`` finds subflows by alias or ``graph_id``; ``unsupported`` names the features that
    are refused. Raises nothing: what is wrong stands in ``diagnostics``.
    """
    report = Report()
    with report.bounded():
        tree = read(source, file, report)
        context = _context(packages, home, pipeline_mode, report, flows, unsupported)
        return _compile(tree, context, drift)
    return Compiled(None, report.diagnostics)


def compile_canvas(
    document: Mapping[str, Any],
    packages: Sequence[Package],
    home: Package | None = None,
    drift: bool = False,
    pipeline_mode: bool | None = None,
    file: str = "canvas",
    *,
    flows: Flows = no_flows,
    unsupported: frozenset[str] = UNSUPPORTED,
) -> Compiled:
    """Compile a canvas document; places in its diagnostics are JSON pointers: ``canvas#/nodes/0/node``."""
    report = Report()
    with report.bounded():
        tree = canvas_tree(document, file, report)
        context = _context(packages, home, pipeline_mode, report, flows, unsupported)
        return _compile(tree, context, drift)
    return Compiled(None, report.diagnostics)


def compile_files(
    files: Sequence[FlowFile],
    packages: Sequence[Package],
    home: Package | None = None,
    drift: bool = False,
    *,
    flows: Flows = no_flows,
    unsupported: frozenset[str] = UNSUPPORTED,
) -> dict[str, Compiled]:
    """Compile flows that may contain one another; return what came of each, by file.

    A subflow is looked for among ``files`` by its name, then in ``flows``.
    """
    names = {name: file for file in reversed(files) if (name := _name_of(file))}
    done: dict[str, Compiled] = {}
    under_way: list[str] = []

    def find(name: str) -> FlowRef | None:
        if name not in names:
            return flows(name)
        if name in under_way:
            raise FlowCycle(*under_way[under_way.index(name) :], name)
        if len(under_way) > MAX_FLOWS_DEEP:
            raise FlowRefused(f"flows lie more than {MAX_FLOWS_DEEP} deep in one another")
        artifact = compiled(names[name]).artifact
        if artifact is None:
            raise FlowRefused(f"the flow `{name}` has errors of its own")
        return FlowRef(artifact.graph_id, artifact.plan)

    def compiled(file: FlowFile) -> Compiled:
        if file.file not in done:
            under_way.append(_name_of(file))
            done[file.file] = compile_flow(
                file.content, file.file, packages, home, drift, flows=find, unsupported=unsupported
            )
            under_way.pop()
        return done[file.file]

    return {file.file: compiled(file) for file in files}


def subflow_names(sources: Sequence[FlowFile]) -> frozenset[str]:
    """Return what the sources name as subflows and are not themselves: what ``flows`` will be asked for."""
    trees = (read(source.content, source.file, Report()) for source in sources)
    return frozenset(name for tree in trees for name in _named_in(tree)).difference(map(_name_of, sources))


def canvas_subflow_names(document: Mapping[str, Any]) -> frozenset[str]:
    """Return what a canvas document names as subflows."""
    return frozenset(_named_in(canvas_tree(document, "canvas", Report())))


def _named_in(tree: Tree | None) -> list[str]:
    return [] if tree is None else [node.flow for node in parse(tree, Report()).nodes if node.flow]


def validate_package(
    folder: Path,
    packages: Sequence[Package] = (),
    *,
    flows: Flows = no_flows,
    unsupported: frozenset[str] = UNSUPPORTED,
) -> list[Diagnostic]:
    """Return all that is wrong with the package in ``folder`` and with its flows.

    ``packages`` are the others that it imports from or places nodes of; ``flows`` finds subflows from elsewhere.
    """
    package, report = inspect_package(folder)
    if package and not report.failed:
        every = compile_files(package.flows, packages, package, flows=flows, unsupported=unsupported)
        for compiled in every.values():
            report.include(compiled.diagnostics)
        if not package.flows:
            _check_imports(package, packages, report)
    return report.diagnostics


def single_node_plan(package: Package, node_name: str, packages: Sequence[Package] = ()) -> Artifact:
    """Return the artifact of a flow of one node, for the call that invokes a node alone. Raises ``CompileFailed``."""
    report = Report()
    place = Place(f"{package.id}/{node_name}")
    if node_name not in package.nodes:
        near, known = suggest(node_name, package.nodes), listed(package.nodes)
        message = f"`{package.id}` declares no node `{node_name}`"
        report.error("AX1122", place, message, found=node_name, expected=known, suggestion=near)
        report.require()
    node = Placement(place=place, alias="node", package=package.name, version=package.version, node=node_name)
    name = f"{package.name}/{node_name}"
    flow = Flow(place=place, places={"nodes": place}, name=name, version=package.version, nodes=(node,))
    return _finish(flow, _context(packages, package, None, report), False).require()


def _compile(tree: Tree | None, context: Context, drift: bool) -> Compiled:
    if tree is None:
        return Compiled(None, context.report.diagnostics)
    return _finish(parse(tree, context.report), context, drift)


def _finish(flow: Flow, context: Context, drift: bool) -> Compiled:
    for step in PASSES:
        flow = step(flow, context)
    report = context.report
    artifact = None if report.failed else freeze(lower(flow, context.library, drift))
    return Compiled(artifact, report.diagnostics, layout(flow), flow.description)


def _context(
    packages: Sequence[Package],
    home: Package | None,
    pipeline_mode: bool | None,
    report: Report,
    flows: Flows = no_flows,
    unsupported: frozenset[str] = UNSUPPORTED,
) -> Context:
    every = [*packages, home] if home else [*packages]
    for package in every:
        for file, text in package.sources.items():
            report.add_source(file, text)
    by_name = {(package.name, package.version): package for package in every}
    return Context(by_name, home, Library(by_name.values()), report, flows, unsupported, pipeline_mode)


def _name_of(file: FlowFile) -> str:
    """The name that the source of a flow gives it; '' where it can't be read, which its own compilation will tell."""
    tree = read(file.content, file.file, Report())
    entry = tree.entry("name") if isinstance(tree, Table) else None
    value = entry.value.value if entry and isinstance(entry.value, Scalar) else None
    return value if isinstance(value, str) else ""


def _check_imports(package: Package, packages: Sequence[Package], report: Report) -> None:
    """A package without flows still imports: any of its nodes alone would have shown what is missing."""
    for name in package.nodes:
        try:
            single_node_plan(package, name, packages)
        except CompileFailed as failed:
            report.include(failed.diagnostics)


__all__ = [
    "Compiled",
    "FlowCycle",
    "FlowRef",
    "FlowRefused",
    "Flows",
    "canvas_subflow_names",
    "compile_canvas",
    "compile_files",
    "compile_flow",
    "explain",
    "load_package",
    "single_node_plan",
    "subflow_names",
    "validate_package",
]
