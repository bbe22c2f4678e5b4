"""``docs/reference/cli.md``, made from the commands themselves: ``python -m axiom.api.cli.reference > …``.

A test compares the page with what this prints.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from . import exits
from .main import axiom


def page() -> str:
    """Return the whole page."""
    lines = [
        "# The command line",
        "",
        "Generated from the commands; `axiom COMMAND --help` says the same.",
        "",
    ]
    lines += ["## Exit codes", "", "```text", *table_of_exits(), "```", ""]
    context = click.Context(axiom, info_name="axiom")
    for name in axiom.list_commands(context):
        command = axiom.get_command(context, name)
        assert command is not None
        lines += described(command, f"axiom {name}", context, "##")
    return "\n".join(lines).rstrip() + "\n"


def table_of_exits() -> list[str]:
    text = inspect.getdoc(exits) or ""
    return [line for line in text.splitlines() if line[:1].isdigit()]


def described(command: click.Command, name: str, parent: click.Context, heading: str) -> Iterator[str]:
    """Yield one command's section, and those of its subcommands."""
    context = click.Context(command, info_name=name.rpartition(" ")[2], parent=parent)
    yield from (f"{heading} {name}", "", *help_text(command), "")
    arguments = " ".join(command.collect_usage_pieces(context))
    yield from ("```text", f"{name} {arguments}", "```", "")
    options = [
        p for p in command.get_params(context) if isinstance(p, click.Option) and "--help" not in p.opts
    ]
    if options:
        yield from ("| option | meaning |", "|---|---|")
        for option in options:
            spelled = ", ".join([*option.opts, *option.secondary_opts])
            value = "" if option.is_flag else f" {option.make_metavar(context)}"
            yield f"| `{spelled}{value}` | {(option.help or '').replace('|', chr(92) + '|')} |"
        yield ""
    if isinstance(command, click.Group):
        for sub, each in command.commands.items():
            yield from described(each, f"{name} {sub}", context, heading + "#")


def help_text(command: click.Command) -> list[str]:
    """The command's help; its example becomes a block of text."""
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    before, _, example = text.partition("Example:\n")
    lines = [*before.strip().splitlines()]
    return [*lines, "", "```text", *inspect.cleandoc(example).splitlines(), "```"] if example else lines


if __name__ == "__main__":
    click.echo(page(), nl=False)
