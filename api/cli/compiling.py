"""``axiom validate``, ``compile`` and ``explain``: what the compiler makes of a folder or of one flow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from axiom.compiler.artifact import Artifact
from axiom.compiler.codes import CODES
from axiom.compiler.errors import Diagnostic
from axiom.compiler.explain import explain as in_words
from axiom.compiler.render import render_all

from . import exits, output
from .create import package_folder
from .project import Project, read_project

CODE: Final = re.compile(r"AX\d{4}")

as_json = click.option("--json", "json_", is_flag=True, help="Print JSON.")
place = click.argument("flow", type=click.Path(path_type=Path, exists=True), default=".")


@click.command()
@place
@as_json
def validate(flow: Path, json_: bool) -> int:
    """Check a package and its flows, and report every problem.

    FLOW is a package's folder (by default this one) or one flow's file in it.

    \b
    Example:
      axiom validate orders/
    """
    project = project_of(flow)
    if json_:
        output.as_json({"ok": project.sound, "diagnostics": [item.as_json() for item in project.diagnostics]})
    else:
        report(project.diagnostics)
        if project.sound:
            output.note(f"{project.folder}: {len(project.flows)} flows, no errors")
    return exits.DONE if project.sound else exits.FAILED


@click.command("compile")
@place
@as_json
def compile_(flow: Path, json_: bool) -> int:
    """Compile flows to artifacts and print their graph ids.

    The same meaning has the same id, whatever its formatting. Nothing is stored.

    \b
    Example:
      axiom compile orders/flow.yaml --json
    """
    project = project_of(flow)
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
def explain(what: str) -> None:
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
    project = project_of(Path(what))
    require(project)
    output.data("\n\n".join(in_words(flow.artifact).rstrip() for flow in project.flows))


def project_of(flow: Path, drift: bool = False) -> Project:
    """Return the project that a path names: a folder of a package, or one flow's file in or below one."""
    folder = package_folder(flow if flow.is_dir() else flow.parent)
    if flow.is_dir() or flow.name == "axiom.yaml":
        return read_project(folder, drift)
    return read_project(folder, drift, only=flow)


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
