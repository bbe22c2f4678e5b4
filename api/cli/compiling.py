"""``axiom validate``, ``compile`` and ``explain``: what the compiler makes of a folder or of one flow."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import click

from axiom.compiler.artifact import Artifact
from axiom.compiler.codes import CODES
from axiom.compiler.compile import Flows, no_flows, subflow_names
from axiom.compiler.errors import Diagnostic
from axiom.compiler.explain import explain as in_words
from axiom.compiler.package import inspect_package
from axiom.compiler.render import render_all
from axiom.runtime.catalog import stored_flows

from . import exits, output
from .create import package_folder
from .embedded import opened_store
from .project import ACCOUNT, Project, flow_file, read_project

CODE: Final = re.compile(r"AX\d{4}")

as_json = click.option("--json", "json_", is_flag=True, help="Print JSON.")
elsewhere = click.option("--store", help="Where subflows are looked for that the package doesn't have.")
place = click.argument("flow", type=click.Path(path_type=Path, exists=True), default=".")


@click.command()
@place
@elsewhere
@as_json
def validate(flow: Path, json_: bool, store: str | None) -> int:
    """Check a package and its flows, and report every problem.

    FLOW is a package's folder (by default this one) or one flow's file in it.

    \b
    Example:
      axiom validate orders/
    """
    project = project_of(flow, store=store)
    if json_:
        output.as_json({"ok": project.sound, "diagnostics": [item.as_json() for item in project.diagnostics]})
    else:
        report(project.diagnostics)
        if project.sound:
            output.note(f"{project.folder}: {len(project.flows)} flows, no errors")
    return exits.DONE if project.sound else exits.FAILED


@click.command("compile")
@place
@elsewhere
@as_json
def compile_(flow: Path, json_: bool, store: str | None) -> int:
    """Compile flows to artifacts and print their graph ids.

    The same meaning has the same id, whatever its formatting. Nothing is stored.

    \b
    Example:
      axiom compile orders/flow.yaml --json
    """
    project = project_of(flow, store=store)
    if json_:
        output.as_json(
            {
                "flows": [described(item.source.file, item.artifact) for item in project.flows]
                if project.sound
                else [],
                "diagnostics": [item.as_json() for item in project.diagnostics],
            }
        )
        return exits.DONE if project.sound else exits.FAILED
    require(project)
    rows = [described(item.source.file, item.artifact) for item in project.flows]
    output.table(("FLOW", "GRAPH ID", "MODE"), ([row["flow"], row["graph_id"], row["mode"]] for row in rows))
    return exits.DONE


@click.command()
@click.argument("what", default=".")
@elsewhere
def explain(what: str, store: str | None) -> None:
    """Tell what a flow does, node by node, or what an error code means.

    \b
    Example:
      axiom explain orders/flow.yaml
      axiom explain AX1203
    """
    if CODE.fullmatch(what):
        if what not in CODES:
            raise exits.not_found(f"there is no error code {what}")
        output.data(f"{what}: {CODES[what]}")
        return
    if not Path(what).exists():
        raise exits.not_found(f"{what} is neither a file nor an error code")
    project = project_of(Path(what), store=store)
    require(project)
    output.data("\n\n".join(in_words(flow.artifact).rstrip() for flow in project.flows))


def project_of(flow: Path, drift: bool = False, store: str | None = None) -> Project:
    """Return the project that a path names: a folder of a package, or one flow's file in or below one.

    Subflows that aren't the package's own are looked for in ``store``.
    """
    folder = package_folder(flow if flow.is_dir() else flow.parent)
    only = None if flow.is_dir() or flow.name == "axiom.yaml" else flow
    return read_project(folder, drift, only, flows=_elsewhere(folder, only, store))


def _elsewhere(folder: Path, only: Path | None, store: str | None) -> Flows:
    package, _ = inspect_package(folder)
    if store is None or package is None:
        return no_flows
    names = subflow_names((*package.flows, *((flow_file(only),) if only else ())))
    return asyncio.run(_stored(store, names)) if names else no_flows


async def _stored(store: str, names: Iterable[str]) -> Flows:
    async with opened_store(store) as opened:
        return await stored_flows(opened, ACCOUNT, names)


def require(project: Project) -> None:
    """Show what the compiler found; ``Stop`` if there are errors or no flows at all."""
    report(project.diagnostics)
    if not project.sound:
        raise exits.failed("the package or its flows have errors")
    if not project.flows:
        raise exits.usage(f"{project.folder} has no flow", "a flow lies in flow.yaml or flows/*.yaml")


def report(diagnostics: Sequence[Diagnostic]) -> None:
    if diagnostics:
        click.echo(render_all(diagnostics), err=True, nl=False)


def described(file: str, artifact: Artifact) -> dict[str, str]:
    plan = artifact.plan
    return {
        "flow": plan.name,
        "version": plan.version,
        "file": file,
        "graph_id": artifact.graph_id,
        "mode": plan.mode,
    }
