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
from axiom.compiler.compile import Compiled, compile_flow
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

    @property
    def sound(self) -> bool:
        return not any(item.severity == "error" for item in self.diagnostics)

    @property
    def graph_ids(self) -> Mapping[str, str]:
        """Flow name → the id of its artifact."""
        return {flow.artifact.plan.name: flow.artifact.graph_id for flow in self.flows}


def read_project(
    folder: Path, drift: bool = False, only: Path | None = None, others: Sequence[Package] = ()
) -> Project:
    """Return the project in ``folder``, or of its flows ``only`` that file; ``others``: packages it may use."""
    package, report = inspect_package(folder)
    if package is None or report.failed:
        return Project(folder, package, (), tuple(report.diagnostics))
    files = package.flows if only is None else (flow_file(only),)
    flows = tuple(
        CompiledFile(source, compile_flow(source.content, source.file, others, package, drift))
        for source in files
    )
    found = [*report.diagnostics, *(item for flow in flows for item in flow.compiled.diagnostics)]
    return Project(folder, package, flows, tuple(found))


def flow_file(path: Path) -> FlowFile:
    return FlowFile(str(path), path.read_bytes())


async def publish(store: Store, project: Project, *, by: str, replace: bool = False) -> Mapping[str, str]:
    """Keep a sound project's package and artifacts, and move its aliases; flow name → ``graph_id``.

    ``replace`` (development): the package's version may be published again with other code. ``PackageTaken`` else.
    """
    assert project.sound, "a project with errors is not published"
    assert project.package is not None
    await catalog.publish_package(store, project.package.manifest(), replace)
    for flow in project.flows:
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
