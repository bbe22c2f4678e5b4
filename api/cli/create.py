"""``axiom create node|message``: a new part of a package, with the rest of its files as they were.

``axiom.yaml`` is edited as text: an item is put behind the last one of ``nodes:``, so comments and layout stay.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import yaml

from axiom.compiler.handlers import snake_case

from . import exits, output

NAME = re.compile(r"[A-Z][A-Za-z0-9]*")
MESSAGE = """\
type: object
required: []
properties: {}
"""
UNARY = '''\
"""{name}: {input} in, {output} out."""


async def {function}(ctx, input):
    return input
'''
PIPELINE = '''\
"""{name}: a stream of {input} in, a stream of {output} out."""


async def {function}(ctx, frames):
    async for frame in frames:
        yield frame
'''


def package_folder(start: Path) -> Path:
    """Return the folder at or above ``start`` that holds an ``axiom.yaml``."""
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / "axiom.yaml").is_file():
            return folder
    raise exits.usage(f"no axiom.yaml in {start.resolve()} or above it", "axiom init makes a package")


@click.group()
def create() -> None:
    """Add a node or a message to a package.

    \b
    Example:
      axiom create node ChargeCard --input Payment --output Paid
    """


@create.command()
@click.argument("name")
@click.option(
    "--dir", "directory", type=click.Path(path_type=Path, exists=True), default=".", help="The package."
)
def message(name: str, directory: Path) -> None:
    """Add a message as messages/NAME.yaml.

    \b
    Example:
      axiom create message Payment
    """
    folder = package_folder(directory)
    if not write_message(folder, named(name), declared(folder)):
        raise exits.usage(f"the message {name} exists already")


@create.command()
@click.argument("name")
@click.option("--input", "input_", required=True, help="The message that it takes; made if there is none.")
@click.option("--output", "output_", required=True, help="The message that it gives; made if there is none.")
@click.option("--pipeline", is_flag=True, help="A generator of frames instead of one result.")
@click.option(
    "--dir", "directory", type=click.Path(path_type=Path, exists=True), default=".", help="The package."
)
def node(name: str, input_: str, output_: str, pipeline: bool, directory: Path) -> None:
    """Add a node: its lines in axiom.yaml and its handler in nodes/.

    \b
    Example:
      axiom create node ChargeCard --input Payment --output Paid
    """
    folder = package_folder(directory)
    package = declared(folder)
    if any(isinstance(item, dict) and item.get("name") == named(name) for item in package.get("nodes") or []):
        raise exits.usage(f"the node {name} exists already")
    function = snake_case(name)
    handler = folder / "nodes" / f"{function}.py"
    if handler.exists():
        raise exits.usage(f"{handler} exists already")
    source = folder / "axiom.yaml"
    changed = with_node(source.read_text(encoding="utf-8"), name, input_, output_, pipeline)
    for wanted in dict.fromkeys((named(input_), named(output_))):
        write_message(folder, wanted, package)
    handler.parent.mkdir(exist_ok=True)
    template = PIPELINE if pipeline else UNARY
    handler.write_text(
        template.format(name=name, input=input_, output=output_, function=function), encoding="utf-8"
    )
    source.write_text(changed, encoding="utf-8")
    output.note(f"made {handler} and its lines in {source}")


def declared(folder: Path) -> dict[str, Any]:
    try:
        package = yaml.safe_load((folder / "axiom.yaml").read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise exits.usage(f"{folder / 'axiom.yaml'} is no YAML", "axiom validate shows where") from error
    return package if isinstance(package, dict) else {}


def named(name: str) -> str:
    if not NAME.fullmatch(name):
        raise exits.usage(
            f"{name!r} is no name of a node or message: it begins with a capital, as in ChargeCard"
        )
    return name


def write_message(folder: Path, name: str, package: dict[str, Any]) -> bool:
    """Write ``messages/NAME.yaml`` unless the package has that message; whether it did."""
    written = [folder / "messages" / f"{name}.{ending}" for ending in ("yaml", "json")]
    if name in (package.get("messages") or {}) or any(path.exists() for path in written):
        return False
    written[0].parent.mkdir(exist_ok=True)
    written[0].write_text(MESSAGE, encoding="utf-8")
    output.note(f"made {written[0]}: say there what it holds")
    return True


def with_node(text: str, name: str, input_: str, output_: str, pipeline: bool) -> str:
    """Return the text of an ``axiom.yaml`` with one more item under ``nodes:``."""
    item = f"{{name: {name}, input: {input_}, output: {output_}{', type: pipeline' if pipeline else ''}}}"
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    found = next((value for key, value in pairs if key.value == "nodes"), None)
    if text and not text.endswith("\n"):
        text += "\n"
    if found is None:
        return f"{text}nodes:\n  - {item}\n"
    lines = text.splitlines(keepends=True)
    if not isinstance(found, yaml.SequenceNode) or found.flow_style or not found.value:
        if found.value:
            raise exits.usage("nodes: is written in one line", f"add to it: {item}")
        at = found.start_mark.line
        lines[at] = re.sub(r"^nodes:.*", "nodes:", lines[at])
        return "".join([*lines[: at + 1], f"  - {item}\n", *lines[at + 1 :]])
    last = found.value[-1].end_mark
    at = last.line + (1 if last.column else 0)
    while at > 0 and (not lines[at - 1].strip() or lines[at - 1].lstrip().startswith("#")):
        at -= 1  # blank lines and comments behind the item belong to what follows
    indent = " " * found.start_mark.column
    return "".join([*lines[:at], f"{indent}- {item}\n", *lines[at:]])
