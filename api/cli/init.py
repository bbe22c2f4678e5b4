"""``axiom init``: a package that runs at once, or a copy of an example."""

from __future__ import annotations

import re
import shutil
from importlib.resources import as_file, files
from pathlib import Path

import click

from . import exits, output

NAME = re.compile(r"[a-z0-9][a-z0-9-]*/[a-z0-9][a-z0-9-]*")
EXAMPLES = (
    "greeting",
    "orders",
    "refunds",
    "word-counts",
    "documents",
    "claim",
    "nightly-batch",
    "loan",
    "billing",
)

AXIOM_YAML = """\
name: {name}
version: 0.1.0
language: python
messages:
  Person:
    type: object
    required: [name]
    properties: {{name: {{type: string}}}}
  Greeting:
    type: object
    required: [greeting]
    properties: {{greeting: {{type: string}}}}
nodes:
  - name: Hello
    input: Person
    output: Greeting
    description: Says hello.
"""
FLOW_YAML = """\
name: {name}
version: 0.1.0
nodes:
  - {{alias: hello, node: Hello}}
"""
HANDLER = '''\
"""Hello: a name in, a greeting out."""


async def hello(ctx, input):
    return {"greeting": f"Hello, {input['name']}!"}
'''
IGNORE = ".axiom/\n.venv/\n__pycache__/\n"


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), default=".")
@click.option("--name", help="The package's name, handle/package; by default local/ and the folder's name.")
@click.option("--example", type=click.Choice(EXAMPLES), help="Copy this example instead.")
def init(directory: Path, name: str | None, example: str | None) -> None:
    """Make a new package, ready to run.

    \b
    Example:
      axiom init hello && axiom dev hello
    """
    if (directory / "axiom.yaml").exists():
        raise exits.usage(f"{directory / 'axiom.yaml'} exists already")
    if example:
        copy_example(example, directory)
    else:
        write_package(directory, name or default_name(directory))
    shown = "" if directory == Path(".") else f" {directory}"
    output.note(f"made {directory / 'axiom.yaml'}, {directory / 'flow.yaml'} and {directory / 'nodes'}/")
    output.note(f"next: {output.program()} dev{shown}")


def default_name(directory: Path) -> str:
    """``local/`` and what is left of the folder's name in lower case."""
    words = re.findall(r"[a-z0-9]+", directory.resolve().name.lower())
    return f"local/{'-'.join(words) or 'package'}"


def write_package(directory: Path, name: str) -> None:
    if not NAME.fullmatch(name):
        raise exits.usage(f"{name!r} is no package name", "handle/package, in lower case: acme/orders")
    write(directory / "axiom.yaml", AXIOM_YAML.format(name=name))
    write(directory / "flow.yaml", FLOW_YAML.format(name=name))
    write(directory / "nodes" / "hello.py", HANDLER)
    write(directory / ".gitignore", IGNORE)


def write(path: Path, text: str) -> None:
    """Write a new file; one that is there already is the user's and stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(text, encoding="utf-8")


def copy_example(example: str, directory: Path) -> None:
    with as_file(files("axiom.examples") / example) as source:
        leftovers = shutil.ignore_patterns("__pycache__", ".axiom", ".*_cache")
        shutil.copytree(source, directory, ignore=leftovers, dirs_exist_ok=True)
