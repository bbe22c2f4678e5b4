"""A folder of the user's: its package, its flows, and their way into a store.

Reading compiles everything that is there and raises nothing; what is wrong stands in ``diagnostics``. A project is
published as a whole or, where it has errors, not at all: the package's manifest, each artifact, and an alias of the
flow's name that stands for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from axiom.compiler.artifact import Artifact
from axiom.compiler.compile import Compiled, Flows, compile_files, no_flows
from axiom.compiler.errors import Diagnostic
from axiom.compiler.model import FlowFile, Package
from axiom.compiler.package import inspect_package
from axiom.runtime import catalog
from axiom.runtime.store.base import Store

ACCOUNT: Final = "default"
"""The account that ``dev`` serves and that commands without a server act for."""


@dataclass(frozen=True)
class CompiledFile:
    """One flow of a project."""

    source: FlowFile
    compiled: Compiled

    @property
    def artifact(self) -> Artifact:
        return self.compiled.require()


@dataclass(frozen=True)
class Project:
    """What lies in one folder."""

    folder: Path
    package: Package | None
    flows: tuple[CompiledFile, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = field(default=())
    contained: tuple[CompiledFile, ...] = ()
    """Flows of the folder that were not asked for and that those in ``flows`` contain."""

    @property
    def sound(self) -> bool:
        return not any(item.severity == "error" for item in self.diagnostics)

    @property
    def graph_ids(self) -> Mapping[str, str]:
        """Flow name → the id of its artifact."""
        return {flow.artifact.plan.name: flow.artifact.graph_id for flow in self.flows}


def read_project(
    folder: Path,
    drift: bool = False,
    only: Path | None = None,
    others: Sequence[Package] = (),
    flows: Flows = no_flows,
) -> Project:
    """Return the project in ``folder``, or of its flows ``only`` that file.

    ``others``: packages it may use; ``flows``: finds the subflows that are not the folder's own.
    """
    package, report = inspect_package(folder)
    if package is None or report.failed:
        return Project(folder, package, (), tuple(report.diagnostics))
    files = package.flows if only is None else (flow_file(only),)
    named = {file.file for file in files}
    beside = tuple(file for file in package.flows if only is None or not _is_same(file, only))
    every = compile_files((*files, *beside) if only else files, others, package, drift, flows=flows)
    wanted = tuple(CompiledFile(file, every[file.file]) for file in files)
    found = [*report.diagnostics, *(item for flow in wanted for item in flow.compiled.diagnostics)]
    spare = [CompiledFile(file, every[file.file]) for file in beside if file.file not in named]
    return Project(folder, package, wanted, tuple(found), _contained(wanted, spare))


def _is_same(file: FlowFile, path: Path) -> bool:
    return Path(file.file).resolve() == path.resolve()


def _contained(wanted: Sequence[CompiledFile], spare: Sequence[CompiledFile]) -> tuple[CompiledFile, ...]:
    """Those of ``spare`` whose artifacts the wanted ones pin, or the pinned ones in turn."""
    by_id = {flow.artifact.graph_id: flow for flow in spare if flow.compiled.artifact is not None}
    found: dict[str, CompiledFile] = {}
    work = [flow for flow in wanted if flow.compiled.artifact is not None]
    while work:
        for node in work.pop().artifact.plan.nodes:
            graph_id = node.config.get("graph_id", "")
            if graph_id in by_id and graph_id not in found:
                found[graph_id] = by_id[graph_id]
                work.append(by_id[graph_id])
    return tuple(found.values())


def flow_file(path: Path) -> FlowFile:
    return FlowFile(str(path), path.read_bytes())


async def publish(store: Store, project: Project, *, by: str, replace: bool = False) -> Mapping[str, str]:
    """Keep a sound project's package and artifacts, and move its aliases; flow name → ``graph_id``.

    ``replace`` (development): the package's version may be published again with other code. ``PackageTaken`` else.
    """
    assert project.sound, "a project with errors is not published"
    assert project.package is not None
    await catalog.publish_package(store, project.package.manifest(), replace)
    for flow in (*project.contained, *project.flows):
        await catalog.store_artifact(
            store,
            ACCOUNT,
            flow.artifact,
            source=flow.source.content.decode(),
            positions=flow.compiled.positions,
            description=flow.compiled.description,
        )
    for name, graph_id in project.graph_ids.items():
        await catalog.move_alias(store, ACCOUNT, name, graph_id, by=by)
    return project.graph_ids
